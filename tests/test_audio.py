"""Reading audio: any format to mono 16 kHz, and a reason for every file that is none."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from serxbench.audio import SAMPLE_RATE, probe_audio, read_ahead, read_audio
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


def test_a_file_that_was_cut_off_is_read_and_says_so(write_clip: WriteClip) -> None:
    path = write_clip("cut.wav", seconds=2.0)
    whole = path.read_bytes()
    path.write_bytes(whole[: 44 + 16_000])
    clip = read_audio(path)
    assert clip.note == "cut off: the header promises 2.00 s, 0.50 s are there"
    assert probe_audio(path).damage == clip.note
    assert (len(clip.waveform), clip.seconds) == (8000, 0.5)
    unknown = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(whole[:4] + unknown + whole[8:40] + unknown + whole[44:])
    assert (probe_audio(path).damage, read_audio(path).seconds) == (None, 2.0), "a stream's header promises nothing"


def _write_mp4(path: Path, waveform: np.ndarray | None, rate: int = 48_000, layout: str = "5.1") -> None:
    """An MP4 with a picture and, given a waveform (channels, samples), an AAC track of it, as MELD has them."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        sound = None if waveform is None else container.add_stream("aac", rate=rate, layout=layout, bit_rate=384_000)
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        for packet in (*video.encode(picture), *video.encode(None)):
            container.mux(packet)
        if sound is None:
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(waveform, np.float32), format="fltp", layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        for packet in (*sound.encode(frame), *sound.encode(None)):
            container.mux(packet)


def test_the_sound_of_a_film_is_read(tmp_path: Path) -> None:
    time = np.arange(96_000) / 48_000
    tone = 0.6 * np.sin(2 * np.pi * 440 * time)
    silence = np.zeros_like(tone)
    # 5.1: left, right, centre, low frequency, surround left and right; the words of a film are in the centre.
    channels = np.stack([silence, silence, tone, silence, silence, silence])
    _write_mp4(tmp_path / "dia0_utt0.mp4", channels)
    clip = read_audio(tmp_path / "dia0_utt0.mp4")
    assert clip.note == "6 channels averaged, resampled from 48000 Hz"
    assert clip.seconds == pytest.approx(2.0, abs=0.1)
    assert len(clip.waveform) == pytest.approx(32_000, abs=1600)
    spectrum = np.abs(np.fft.rfft(clip.waveform[4000:20_000]))
    assert spectrum.argmax() == 440, "1 s of 16 kHz: a bin is 1 Hz"
    assert np.sqrt(np.mean(clip.waveform[4000:20_000] ** 2)) == pytest.approx(0.1 / np.sqrt(2), rel=0.02)
    info = probe_audio(tmp_path / "dia0_utt0.mp4")
    assert (info.sample_rate, info.channels) == (48_000, 6)
    assert info.seconds == pytest.approx(clip.seconds, abs=0.05)
    assert read_audio(tmp_path / "dia0_utt0.mp4").sha256() == clip.sha256()
    assert read_audio(tmp_path / "dia0_utt0.mp4", max_seconds=0.5).seconds == pytest.approx(2.0, abs=0.1)

    _write_mp4(tmp_path / "mute.mp4", None)
    for read in (read_audio, probe_audio):
        with pytest.raises(AudioError, match=r"mute\.mp4: has no sound track"):
            read(tmp_path / "mute.mp4")
    (tmp_path / "half.mp4").write_bytes((tmp_path / "dia0_utt0.mp4").read_bytes()[:600])
    with pytest.raises(AudioError, match=r"half\.mp4: cannot be decoded"):
        read_audio(tmp_path / "half.mp4")


def test_reading_ahead_keeps_the_order_and_the_failures(write_clip: WriteClip, tmp_path: Path) -> None:
    paths = [write_clip(f"{n}.wav", seconds=0.05 + 0.01 * (n * 7 % 20)) for n in range(40)]
    paths.insert(17, tmp_path / "missing.wav")
    expected = [17 if path.name == "missing.wav" else read_audio(path).sha256() for path in paths]
    for n_ahead, n_threads in ((1, 1), (3, 2), (100, 4)):
        found = [
            17 if isinstance(each, AudioError) else each.sha256() for each in read_ahead(paths, n_ahead, n_threads)
        ]
        assert found == expected


def test_reading_ahead_holds_only_so_many(write_clip: WriteClip) -> None:
    path = write_clip("a.wav", seconds=0.05)
    asked = []
    stream = read_ahead((asked.append(n) or path for n in range(1000)), n_ahead=5)
    for taken in range(1, 20):
        next(stream)
        assert len(asked) <= taken + 5
    stream.close()


def test_the_level(write_clip: WriteClip, tmp_path: Path) -> None:
    square = np.where(np.arange(16_000) % 32 < 16, 0.5, -0.5)
    soundfile.write(tmp_path / "square.wav", square, 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    assert read_audio(tmp_path / "square.wav").dbfs() == pytest.approx(-6.0206, abs=1e-3)
    assert read_audio(tmp_path / "silent.wav").dbfs() == float("-inf")
