"""responses.jsonl → parsed.jsonl: the emotion that each answer commits to, as one parser or several read it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from serxbench import runs
from serxbench.errors import UsageError
from serxbench.parsing import Parser, get_parser
from serxbench.records import Parsed, Response
from serxbench.runs import Run


def parse(run: Run, names: Sequence[str] = ()) -> list[Parsed]:
    """What the first of the parsers in `names` makes of every response; written to parsed.jsonl, which is scored.

    names: several are each written to `parsings/` besides. None takes the parser that made the present file, else the
    one that the manifest names. A file that is up to date is not made again.
    """
    with run.lock():
        parsers = [get_parser(name) for name in names or (_present(run) or run.manifest.parser,)]
        if len({slug(parser.name) for parser in parsers}) < len(parsers):
            raise UsageError(f"the parsers {', '.join(names)} would share a file; name each once")
        readings = {parser.name: _reading(run, parser) for parser in parsers}
        if len(readings) > 1:
            run.file(runs.PARSINGS).mkdir(exist_ok=True)
            for parser in parsers:
                _write(run, _file_of(parser.name), readings[parser.name], _maker(parser))
        first = parsers[0]
        _write(run, runs.PARSED, readings[first.name], _maker(first))
        return readings[first.name]


def parsings(run: Run) -> dict[str, list[Parsed]]:
    """Parser → what it read, of all readings of the present responses; the one that is scored comes first."""
    found: dict[str, list[Parsed]] = {}
    stored = sorted(f"{runs.PARSINGS}/{path.name}" for path in run.file(runs.PARSINGS).glob("*.jsonl"))
    for file in (runs.PARSED, *stored):
        maker = run.maker(file)
        if maker and str(maker["parser"]) not in found and run.is_fresh(file, [runs.RESPONSES], maker):
            found[str(maker["parser"])] = run.read_records(file, Parsed)
    return found


def slug(name: str) -> str:
    """The name of a parser as a file may be called.

    >>> slug("openai:org/model")
    'openai-org-model'
    """
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)


def _file_of(name: str) -> str:
    return f"{runs.PARSINGS}/{slug(name)}.jsonl"


def _maker(parser: Parser) -> dict[str, Any]:
    return {"parser": parser.name, "sha256": parser.sha256}


def _reading(run: Run, parser: Parser) -> list[Parsed]:
    """The records of one parser, from a file that is up to date or else made."""
    for file in (runs.PARSED, _file_of(parser.name)):
        if run.is_fresh(file, [runs.RESPONSES], _maker(parser)):
            return run.read_records(file, Parsed)
    options = run.manifest.options
    pairs = None if options is None else [(letter, label) for letter, label in options]
    return [parser.parse(response, pairs) for response in run.read_records(runs.RESPONSES, Response)]


def _write(run: Run, file: str, records: Sequence[Parsed], maker: Mapping[str, Any]) -> None:
    if not run.is_fresh(file, [runs.RESPONSES], maker):
        run.write_records(file, records)
        run.remember_sources(file, [runs.RESPONSES], maker)


def _present(run: Run) -> str | None:
    made_by = run.maker(runs.PARSED)
    return None if made_by is None else str(made_by["parser"])
