"""Decoding and resampling a folder of clips, beside `datasets` and `librosa` in the same process on the same clips.

    python benchmarks/audio.py FOLDER          FOLDER holds audio files, e.g. CREMA-D's 350 FLAC clips of the tests
    python benchmarks/audio.py                 the embedded corpus

Needs `pip install librosa 'datasets<4' pyarrow` besides serxbench (datasets 4 decodes through torchcodec). Each reader
turns every clip into mono float32 at 16 kHz; the second row repeats it on 44.1 kHz stereo copies, so that mixing and
resampling are in it. Readers take turns, five rounds, the best round of each counts. Then memory: 50,000 utterances are
iterated, and the resident size is taken every 10,000.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr

from serxbench.audio import SAMPLE_RATE, Clip, read_ahead, read_audio

ROUNDS = 5
N_STREAMED = 50_000
Reader = Callable[[list[Path]], float]


def main() -> None:
    """Prints two tables."""
    embedded = Path(__file__).parent.parent / "serxbench" / "demo" / "data" / "audio"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else embedded
    clips = sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".flac", ".ogg", ".opus", ".mp3"))
    readers = find_readers()
    print(f"{len(clips)} clips; readers: {', '.join(readers)}")
    with tempfile.TemporaryDirectory() as scratch:
        compare("as they are", clips, readers)
        compare("44.1 kHz stereo", [copy_stereo(path, Path(scratch)) for path in clips], readers)
    stream(clips)


def find_readers() -> dict[str, Reader]:
    """Name → reader that returns the seconds of audio it decoded."""

    def ours(paths: list[Path]) -> float:
        return sum(len(read_audio(path).waveform) for path in paths) / SAMPLE_RATE

    def ahead(paths: list[Path]) -> float:
        return sum(len(clip.waveform) for clip in read_ahead(paths) if isinstance(clip, Clip)) / SAMPLE_RATE

    readers: dict[str, Reader] = {"serxbench": ours, "serxbench, 2 threads": ahead}
    try:
        import librosa

        def with_librosa(paths: list[Path]) -> float:
            return sum(len(librosa.load(path, sr=SAMPLE_RATE)[0]) for path in paths) / SAMPLE_RATE

        readers["librosa"] = with_librosa
    except ImportError:
        print("librosa is not installed; left out")
    try:
        import datasets

        def with_datasets(paths: list[Path]) -> float:
            rows = datasets.Dataset.from_dict({"audio": [str(path) for path in paths]})
            rows = rows.cast_column("audio", datasets.Audio(sampling_rate=SAMPLE_RATE, mono=True))
            return sum(len(row["audio"]["array"]) for row in rows) / SAMPLE_RATE

        readers[f"datasets {datasets.__version__}"] = with_datasets
    except ImportError:
        print("datasets is not installed; left out")
    return readers


def copy_stereo(path: Path, folder: Path) -> Path:
    """A 44.1 kHz stereo WAV of a clip."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    wide = soxr.resample(samples[:, 0], rate, 44_100)
    out = folder / f"{path.stem}.wav"
    soundfile.write(out, np.stack([wide, 0.5 * wide], axis=1), 44_100)
    return out


def compare(name: str, clips: list[Path], readers: dict[str, Reader]) -> None:
    """One row a reader: best round, clips a second, ratio to ours."""
    best = dict.fromkeys(readers, float("inf"))
    seconds = dict.fromkeys(readers, 0.0)
    for _ in range(ROUNDS):
        for reader, read in readers.items():
            began = time.perf_counter()
            seconds[reader] = read(clips)
            best[reader] = min(best[reader], time.perf_counter() - began)
    print(f"\n{name}: reader, seconds, clips a second, time as a multiple of ours, hours of audio decoded")
    for reader, took in best.items():
        ratio = took / best["serxbench"]
        print(f"  {reader:22} {took:7.3f} s {len(clips) / took:8.0f}/s {ratio:6.2f}x {seconds[reader] / 3600:8.4f} h")


def stream(clips: list[Path]) -> None:
    """Iterates N_STREAMED utterances; the peak resident size is printed along the way."""
    print(f"\niterating {N_STREAMED} utterances: utterances, peak MiB")
    began = time.perf_counter()
    paths = (clips[n % len(clips)] for n in range(N_STREAMED))
    for n, _ in enumerate(read_ahead(paths), start=1):
        if n % (N_STREAMED // 5) == 0 or n == N_STREAMED // 50:
            print(f"  {n:6} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:7.1f} MiB")
    took = time.perf_counter() - began
    print(f"  {took:.1f} s, {N_STREAMED / took:.0f} utterances a second")


if __name__ == "__main__":
    main()
