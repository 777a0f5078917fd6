"""Licences travel with the data: who may get the audio, and what a run folder holds of a licensed corpus."""

from __future__ import annotations

from pathlib import Path

from conftest import Serxbench, read_rows

HOSTED = """---
name: hosted
adapter: guess
repository: none
licence: terms of a service
hosted: true
settings: {strategy: uniform}
---
A model on somebody else's machine.
"""


def test_a_hosted_model_refuses_a_corpus_that_may_not_be_uploaded(
    serxbench: Serxbench, small_corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "hosted.md").write_text(HOSTED)
    ask = ("run", "--model", tmp_path / "hosted.md", "--mode", "closed", "-q", "--data")
    refused = serxbench(*ask, f"manifest:{small_corpus}", "--out", "a")
    assert refused.returncode == 2
    assert "the licence of manifest (yours) does not allow its audio to be uploaded" in refused.stderr
    assert "--i-have-the-right-to-upload" in refused.stderr
    assert not (tmp_path / "a").exists()
    by_setting = serxbench(*ask, f"manifest:{small_corpus}", SERXBENCH_I_HAVE_THE_RIGHT_TO_UPLOAD="1")
    assert by_setting.returncode == 2, "the right is claimed each time, by typing it"
    allowed = serxbench(*ask, f"manifest:{small_corpus}", "--i-have-the-right-to-upload", "--out", "b")
    assert allowed.returncode == 0, allowed.stderr
    assert serxbench(*ask, "demo", "--limit", "20", "--out", "c").returncode == 0


def test_a_run_folder_holds_no_transcript_and_no_sound(
    serxbench: Serxbench, small_corpus: Path, tmp_path: Path
) -> None:
    words = {row["transcript"] for row in read_rows(small_corpus)}
    assert "sentence 3" in words
    done = serxbench("run", "--model", "majority", "--mode", "open", "--data", f"manifest:{small_corpus}", "--out", "a")
    assert done.returncode == 0, done.stderr
    for path in (tmp_path / "a").iterdir():
        text = path.read_text()
        assert not [word for word in words if word in text], path.name
        assert path.suffix in (".json", ".jsonl", "")
    for row in read_rows(tmp_path / "a" / "predictions.jsonl"):
        assert set(row) <= {"id", "status", "label", "word", "via"}
