"""The generator: the plan is a function of the seed, the audio of the plan, and the votes of the acoustics."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serxbench.demo import generate, programs
from serxbench.demo.annotators import CLASSES, draw_votes, make_annotators, vote_probabilities
from serxbench.demo.plan import Item, plan_corpus, stream
from serxbench.demo.programs import check_programs
from serxbench.demo.prosody import PROFILES, render_prosody, to_steps
from serxbench.demo.rationales import rationale_of
from serxbench.emotions import EMOTIONS
from serxbench.errors import CorpusError


def _programs_are_those() -> bool:
    try:
        check_programs()
    except CorpusError:
        return False
    return True


needs_programs = pytest.mark.skipif(
    not _programs_are_those(), reason="needs the espeak-ng and opusenc that the corpus was made with"
)


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return plan_corpus()


def test_plan_is_the_committed_corpus(items: list[Item]) -> None:
    lines = (generate.DATA / "utterances.jsonl").read_text(encoding="utf-8").splitlines()
    for item, line in zip(items, lines, strict=True):
        row = json.loads(line)
        assert generate.make_row(item, row["acoustics"]["seconds"]) == row


def test_plan_is_the_same_twice(items: list[Item]) -> None:
    assert plan_corpus() == items


@needs_programs
def test_clips_are_rebuilt_byte_for_byte(items: list[Item]) -> None:
    for item in (*items[:4], *items[-4:]):
        clip, _ = generate.make_clip(item)
        assert clip == (generate.DATA / generate.audio_path(item)).read_bytes(), item.id


def test_differences_name_what_differs(tmp_path: Path) -> None:
    for side, text in (("a", "one"), ("b", "two")):
        (tmp_path / side).mkdir()
        (tmp_path / side / "same").write_text("same")
        (tmp_path / side / "other").write_text(text)
    (tmp_path / "b" / "more").write_text("")
    found = list(generate.differences(tmp_path / "a", tmp_path / "b"))
    assert found == [f"more: only in {tmp_path / 'b' / 'more'}", "other: differs"]


def test_absent_program_is_one_line_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert generate.main(["--out", str(tmp_path / "corpus")]) == 1
    said = capsys.readouterr().err
    assert said == "error: espeak-ng is not installed; apt-get install espeak-ng opus-tools\n"
    assert not (tmp_path / "corpus").exists()


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
def test_other_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "ESPEAK_VERSION", "9.99")
    with pytest.raises(CorpusError, match=r"made with espeak-ng 9\.99, here is .*apt-get install espeak-ng opus-tools"):
        check_programs()


def test_each_profile_is_heard_as_its_emotion() -> None:
    for annotator in make_annotators(stream("annotators")):
        for emotion in EMOTIONS:
            probabilities = vote_probabilities(annotator, PROFILES[emotion], None)
            assert probabilities.sum() == pytest.approx(1)
            assert CLASSES[int(probabilities.argmax())] == emotion


def test_votes_move_with_the_acoustics() -> None:
    """From the neutral profile halfway and all the way to the fearful one, Fear gains and Neutral loses."""
    annotator = make_annotators(stream("annotators"))[0]
    random = np.random.RandomState(0)
    steps = [
        vote_probabilities(annotator, render_prosody("Neutral", random, jitter=0, blend=("Fear", weight)), None)
        for weight in (0.0, 0.5, 1.0)
    ]
    fear, neutral = CLASSES.index("Fear"), CLASSES.index("Neutral")
    assert steps[0][fear] < steps[1][fear] < steps[2][fear]
    assert steps[0][neutral] > steps[1][neutral] > steps[2][neutral]


def test_votes_move_with_the_words() -> None:
    annotator = make_annotators(stream("annotators"))[0]
    angry = CLASSES.index("Angry")
    halfway = render_prosody("Neutral", np.random.RandomState(0), jitter=0, blend=("Angry", 0.5))
    assert vote_probabilities(annotator, halfway, "Angry")[angry] > vote_probabilities(annotator, halfway, None)[angry]


def test_unlike_everything_is_heard_as_other_more_often() -> None:
    annotator = make_annotators(stream("annotators"))[0]
    strange = replace(PROFILES["Neutral"], rate=0.6, loudness=-14, tremor=1, breath=1, rough=1, final=10, tilt=-6)
    assert (
        vote_probabilities(annotator, strange, None)[-1] > vote_probabilities(annotator, PROFILES["Neutral"], None)[-1]
    )


def test_votes_depend_on_nothing_but_the_stream() -> None:
    pool = make_annotators(stream("annotators"))
    drawn = [draw_votes(pool, PROFILES["Sad"], None, stream("votes", "x")) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != draw_votes(pool, PROFILES["Sad"], None, stream("votes", "y"))


def test_profiles_are_well_apart() -> None:
    places = [to_steps(PROFILES[emotion]) for emotion in EMOTIONS]
    distances = [np.linalg.norm(a - b) for n, a in enumerate(places) for b in places[n + 1 :]]
    assert min(distances) > 2.5


def test_rationales_name_no_emotion(items: list[Item]) -> None:
    names = {emotion.lower() for emotion in EMOTIONS} | {"anger", "fear", "sadness", "surprised", "disgusted"}
    for item in items:
        rationale = rationale_of(item.sentence.text, vars(item.prosody))
        assert not names & set(rationale.lower().replace(".", "").split())
        assert 1 <= rationale.count(".") <= 3
