"""Anybody's answers → a run, so that all later stages serve outputs made elsewhere.

The file is JSONL or CSV with the columns `id` and either `response` (free text, to be parsed) or `label` (a class or a
word for one, taken as it stands). An utterance of the corpus that the file lacks gets a record that says so.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from serxbench import __version__, runs
from serxbench.catalog import Mode
from serxbench.corpora import Corpus
from serxbench.emotions import options_of
from serxbench.errors import CorpusError, UnknownName, UsageError
from serxbench.hashing import hash_file
from serxbench.records import Response
from serxbench.runs import Run, RunManifest

_COLUMNS = ("id", "response", "label")


def import_answers(file: Path, model: str, mode: tuple[Mode, bool], corpus: Corpus, out: Path) -> Run:
    """The run in `out` made of the answers in `file`. mode: the form that the model was asked in, and whether with CoT.

    Raises CorpusError for ids that the corpus has not or that stand twice, and for malformed rows.
    """
    column, answers = read_answers(file)
    known = {utterance.id for utterance in corpus.utterances}
    if strange := [id for id in answers if id not in known]:
        raise CorpusError(
            f"{file}: {len(strange)} of {len(answers)} ids are not in {corpus.data} (the first: '{strange[0]}'); "
            "is it the right corpus and split?"
        )
    with runs.lock_folder(out):
        run = Run.start(out, _manifest(file, model, mode, corpus, column))
        run.remember_corpus(corpus.data, corpus.root)
        run.write_records(runs.RESPONSES, [_response(u.id, answers, file.name) for u in corpus.utterances])
    return run


def read_answers(file: Path) -> tuple[str, dict[str, str | None]]:
    """Which column the file has (`response` or `label`), and id → its value, None where the row has none."""
    column: str | None = None
    answers: dict[str, str | None] = {}
    for line, row in _rows(file):
        for key in row:
            if key not in _COLUMNS:
                raise CorpusError(f"{file}:{line}: {UnknownName('column', str(key), _COLUMNS)}")
        present = [name for name in ("response", "label") if name in row]
        if "id" not in row or len(present) != 1:
            raise CorpusError(f"{file}:{line}: 'id' and one of 'response' and 'label' wanted; found {sorted(row)}")
        if column not in (None, present[0]):
            raise CorpusError(f"{file}:{line}: has '{present[0]}' where earlier rows have '{column}'")
        column, id, value = present[0], str(row["id"]), row[present[0]]
        if id in answers:
            raise CorpusError(f"{file}:{line}: the id '{id}' stands twice")
        if value is not None and not isinstance(value, str):
            raise CorpusError(f"{file}:{line}: '{column}' must be text or null; found {value!r}")
        answers[id] = value
    if column is None:
        raise CorpusError(f"{file}: has no rows")
    return column, answers


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if not file.is_file():
        raise UsageError(f"{file}: no such file")
    if file.suffix.lower() not in (".jsonl", ".csv"):
        raise UsageError(f"{file}: a .jsonl or .csv file is wanted")
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            if file.suffix.lower() == ".csv":
                reader = csv.DictReader(lines, restkey="(more)")
                for row in reader:
                    yield reader.line_num, dict(row)
                return
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise CorpusError(f"{file}:{number}: a JSON object is wanted; found {type(row).__name__}")
                    yield number, row
    except UnicodeDecodeError as error:
        raise CorpusError(f"{file}: is not UTF-8 text ({error})") from error
    except json.JSONDecodeError as error:
        raise CorpusError(f"{file}:{number}: not valid JSON ({error})") from error


def _response(id: str, answers: dict[str, str | None], file_name: str) -> Response:
    if id not in answers:
        return Response(id=id, stop="error", error=f"{file_name} has no answer for it")
    text = answers[id]
    if text is None:
        return Response(id=id, stop="error", error=f"{file_name} gives null as the answer")
    return Response(id=id, text=text, stop="end")


def _manifest(file: Path, model: str, mode: tuple[Mode, bool], corpus: Corpus, column: str) -> RunManifest:
    form, cot = mode
    return RunManifest(
        serxbench=__version__,
        model={"name": model, "display_name": model, "adapter": None, "repository": None, "revision": None},
        mode=form,
        cot=cot,
        corpus=corpus.describe(),
        options=options_of(corpus.labels) if form == "closed" else None,
        engine={"backend": "import", "file_sha256": hash_file(file), "column": column},
        parser="identity" if column == "label" else "rules",
    )
