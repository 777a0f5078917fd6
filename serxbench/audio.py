"""Any audio file → mono float32 at 16 kHz, or an AudioError that says what is wrong with the file.

Messages name the file without its folder: they end up in result files, which hold no path of a machine.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serxbench.errors import AudioError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: What every speech model of the registry expects.
SAMPLE_RATE = 16_000

#: A file longer than this is read only so far. It is far above every adapter's own limit, so it guards memory
#: against a file that is not an utterance; the record still carries the true length.
MAX_SECONDS_READ = 600.0

_LFS_HEADER = b"version https://git-lfs"


@dataclass(frozen=True, kw_only=True)
class AudioInfo:
    """What the header of a file says, without decoding it."""

    seconds: float
    sample_rate: int
    channels: int


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One decoded clip.

    waveform: mono float32 in [-1, 1] at 16 kHz, shape (samples,).
    seconds: length of the file on disk. note: what was done to get here, None if nothing.
    """

    waveform: NDArray[np.float32]
    seconds: float
    note: str | None = None

    def sha256(self) -> str:
        """The hash of the samples, which identifies what a model heard whatever the file's name or format."""
        return hashlib.sha256(self.waveform.tobytes()).hexdigest()


def probe_audio(path: Path) -> AudioInfo:
    """The header of `path`; nothing is decoded. Raises AudioError."""
    import soundfile

    _check_file(path)
    try:
        info = soundfile.info(str(path))
    except soundfile.LibsndfileError as error:
        raise AudioError(_unreadable(path, error)) from error
    if info.frames <= 0:
        raise AudioError(f"{path.name}: has a header and no samples")
    return AudioInfo(seconds=info.frames / info.samplerate, sample_rate=info.samplerate, channels=info.channels)


def read_audio(path: Path, max_seconds: float = MAX_SECONDS_READ) -> Clip:
    """The clip at `path` as mono float32 at 16 kHz: channels averaged, resampled by soxr at high quality.

    The same file gives the same samples in every process and batch. At most `max_seconds` are decoded; `seconds`
    is the whole length all the same. Raises AudioError (missing, empty, unreadable, not-a-number samples, ...).
    """
    import numpy as np
    import soundfile
    import soxr

    info = probe_audio(path)
    frames = min(round(info.seconds * info.sample_rate), int(max_seconds * info.sample_rate))
    try:
        samples, _ = soundfile.read(str(path), frames=frames, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioError(_unreadable(path, error)) from error
    if not len(samples):
        raise AudioError(f"{path.name}: has a header and no samples")
    if not np.isfinite(samples).all():
        bad = int((~np.isfinite(samples)).sum())
        raise AudioError(f"{path.name}: {bad} of {samples.size} samples are not finite numbers")
    notes = []
    if info.channels > 1:
        notes.append(f"{info.channels} channels averaged")
    waveform = samples.mean(axis=1, dtype=np.float32)
    if info.sample_rate != SAMPLE_RATE:
        notes.append(f"resampled from {info.sample_rate} Hz")
        waveform = soxr.resample(waveform, info.sample_rate, SAMPLE_RATE, quality="HQ")
    return Clip(
        waveform=np.ascontiguousarray(waveform, dtype=np.float32),
        seconds=info.seconds,
        note=", ".join(notes) or None,
    )


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(len(_LFS_HEADER))
    except FileNotFoundError:
        raise AudioError(f"{path.name}: no such file") from None
    except PermissionError:
        raise AudioError(f"{path.name}: permission denied; make the file readable for this user") from None
    except OSError as error:
        raise AudioError(f"{path.name}: {error.strerror or error}") from error
    if not head:
        raise AudioError(f"{path.name}: is empty (0 bytes)")
    if head == _LFS_HEADER:
        raise AudioError(f"{path.name}: is a Git LFS pointer, not audio; fetch the files with `git lfs pull`")


def _unreadable(path: Path, error: Any) -> str:
    # str(error) would contain the whole path.
    return f"{path.name}: cannot be decoded as audio ({str(error.error_string).rstrip('.')})"
