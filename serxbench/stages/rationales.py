"""A training split → rationales.jsonl: a teacher hears each clip, reads its transcript and its label, and explains.

The folder is a run folder: `responses.jsonl` holds what the teacher said, verbatim, and `rationales.jsonl` is made from
it. Nothing of an evaluation split is ever asked about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from serxbench import runs
from serxbench.adapters import find_adapter
from serxbench.catalog import Template
from serxbench.corpora import Corpus, plurality
from serxbench.emotions import EMOTIONS
from serxbench.errors import CorpusError, UsageError
from serxbench.held_out import evaluation_parts, hash_clips, hold_out, is_training_split
from serxbench.progress import Progress
from serxbench.rationales.rules import extract_rationale
from serxbench.records import JsonRecord, Prompt, Response, Utterance
from serxbench.runs import Run
from serxbench.stages.backends import RespondRequest, check_licence
from serxbench.stages.respond import respond
from serxbench.untrusted import fence, nonce_of

RATIONALES = "rationales.jsonl"

#: What became of an item. Only `ok` has a rationale.
#: empty: the teacher said nothing. error: it gave no answer. held_out: an evaluation split has the item too.
#: no_label: its consensus is none of the eight classes. no_transcript: the corpus does not say what is said.
RationaleStatus = Literal["ok", "empty", "error", "held_out", "no_label", "no_transcript"]

#: Raised by one when the way from an answer to its rationale changes.
_EXTRACTION = 1

#: What stands between an utterance's id and the number of a further sample in the id that a model is asked under.
_SAMPLE = "~"


@dataclass(frozen=True, kw_only=True)
class Rationale(JsonRecord):
    """One line of rationales.jsonl. sample: number of this one among several for the item, from 1; None for one.

    teacher: the card's name. prompt: hash of what it was asked about this item. stop: `length` if it was cut off.
    audio_sha256: of the clip as it was heard. error: why there is no rationale.
    """

    id: str
    emotion: str | None = None
    transcript: str | None = None
    rationale: str | None = None
    status: RationaleStatus
    sample: int | None = None
    stop: str | None = None
    error: str | None = None
    teacher: str
    prompt: str | None = None
    audio_sha256: str | None = None
    speaker: str | None = None
    corpus: str
    split: str | None = None


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """What is asked of a teacher. request: as for any run; its prompt is the template's text. samples: an item."""

    request: RespondRequest
    template: Template
    samples: int = 1


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What a teacher is asked. request: with an utterance and a prompt for each sample. unfit: id → why it is not."""

    request: RespondRequest
    prompts: Mapping[str, Prompt]
    unfit: Mapping[str, tuple[RationaleStatus, str]]


def plan_rationales(teaching: Teaching, progress: Progress) -> Lesson:
    """What would be asked; nothing is asked yet, but every clip is hashed.

    Raises UsageError for a split that is no training split or a model that writes no text, CorpusError if there is
    nothing to ask about.
    """
    request, corpus = teaching.request, teaching.request.corpus
    _check(teaching)
    unfit = _unfit(corpus, _find_contaminated(corpus, progress))
    fit = [utterance for utterance in corpus.utterances if utterance.id not in unfit]
    if not fit:
        first = next(iter(unfit.values()))[1]
        raise CorpusError(f"{corpus.data}: none of its {len(unfit)} utterances can be asked about; the first: {first}")
    prompts = {u.id: _prompt(teaching.template, u) for u in fit}
    asked = {sample.id: (sample, u.id) for u in fit for sample in _samples(u, teaching.samples)}
    if len(asked) < len(fit) * teaching.samples:
        raise CorpusError(f"{corpus.data}: an id ends in {_SAMPLE} and a number, as the ids of further samples do")
    by_id = {id: prompts[item] for id, (_, item) in asked.items()}
    utterances = tuple(sample for sample, _ in asked.values())
    whole = replace(request, corpus=replace(corpus, utterances=utterances), prompts=by_id)
    return Lesson(request=whole, prompts=prompts, unfit=unfit)


def make_rationales(teaching: Teaching, out: Path, progress: Progress) -> list[Rationale]:
    """The rationales of a training split, written to `out`; what an earlier process finished is kept.

    Raises what `plan_rationales` and `respond` raise.
    """
    lesson = plan_rationales(teaching, progress)
    run = respond(lesson.request, out, progress)
    answers = {response.id: response for response in run.read_records(runs.RESPONSES, Response)}
    found = list(_rows(teaching, lesson, answers))
    _write(run, found)
    return found


def gold_label(utterance: Utterance) -> str | None:
    """The released consensus, or where there is none the plurality of the votes; None if it is no class."""
    label = utterance.consensus or plurality(vote.primary for vote in utterance.votes)
    return label if label in EMOTIONS else None


def _check(teaching: Teaching) -> None:
    request = teaching.request
    check_split(request.corpus)
    if teaching.samples < 1:
        raise UsageError(f"--samples must be at least 1; found {teaching.samples}")
    if teaching.samples > 1 and request.decoding.temperature <= 0:
        raise UsageError(f"--samples {teaching.samples}: greedy decoding gives one answer; add --temperature 0.7, say")
    if getattr(find_adapter(request.card.adapter), "PARSER", None) == "identity":
        raise UsageError(
            f"'{request.card.name}' answers with labels and explains nothing; a generative model is wanted"
        )
    check_licence(request)


def check_split(corpus: Corpus) -> None:
    """Raises UsageError unless the corpus is a training split."""
    info, split = corpus.info, corpus.split
    if is_training_split(split):
        return
    known = [f"{info.name}:{name}" for name in info.splits if is_training_split(name)]
    found = f"the split '{split}'" if split else "every split at once"
    raise UsageError(
        f"--data {corpus.data}: is {found}; rationales are made from training splits only, since a model that is "
        f"trained on them must not have seen what it is evaluated on. Training splits here: "
        f"{', '.join(known) or corpus.data.partition('#')[0] + '#train'}"
    )


def _find_contaminated(corpus: Corpus, progress: Progress) -> dict[str, str]:
    """id → why it must not be trained on: an evaluation split has its id or its sound."""
    held_out = hold_out(evaluation_parts(corpus), progress)
    digests = hash_clips(corpus.utterances, "hashing what is trained on", progress)
    whys = (held_out.find(corpus, u, digest) for u, digest in zip(corpus.utterances, digests, strict=True))
    return {u.id: why for u, why in zip(corpus.utterances, whys, strict=True) if why}


def _unfit(corpus: Corpus, contaminated: Mapping[str, str]) -> dict[str, tuple[RationaleStatus, str]]:
    """id → why it is not asked about."""
    found: dict[str, tuple[RationaleStatus, str]] = {}
    for utterance in corpus.utterances:
        if utterance.id in contaminated:
            found[utterance.id] = "held_out", contaminated[utterance.id]
        elif gold_label(utterance) is None:
            label = utterance.consensus or "none"
            found[utterance.id] = "no_label", f"its label is {label}, none of the eight classes"
        elif not (utterance.transcript or "").strip():
            found[utterance.id] = "no_transcript", "the corpus has no transcript of it"
    return found


def _prompt(template: Template, utterance: Utterance) -> Prompt:
    """What is asked about one utterance."""
    transcript, emotion = utterance.transcript or "", gold_label(utterance) or ""
    fenced = fence(transcript, nonce_of(transcript), "text")
    text = template.fill(transcript=fenced, emotion=emotion.lower())
    return Prompt(name=template.name, text=text, sha256=hashlib.sha256(text.encode()).hexdigest())


def _samples(utterance: Utterance, samples: int) -> Iterator[Utterance]:
    """The utterance once for each sample; the seed of an answer comes from the id that it is asked under."""
    yield utterance
    for number in range(2, samples + 1):
        yield replace(utterance, id=f"{utterance.id}{_SAMPLE}{number}")


def _rows(teaching: Teaching, lesson: Lesson, answers: Mapping[str, Response]) -> Iterator[Rationale]:
    """In corpus order, the samples of an item one after the other."""
    corpus = teaching.request.corpus
    for utterance in corpus.utterances:
        row = Rationale(
            id=utterance.id,
            emotion=gold_label(utterance),
            transcript=utterance.transcript,
            status="ok",
            teacher=teaching.request.card.name,
            speaker=utterance.speaker,
            corpus=corpus.info.name,
            split=corpus.split or utterance.split,
        )
        if utterance.id in lesson.unfit:
            status, error = lesson.unfit[utterance.id]
            yield replace(row, status=status, error=error)
            continue
        row = replace(row, prompt=lesson.prompts[utterance.id].sha256)
        for number, sample in enumerate(_samples(utterance, teaching.samples), start=1):
            numbered = replace(row, sample=number if teaching.samples > 1 else None)
            yield _answered(numbered, answers[sample.id])


def _answered(row: Rationale, response: Response) -> Rationale:
    row = replace(row, stop=response.stop, audio_sha256=response.audio_sha256)
    if response.text is None or response.stop in ("error", "filtered"):
        return replace(row, status="error", error=response.error or "a filter of the provider withheld the answer")
    text = extract_rationale(response.text)
    return replace(row, rationale=text) if text else replace(row, status="empty", error="the answer has no text")


def _write(run: Run, rows: Sequence[Rationale]) -> None:
    made_by = {"extraction": _EXTRACTION}
    with run.lock():
        run.write_records(RATIONALES, rows)
        run.remember_sources(RATIONALES, [runs.RESPONSES], made_by)
