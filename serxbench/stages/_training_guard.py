"""What may be trained on: a training split, and nothing in it that an evaluation split of the same corpus holds too."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from serxbench.audio import Clip, read_ahead
from serxbench.corpora import Corpus, normalise_split, open_corpus
from serxbench.errors import UsageError
from serxbench.progress import Progress
from serxbench.records import Utterance
from serxbench.stages._clip_cache import ClipCache

_TRAINING = "train"


def evaluation_splits(corpus: Corpus) -> tuple[str, ...]:
    """The splits that are evaluated on where this one is trained on. Raises UsageError if this is no training split.

    Of `train` these are the corpus's development and test splits, of `fold2-train` those of the same fold.
    """
    info, split = corpus.info, corpus.split or ""
    fold, dash, part = split.rpartition("-")
    if normalise_split(part) != _TRAINING:
        known = [name for name in info.splits if normalise_split(name.rpartition("-")[2]) == _TRAINING]
        how = ", ".join(f"{info.name}:{name}" for name in known) or f"{corpus.data.partition('#')[0]}#train"
        found = f"the split '{split}'" if split else "every split at once"
        raise UsageError(
            f"--data {corpus.data}: is {found}; rationales are made from training splits only, since a model that is "
            f"trained on them must not have seen what it is evaluated on. Training splits here: {how}"
        )
    return tuple(
        name
        for name in info.splits
        if name.startswith(fold + dash)
        and name.count("-") == split.count("-")
        and normalise_split(name.rpartition("-")[2]).startswith(("development", "test"))
    )


def find_contaminated(corpus: Corpus, progress: Progress) -> dict[str, str]:
    """id → why that utterance of a training split must not be trained on: an evaluation split has its id or its sound.

    Sound is compared by the hash of the decoded samples, kept in a cache under path, size and time of change.
    Raises UsageError, CorpusError.
    """
    evaluated = _evaluated(corpus)
    held_out = {utterance.id: name for name, part in evaluated for utterance in part}
    found = {u.id: f"the {held_out[u.id]} has this id too" for u in corpus.utterances if u.id in held_out}
    others = [utterance for _, part in evaluated for utterance in part]
    with closing(ClipCache("sha256 of the samples")) as cache:
        of_others = _hash(others, cache, "hashing what is evaluated on", progress)
        of_these = _hash(corpus.utterances, cache, "hashing what is trained on", progress)
    if n_unknown := len(others) - len(of_others):
        progress.say(f"{corpus.info.name}: {n_unknown} of {len(others)} evaluation clips cannot be read or compared")
    by_hash = {digest: id for id, digest in of_others.items()}
    for id, digest in of_these.items():
        if digest in by_hash and id not in found:
            twin = by_hash[digest]
            found[id] = f"its sound is that of '{twin}' in the {held_out[twin]}"
    return found


def _evaluated(corpus: Corpus) -> list[tuple[str, tuple[Utterance, ...]]]:
    """(what it is called, its utterances) of each evaluation split."""
    splits = evaluation_splits(corpus)
    if corpus.info.takes_path:
        whole = open_corpus(corpus.data.partition("#")[0], corpus.root).utterances
        rest = tuple(u for u in whole if normalise_split(u.split or "") != _TRAINING)
        return [("rest of the file", rest)]
    chosen = "".join(f",{name}={value}" for name, value in corpus.options.items())
    opened = ((name, open_corpus(f"{corpus.info.name}:{name}{chosen}", corpus.root)) for name in splits)
    return [(f"split '{name}'", part.utterances) for name, part in opened]


def _hash(utterances: Sequence[Utterance], cache: ClipCache, task: str, progress: Progress) -> dict[str, str]:
    """id → hash of the decoded samples of each utterance whose clip can be read."""
    paths = {u.id: u.audio for u in utterances if u.audio is not None}
    known: dict[str, str] = {id: digest for id, path in paths.items() if (digest := cache.find(path))}
    waiting = [id for id in paths if id not in known]
    if not waiting:
        return known
    progress.start(task, total=len(paths), done=len(known))
    try:
        with closing(read_ahead(paths[id] for id in waiting)) as clips:
            for id, clip in zip(waiting, clips, strict=True):
                if isinstance(clip, Clip):
                    known[id] = clip.sha256()
                    cache.keep(paths[id], known[id])
                progress.advance(1, 0 if isinstance(clip, Clip) else 1)
    finally:
        progress.finish()
    return known
