"""A corpus → one file for other tools: JSONL, Parquet, or a folder of Hugging Face `datasets`.

The columns are those of the manifest (serxbench/corpora/manifest.py), in every format; null is null. The JSONL file
*is* a manifest: `--data manifest:OUT.jsonl` has the same utterances, and so the same revision.

The licence travels: beside a JSONL file as OUT.jsonl.LICENSE.txt, in a Parquet file's metadata (`licence`,
`serxbench`), in a dataset's info. Of a corpus whose licence is not known to let it be passed on, transcripts and audio
are written only if they are asked for.

Audio paths are relative to the folder of the output where a clip lies below it, else absolute; in a dataset always
absolute, for `datasets` looks from the current folder. With the bytes of a clip goes its file name alone, which is what
`datasets` itself writes, so that no path of a machine travels with the audio.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from serxbench.audio import probe_audio
from serxbench.errors import AudioError, CorpusError, UnknownName, UsageError
from serxbench.progress import Progress
from serxbench.records import Utterance
from serxbench.stages._export_formats import FORMATS, Batches, ExportRequest, Format, Item, is_saved_dataset

__all__ = ["FORMATS", "ExportRequest", "Exported", "export_corpus"]

#: Utterances written together: one row group or record batch. Audio ends a batch early, so that memory stays flat.
BATCH_ROWS = 1000
BATCH_BYTES = 64 * 2**20

#: A batch's audio must stay below the 2 GiB that an Arrow column of bytes can address.
MAX_CLIP_BYTES = 2**30


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written. without_audio: `id: reason` for each clip that was asked for and cannot be read."""

    n: int
    without_audio: tuple[str, ...] = ()


def export_corpus(request: ExportRequest, progress: Progress) -> Exported:
    """Writes the corpus to `request.out`, whole or not at all, and returns what became of it.

    A clip that cannot be read stops nothing: its bytes are null and it is named in the result. Raises UsageError if
    the output is there already, cannot be of this format, or needs a package that is missing.
    """
    request = replace(request, out=Path(os.path.abspath(request.out)))
    form = _check(request)
    for remark in _licence_remarks(request):
        progress.say(remark)
    without_audio: list[str] = []
    progress.start("export", len(request.corpus.utterances), 0)
    try:
        with _replacing(request.out) as temporary:
            form.write(request, _batches(request, progress, without_audio), temporary)
    except UnicodeEncodeError as error:
        raise CorpusError(
            f"{error.object!r} is not Unicode text, which --to {request.to} needs; --to jsonl can hold it"
        ) from error
    finally:
        progress.finish()
    return Exported(n=len(request.corpus.utterances), without_audio=tuple(without_audio))


def _check(request: ExportRequest) -> Format:
    """The format asked for. Raises UsageError, UnknownName."""
    form, out = FORMATS.get(request.to), request.out
    if form is None:
        raise UnknownName("format", request.to, FORMATS)
    if form.suffix and out.suffix.lower() != form.suffix:
        raise UsageError(f"--out {out}: a file name that ends in {form.suffix} is wanted for --to {request.to}")
    if request.with_audio and not form.holds_audio:
        raise UsageError(f"--to {request.to} holds the paths of clips and not their audio; take parquet or hf")
    if (out.exists() or out.is_symlink()) and not request.overwrite:
        raise UsageError(f"--out {out}: is there already; --overwrite replaces it")
    # A slip in --out must never delete a folder that is anything but an earlier export.
    if out.is_dir() and (form.suffix or not is_saved_dataset(out)):
        raise UsageError(f"--out {out}: is a folder with something else in it, which is not replaced")
    for package in form.needs:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise UsageError(
                f"--to {request.to} needs the package {package} ({error}): pip install 'serxbench[data]'"
            ) from error
    return form


def _licence_remarks(request: ExportRequest) -> Iterator[str]:
    corpus, info = request.corpus, request.corpus.info
    if info.upload_allowed:
        return
    because = f"its licence ({info.licence}) is not known to let them be passed on"
    written = ["audio"] if request.with_audio else []
    if any(utterance.transcript for utterance in corpus.utterances):
        if request.with_transcripts:
            written.append("transcripts")
        else:
            yield f"{info.name}: transcripts are left out, for {because}; --with-transcripts writes them"
    if written:
        yield f"{info.name}: {' and '.join(written)} will be in the output, and {because}: keep it to yourself"


@contextlib.contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A path beside `out` to write a file or a folder to, which takes the place of `out` if all goes well."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = (out.with_name(f".{out.name}.{os.getpid()}.{ending}") for ending in ("tmp", "old"))
    _remove(temporary)
    try:
        yield temporary
        for path in temporary.iterdir() if temporary.is_dir() else (temporary,):
            with path.open("rb") as file:
                os.fsync(file.fileno())
        if out.is_dir():
            # A folder cannot be renamed onto one that is not empty.
            out.rename(old)
        temporary.replace(out)
    finally:
        if old.exists() and not out.exists():
            old.rename(out)
        _remove(old)
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _batches(request: ExportRequest, progress: Progress, without_audio: list[str]) -> Batches:
    """The items in corpus order, some at a time. What is wrong with clips is added to `without_audio`."""
    batch: list[Item] = []
    n_bytes = 0
    for utterance in request.corpus.utterances:
        batch.append(_item(request, utterance))
        n_bytes += len(batch[-1].content or b"")
        if len(batch) == BATCH_ROWS or n_bytes >= BATCH_BYTES:
            yield batch
            progress.advance(len(batch), _note_problems(batch, without_audio))
            batch, n_bytes = [], 0
    if batch:
        yield batch
        progress.advance(len(batch), _note_problems(batch, without_audio))


def _note_problems(batch: Iterable[Item], without_audio: list[str]) -> int:
    problems = [f"{item.utterance.id}: {item.problem}" for item in batch if item.problem]
    without_audio += problems
    return len(problems)


def _item(request: ExportRequest, utterance: Utterance) -> Item:
    content, problem = None, None
    path = None if utterance.audio is None else utterance.audio.absolute()
    if request.with_audio:
        try:
            content = _read_clip(path)
        except AudioError as error:
            problem = str(error)
    if path is not None and content is not None:
        path = Path(path.name)
    elif path is not None and request.to != "hf" and path.is_relative_to(request.out.parent):
        path = path.relative_to(request.out.parent)
    transcript = utterance.transcript if request.has_transcripts else None
    return Item(utterance=replace(utterance, audio=path, transcript=transcript), content=content, problem=problem)


def _read_clip(path: Path | None) -> bytes:
    """The bytes of a clip that the harness can read. Raises AudioError."""
    if path is None:
        raise AudioError("the corpus has no clip of it here")
    probe_audio(path)
    try:
        if path.stat().st_size > MAX_CLIP_BYTES:
            raise AudioError(f"{path.name}: is larger than {MAX_CLIP_BYTES // 2**20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise AudioError(f"{path.name}: {error.strerror or error}") from error
