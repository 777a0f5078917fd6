"""Runs → what is judged: each system's explanation of each utterance, and what the corpus says of it."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serxbench.catalog import list_cards, read_card
from serxbench.corpora import Corpus
from serxbench.errors import CorpusError, RunError, SerxbenchError, UsageError
from serxbench.hashing import hash_file
from serxbench.judging.pairs import LETTERS, System
from serxbench.judging.texts import Labelled
from serxbench.judging.warnings import Relative
from serxbench.metrics.references import references, vote_table
from serxbench.records import Parsed, Prediction, Response
from serxbench.runs import PARSED, PREDICTIONS, RESPONSES, Run
from serxbench.stages.evaluation import check_corpus, reopen_corpus

#: What an explanation is, as the manifest says it.
TEXTS_RULE = "the answer's rationale; the whole answer where it has none"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One run as a system under judgement. n_rationales, n_answers: texts that are a rationale, or a whole answer."""

    run: Run
    system: System
    n_rationales: int
    n_answers: int
    n_without: int

    def describe(self) -> dict[str, Any]:
        """What moves a verdict, for the manifest."""
        manifest = self.run.manifest
        files = {name: hash_file(self.run.file(name)) for name in (RESPONSES, PARSED, PREDICTIONS)}
        prompt = manifest.prompt or {}
        return {
            "run": self.run.path.resolve().name,
            "model": manifest.model["name"],
            "mode": manifest.mode,
            "cot": manifest.cot,
            "prompt": prompt.get("sha256"),
            "files": files,
        }

    def sum_up(self) -> dict[str, Any]:
        """What the report says of it."""
        manifest = self.run.manifest
        return {
            "run": self.run.path.resolve().name,
            "model": manifest.model["name"],
            "mode": manifest.mode,
            "cot": manifest.cot,
            "texts": {
                "rationales": self.n_rationales,
                "whole_answers": self.n_answers,
                "none": self.n_without,
            },
        }


def read_sources(runs: Sequence[Run]) -> list[Source]:
    """The systems a, b, … of the runs. Raises UsageError or CorpusError if they cannot be compared, MissingStage."""
    if len({run.path.resolve() for run in runs}) < 2 or len({run.path.resolve() for run in runs}) < len(runs):
        raise UsageError("two different runs or more are wanted: serxbench judge RUN_A RUN_B …")
    if len(runs) > len(LETTERS):
        raise UsageError(f"{len(runs)} runs: at most {len(LETTERS)} can be judged at once")
    first, *others = runs
    for other in others:
        _check_same_corpus(first, other)
    return [_source(letter, run) for letter, run in zip(LETTERS, runs, strict=False)]


def _check_same_corpus(first: Run, other: Run) -> None:
    one, two = first.manifest.corpus, other.manifest.corpus
    for key in ("name", "split", "revision"):
        if one.get(key) != two.get(key):
            raise CorpusError(
                f"{first.path} and {other.path} are on different utterances (corpus {key}: {one.get(key)!r} and "
                f"{two.get(key)!r}); run both on the same corpus, split and revision"
            )


def _source(letter: str, run: Run) -> Source:
    for name in (PARSED, PREDICTIONS):
        run.made_by(name)  # raises MissingStage if it is absent or stale
    responses = run.read_records(RESPONSES, Response)
    parsed, predictions = run.read_records(PARSED, Parsed), run.read_records(PREDICTIONS, Prediction)
    if not [r.id for r in responses] == [p.id for p in parsed] == [p.id for p in predictions]:
        raise RunError(f"{run.path}: its responses, parsed answers and predictions are not on the same utterances")
    answers: dict[str, Labelled] = {}
    kinds: Counter[str] = Counter()
    for response, part, prediction in zip(responses, parsed, predictions, strict=True):
        rationale, whole = (part.rationale or "").strip(), (response.text or "").strip()
        kind = "rationale" if rationale else "answer" if whole and response.stop != "error" else "none"
        kinds[kind] += 1
        if kind != "none":
            answers[response.id] = Labelled(text=rationale or whole, label=prediction.label, word=prediction.word)
    return Source(
        run=run,
        system=System(letter=letter, answers=answers),
        n_rationales=kinds["rationale"],
        n_answers=kinds["answer"],
        n_without=kinds["none"],
    )


@functools.cache
def _families() -> Mapping[str, str]:
    """Card name → family, of the embedded cards."""
    return {name: card.family for name, path in list_cards().items() if (card := read_card(path)).family}


def known_families() -> dict[str, str]:
    """How names of models begin → their family, from the embedded cards: families' names, and first words of cards'."""
    found = {family: family for family in _families().values()}
    first_words: dict[str, set[str]] = {}
    for name, family in _families().items():
        first_words.setdefault(re.split(r"[^a-z]", name.casefold())[0], set()).add(family)
    return {**{word: next(iter(of)) for word, of in first_words.items() if len(word) > 2 and len(of) == 1}, **found}


def relatives_of(sources: Sequence[Source], folders: Sequence[Any] = ()) -> list[Relative]:
    """The models whose texts are judged, their bases, and the models that wrote what they were trained on."""
    found: dict[tuple[str, str], Relative] = {}
    for source in sources:
        who = f"system {source.system.letter}"
        model = source.run.manifest.model
        for role, name in _named(model, who, folders):
            found[role, name] = Relative(role=role, name=name, family=_family(name, folders))
    return list(found.values())


def _named(model: Mapping[str, Any], who: str, folders: Sequence[Any]) -> list[tuple[str, str]]:
    named = [(who, str(model["name"]))]
    base = model.get("base")
    if isinstance(base, Mapping) and "name" in base:
        named.append((f"the base of {who}", str(base["name"])))
    teacher = model.get("teacher") or getattr(_card(str(model["name"]), folders), "teacher", None)
    if teacher:
        named.append((f"the teacher of {who}", str(teacher)))
    return named


def _family(name: str, folders: Sequence[Any]) -> str | None:
    return getattr(_card(name, folders), "family", None)


def _card(name: str, folders: Sequence[Any]) -> Any:
    try:
        path = list_cards(folders).get(name)
        return None if path is None else read_card(path)
    except SerxbenchError:  # somebody's folder of cards that is not there any more
        return None


def open_corpus_of(source: Source) -> Corpus:
    """The corpus that a run was asked about. Raises CorpusError if it is not there, or has changed."""
    corpus = reopen_corpus(source.run)
    check_corpus(source.run, corpus)
    return corpus


def plurality_of(corpus: Corpus) -> dict[str, str | None]:
    """Id → the plurality of the votes, or the released consensus; None where there is none among the classes."""
    found = references(vote_table(corpus.utterances, corpus.labels))
    labels = [*corpus.labels, None]
    return {
        utterance.id: labels[code] if has else None
        for utterance, code, has in zip(corpus.utterances, found.plurality, found.has_plurality, strict=True)
    }
