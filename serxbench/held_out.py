"""What may not be trained on: the ids and the sounds that models are evaluated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from serxbench.audio import Clip, read_ahead
from serxbench.clip_cache import ClipCache
from serxbench.corpora import Corpus, hash_utterances, normalise_split, open_corpus
from serxbench.progress import Progress
from serxbench.records import Utterance


def is_training_split(split: str | None) -> bool:
    """Whether a split is one to train on, by its name.

    >>> [is_training_split(split) for split in ("train", "fold2-train", "dev", None)]
    [True, True, False, False]
    """
    return _plain(split) == "train"


def is_evaluation_split(split: str | None) -> bool:
    """Whether a split is one that models are validated or tested on, by its name.

    >>> [is_evaluation_split(split) for split in ("Test1", "dev", "fold2-test", "train", None)]
    [True, True, True, False, False]
    """
    return _plain(split).startswith(("development", "test"))


def _plain(split: str | None) -> str:
    return normalise_split((split or "").rpartition("-")[2])


def evaluation_splits(corpus: Corpus) -> tuple[str, ...]:
    """The splits that are evaluated on where this one is trained on: of `fold2-train` those of the same fold."""
    fold = (corpus.split or "").rpartition("-")[0]
    return tuple(name for name in corpus.info.splits if is_evaluation_split(name) and name.rpartition("-")[0] == fold)


def evaluation_parts(corpus: Corpus) -> list[Corpus]:
    """What is evaluated on where this corpus is trained on, opened: its evaluation splits, or the rest of its file.

    Raises UsageError or CorpusError.
    """
    if not corpus.info.takes_path:
        chosen = "".join(f",{name}={value}" for name, value in corpus.options.items())
        splits = evaluation_splits(corpus)
        return [open_corpus(f"{corpus.info.name}:{split}{chosen}", corpus.root) for split in splits]
    whole = open_corpus(corpus.data.partition("#")[0], corpus.root)
    # Where a training split was chosen, a row of no known split is not known to be trained on.
    is_rest = (lambda s: not is_training_split(s)) if is_training_split(corpus.split) else is_evaluation_split
    rows = tuple(utterance for utterance in whole.utterances if is_rest(utterance.split))
    return [replace(whole, utterances=rows, revision=hash_utterances(rows))] if rows else []


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The utterances that may not be trained on.

    ids: (corpus, id) → where it stands. sounds: hash of the samples → whose they are and where it stands.
    """

    ids: Mapping[tuple[str, str], str]
    sounds: Mapping[str, str]

    def find(self, corpus: Corpus, utterance: Utterance, sha256: str | None) -> str | None:
        """Why the utterance must not be trained on, None if it may be. sha256: of its samples, None if unknown."""
        if where := self.ids.get((corpus.info.name, utterance.id)):
            return f"the {where} has this id too"
        twin = self.sounds.get(sha256) if sha256 else None
        return f"its sound is that of {twin}" if twin else None


def hold_out(parts: Sequence[Corpus], progress: Progress) -> HeldOut:
    """All utterances of these corpora, each clip hashed; hashes are kept from call to call."""
    whose = [
        (part.info.name, utterance, "rest of the file" if part.info.takes_path else f"split '{part.split}'")
        for part in parts
        for utterance in part.utterances
    ]
    digests = hash_clips([utterance for _, utterance, _ in whose], "hashing what is evaluated on", progress)
    if n_unread := sum(u.audio is not None and not digest for (_, u, _), digest in zip(whose, digests, strict=True)):
        progress.say(f"{n_unread} of {len(whose)} evaluation clips cannot be read, and are compared with nothing")
    return HeldOut(
        ids={(name, utterance.id): where for name, utterance, where in whose},
        sounds={
            digest: f"'{utterance.id}' in the {where}"
            for (_, utterance, where), digest in zip(whose, digests, strict=True)
            if digest
        },
    )


def hash_clips(utterances: Sequence[Utterance], task: str, progress: Progress) -> list[str | None]:
    """The hash of each clip's samples, None for one that cannot be read.

    Kept in a cache under path, size and time of change. task: what progress calls it.
    """
    with closing(ClipCache("sha256 of the samples")) as cache:
        found = [cache.find(utterance.audio) if utterance.audio else None for utterance in utterances]
        waiting = [n for n, u in enumerate(utterances) if u.audio and found[n] is None]
        if not waiting:
            return found
        paths = [path for n in waiting if (path := utterances[n].audio)]
        progress.start(task, total=len(found), done=len(found) - len(waiting))
        try:
            with closing(read_ahead(paths)) as clips:
                for n, path, clip in zip(waiting, paths, clips, strict=True):
                    if isinstance(clip, Clip):
                        found[n] = clip.sha256()
                        cache.keep(path, found[n])
                    progress.advance(1, 0 if isinstance(clip, Clip) else 1)
        finally:
            progress.finish()
    return found
