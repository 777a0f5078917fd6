"""Control runs: silence, exchanged sound and transcripts in place of the sound, and how a leaderboard shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import Serxbench, read_rows, write_rows

from serxbench.audio import Clip
from serxbench.errors import AdapterError, CorpusError, UnknownName
from serxbench.records import Decoding, Prompt, Response, Utterance
from serxbench.stages.controls import ReadingAdapter, SilentAdapter, as_control, shuffle_sound

PROMPT = Prompt(name="p", text="?", sha256="0")


class Told:
    """An adapter that says what it was given."""

    max_seconds, min_seconds = 30.0, 0.1

    def generate(self, ids: Sequence[str], clips: Sequence[Clip], prompt: Prompt, decoding: Decoding) -> list[Response]:
        peaks = [float(np.abs(clip.waveform).max()) for clip in clips]
        return [Response(id=id, text=f"{peak:g}", stop="end") for id, peak in zip(ids, peaks, strict=True)]

    def hear(self, clips: Sequence[Clip], prompt: Prompt) -> None:
        return None

    def read(self, ids: Sequence[str], texts: Sequence[str], prompt: Prompt, decoding: Decoding) -> list[Response]:
        return [Response(id=id, text=f"read {text}", stop="end") for id, text in zip(ids, texts, strict=True)]


CLIP = Clip(waveform=np.full(8000, 0.5, np.float32), seconds=0.5)


def test_names() -> None:
    assert (as_control(None), as_control("silence")) == (None, "silence")
    with pytest.raises(UnknownName, match="no control 'slience'; did you mean 'silence'"):
        as_control("slience")


def test_every_utterance_gets_another_ones_sound() -> None:
    utterances = [Utterance(id=f"u{n}", audio=Path(f"{n}.wav"), speaker=str(n)) for n in range(50)]
    utterances.insert(3, Utterance(id="labels-only"))
    shuffled = shuffle_sound(utterances)
    assert [u.id for u in shuffled] == [u.id for u in utterances]
    assert [u.speaker for u in shuffled] == [u.speaker for u in utterances]
    assert not [u.id for u, other in zip(utterances, shuffled, strict=True) if u.audio and u.audio == other.audio]
    assert sorted(str(u.audio) for u in shuffled) == sorted(str(u.audio) for u in utterances)
    assert shuffled[3].audio is None
    again = {u.id: u.audio for u in shuffle_sound(utterances[::-1])}
    assert again == {u.id: u.audio for u in shuffled}, "whose sound it is does not depend on the order"
    with pytest.raises(CorpusError, match="at least two"):
        shuffle_sound(utterances[:1])


def test_silence_and_transcripts() -> None:
    assert Told().generate(["a"], [CLIP], PROMPT, Decoding())[0].text == "0.5"
    assert SilentAdapter(Told()).generate(["a"], [CLIP], PROMPT, Decoding())[0].text == "0"
    reading = ReadingAdapter(Told(), {"a": "hello", "c": "bye"})
    responses = reading.generate(list("abc"), [CLIP] * 3, PROMPT, Decoding())
    assert [(r.id, r.text, r.stop) for r in responses] == [
        ("a", "read hello", "end"),
        ("b", None, "error"),
        ("c", "read bye", "end"),
    ]
    assert "no transcript" in str(responses[1].error)
    with pytest.raises(AdapterError, match="takes no question without audio"):
        ReadingAdapter(SilentAdapter(Told()), {})


def test_control_runs_from_the_command_line(serxbench: Serxbench, small_corpus: Path, tiny_checkpoint: Path) -> None:
    corpus = f"manifest:{small_corpus}"
    ask = ("run", "--model", tiny_checkpoint, "--mode", "closed", "--data", corpus, "--max-new-tokens", "4", "-q")
    folders = []
    for control in (None, "silence", "shuffle", "transcript"):
        done = serxbench(*ask, *(("--control", control) if control else ()))
        assert done.returncode == 0, done.stderr
        folders.append(small_corpus.parent / "runs" / f"tiny_closed_corpus{f'_{control}' if control else ''}")
    plain, silence, shuffle, transcript = (read_rows(folder / "responses.jsonl") for folder in folders)
    ids = [row["id"] for row in plain]
    assert all([row["id"] for row in rows] == ids for rows in (silence, shuffle, transcript))
    heard = {row["audio_sha256"] for row in plain}
    assert {row["audio_sha256"] for row in shuffle} == heard
    assert all(one["audio_sha256"] != two["audio_sha256"] for one, two in zip(plain, shuffle, strict=True))
    assert not {row["audio_sha256"] for row in silence} & heard
    assert all("audio_sha256" not in row for row in transcript)
    events = [row["event"] for row in read_rows(folders[0] / "timings.jsonl")]
    assert "heard" in events, "a run that is no control has to prove that the model hears"
    assert "heard" not in [row["event"] for row in read_rows(folders[1] / "timings.jsonl")]

    board = serxbench("leaderboard", *folders)
    assert board.returncode == 0, board.stderr
    rows = [line for line in board.stdout.splitlines() if "tiny" in line and line.startswith("|")][:4]
    assert rows[0].startswith("| 1 | tiny |")
    names = [row.split("|")[2].strip() for row in rows[1:]]
    assert names == ["↳ tiny, shuffle", "↳ tiny, silence", "↳ tiny, transcript-1"]
    assert all(row.startswith("| | ") for row in rows[1:]), "a control run has no rank"


def test_a_deaf_model_stops_the_run(serxbench: Serxbench, tiny_checkpoint: Path, tmp_path: Path) -> None:
    silent = write_rows(tmp_path / "silent.jsonl", [{"id": "a", "audio": "a.wav", "consensus": "Sad"}])
    import soundfile

    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 16_000)
    done = serxbench("run", "--model", tiny_checkpoint, "--mode", "open", "--data", f"manifest:{silent}", "-q")
    assert done.returncode == 0, "silence proves nothing, and stops nothing"
