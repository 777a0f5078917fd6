"""Files as corpora distribute them: names in any case, several encodings, audio beside the labels or not at all."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from serxbench.corpora._listing import Fault
from serxbench.errors import CorpusError
from serxbench.records import Utterance

#: What is taken for audio. Containers with pictures (MELD) are read for their sound.
AUDIO_SUFFIXES = frozenset(
    (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aiff", ".aif", ".mp4", ".mkv", ".webm", ".avi")
)

#: A comma-separated file may have a field (free text of annotators) longer than Python's default limit.
csv.field_size_limit(2**24)


def find_path(root: Path, *candidates: str) -> Path | None:
    """The first of `candidates` (paths below `root`, `/` between the parts) that is there, whatever its case.

    An exact name goes before one in another case.
    """
    for candidate in candidates:
        found: Path | None = root
        for part in candidate.split("/"):
            found = _child(found, part) if found is not None else None
        if found is not None:
            return found
    return None


def _child(folder: Path, name: str) -> Path | None:
    exact = folder / name
    if exact.exists():
        return exact
    if not folder.is_dir():
        return None
    return next((path for path in sorted(folder.iterdir()) if path.name.lower() == name.lower()), None)


def need_path(root: Path, corpus: str, *candidates: str) -> Path:
    """find_path, or CorpusError that says what was looked for."""
    found = find_path(root, *candidates)
    if found is None:
        wanted = candidates[0] if len(candidates) == 1 else f"one of {', '.join(candidates)}"
        raise CorpusError(f"{root}: no label file of {corpus} here; wanted {wanted}, as the corpus distributes it")
    return found


def read_text(path: Path, *encodings: str) -> str:
    """The text of a file (`.gz` is unpacked), line ends made `\\n`, in the first encoding that fits; UTF-8 first.

    A byte order mark is dropped. Raises CorpusError if no encoding fits.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, gzip.BadGzipFile) as error:
        raise CorpusError(f"{path}: cannot be read ({error})") from error
    for encoding in ("utf-8-sig", *encodings):
        try:
            return raw.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError as error:
            reason = error
    tried = ", ".join(("UTF-8", *encodings))
    raise CorpusError(f"{path}: is not text in {tried} (byte {reason.start}: {reason.reason})")


def read_csv(path: Path, wanted: Sequence[str], *encodings: str) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, row) of a CSV file with a header. Every value is text: `NA` is the two letters.

    A row with too few fields lacks those keys. Raises CorpusError if a column of `wanted` is missing.
    """
    reader = csv.reader(read_text(path, *encodings).splitlines(keepends=True))
    header = [name.strip() for name in next(reader, [])]
    if missing := [name for name in wanted if name not in header]:
        raise CorpusError(
            f"{path}: columns missing: {', '.join(missing)}; found: {', '.join(header) or 'an empty file'}"
        )
    for fields in reader:
        if fields:
            yield reader.line_num, dict(zip(header, fields, strict=False))


def index_clips(folder: Path | None, *, deep: bool = False) -> tuple[dict[str, Path], list[Fault]]:
    """Stem → path of the audio files of a folder, in a fixed order, and a fault for each stem that is there twice.

    deep: those of its sub-folders too. Files of macOS (`._*`) and hidden folders are passed over. A folder that is
    None or not there has no clips.
    """
    clips: dict[str, Path] = {}
    faults = []
    for path in _walk(folder, deep) if folder is not None and folder.is_dir() else ():
        if path.stem in clips:
            what = f"a second file of this name; {clips[path.stem].name} in {clips[path.stem].parent.name} is used"
            faults.append(Fault(kind="duplicate_audio", where=f"{path.parent.name}/{path.name}", what=what))
        else:
            clips[path.stem] = path
    return clips, faults


def _walk(folder: Path, deep: bool) -> Iterator[Path]:
    folders = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(Path(entry.path))
            elif os.path.splitext(entry.name)[1].lower() in AUDIO_SUFFIXES:
                yield Path(entry.path)
    if deep:
        for below in folders:
            yield from _walk(below, deep)


def attach_clips(
    utterances: Sequence[Utterance], clips: Mapping[str, Path], known: frozenset[str] = frozenset()
) -> tuple[list[Utterance], list[Fault]]:
    """The utterances with the path of their clip, found by id, and what does not fit together.

    Faults: an utterance without a clip (`missing_audio`, if there are clips at all) and a clip whose stem is neither
    an utterance nor in `known` (`unlisted_audio`).
    """
    faults = []
    attached = []
    for utterance in utterances:
        path = clips.get(utterance.id)
        attached.append(replace(utterance, audio=path) if path else utterance)
        if clips and path is None:
            faults.append(Fault(kind="missing_audio", where=utterance.id, what="its clip is not there"))
    listed = {utterance.id for utterance in utterances} | known
    for stem, path in clips.items():
        if stem not in listed:
            what = "a clip that no label file names; it is not used"
            faults.append(Fault(kind="unlisted_audio", where=path.name, what=what))
    return attached, faults
