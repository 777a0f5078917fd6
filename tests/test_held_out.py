"""What may not be trained on: of a file the rows that are evaluated on, by id and by sound."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import write_rows

from serxbench.corpora import open_corpus
from serxbench.held_out import evaluation_parts, hold_out
from serxbench.progress import Silent


class Listening(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture
def rows(tmp_path: Path, write_clip: Callable[..., Path]) -> Path:
    """A training row, a test row, and a row of no split."""
    splits = {"a": "train", "b": "test", "c": None}
    found = []
    for n, (id, split) in enumerate(splits.items()):
        clip = write_clip(f"{id}.wav", seconds=0.3 + 0.1 * n)
        found.append({"id": id, "audio": clip.name, "consensus": "Sad", **({"split": split} if split else {})})
    return write_rows(tmp_path / "rows.jsonl", found)


def test_a_row_of_no_split_is_held_out_beside_a_chosen_training_split(rows: Path) -> None:
    for data, wanted in ((f"manifest:{rows}#train", ["b", "c"]), (f"manifest:{rows}", ["b"])):
        parts = evaluation_parts(open_corpus(data))
        assert [utterance.id for part in parts for utterance in part.utterances] == wanted


def test_ids_and_sounds_are_found_and_what_cannot_be_read_is_said(rows: Path, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "c.wav", tmp_path / "a.wav")
    (tmp_path / "b.wav").write_bytes(b"no sound")
    corpus, listening = open_corpus(f"manifest:{rows}#train"), Listening()
    held_out = hold_out(evaluation_parts(corpus), listening)
    assert listening.said == ["1 of 2 evaluation clips cannot be read, and are compared with nothing"]
    (sha256,) = held_out.sounds
    (utterance,) = corpus.utterances
    assert held_out.find(corpus, utterance, sha256) == "its sound is that of 'c' in the rest of the file"
    assert held_out.find(corpus, utterance, None) is None
    of_test = evaluation_parts(corpus)[0].utterances[0]
    assert held_out.find(corpus, of_test, None) == "the rest of the file has this id too"
