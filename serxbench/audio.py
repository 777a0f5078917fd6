"""Any audio file → mono float32 at 16 kHz, or an AudioError that says what is wrong with the file.

libsndfile reads what it can (WAV, FLAC, MP3, Ogg, Opus, AIFF …); PyAV reads the rest (the AAC track of an MP4, WebM …).
Messages name the file without its folder: they end up in result files, which hold no path of a machine.
"""

from __future__ import annotations

import hashlib
import struct
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
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
_READ_AHEAD = 16
_TOLERATED_SHORTFALL_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class AudioInfo:
    """What a file says of itself, without decoding it.

    seconds: of a file in a container (MP4 …) to within a frame, exact otherwise. damage: what is wrong with a file
    that can be read all the same, None if nothing is.
    """

    seconds: float
    sample_rate: int
    channels: int
    damage: str | None = None


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

    def dbfs(self) -> float:
        """The level, 20 log10 of the root mean square: 0 for a full-scale square wave, -inf for silence or nothing."""
        import numpy as np

        power = float(np.mean(np.square(self.waveform, dtype=np.float64))) if len(self.waveform) else 0.0
        return 10 * float(np.log10(power)) if power > 0 else float("-inf")


def probe_audio(path: Path) -> AudioInfo:
    """The header of `path`; nothing is decoded. Raises AudioError."""
    import soundfile

    head = _read_head(path)
    try:
        info = soundfile.info(str(path))
    except soundfile.LibsndfileError as error:
        container = _Container.open(path)
        if container is None:
            raise AudioError(_unreadable(path, error)) from error
        with container:
            return container.info()
    if info.frames <= 0:
        raise AudioError(f"{path.name}: has a header and no samples")
    seconds = info.frames / info.samplerate
    return AudioInfo(
        seconds=seconds,
        sample_rate=info.samplerate,
        channels=info.channels,
        damage=_damage(path, head, seconds),
    )


def read_audio(path: Path, max_seconds: float = MAX_SECONDS_READ) -> Clip:
    """The clip at `path` as mono float32 at 16 kHz: channels averaged, resampled by soxr at high quality.

    The same file gives the same samples in every process and batch. At most `max_seconds` are decoded; `seconds`
    is the whole length all the same. Raises AudioError (missing, empty, unreadable, not-a-number samples, ...).
    """
    import numpy as np
    import soxr

    head = _read_head(path)
    samples, rate, seconds, damage = _decode(path, max_seconds)
    if not len(samples):
        raise AudioError(f"{path.name}: has a header and no samples")
    # The sum of squares is finite only if every sample is, and takes a fifth of the time to find out.
    if not np.isfinite(np.vdot(samples, samples)) and not np.isfinite(samples).all():
        bad = int((~np.isfinite(samples)).sum())
        raise AudioError(f"{path.name}: {bad} of {samples.size} samples are not finite numbers")
    damage = _damage(path, head, seconds) or damage
    notes = [damage] if damage else []
    channels = samples.shape[1]
    if channels > 1:
        notes.append(f"{channels} channels averaged")
    waveform = samples[:, 0]
    if channels > 1:
        # Column by column: numpy's mean over a short last axis takes 25 times as long.
        for other in range(1, channels):
            waveform = waveform + samples[:, other]
        waveform *= np.float32(1 / channels)
    if rate != SAMPLE_RATE:
        notes.append(f"resampled from {rate} Hz")
        waveform = soxr.resample(waveform, rate, SAMPLE_RATE, quality="HQ")
    return Clip(
        waveform=np.ascontiguousarray(waveform, dtype=np.float32), seconds=seconds, note=", ".join(notes) or None
    )


def read_ahead(
    paths: Iterable[Path], n_ahead: int = _READ_AHEAD, n_threads: int = 2
) -> Generator[Clip | AudioError, None, None]:
    """The clip of each path in order, or what is wrong with it; decoded in threads, at most `n_ahead` held at once.

    Memory therefore does not grow with the number of paths, which may come from a generator.
    """

    def read(path: Path) -> Clip | AudioError:
        try:
            return read_audio(path)
        except AudioError as error:
            return error

    waiting: deque[Future[Clip | AudioError]] = deque()
    pool = ThreadPoolExecutor(n_threads)
    try:
        for path in paths:
            waiting.append(pool.submit(read, path))
            if len(waiting) >= n_ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read_head(path: Path) -> bytes:
    """The first bytes of a file that may be audio. Raises AudioError for one that cannot be."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except FileNotFoundError:
        raise AudioError(f"{path.name}: no such file") from None
    except PermissionError:
        raise AudioError(f"{path.name}: permission denied; make the file readable for this user") from None
    except OSError as error:
        raise AudioError(f"{path.name}: {error.strerror or error}") from error
    if not head:
        raise AudioError(f"{path.name}: is empty (0 bytes)")
    if head.startswith(_LFS_HEADER):
        raise AudioError(f"{path.name}: is a Git LFS pointer, not audio; fetch the files with `git lfs pull`")
    return head


_Decoded = tuple["NDArray[np.float32]", int, float, str | None]


def _decode(path: Path, max_seconds: float) -> _Decoded:
    """(samples of shape (frames, channels), sampling rate, seconds of the whole file, damage)."""
    import soundfile

    try:
        file = soundfile.SoundFile(str(path))
    except soundfile.LibsndfileError as error:
        container = _Container.open(path)
        if container is None:
            raise AudioError(_unreadable(path, error)) from error
        with container:
            return container.decode(max_seconds)
    with file:
        rate = file.samplerate
        wanted = min(file.frames, int(max_seconds * rate))
        try:
            samples = file.read(frames=wanted, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise AudioError(_unreadable(path, error)) from error
        return samples, rate, file.frames / rate, _shortfall(len(samples) / rate, wanted / rate)


def _shortfall(found: float, promised: float) -> str | None:
    """The damage of a file that gives fewer seconds than it says; a frame of a lossy format is no damage."""
    if promised - found < _TOLERATED_SHORTFALL_SECONDS:
        return None
    return f"cut off: the header promises {promised:.2f} s, {found:.2f} s are there"


def _damage(path: Path, head: bytes, seconds: float) -> str | None:
    """What a WAV header promises and the file does not hold, which libsndfile passes over without a word."""
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    place = 12
    byte_rate = 0
    while place + 8 <= len(head):
        name, size = head[place : place + 4], struct.unpack("<I", head[place + 4 : place + 8])[0]
        if name == b"fmt " and place + 20 <= len(head):
            byte_rate = struct.unpack("<I", head[place + 16 : place + 20])[0]
        if name == b"data":
            # 0 and the largest size are what programs write that do not know the length yet.
            missing = 0 if size in (0, 0xFFFFFFFF) else place + 8 + size - path.stat().st_size
            if missing > 1 and byte_rate:
                return f"cut off: the header promises {size / byte_rate:.2f} s, {seconds:.2f} s are there"
            return None
        place += 8 + size + size % 2
    return None


def _unreadable(path: Path, error: Any) -> str:
    # str(error) would contain the whole path.
    return f"{path.name}: cannot be decoded as audio ({str(error.error_string).rstrip('.')})"


class _Container:
    """The first sound track of a file that libsndfile does not know, read through PyAV (FFmpeg)."""

    def __init__(self, path: Path, container: Any, stream: Any) -> None:
        self._path, self._container, self._stream = path, container, stream

    @classmethod
    def open(cls, path: Path) -> _Container | None:
        """The opened file; None if FFmpeg does not know it either. Raises AudioError if it has no sound."""
        import av

        try:
            container = av.open(str(path))
        except (av.error.FFmpegError, OSError):
            return None
        if not container.streams.audio:
            container.close()
            raise AudioError(f"{path.name}: has no sound track")
        return cls(path, container, container.streams.audio[0])

    def __enter__(self) -> _Container:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def info(self) -> AudioInfo:
        """What the container says of the track."""
        return AudioInfo(
            seconds=self._seconds(), sample_rate=self._stream.rate, channels=self._stream.codec_context.channels
        )

    def _seconds(self) -> float:
        stream = self._stream
        if stream.duration is not None:
            return float(stream.duration * stream.time_base)
        if self._container.duration is not None:
            return float(self._container.duration) / 1_000_000
        return float(sum(packet.duration or 0 for packet in self._container.demux(stream)) * stream.time_base)

    def decode(self, max_seconds: float) -> _Decoded:
        """See _decode."""
        import av
        import numpy as np

        rate, seconds = self._stream.rate, self._seconds()
        resampler = av.AudioResampler(format="fltp", layout=self._stream.layout, rate=rate)
        blocks: list[Any] = []
        n_frames, wanted = 0, int(max_seconds * rate)
        try:
            for frame in self._container.decode(self._stream):
                # Planar float keeps the channels apart: each block is (channels, samples).
                for converted in resampler.resample(frame):
                    blocks.append(converted.to_ndarray())
                    n_frames += blocks[-1].shape[1]
                if n_frames >= wanted:
                    break
        except av.error.FFmpegError as error:
            raise AudioError(f"{self._path.name}: cannot be decoded as audio ({error.strerror})") from error
        if not blocks:
            raise AudioError(f"{self._path.name}: has a header and no samples")
        samples = np.concatenate(blocks, axis=1)[:, :wanted].T
        if n_frames >= wanted:
            return samples, rate, seconds, None
        return samples, rate, n_frames / rate, _shortfall(n_frames / rate, seconds)
