"""`data check`: what it counts, and that it names each of twenty planted faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import SHARED, Serxbench, write_rows

CREMA_D, MELD = SHARED / "crema-d", SHARED / "meld"

HEADER = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set\n"


def clip_name(n: int) -> str:
    return f"MSP-PODCAST_{1000 + n // 10}_{n:04}.wav"


def write_clip(path: Path, seed: int, seconds: float = 0.3) -> None:
    noise = np.random.default_rng(seed).normal(scale=0.1, size=round(seconds * 16_000))
    soundfile.write(path, noise, 16_000, subtype="PCM_16")


@pytest.fixture
def sound_tree(tmp_path: Path) -> Path:
    """A release of thirty clips without a fault: five raters each, four of whom say Sad."""
    root = tmp_path / "MSP-PODCAST-Publish-1.12"
    (root / "Audios").mkdir(parents=True)
    (root / "Labels").mkdir()
    consensus, details, partitions = [HEADER], ["FileName,EmoDetail\n"], []
    for n in range(30):
        name = clip_name(n)
        write_clip(root / "Audios" / name, seed=n)
        consensus.append(f"{name},S,3.0,3.0,3.0,{n % 3 + 1},Female,Test1\n")
        partitions.append(f"Test1; {name}\n")
        for rater in range(5):
            primary = "Sad" if rater < 4 else "Neutral"
            details.append(f'{name},"WORKER{rater:08}; {primary}; {primary},Fear; A:3.0; V:3.0; D:3.0;"\n')
    (root / "Labels" / "labels_consensus.csv").write_text("".join(consensus))
    (root / "Labels" / "labels_detailed.csv").write_text("".join(details))
    (root / "Partitions.txt").write_text("".join(partitions))
    return root


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, (old, text.count(old))
    path.write_text(text.replace(old, new))


def check(serxbench: Serxbench, *arguments: object, expect: int) -> dict[str, Any]:
    done = serxbench("data", "check", *arguments, "--json", "-q")
    assert done.returncode == expect, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_a_sound_tree_has_no_fault(serxbench: Serxbench, sound_tree: Path) -> None:
    report = check(serxbench, "msp-podcast", "--data-root", sound_tree, expect=0)
    assert (report["utterances"], report["audio_found"], report["faults"]) == (30, 30, [])
    assert report["plurality_agreement"] == {"agree": 30, "total": 30, "differing": []}
    assert report["splits"] == {"test1": {"utterances": 30, "labels": {"Sad": 30}}}
    assert report["votes"]["per_item"] == {"min": 5, "mean": 5.0, "max": 5}
    assert report["votes"]["annotators"] == 5
    assert report["audio"]["formats"] == [{"suffix": ".wav", "sample_rate": 16_000, "channels": 1, "clips": 30}]
    assert report["audio"]["seconds"]["mean"] == 0.3
    assert not report["upload_allowed"]


def test_twenty_planted_faults_are_all_named(serxbench: Serxbench, sound_tree: Path) -> None:
    audio, labels = sound_tree / "Audios", sound_tree / "Labels"
    consensus, details, partitions = (
        labels / "labels_consensus.csv",
        labels / "labels_detailed.csv",
        sound_tree / "Partitions.txt",
    )
    expected: list[tuple[str, str]] = []

    def plant(kind: str, named: str) -> None:
        expected.append((kind, named))

    # The audio: 0 to 9 are damaged in ten ways, and one clip belongs to nobody.
    (audio / clip_name(0)).unlink()
    plant("missing_audio", clip_name(0)[:-4])
    (audio / clip_name(1)).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    plant("damaged_audio", "Git LFS pointer")
    (audio / clip_name(2)).write_bytes(b"")
    plant("damaged_audio", "empty (0 bytes)")
    (audio / clip_name(3)).write_text("<html>404 Not Found</html>\n" * 40)
    plant("damaged_audio", "cannot be decoded")
    soundfile.write(audio / clip_name(4), np.zeros(8000), 16_000)
    plant("silent_audio", clip_name(4))
    soundfile.write(audio / clip_name(5), np.array([0.1, np.nan, 0.2] * 2000), 16_000, subtype="FLOAT")
    plant("damaged_audio", "not finite")
    cut = (audio / clip_name(6)).read_bytes()
    (audio / clip_name(6)).write_bytes(cut[: len(cut) // 2])
    plant("cut_audio", "the header promises 0.30 s")
    soundfile.write(audio / clip_name(7), np.zeros(0), 16_000)
    plant("damaged_audio", "a header and no samples")
    write_clip(audio / clip_name(8), seed=8, seconds=0.02)
    plant("odd_length", clip_name(8))
    (audio / clip_name(9)).write_bytes((audio / clip_name(29)).read_bytes())
    plant("same_audio", clip_name(9)[:-4])
    write_clip(audio / "MSP-PODCAST_9999_0001.wav", seed=99)
    plant("unlisted_audio", "MSP-PODCAST_9999_0001.wav")

    # The labels: 10 to 18.
    change(consensus, f"{clip_name(10)},S,", f"{clip_name(10)},H,")
    plant("consensus_differs", clip_name(10)[:-4])
    change(consensus, f"{clip_name(11)},S,", f"{clip_name(11)},Q,")
    plant("unknown_label", "'Q'")
    change(details, f'{clip_name(12)},"WORKER00000004; Neutral;', f'{clip_name(12)},"WORKER00000004; Glumm;')
    plant("unknown_label", "Glumm")
    change(
        details,
        f'{clip_name(13)},"WORKER00000004; Neutral; Neutral,Fear; A:3.0; V:3.0; D:3.0;"',
        f"{clip_name(13)},oops",
    )
    plant("malformed_row", "labels_detailed.csv")
    consensus.write_text(consensus.read_text() + f"{clip_name(14)},S,3.0,3.0,3.0,1,Female,Test1\n")
    plant("duplicate_row", clip_name(14)[:-4])
    change(partitions, f"Test1; {clip_name(15)}", f"Tset1; {clip_name(15)}")
    plant("unknown_split", "Tset1")
    change(partitions, f"Test1; {clip_name(16)}", f"Train; {clip_name(16)}")
    plant("split_differs", clip_name(16)[:-4])
    rows = details.read_text().splitlines(keepends=True)
    details.write_text("".join(row for row in rows if not row.startswith(clip_name(17))))
    plant("no_votes", clip_name(17)[:-4])
    details.write_text(details.read_text() + 'MSP-PODCAST_8888_0001.wav,"WORKER00000001; Sad; Sad; A:3; V:3; D:3;"\n')
    plant("unlisted_votes", "MSP-PODCAST_8888_0001")

    assert len(expected) == 20
    report = check(serxbench, "msp-podcast", "--data-root", sound_tree, expect=3)
    found = [(fault["kind"], f"{fault['where']}: {fault['what']}") for fault in report["faults"]]
    for kind, named in expected:
        assert any(k == kind and named in text for k, text in found), f"{kind} ({named}) is not in {found}"
    assert len(found) == 20, "and nothing is named that was not planted"
    assert report["utterances"] == 30
    assert report["audio_found"] == 29
    assert report["audio"]["readable"] == 24
    assert report["plurality_agreement"]["differing"] == [clip_name(10)[:-4]]

    done = serxbench("data", "check", "msp-podcast", "--data-root", sound_tree, "-q")
    assert done.returncode == 3
    for kind, named in expected:
        assert kind in done.stdout
        assert named in done.stdout, "the text names all of them too"
    quick = check(serxbench, "msp-podcast", "--data-root", sound_tree, "--quick", expect=3)
    unheard = {"silent_audio", "same_audio"}
    assert {fault["kind"] for fault in quick["faults"]} == {kind for kind, _ in expected} - unheard


def test_a_run_goes_on_and_says_how_many_faults_there_are(serxbench: Serxbench, sound_tree: Path) -> None:
    change(sound_tree / "Labels" / "labels_consensus.csv", f"{clip_name(3)},S,", f"{clip_name(3)},Q,")
    done = serxbench(
        "run", "--model", "majority", "--mode", "closed", "--data", "msp-podcast:test1", "--data-root", sound_tree
    )
    assert done.returncode == 0, done.stderr
    assert "msp-podcast: a fault in the corpus (serxbench data check msp-podcast names all)" in done.stderr
    assert "'Q'" in done.stderr


@pytest.mark.skipif(not CREMA_D.is_dir(), reason="the CREMA-D development data is not here")
def test_crema_d_has_the_published_figures(serxbench: Serxbench) -> None:
    report = check(serxbench, "crema-d", "--data-root", CREMA_D, expect=3)
    assert (report["utterances"], report["audio_found"], report["speakers"]) == (7442, 350, 91)
    assert report["plurality_agreement"] == {"agree": 7442, "total": 7442, "differing": []}
    assert [split["utterances"] for split in report["splits"].values()] == [4573, 1393, 1476]
    labels = {label: sum(s["labels"][label] for s in report["splits"].values()) for label in ("Neutral", "Angry", "X")}
    assert labels == {"Neutral": 3897, "Angry": 986, "X": 644}
    votes = report["votes"]
    assert (votes["votes"], votes["per_item"]) == (68568, {"min": 4, "mean": 9.2137, "max": 12})
    assert (votes["unique_plurality"], votes["strict_majority"], votes["unanimous"]) == (6798, 5012, 383)
    assert votes["items_by_labels"] == {"1": 383, "2": 2043, "3": 2893, "4": 1708, "5": 401, "6": 14}
    assert report["fault_counts"] == {"missing_audio": 7092, "silent_audio": 1}
    for presentation, figures in {"face": (71654, 6972, 5523, 1008), "audio-visual": (71778, 7022, 5913, 1119)}.items():
        report = check(serxbench, f"crema-d,presentation={presentation}", "--data-root", CREMA_D, "--quick", expect=3)
        votes = report["votes"]
        found = (votes["votes"], votes["unique_plurality"], votes["strict_majority"], votes["unanimous"])
        assert found == figures
        assert report["plurality_agreement"]["agree"] == 7442


@pytest.mark.skipif(not MELD.is_dir(), reason="the MELD development data is not here")
def test_meld_has_the_published_figures(serxbench: Serxbench) -> None:
    report = check(serxbench, "meld", "--data-root", MELD, expect=0)
    assert report["votes"] is None
    assert {name: split["utterances"] for name, split in report["splits"].items()} == {
        "train": 9989,
        "development": 1109,
        "test": 2610,
    }
    assert report["splits"]["test"]["labels"] == {
        "Angry": 345,
        "Sad": 208,
        "Happy": 402,
        "Surprise": 281,
        "Fear": 50,
        "Disgust": 68,
        "Neutral": 1256,
    }


def test_the_embedded_corpus_is_sound(serxbench: Serxbench) -> None:
    report = check(serxbench, "demo", expect=0)
    assert report["split"] is None
    assert set(report["splits"]) == {"train", "development", "test"}
    assert check(serxbench, "demo:test", "--quick", expect=0)["utterances"] == 288


def test_a_manifest_with_a_broken_clip(serxbench: Serxbench, small_corpus: Path) -> None:
    rows = [json.loads(line) for line in small_corpus.read_text().splitlines()]
    write_rows(small_corpus, [*rows, {"id": "gone", "audio": "gone.wav", "consensus": "Sad"}])
    report = check(serxbench, f"manifest:{small_corpus}", expect=3)
    assert [(fault["kind"], fault["where"]) for fault in report["faults"]] == [("damaged_audio", "gone")]


def test_what_cannot_be_checked_is_said(serxbench: Serxbench, tmp_path: Path) -> None:
    done = serxbench("data", "check", "msp-podcast", "--data-root", tmp_path)
    assert done.returncode == 1
    assert "label" in done.stderr
    assert serxbench("data", "check", "meld").returncode == 2
