"""responses.jsonl → parsed.jsonl: the emotion that each answer commits to, as one parser or several read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serxbench import runs
from serxbench.errors import MissingStage, UsageError
from serxbench.parsing import PARSERS
from serxbench.progress import Progress, Silent
from serxbench.records import Parsed, Response
from serxbench.runs import Run
from serxbench.stages._readers import (
    Forecast,
    LlmReader,
    Reader,
    RequestOf,
    check_reader,
    open_reader,
    slug,
    usual_request,
)

__all__ = ["Forecast", "check_parsers", "forecast", "parse", "parsings", "read_again", "slug"]


def parse(
    run: Run, names: Sequence[str] = (), request_of: RequestOf = usual_request, progress: Progress | None = None
) -> list[Parsed]:
    """What the first of the parsers in `names` makes of every response; written to parsed.jsonl, which is scored.

    names: several are each written to `parsings/` besides. None takes the parser that made the present file, else the
    one that the manifest names. A file that is up to date is not made again; where no name is given and an LLM has read
    the present answers, it is not asked again either. Nothing is written before all parsers have read everything.
    Raises BudgetSpent; what was told until then is kept, and the same command goes on from there.
    """
    with run.lock():
        if not names and (known := _as_it_stands(run)) is not None:
            return known
        readers = [open_reader(name, request_of) for name in names or (_present(run) or run.manifest.parser,)]
        if len({slug(reader.name) for reader in readers}) < len(readers):
            raise UsageError(f"the parsers {', '.join(names)} would share a file; name each once")
        readings = [_reading(run, reader, progress or Silent()) for reader in readers]
        if len(readers) > 1:
            run.file(runs.PARSINGS).mkdir(exist_ok=True)
            for reader, records in zip(readers, readings, strict=True):
                _write(run, _file_of(reader.name), records, reader.made_by(records))
        _write(run, runs.PARSED, readings[0], readers[0].made_by(readings[0]))
        return readings[0]


def parsings(run: Run) -> dict[str, list[Parsed]]:
    """Parser → what it read, of all readings of the present responses; the one that is scored comes first."""
    found: dict[str, list[Parsed]] = {}
    stored = sorted(f"{runs.PARSINGS}/{path.name}" for path in run.file(runs.PARSINGS).glob("*.jsonl"))
    for file in (runs.PARSED, *stored):
        maker = run.maker(file)
        if maker and str(maker["parser"]) not in found and run.is_fresh(file, [runs.RESPONSES], maker):
            found[str(maker["parser"])] = run.read_records(file, Parsed)
    return found


def forecast(run: Run, names: Sequence[str], request_of: RequestOf = usual_request) -> list[Forecast]:
    """What reading the run with each of these parsers would take; nothing is asked and nothing is written."""
    responses = run.read_records(runs.RESPONSES, Response)
    readers = [open_reader(name, request_of) for name in names or (run.manifest.parser,)]
    return [reader.forecast(responses, _options(run)) for reader in readers]


def read_again(run: Run, responses: Sequence[Response]) -> list[Parsed]:
    """What the run's own parser makes of other responses; nothing is written."""
    name = _present(run) or run.manifest.parser
    return open_reader(name, usual_request).read(responses, _options(run), Silent())


def check_parsers(names: Sequence[str], request_of: RequestOf = usual_request) -> None:
    """Raises UnknownName for the first name that is no parser's; no server is spoken to."""
    for name in names:
        check_reader(name, request_of)


def _file_of(name: str) -> str:
    return f"{runs.PARSINGS}/{slug(name)}.jsonl"


def _options(run: Run) -> list[tuple[str, str]] | None:
    options = run.manifest.options
    return None if options is None else [(letter, label) for letter, label in options]


def _reading(run: Run, reader: Reader, progress: Progress) -> list[Parsed]:
    """The records of one parser, from a file that is up to date or else made."""
    maker = reader.made_by()
    for file in (runs.PARSED, _file_of(reader.name)):
        if run.is_fresh(file, [runs.RESPONSES], maker):
            return run.read_records(file, Parsed)
    return reader.read(run.read_records(runs.RESPONSES, Response), _options(run), progress)


def _write(run: Run, file: str, records: Sequence[Parsed], maker: Mapping[str, Any]) -> None:
    if not run.is_fresh(file, [runs.RESPONSES], maker):
        run.write_records(file, records)
        run.remember_sources(file, [runs.RESPONSES], maker)


def _present(run: Run) -> str | None:
    made_by = run.maker(runs.PARSED)
    return None if made_by is None else str(made_by["parser"])


def _as_it_stands(run: Run) -> list[Parsed] | None:
    """The present records if an LLM made them, of these responses and with the present prompts and rules."""
    name = _present(run)
    if name is None or name in PARSERS:
        return None
    try:
        maker = run.made_by(runs.PARSED)
    except MissingStage:
        return None
    try:
        extraction = LlmReader(name, usual_request).extractor.sha256
    except UsageError:
        # Its card lies elsewhere today: what it read stays as good as it was.
        return run.read_records(runs.PARSED, Parsed)
    return run.read_records(runs.PARSED, Parsed) if maker.get("extraction") == extraction else None
