"""serxbench assess, and the measurements that it rests on."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import soxr
from conftest import SHARED, Serxbench, read_rows, write_rows

from serxbench.audio import SAMPLE_RATE, read_audio
from serxbench.corpora import open_corpus
from serxbench.demo.rationales import make_rows
from serxbench.progress import Silent
from serxbench.stages.assess import Asked, assess, read_file
from serxbench.statistics import Inference

parselmouth = pytest.importorskip("parselmouth")

from serxbench.stages._measurements import count_syllables, measure  # noqa: E402

QUICK = Asked(n_deals=200, how=Inference(method="delta"))


def tone(hertz: float, seconds: float, level: float = 0.3) -> np.ndarray:
    """A voice-like tone: a fundamental with harmonics."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 8))
    return np.asarray(level * wave / np.abs(wave).max(), dtype=np.float32)


def test_tones_are_measured_as_they_were_made() -> None:
    silence = np.zeros(SAMPLE_RATE // 2, np.float32)
    found = measure(np.concatenate([tone(200, 1.0), silence, tone(300, 0.25, level=0.15)]))
    assert found["pitch"] == pytest.approx(12 * np.log2(200), abs=0.05)
    assert found["pitch_end"] == pytest.approx(12 * np.log2(300 / 200), abs=0.2)
    assert found["pauses"] == pytest.approx(0.5, abs=0.08)
    assert found["spoken_seconds"] == pytest.approx(1.25, abs=0.1)
    assert found["loudness_change"] < -1
    louder = measure(np.concatenate([tone(200, 1.0, level=0.6), silence]))
    quieter = measure(np.concatenate([tone(200, 1.0, level=0.3), silence]))
    assert louder["loudness"] - quieter["loudness"] == pytest.approx(20 * np.log10(2), abs=0.01)


def syllables(*seconds: float) -> np.ndarray:
    """A tone that swells and fades once in each of these times."""
    return np.concatenate([tone(180, length) * np.hanning(round(length * SAMPLE_RATE)) for length in seconds])


def test_speech_that_speeds_up_is_told_from_speech_that_slows_down() -> None:
    even = [0.2] * 10
    assert measure(syllables(*even))["rate_change"] == pytest.approx(0, abs=0.05)
    faster = [0.3] * 5 + [0.15] * 5
    assert measure(syllables(*faster))["rate_change"] == pytest.approx(1, abs=0.25)
    assert measure(syllables(*reversed(faster)))["rate_change"] == pytest.approx(-1, abs=0.25)
    pause = np.zeros(SAMPLE_RATE, np.float32)
    paused = np.concatenate([syllables(*even[:7]), pause, syllables(*even[7:])])
    assert measure(paused)["rate_change"] == pytest.approx(0, abs=0.1), "a pause slows nothing down"
    assert "rate_change" not in measure(syllables(*even[:4])), "too few syllables"


def test_clips_played_faster_from_their_middle_on_speed_up() -> None:
    """Each clip twice in a row, and again with the second time at 1.5 times the speed.

    Where a voice trembles, or two syllables run into one, their count is wrong: not every clip goes the right way.
    """
    moved = []
    for utterance in open_corpus("demo:development").utterances[::4]:
        clip = read_audio(Path(str(utterance.audio))).waveform
        even, faster = (measure(np.concatenate([clip, soxr.resample(clip, speed, 1.0)])) for speed in (1.0, 1.5))
        moved.append(faster["rate_change"] - even["rate_change"])
    assert np.median(moved) == pytest.approx(np.log2(1.5), abs=0.2)
    assert np.mean(np.array(moved) > 0) >= 0.8  # 21 of 24


@pytest.mark.parametrize("samples", [0, 10, 400, 16_000])
def test_what_has_no_pitch_or_level_has_no_number(samples: int) -> None:
    assert "pitch" not in measure(np.zeros(samples, np.float32))
    assert "loudness" not in measure(np.zeros(samples, np.float32))


@pytest.mark.skipif(not (SHARED / "crema-d").is_dir(), reason="development data is not here")
def test_pitch_and_loudness_are_praats_own() -> None:
    """The recipe in Praat's own script language; benchmarks/grounding.py does it for 350 clips with Praat's program."""
    from parselmouth.praat import call

    clips = sorted((SHARED / "crema-d" / "audio").glob("*.flac"))[::50]
    for clip in clips:
        found = measure(read_audio(clip).waveform)
        sound = parselmouth.Sound(str(clip))
        pitch = call(sound, "To Pitch", 0.01, 60, 700)
        first, third = (call(pitch, "Get quantile", 0, 0, share, "Hertz") for share in (0.25, 0.75))
        pitch = call(sound, "To Pitch", 0.01, 0.75 * first, 2.5 * third)
        assert found["pitch"] == pytest.approx(call(pitch, "Get quantile", 0, 0, 0.5, "semitones re 1 Hz"), abs=1e-6)
        intensity = call(sound, "To Intensity", 100, 0.01, "yes")
        frames = [call(intensity, "Get value in frame", n + 1) for n in range(call(intensity, "Get number of frames"))]
        loud = [10 ** (level / 10) for level in frames if level > max(frames) - 25]
        assert found["loudness"] == pytest.approx(10 * np.log10(np.mean(loud)), abs=1e-3)


def few_speakers() -> list[dict[str, str]]:
    """The generated rationales of three voices."""
    corpus = {u.id: u.speaker for u in open_corpus("demo:train").utterances}
    chosen = sorted(set(filter(None, corpus.values())))[:3]
    return [row for row in make_rows() if corpus[row["id"]] in chosen]


def test_true_claims_are_supported_and_shuffled_ones_are_at_chance(tmp_path: Path) -> None:
    corpus, rows = open_corpus("demo:train"), few_speakers()
    found, claims = assess(read_file(write_rows(tmp_path / "a.jsonl", rows), corpus), QUICK, Silent())
    true = found["grounding"]["claims"]["all"]
    assert true["rate"]["value"] > 0.8
    assert true["chance"]["p"] == pytest.approx(1 / 201)
    assert true["chance"]["rate"] < 0.62
    assert found["grounding"]["compared_within"] == {"speaker": len(rows)}
    assert len(claims) == true["n"] == true["supported"] + true["contradicted"] + true["not_checkable"]
    texts = [row["rationale"] for row in rows]
    random.Random(3).shuffle(texts)
    shuffled = [{**row, "rationale": text} for row, text in zip(rows, texts, strict=True)]
    false = assess(read_file(write_rows(tmp_path / "b.jsonl", shuffled), corpus), QUICK, Silent())[0]
    rate, dealt = (false["grounding"]["claims"]["all"][name] for name in ("rate", "chance"))
    assert dealt["low"] - 0.03 <= rate["value"] <= dealt["high"] + 0.03
    assert dealt["p"] > 0.01


def test_a_run_is_assessed_in_its_folder(serxbench: Serxbench, tmp_path: Path) -> None:
    rows = make_rows()[:8]
    corpus = {u.id: u for u in open_corpus("demo:train").utterances}
    answers = [
        {
            "id": row["id"],
            "response": f"<answer>I think the emotion is {row['emotion']}</answer><reason>{row['rationale']}</reason>",
        }
        for row in rows
    ]
    answers[7]["response"] = "<answer>sad</answer>"
    manifest = [
        {"id": u.id, "audio": str(u.audio), "transcript": u.transcript, "speaker": u.speaker, "consensus": u.consensus}
        for u in (corpus[row["id"]] for row in rows)
    ]
    data = f"manifest:{write_rows(tmp_path / 'c.jsonl', manifest)}"
    given = write_rows(tmp_path / "answers.jsonl", answers)
    done = serxbench("import", given, "--data", data, "--mode", "open", "--out", "run", "--model", "mine")
    assert done.returncode == 0, done.stderr
    assert "make it with: serxbench parse RUN" in serxbench("assess", "run").stderr
    assert serxbench("parse", "run").returncode == serxbench("cluster", "run").returncode == 0
    done = serxbench("assess", "run", "--json", "--permutations", "50")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["n"], found["n_with_rationale"]) == (8, 7)
    assert found["measures"]["label_leakage"]["value"] == 0
    assert found == json.loads((tmp_path / "run" / "assessment.json").read_text())
    assert {row["id"] for row in read_rows(tmp_path / "run" / "claims.jsonl")} == {row["id"] for row in rows[:7]}
    assert "claims.jsonl" in json.loads((tmp_path / "run" / "derived.json").read_text())
    assert "grounding" not in json.loads(serxbench("assess", "run", "--json", "--text-only").stdout)


def test_a_file_needs_its_corpus(serxbench: Serxbench, tmp_path: Path) -> None:
    source = write_rows(tmp_path / "r.jsonl", [{"id": "nowhere", "emotion": "Sad", "rationale": "A low voice."}])
    assert "say of which corpus" in serxbench("assess", source).stderr
    done = serxbench("assess", source, "--data", "demo:train")
    assert (done.returncode, "r.jsonl:1: 'nowhere' is no utterance of demo:train" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "syllables"), [("table", 2), ("the meeting starts at nine", 6), ("I", 1), ("", 0), ("eleven o'clock", 5)]
)
def test_syllables(text: str, syllables: int) -> None:
    assert count_syllables(text) == syllables
