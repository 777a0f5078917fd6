"""Runs to be judged: answers made here, imported, parsed and clustered like any others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from conftest import write_rows

from serxbench.corpora import Corpus, open_corpus
from serxbench.runs import Run
from serxbench.stages.cluster import cluster
from serxbench.stages.import_answers import import_answers
from serxbench.stages.parse import parse

LABELS = ("Angry", "Sad", "Happy", "Neutral")

#: Number of the utterance → its answer.
Answer = Callable[[int], str | None]


def label_of(n: int) -> str:
    return LABELS[n % 4]


def answered(n: int, reasons: str, label: str | None = None) -> str:
    word = (label or label_of(n)).lower()
    return f"<asr> sentence {n} </asr><answer> I think the emotion is {word} </answer><reason> {reasons} </reason>"


def make_runs(folder: Path, answers: Sequence[Answer], n: int = 40, models: Sequence[str] = ()) -> list[Run]:
    """A run for each system, on a corpus of `n` utterances of four emotions. models: their names, if they matter."""
    rows = [
        {"id": f"u{k:03}", "transcript": f"sentence {k}", "votes": {label_of(k): 3, label_of(k + 1): 1}}
        for k in range(n)
    ]
    corpus = open_corpus(f"manifest:{write_rows(folder / 'corpus.jsonl', rows)}")
    names = [f"run-{letter}" for letter in "abcdef"[: len(answers)]]
    given = zip(names, models or names, answers, strict=True)
    return [_run(folder, (name, model), answer, corpus, n) for name, model, answer in given]


def _run(folder: Path, named: tuple[str, str], answer: Answer, corpus: Corpus, n: int) -> Run:
    name, model = named
    given = [{"id": f"u{k:03}", "response": text} for k in range(n) if (text := answer(k)) is not None]
    run = import_answers(write_rows(folder / f"{name}.jsonl", given), model, ("open", True), corpus, folder / name)
    parse(run)
    cluster(run)
    return run
