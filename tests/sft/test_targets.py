"""The answer that is taught is Eq. 1 to the letter, and a damaged file of rationales is refused by its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import write_rows
from hypothesis import given
from hypothesis import strategies as st

from serxbench.errors import CorpusError, UnknownName
from serxbench.parsing import get_parser
from serxbench.records import Response
from serxbench.sft.samples import Sample
from serxbench.sft.targets import as_variant, is_taggable, read_rationales, target_text

GOOD = {"id": "u1", "emotion": "sad", "transcript": "It is late.", "rationale": "The voice is low."}


def sample(transcript: str = "It is late.", rationale: str | None = "The voice is low.") -> Sample:
    return Sample(
        id="c/u1",
        part="train",
        audio="",
        audio_sha256="",
        n_samples=1,
        prompt="open",
        question="?",
        emotion="Sad",
        transcript=transcript,
        rationale=rationale,
    )


def test_the_target_is_the_papers() -> None:
    plain = "<asr> It is late. </asr><answer> I think the emotion is sad </answer>"
    assert sample().target("with-reason") == f"{plain}<reason> The voice is low. </reason>"
    assert sample().target("without-reason") == plain


def test_the_target_is_composed() -> None:
    assert sample(transcript="nai\u0308ve").target("without-reason").startswith("<asr> na\u00efve </asr>")


words = st.text(min_size=1, max_size=40).filter(is_taggable).map(lambda text: " ".join(text.split())).filter(bool)


@given(transcript=words, rationale=words)
def test_a_run_reads_back_what_was_taught(transcript: str, rationale: str) -> None:
    text = target_text(transcript, "Contempt", rationale)
    parsed = get_parser("rules").parse(Response(id="u", text=text, stop="end"), None)
    assert (parsed.status, parsed.word) == ("ok", "contempt")
    assert (parsed.transcript, parsed.rationale) == (transcript.strip(), rationale.strip())


def test_rationales_are_read_with_what_curation_says(tmp_path: Path) -> None:
    rejected = {**GOOD, "id": "u2", "kept": False, "reasons": ["label_leak"], "rationale": None}
    found = read_rationales(write_rows(tmp_path / "r.jsonl", [{**GOOD, "kept": True, "reasons": []}, rejected]))
    assert (found["u1"].emotion, found["u1"].text, found["u1"].kept) == ("Sad", "The voice is low.", True)
    assert not found["u2"].kept


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**GOOD, "emotion": "melancholic"}, "the emotion 'melancholic' is none of Angry, Sad"),
        ({"id": "u2", "emotion": "sad", "transcript": "x"}, "'rationale' is missing"),
        ({**GOOD, "kept": "yes"}, "'kept' must be true or false; found 'yes'"),
        ({**GOOD, "rationale": None}, "'rationale' must be text; found None"),
        ([1], "found list, wanted an object"),
        (GOOD, "the id 'u1' stands twice"),
    ],
)
def test_a_damaged_row_is_named(tmp_path: Path, row: object, message: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n{json.dumps(row)}\n")
    with pytest.raises(CorpusError, match=f"r.jsonl:2: .*{message}"):
        read_rationales(path)


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'with-reason'"):
        as_variant("with-reasons")
