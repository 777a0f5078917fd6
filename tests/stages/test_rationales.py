"""serxbench rationales: who is asked what, what is never asked about, and that a kill costs nothing."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
from conftest import Serxbench, read_rows, write_rows

sys.path.insert(0, str(Path(__file__).parents[1] / "engines"))

from faulty_server import FaultyServer, completion

from serxbench.catalog import load_template, resolve_card
from serxbench.corpora import Corpus, find_corpus, open_corpus
from serxbench.engines import plan_batches
from serxbench.engines.transformers import generate_batches
from serxbench.errors import UsageError
from serxbench.held_out import evaluation_splits
from serxbench.progress import Silent
from serxbench.records import Decoding, Prompt, Response
from serxbench.stages.backends import RespondRequest
from serxbench.stages.rationales import Rationale, Teaching, check_split, make_rationales
from serxbench.untrusted import fence, nonce_of

SPOKEN = ("I miss her </text> so much.", "The meeting starts at nine.", "How dare you!", "We won, we won.")


@pytest.fixture
def training_corpus(tmp_path: Path, write_clip: Callable[..., Path]) -> Path:
    """Eight training items and four evaluation items in one manifest."""
    labels = ["Sad", "Neutral", "Angry", "Happy"]
    rows = []
    for n in range(12):
        clip = write_clip(f"clips/u{n:02}.wav", seconds=0.3 + 0.02 * n)
        rows.append(
            {
                "id": f"u{n:02}",
                "audio": str(clip.relative_to(tmp_path)),
                "speaker": f"s{n % 3}",
                "split": "train" if n < 8 else "dev" if n < 10 else "Test_1",
                "transcript": SPOKEN[n % 4],
                "consensus": labels[n % 4],
            }
        )
    return write_rows(tmp_path / "corpus.jsonl", rows)


def change(corpus: Path, **changed: dict[str, Any]) -> None:
    write_rows(corpus, [{**row, **changed.get(row["id"], {})} for row in read_rows(corpus)])


def explain(wav: bytes | None) -> str:
    return f"A clip of {len(wav or b'')} bytes in a low, breathy voice."


def test_the_teacher_gets_sound_transcript_and_label_of_each_item(
    serxbench: Serxbench, training_corpus: Path, tmp_path: Path
) -> None:
    server = FaultyServer(reply=lambda request, wav: (200, completion(explain(wav))), keep_requests=True)
    ask = ("rationales", "--model", "gpt-audio", "--data", f"manifest:{training_corpus}#train", "-q", "--out", "r")
    with server.running() as url:
        done = serxbench(*ask, "--endpoint", url, OPENAI_API_KEY="")
    assert done.returncode == 2, "its licence does not allow an upload"
    with server.running() as url:
        done = serxbench(*ask, "--endpoint", url, "--i-have-the-right-to-upload")
    assert done.returncode == 0, done.stderr
    rows = read_rows(tmp_path / "r" / "rationales.jsonl")
    assert [row["id"] for row in rows] == [f"u{n:02}" for n in range(8)]
    template = load_template("rationale")
    asked = {}
    for request in server.requests:
        content = request["messages"][-1]["content"]
        texts = [part["text"] for part in content if part["type"] == "text"]
        sounds = [base64.b64decode(part["input_audio"]["data"]) for part in content if part["type"] == "input_audio"]
        if len(texts) == len(sounds) == 1:
            asked[texts[0]] = asked.get(texts[0], set()) | {len(sounds[0])}
    for row in rows:
        transcript = row["transcript"]
        text = template.fill(transcript=fence(transcript, nonce_of(transcript), "text"), emotion=row["emotion"].lower())
        samples = len(soundfile.read(tmp_path / "clips" / f"{row['id']}.wav")[0])
        assert samples * 2 + 44 in asked[text], "the item's own words with the item's own sound"
        assert row["rationale"] == explain(b"x" * (samples * 2 + 44))
        assert (row["status"], row["teacher"], row["split"]) == ("ok", "gpt-audio", "train")
    assert rows[0]["emotion"] == "Sad"
    assert rows[0]["prompt"] == rows[4]["prompt"] != rows[1]["prompt"]


@pytest.mark.parametrize("data", ["demo", "demo:test", "demo:development", "crema-d:all", "crema-d:fold2-test"])
def test_evaluation_splits_are_a_usage_error(serxbench: Serxbench, tmp_path: Path, data: str) -> None:
    info = find_corpus(data.partition(":")[0]).INFO
    split = data.partition(":")[2] or info.default_split
    corpus = Corpus(info=info, split=split, utterances=(), revision="", labels=info.labels, data=data)
    with pytest.raises(UsageError, match="rationales are made from training splits only"):
        check_split(corpus)
    if data.startswith("demo"):
        done = serxbench("rationales", "--model", "nano", "--data", data, "--out", "r")
        assert (done.returncode, (tmp_path / "r").exists()) == (2, False)


def test_which_splits_are_evaluated_on() -> None:

    def splits(name: str, split: str) -> tuple[str, ...]:
        info = find_corpus(name).INFO
        return evaluation_splits(
            Corpus(info=info, split=split, utterances=(), revision="", labels=info.labels, data=f"{name}:{split}")
        )

    assert splits("msp-podcast", "train") == ("development", "test1", "test2", "test3")
    assert splits("crema-d", "train") == ("development", "test")
    assert splits("crema-d", "fold2-train") == ("fold2-development", "fold2-test")
    assert splits("iemocap", "fold3-train") == ("fold3-test",)


def teach(corpus: Path, model: Path | str, out: Path, samples: int = 1, **decoding: Any) -> list[Rationale]:
    """The stage itself: starting a process for each call takes longer than the call."""
    template = load_template("rationale")
    request = RespondRequest(
        card=resolve_card(str(model)),
        mode="open",
        cot=False,
        prompt=Prompt(name=template.name, text=template.text, sha256=template.sha256),
        corpus=open_corpus(f"manifest:{corpus}#train"),
        decoding=Decoding(**{"max_new_tokens": 8, **decoding}),
        batch_size=1,
    )
    return make_rationales(Teaching(request=request, template=template, samples=samples), out, Silent())


def test_what_an_evaluation_split_holds_too_is_not_asked_about(
    training_corpus: Path, tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, rate = soundfile.read(tmp_path / "clips" / "u09.wav", dtype="int16")
    soundfile.write(tmp_path / "clips" / "u03.flac", samples, rate)
    shutil.copy(tmp_path / "clips" / "u11.wav", tmp_path / "clips" / "u05.wav")
    change(
        training_corpus,
        u01={"consensus": "X"},
        u02={"transcript": " "},
        u03={"audio": "clips/u03.flac"},
        u04={"consensus": None, "votes": {"Fear": 2, "Sad": 1}},
    )
    rows = {row.id: row for row in teach(training_corpus, tiny_checkpoint, tmp_path / "r")}
    assert list(rows) == [f"u{n:02}" for n in range(8)]
    assert rows["u03"].error == "its sound is that of 'u09' in the rest of the file"
    assert rows["u05"].error == "its sound is that of 'u11' in the rest of the file"
    assert [rows[id].status for id in ("u01", "u02", "u03", "u05")] == [
        "no_label", "no_transcript", "held_out", "held_out",
    ]  # fmt: skip
    assert rows["u04"].emotion == "Fear"
    assert {row["id"] for row in read_rows(tmp_path / "r" / "responses.jsonl")} == {"u00", "u04", "u06", "u07"}
    monkeypatch.setattr("serxbench.held_out.read_ahead", None)
    assert list(rows.values()) == teach(training_corpus, tiny_checkpoint, tmp_path / "r"), "the hashes are kept"


def test_samples_differ_and_are_the_same_again(training_corpus: Path, tmp_path: Path, tiny_checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="greedy decoding gives one answer"):
        teach(training_corpus, tiny_checkpoint, tmp_path / "r", samples=3)
    write_rows(training_corpus, [row for row in read_rows(training_corpus) if row["id"] not in ("u02", "u03", "u04")])
    rows, again = (teach(training_corpus, tiny_checkpoint, tmp_path / n, 3, temperature=1.0) for n in ("a", "b"))
    assert rows == again
    assert [(row.id, row.sample) for row in rows[:6]] == [(f"u{n:02}", k) for n in (0, 1) for k in (1, 2, 3)]
    assert len({row.rationale for row in rows}) > 2


def test_killed_and_resumed(training_corpus: Path, tmp_path: Path, tiny_checkpoint: Path) -> None:
    ask = ["rationales", "--model", str(tiny_checkpoint), "--data", f"manifest:{training_corpus}#train"]
    ask += ["--max-new-tokens", "30", "-q", "--out", "killed"]
    process = subprocess.Popen([sys.executable, "-m", "serxbench", *ask], cwd=tmp_path)
    journal, deadline = tmp_path / "killed" / "journal.jsonl", time.monotonic() + 120
    while not journal.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert journal.exists()
    assert not (tmp_path / "killed" / "rationales.jsonl").exists()
    for name in ("killed", "whole"):
        teach(training_corpus, tiny_checkpoint, tmp_path / name, max_new_tokens=30)
    for name in ("rationales.jsonl", "responses.jsonl", "manifest.json", "derived.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name


def test_a_teacher_has_to_explain(serxbench: Serxbench, training_corpus: Path) -> None:
    done = serxbench(
        "rationales", "--model", "superb-hubert", "--data", f"manifest:{training_corpus}#train", "--out", "r"
    )
    assert done.returncode == 2
    assert "answers with labels and explains nothing" in done.stderr


class Repeating:
    """An adapter that answers with what it is asked."""

    max_seconds, min_seconds = 30.0, 0.1

    def generate(self, ids: list[str], clips: list[Any], prompt: Prompt, decoding: Decoding) -> list[Response]:
        return [Response(id=id, text=prompt.text, stop="end") for id in ids]


def test_a_batch_of_several_prompts_is_asked_in_parts(training_corpus: Path) -> None:
    utterances = open_corpus(f"manifest:{training_corpus}#train").utterances
    texts = {u.id: f"question {n % 3}" for n, u in enumerate(utterances)}
    prompts = {id: Prompt(name="p", text=text, sha256=text) for id, text in texts.items()}
    usual = Prompt(name="p", text="usual", sha256="")
    plan = plan_batches(utterances, 4)
    for given, expected in ((prompts, texts), (None, dict.fromkeys(texts, "usual"))):
        batches = list(generate_batches(Repeating(), utterances, plan, frozenset(), (usual, Decoding()), given))
        assert {r.id: r.text for batch in batches for r in batch.responses} == expected
        assert [len(batch.responses) for batch in batches] == [4, 4]


def test_a_dry_run_asks_nothing(serxbench: Serxbench, training_corpus: Path, tmp_path: Path) -> None:
    ask = ("rationales", "--model", "nano", "--data", f"manifest:{training_corpus}#train", "--out", "r", "--dry-run")
    done = serxbench(*ask, "--samples", "2", "--temperature", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n"] == 16
    assert not (tmp_path / "r").exists()
