"""What may be trained on: a training split, and nothing in it that an evaluation split of the same corpus holds too."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from serxbench.audio import Clip, read_ahead
from serxbench.corpora import Corpus, normalise_split, open_corpus
from serxbench.errors import RunError, UsageError
from serxbench.llm._cache import usual_cache
from serxbench.progress import Progress
from serxbench.records import Utterance

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


def find_contaminated(corpus: Corpus, progress: Progress, cache: Path | None = None) -> dict[str, str]:
    """id → why that utterance of a training split must not be trained on: an evaluation split has its id or its sound.

    Sound is compared by the hash of the decoded samples, kept in a cache under path, size and time of change.
    Raises UsageError, CorpusError.
    """
    evaluated = _evaluated(corpus)
    held_out = {utterance.id: name for name, part in evaluated for utterance in part}
    found = {u.id: f"the {held_out[u.id]} has this id too" for u in corpus.utterances if u.id in held_out}
    others = [utterance for _, part in evaluated for utterance in part]
    with closing(_Hashes(cache or usual_cache().with_name("audio.sqlite"))) as hashes:
        of_others = hashes.find(others, "hashing what is evaluated on", progress)
        of_these = hashes.find(corpus.utterances, "hashing what is trained on", progress)
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


class _Hashes:
    """The hashes of decoded clips, in a file that several processes may use."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=60, isolation_level=None)
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS hashes (key TEXT PRIMARY KEY, sha256 TEXT) WITHOUT ROWID"
            )
        except (sqlite3.Error, OSError) as error:
            raise RunError(f"{path}: is no usable cache of audio hashes ({error}); delete it") from error

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def find(self, utterances: Sequence[Utterance], task: str, progress: Progress) -> dict[str, str]:
        """id → hash of each utterance whose clip can be read."""
        keys = {u.id: key for u in utterances if u.audio is not None and (key := _key(u.audio))}
        known = {id: digest for id, key in keys.items() if (digest := self._known(key))}
        waiting = [u for u in utterances if u.id in keys and u.id not in known]
        if not waiting:
            return known
        progress.start(task, total=len(keys), done=len(known))
        try:
            with closing(read_ahead(u.audio for u in waiting if u.audio)) as clips:
                for utterance, clip in zip(waiting, clips, strict=True):
                    if isinstance(clip, Clip):
                        known[utterance.id] = clip.sha256()
                        row = (keys[utterance.id], known[utterance.id])
                        self._connection.execute("INSERT OR REPLACE INTO hashes VALUES (?, ?)", row)
                    progress.advance(1, 0 if isinstance(clip, Clip) else 1)
        finally:
            progress.finish()
        return known

    def _known(self, key: str) -> str | None:
        row = self._connection.execute("SELECT sha256 FROM hashes WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])


def _key(path: Path) -> str | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return f"{path.absolute()}\0{state.st_size}\0{state.st_mtime_ns}"
