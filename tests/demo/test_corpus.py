"""Facts of the committed corpus: what its card and the rest of the harness rely on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from serxbench.audio import SAMPLE_RATE, read_audio
from serxbench.demo.annotators import CLASSES, consensus_of
from serxbench.demo.generate import DATA
from serxbench.demo.sentences import COLOURED_SENTENCES, NEUTRAL_SENTENCES
from serxbench.emotions import EMOTIONS, NO_AGREEMENT, OTHER
from serxbench.records import Vote

Row = dict[str, Any]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [json.loads(line) for line in (DATA / "utterances.jsonl").read_text(encoding="utf-8").splitlines()]


def votes_of(row: Row) -> tuple[Vote, ...]:
    return tuple(Vote.from_dict({**vote, "secondary": tuple(vote["secondary"])}) for vote in row["votes"])


def test_splits_have_the_stated_sizes_in_order(rows: list[Row]) -> None:
    assert Counter(row["split"] for row in rows) == {"train": 1200, "development": 96, "test": 288}
    for split in ("train", "development", "test"):
        ids = [row["id"] for row in rows if row["split"] == split]
        assert ids == [f"demo_{split}_{number:04d}" for number in range(1, len(ids) + 1)]


def test_intended_emotions_are_balanced_in_each_split(rows: list[Row]) -> None:
    for split, wanted in (("train", 150), ("development", 12), ("test", 36)):
        counts = Counter(row["intended"] for row in rows if row["split"] == split)
        assert counts == dict.fromkeys(EMOTIONS, wanted)


def test_no_voice_is_in_two_splits(rows: list[Row]) -> None:
    speakers = {split: {r["speaker"] for r in rows if r["split"] == split} for split in {r["split"] for r in rows}}
    assert {split: len(names) for split, names in speakers.items()} == {"train": 25, "development": 4, "test": 12}
    assert len(set().union(*speakers.values())) == 41
    assert all(row["group"].startswith(row["speaker"]) for row in rows)


def test_the_first_items_of_a_split_are_a_fair_sample(rows: list[Row]) -> None:
    first = [row for row in rows if row["split"] == "test"][:48]
    assert {row["intended"] for row in first} == set(EMOTIONS)
    assert len({row["speaker"] for row in first}) >= 11


def test_votes_are_five_to_ten_by_different_annotators(rows: list[Row]) -> None:
    for row in rows:
        names = [vote["annotator"] for vote in row["votes"]]
        assert 5 <= len(names) <= 10
        assert len(set(names)) == len(names)
        for vote in row["votes"]:
            assert vote["primary"] in CLASSES
            assert vote["primary"] not in vote["secondary"]
            assert ("primary_text" in vote) == (vote["primary"] == OTHER)


def test_consensus_is_the_plurality_of_the_primary_labels(rows: list[Row]) -> None:
    for row in rows:
        ranked = Counter(vote["primary"] for vote in row["votes"]).most_common()
        tied = len(ranked) > 1 and ranked[0][1] == ranked[1][1]
        assert row["consensus"] == (NO_AGREEMENT if tied else ranked[0][0])
        assert consensus_of(votes_of(row)) == row["consensus"]


def test_there_are_ties_and_strict_majorities_and_mere_pluralities(rows: list[Row]) -> None:
    leads = [Counter(vote["primary"] for vote in row["votes"]).most_common(1)[0][1] for row in rows]
    strict = sum(2 * lead > len(row["votes"]) for lead, row in zip(leads, rows, strict=True))
    ties = sum(row["consensus"] == NO_AGREEMENT for row in rows)
    assert 0.75 <= strict / len(rows) <= 0.85
    assert 0.03 <= ties / len(rows) <= 0.06
    assert len(rows) - strict - ties > 50
    assert any(row["consensus"] == OTHER for row in rows)
    assert any(vote["secondary"] for row in rows for vote in row["votes"])


def test_most_sentences_suggest_no_emotion(rows: list[Row]) -> None:
    assert Counter(sentence.colour for sentence in COLOURED_SENTENCES) == dict.fromkeys(EMOTIONS, 2)
    neutral = {sentence.text for sentence in NEUTRAL_SENTENCES}
    assert 0.60 <= sum(row["transcript"] in neutral for row in rows) / len(rows) <= 0.66


def test_every_clip_decodes_and_all_together_stay_small(rows: list[Row]) -> None:
    total = 0
    for row in rows:
        path = DATA / row["audio"]
        total += path.stat().st_size
        clip = read_audio(path)
        assert clip.note is None, "mono and 16 kHz on disk"
        assert 0.4 <= clip.seconds <= 6
        assert abs(len(clip.waveform) / SAMPLE_RATE - row["acoustics"]["seconds"]) < 0.01
    assert total <= 3_600_000
    assert {path.relative_to(DATA).as_posix() for path in DATA.rglob("*.opus")} == {row["audio"] for row in rows}


def test_card_gives_the_sizes_of_the_splits(rows: list[Row]) -> None:
    card = Path(DATA / "README.md").read_text(encoding="utf-8")
    for split, count in Counter(row["split"] for row in rows).items():
        assert f"| {split} | {count} |" in card
    assert "say nothing about real speech" in card
