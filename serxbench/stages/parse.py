"""responses.jsonl → parsed.jsonl: the emotion that each answer commits to."""

from __future__ import annotations

from serxbench import runs
from serxbench.parsing import get_parser
from serxbench.records import Parsed, Response
from serxbench.runs import Run


def parse(run: Run, parser_name: str | None = None) -> list[Parsed]:
    """Parses every response of a run and writes parsed.jsonl; does nothing if that is up to date.

    parser_name: None takes the parser that made the present file, else the one that the manifest names.
    """
    with run.lock():
        parser = get_parser(parser_name or _present(run) or run.manifest.parser)
        made_by = {"parser": parser.name, "sha256": parser.sha256}
        if run.is_fresh(runs.PARSED, [runs.RESPONSES], made_by):
            return run.read_records(runs.PARSED, Parsed)
        responses = run.read_records(runs.RESPONSES, Response)
        options = run.manifest.options
        pairs = None if options is None else [(letter, label) for letter, label in options]
        parsed = [parser.parse(response, pairs) for response in responses]
        run.write_records(runs.PARSED, parsed)
        run.remember_sources(runs.PARSED, [runs.RESPONSES], made_by)
        return parsed


def _present(run: Run) -> str | None:
    made_by = run.maker(runs.PARSED)
    return None if made_by is None else str(made_by["parser"])
