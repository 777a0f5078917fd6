"""A real model behind a server gives the answers that it gives in this process."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import soundfile
from conftest import Serxbench, read_rows

sys.path.insert(0, str(Path(__file__).parent))

from faulty_server import FaultyServer, completion

from serxbench.audio import Clip
from serxbench.catalog import resolve_card
from serxbench.records import Decoding, Prompt
from serxbench.stages.models import load_adapter, locate_model


def test_the_same_answers_as_in_this_process(serxbench: Serxbench, tmp_path: Path) -> None:
    adapter = load_adapter(locate_model(resolve_card("nano")), "cpu", "float32")

    def reply(request: dict[str, Any], wav: bytes | None) -> tuple[int, dict[str, Any]]:
        samples, rate = soundfile.read(io.BytesIO(wav or b""), dtype="float32")
        assert rate == 16_000
        clip = Clip(waveform=samples, seconds=len(samples) / rate)
        prompt = Prompt(name="asked", text=request["messages"][0]["content"][1]["text"], sha256="")
        decoding = Decoding(max_new_tokens=request["max_tokens"], temperature=request["temperature"])
        (response,) = adapter.generate(["x"], [clip], prompt, decoding)
        return 200, completion(response.text, stop="stop" if response.stop == "end" else "length")

    ask_it = ("run", "--model", "nano", "--mode", "closed", "--limit", "16", "-q", "--out")
    assert serxbench(*ask_it, "here", "--device", "cpu").returncode == 0
    with FaultyServer(reply=reply).running() as url:
        done = serxbench(*ask_it, "there", "--backend", "http", "--endpoint", url)
    assert done.returncode == 0, done.stderr
    here, there = (read_rows(tmp_path / name / "responses.jsonl") for name in ("here", "there"))
    assert there == here
