"""Reading audio: any format to mono 16 kHz, and a reason for every file that is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from serxbench.audio import SAMPLE_RATE, probe_audio, read_audio
from serxbench.errors import AudioError

WriteClip = Callable[..., Path]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_formats_give_mono_float32_at_16_khz(write_clip: WriteClip, suffix: str) -> None:
    clip = read_audio(write_clip(f"a.{suffix}", seconds=0.5))
    assert clip.waveform.dtype == np.float32
    assert clip.waveform.ndim == 1
    assert len(clip.waveform) == pytest.approx(8000, abs=1200 if suffix == "mp3" else 0)
    assert clip.note is None


def test_channels_are_averaged_and_rates_converted(tmp_path: Path) -> None:
    time = np.arange(48_000) / 48_000
    left, right = np.sin(2 * np.pi * 440 * time), np.zeros(48_000)
    soundfile.write(tmp_path / "stereo.wav", 0.8 * np.stack([left, right], axis=1), 48_000, subtype="FLOAT")
    clip = read_audio(tmp_path / "stereo.wav")
    assert clip.note == "2 channels averaged, resampled from 48000 Hz"
    assert clip.seconds == 1.0
    assert len(clip.waveform) == SAMPLE_RATE
    expected = 0.4 * np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    assert np.abs(clip.waveform - expected)[500:-500].max() < 1e-3


def test_the_same_file_gives_the_same_samples(write_clip: WriteClip) -> None:
    path = write_clip("a.flac", seconds=1.0, rate=44_100)
    assert read_audio(path).sha256() == read_audio(path).sha256()
    assert read_audio(path).sha256() != read_audio(write_clip("b.flac", seconds=1.0, rate=44_100)).sha256()


def test_only_so_much_is_decoded_but_the_length_is_true(write_clip: WriteClip) -> None:
    clip = read_audio(write_clip("long.wav", seconds=4.0), max_seconds=1.5)
    assert len(clip.waveform) == 24_000
    assert clip.seconds == 4.0


def test_probing_reads_the_header(write_clip: WriteClip) -> None:
    info = probe_audio(write_clip("a.wav", seconds=0.25, rate=8000, channels=2))
    assert (info.seconds, info.sample_rate, info.channels) == (0.25, 8000, 2)


def test_every_kind_of_broken_file_is_named(tmp_path: Path, write_clip: WriteClip) -> None:
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("this is not audio\n" * 20)
    (tmp_path / "pointer.wav").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    soundfile.write(tmp_path / "header.wav", np.zeros(0), 16_000)
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan, np.inf, 0.1]), 16_000, subtype="FLOAT")
    (tmp_path / "folder.wav").mkdir()
    cut = write_clip("cut.flac", seconds=2.0)
    cut.write_bytes(cut.read_bytes()[:4000])
    reasons = {
        "missing.wav": "no such file",
        "empty.wav": r"is empty \(0 bytes\)",
        "text.wav": "cannot be decoded",
        "pointer.wav": "Git LFS pointer",
        "header.wav": "no samples",
        "nan.wav": "2 of 4 samples are not finite",
        "folder.wav": "Is a directory",
        "cut.flac": "cannot be decoded",
    }
    for name, reason in reasons.items():
        with pytest.raises(AudioError, match=reason) as caught:
            read_audio(tmp_path / name)
        assert str(tmp_path) not in str(caught.value), "result files hold no path of a machine"
