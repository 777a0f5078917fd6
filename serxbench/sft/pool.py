"""A recipe's corpora → the samples of its training: filtered, shuffled, held against every evaluation item, divided.

Nothing is left out without a count and a reason. Shuffling comes before cutting, or the pool would be its first corpus.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from serxbench.audio import read_ahead
from serxbench.catalog import load_prompt
from serxbench.corpora import Corpus, open_corpus, plurality
from serxbench.emotions import EMOTIONS
from serxbench.errors import AudioError, CorpusError, UsageError
from serxbench.hashing import hash_file
from serxbench.held_out import HeldOut, evaluation_parts, hold_out, is_evaluation_split
from serxbench.progress import Progress
from serxbench.records import Prompt, Utterance
from serxbench.sft.limits import Limits
from serxbench.sft.recipe import Recipe, Source
from serxbench.sft.samples import Pool, Sample, draw
from serxbench.sft.targets import Rationale, Variant, is_taggable, read_rationales

_Candidate = tuple[Corpus, Utterance, Sample]

#: The folder of a corpus on this machine, by what `--data` would say; None for one that needs none.
RootOf = Callable[[str], Path | None]


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A recipe with its corpora open: the pool before a clip is heard. held_out: what may not be trained on."""

    recipe: Recipe
    sources: tuple[tuple[Source, Corpus, Mapping[str, Rationale] | None], ...]
    held_out: tuple[Corpus, ...]
    variants: tuple[Variant, ...]

    @property
    def teachers(self) -> list[str]:
        """The models that wrote the kept rationales, as far as their rows say."""
        rows = (row for _, _, rationales in self.sources for row in (rationales or {}).values())
        return sorted({row.teacher for row in rows if row.kept and row.teacher})

    def describe(self) -> dict[str, Any]:
        """Everything that decides which samples there will be, without a path of this machine."""
        recipe, settings = self.recipe, self.recipe.settings
        return {
            "recipe": recipe.name,
            "corpora": [
                {
                    **_describe(corpus),
                    "classes": list(source.labels),
                    "whole": source.whole,
                    "rationales": hash_file(source.rationales) if source.rationales else None,
                }
                for source, corpus, _ in self.sources
            ],
            "held_out": [_describe(corpus) for corpus in self.held_out],
            "prompts": [
                {"name": name, "sha256": load_prompt(name, corpus.labels).sha256}
                for _, corpus, _ in self.sources
                for name in recipe.prompts
            ],
            "reasons_wanted": "with-reason" in self.variants,
            **{
                name: getattr(settings, name)
                for name in ("seed", "max_samples", "max_tokens", "validation_share", "speeds")
            },
        }


def open_recipe(recipe: Recipe, variants: Sequence[Variant], root_of: RootOf) -> Opened:
    """The recipe's corpora, label files read and no clip. Raises UsageError or CorpusError."""
    sources = []
    for source in recipe.sources:
        corpus = open_corpus(source.data, root_of(source.data))
        if is_evaluation_split(corpus.split):
            raise UsageError(
                f"{recipe.path}: {source.data} is a split that models are tested on; no item of it may be trained on"
            )
        if source.rationales is None and "with-reason" in variants:
            raise UsageError(
                f"{recipe.path}: {source.data} names no rationales, which the variant with-reason is made of; make "
                f"them with `serxbench rationales` and `serxbench curate`, or give --variants without-reason"
            )
        rationales = read_rationales(source.rationales) if source.rationales else None
        sources.append((source, corpus, rationales))
    held_out = [part for source, corpus, _ in sources if not source.whole for part in evaluation_parts(corpus)]
    held_out += [open_corpus(data, root_of(data)) for data in recipe.held_out]
    each_once = {(part.data, part.revision): part for part in held_out}  # two sources may be of one corpus
    return Opened(recipe=recipe, sources=tuple(sources), held_out=tuple(each_once.values()), variants=tuple(variants))


def _describe(corpus: Corpus) -> dict[str, Any]:
    found = corpus.describe()
    return {name: found.get(name) for name in ("name", "split", "options", "revision", "n", "licence")}


def key_of(corpus: Corpus) -> str:
    """What a corpus is called in a sample's id: its name, and of a file of one's own the file's."""
    return Path(corpus.data.partition(":")[2].partition("#")[0]).stem if corpus.info.takes_path else corpus.info.name


def build_pool(opened: Opened, limits: Limits, progress: Progress) -> Pool:
    """The samples, each clip heard once. Raises CorpusError if none is left, or the rationales are of other labels."""
    recipe, settings = opened.recipe, opened.recipe.settings
    left_out: dict[str, Counter[str]] = {key_of(corpus): Counter() for _, corpus, _ in opened.sources}
    held_out = hold_out(opened.held_out, progress)
    found: dict[str, _Candidate] = {}
    for source, corpus, rationales in opened.sources:
        reasons = left_out[key_of(corpus)]
        for utterance, sample in _candidates(recipe, source, corpus, rationales, held_out, reasons):
            if found.setdefault(sample.id, (corpus, utterance, sample))[2] is not sample:
                reasons["same_id"] += 1
    order = np.random.RandomState(settings.seed).permutation(len(found))
    names = sorted(found)
    shuffled = [found[names[n]] for n in order]
    heard = _hear(shuffled, (limits, opened.variants, settings.max_tokens, held_out), left_out, progress)
    taken = []
    progress.start("reading the pool", total=min(len(shuffled), settings.max_samples), done=0)
    for each in heard:
        taken.append(each)
        progress.advance(1, 0)
        if len(taken) == settings.max_samples:
            break
    progress.finish()
    speakers = [f"{key_of(corpus)}/{u.speaker}" if u.speaker else None for corpus, u, _ in taken]
    return Pool(
        samples=_divide([sample for _, _, sample in taken], speakers, recipe),
        left_out=left_out,
        n_held_out=len(held_out.sounds),
        n_unknown_speakers=speakers.count(None),
    )


def _candidates(
    recipe: Recipe,
    source: Source,
    corpus: Corpus,
    rationales: Mapping[str, Rationale] | None,
    held_out: HeldOut,
    left_out: Counter[str],
) -> Iterator[tuple[Utterance, Sample]]:
    """The utterances that can be samples, as far as is known without hearing them; the others are counted."""
    prompts = [load_prompt(name, corpus.labels) for name in recipe.prompts]
    for utterance in corpus.utterances:
        rationale = rationales.get(utterance.id) if rationales is not None else None
        emotion = utterance.consensus or plurality(vote.primary for vote in utterance.votes)
        if held_out.find(corpus, utterance, None):
            left_out["held_out_id"] += 1
        elif not source.whole and is_evaluation_split(utterance.split):
            left_out["evaluation_split"] += 1
        elif utterance.audio is None:
            left_out["no_audio"] += 1
        elif not utterance.transcript:
            left_out["no_transcript"] += 1
        elif emotion not in EMOTIONS:
            left_out["no_class"] += 1
        elif emotion not in source.labels:
            left_out["class_not_taken"] += 1
        elif rationales is not None and (rationale is None or not rationale.kept):
            left_out["no_rationale" if rationale is None else "rationale_rejected"] += 1
        elif not is_taggable(utterance.transcript) or (rationale and not is_taggable(rationale.text)):
            left_out["tags_in_text"] += 1
        else:
            if rationale:
                _check_rationale(source, utterance, emotion, rationale)
            yield utterance, _sample(recipe, corpus, utterance, emotion, rationale, prompts)


def _check_rationale(source: Source, utterance: Utterance, emotion: str, rationale: Rationale) -> None:
    """Raises CorpusError if the rationale was written for another label or other words."""
    for name, written, now in (
        ("emotion", rationale.emotion, emotion),
        ("transcript", rationale.transcript, utterance.transcript),
    ):
        if written != now:
            raise CorpusError(
                f"{source.rationales}: '{utterance.id}' was written for the {name} {written!r}, and {source.data} has "
                f"{now!r}; make the rationales again for this revision of the corpus"
            )


def _sample(
    recipe: Recipe,
    corpus: Corpus,
    utterance: Utterance,
    emotion: str,
    rationale: Rationale | None,
    prompts: Sequence[Prompt],
) -> Sample:
    """The sample before its clip was heard. Its prompt is drawn by its id, whatever else is in the pool."""
    id = f"{key_of(corpus)}/{utterance.id}"
    prompt = prompts[int(draw(tuple(range(len(prompts))), "prompt", recipe.settings.seed, id))]
    assert utterance.transcript is not None
    return Sample(
        id=id,
        part="train",
        audio=str(utterance.audio),
        audio_sha256="",
        n_samples=0,
        prompt=prompt.name,
        question=prompt.text,
        emotion=emotion,
        transcript=utterance.transcript.strip(),
        rationale=rationale.text.strip() if rationale else None,
    )


def _hear(
    candidates: Sequence[_Candidate],
    wanted: tuple[Limits, Sequence[Variant], int, HeldOut],
    left_out: Mapping[str, Counter[str]],
    progress: Progress,
) -> Iterator[_Candidate]:
    """The candidates that can be learnt from, with their clips' hashes, in order; the others are counted."""
    limits, variants, max_tokens, held_out = wanted
    seen: set[str] = set()
    clips = read_ahead(Path(sample.audio) for _, _, sample in candidates)
    for (corpus, utterance, sample), clip in zip(candidates, clips, strict=True):
        reasons = left_out[key_of(corpus)]
        if isinstance(clip, AudioError):
            reasons["unreadable"] += 1
            progress.say(f"{sample.id}: {clip}")
            continue
        sha256, seconds = clip.sha256(), clip.seconds
        filled = replace(sample, audio_sha256=sha256, n_samples=len(clip.waveform))
        if held_out.find(corpus, utterance, sha256):
            reasons["held_out_audio"] += 1
        elif sha256 in seen:
            reasons["same_audio"] += 1
        elif not limits.min_seconds <= seconds <= limits.max_seconds:
            reasons["too_short" if seconds < limits.min_seconds else "too_long"] += 1
        elif limits.count_tokens(filled, variants) > max_tokens:
            reasons["too_many_tokens"] += 1
        else:
            seen.add(sha256)
            yield corpus, utterance, filled


def _divide(samples: Sequence[Sample], speakers: Sequence[str | None], recipe: Recipe) -> tuple[Sample, ...]:
    """The samples with those of some speakers as validation part: of each corpus, until the share is reached.

    An utterance whose speaker is unknown is trained on. Raises CorpusError if either part would be empty.
    """
    share, seed = recipe.settings.validation_share, recipe.settings.seed
    chosen: set[str] = set()
    by_corpus: dict[str, Counter[str]] = {}
    for speaker in filter(None, speakers):
        by_corpus.setdefault(speaker.partition("/")[0], Counter())[speaker] += 1
    for counts in by_corpus.values():
        # In an order that the seed and the names decide, so that adding a speaker moves no other.
        order = sorted(counts, key=lambda name: hashlib.sha256(f"{seed}\0{name}".encode()).digest())
        n_wanted, n_given = share * counts.total(), 0
        for speaker in order[:-1]:  # one stays
            if n_given >= n_wanted:
                break
            chosen.add(speaker)
            n_given += counts[speaker]
    divided = tuple(
        replace(sample, part="validation") if speaker in chosen else sample
        for sample, speaker in zip(samples, speakers, strict=True)
    )
    parts = Counter(sample.part for sample in divided)
    if not parts["train"] or not parts["validation"]:
        raise CorpusError(
            f"{recipe.path}: {parts['train']} samples to train on and {parts['validation']} of other speakers to "
            "validate with are left; both parts need some, and validation needs two speakers in a corpus"
        )
    return divided
