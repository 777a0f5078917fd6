"""Runs to be judged: answers made here, imported, parsed and clustered like any others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from conftest import write_rows

from serxbench.corpora import open_corpus
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


def make_runs(folder: Path, answers: Sequence[Answer], n: int = 40) -> list[Run]:
    """A run for each system, on a corpus of `n` utterances of four emotions."""
    rows = [
        {"id": f"u{k:03}", "transcript": f"sentence {k}", "votes": {label_of(k): 3, label_of(k + 1): 1}}
        for k in range(n)
    ]
    corpus = open_corpus(f"manifest:{write_rows(folder / 'corpus.jsonl', rows)}")
    return [_run(folder, f"run-{letter}", answer, corpus, n) for letter, answer in zip("abcdef", answers, strict=False)]


def _run(folder: Path, name: str, answer: Answer, corpus: object, n: int) -> Run:
    given = [{"id": f"u{k:03}", "response": text} for k in range(n) if (text := answer(k)) is not None]
    run = import_answers(write_rows(folder / f"{name}.jsonl", given), name, ("open", True), corpus, folder / name)
    parse(run)
    cluster(run)
    return run
