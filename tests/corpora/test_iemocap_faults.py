"""IEMOCAP: what is faulty in its label files is named, and costs only itself; what raters could write is read back."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iemocap_files import IMPRO, kinds, listing_of, turn, votes_of, write_labels

from serxbench.corpora import open_corpus
from serxbench.records import Vote


@pytest.mark.parametrize(
    ("lines", "votes", "faults"),
    [
        (["C-E1:|Anger;|()", "C-E2:|Gloom; Anger;|()"], ["Angry", "Angry"], {"unknown_label": 1}),
        (["C-E1:|Anger;|()", "C-E2:|;|(sad)", "C-E3:"], ["Angry"], {"malformed_row": 2}),
        (["C-E1:|Gloom;|()"], [], {"unknown_label": 1, "no_votes": 1}),
        (["A-E1:|val 3; act 2; dom 2;|()", "C-F1:|Anger;|()"], [], {"no_votes": 1}),
        (["C-E1:|Anger;|()", "C-E1:|Sadness;|()"], ["Angry"], {"duplicate_row": 1}),
        (["C-E1:|Anger;|()", "what is this?", "C-Q1:|Anger;|()"], ["Angry"], {"malformed_row": 2}),
        (["C-E1:|Anger;|()", "C-F1:|;|()"], ["Angry"], {}),
    ],
)
def test_a_faulty_rater_line_costs_only_itself(
    tmp_path: Path, lines: list[str], votes: list[str], faults: dict[str, int]
) -> None:
    after = turn("Ses01F_impro01_F001", "sad", "C-E1:|Sadness;|()")
    path = write_labels(tmp_path, "Ses01F_impro01", turn("Ses01F_impro01_F000", "ang", *lines), after)
    listing = listing_of(tmp_path)
    first, second = listing.utterances
    assert [vote.primary for vote in first.votes] == votes
    assert first.consensus == "Angry"
    assert votes_of(second) == [("E1", "Sad")]
    assert kinds(listing) == faults
    assert all(fault.where.startswith(f"{path.name}:") for fault in listing.faults)


@pytest.mark.parametrize(
    "header",
    [
        "[0.5000 - 2.2500]\tSes01F_impro01_F000\t[3.0, 2.5, 2.5]",
        "[0.5000 2.2500]\tSes01F_impro01_F000\tneu\t[3.0, 2.5, 2.5]",
        "[0.5000 - 2.2500]\tSes02F_impro01_F000\tneu\t[3.0, 2.5, 2.5]",
        "[0.5000 - 2.2500]\tSes01F_impro01_X000\tneu\t[3.0, 2.5, 2.5]",
        "[0.5000 - 2.2500]",
    ],
)
def test_a_turn_without_a_good_header_takes_its_raters_with_it(tmp_path: Path, header: str) -> None:
    before = turn("Ses01F_impro01_F008", "sad", "C-E1:|Sadness;|()")
    after = turn("Ses01F_impro01_F009", "neu", "C-E1:|Neutral;|()")
    write_labels(tmp_path, "Ses01F_impro01", before, f"{header}\nC-E2:\tAnger;\t()\n", after)
    listing = listing_of(tmp_path)
    assert [votes_of(u) for u in listing.utterances] == [[("E1", "Sad")], [("E1", "Neutral")]]
    assert [(fault.kind, fault.where) for fault in listing.faults] == [("malformed_row", "Ses01F_impro01.txt:6")]


def test_faults_of_turns(tmp_path: Path) -> None:
    one, two = (turn("Ses01F_impro01_F000", code, "C-E1:|Anger;|()") for code in ("ang", "sad"))
    write_labels(tmp_path, "Ses01F_impro01", "C-E1:\tAnger;\t()\n", one, two)
    write_labels(tmp_path, "Ses01F_impro02", turn("Ses01F_impro02_F000", "nix", "C-E1:|Anger;|()"))
    listing = listing_of(tmp_path)
    assert [(u.id, u.consensus) for u in listing.utterances] == [
        ("Ses01F_impro01_F000", "Angry"),
        ("Ses01F_impro02_F000", None),
    ]
    assert [(fault.kind, fault.where) for fault in listing.faults] == [
        ("malformed_row", "Ses01F_impro01.txt:3"),
        ("duplicate_row", "Ses01F_impro01.txt:8"),
        ("unknown_label", "Ses01F_impro02.txt:3"),
    ]
    assert len(open_corpus("iemocap", tmp_path).utterances) == 2, "no id stands twice"


# What raters could write, and the class of each name under the map without merging surprises.
NAMES = {
    "Neutral": "Neutral",
    "Neutral state": "Neutral",
    "Happiness": "Happy",
    "Sadness": "Sad",
    "Anger": "Angry",
    "Surprise": "Surprise",
    "Fear": "Fear",
    "Disgust": "Disgust",
    "Frustration": "Other",
    "Excited": "Happy",
    "Other": "Other",
}
COMMENTS = st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=30)
RATINGS = st.dictionaries(
    st.sampled_from([f"E{n}" for n in range(1, 7)]),
    st.lists(st.sampled_from(sorted(NAMES)), min_size=1, max_size=4),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("FM"), RATINGS), min_size=1, max_size=5), st.data())
def test_what_is_written_is_read_back(turns: list[tuple[str, dict[str, list[str]]]], data: st.DataObject) -> None:
    blocks, expected = [], []
    for number, (sex, ratings) in enumerate(turns):
        lines = []
        for rater, names in ratings.items():
            blank = data.draw(st.sampled_from(["", " ", "  "]))
            change = data.draw(st.sampled_from([str, str.upper, str.lower]))
            written = f";{blank}".join(change(name) for name in names)
            lines.append(f"C-{rater}:\t{written};\t({data.draw(COMMENTS)})")
            lines.append(f"A-{rater}:\tval 3; act 2; dom 2;\t({data.draw(COMMENTS)})")
        id = f"Ses05F_script02_2_{sex}{number:03}"
        blocks.append("\n".join((turn(id, "xxx").rstrip("\n"), *lines)) + "\n")
        votes = {(rater, NAMES[name]) for rater, names in ratings.items() for name in names}
        expected.append((id, f"Ses05{sex}", sorted(votes)))
    with tempfile.TemporaryDirectory() as folder:
        line_end = data.draw(st.sampled_from(["\n", "\r\n"]))
        write_labels(Path(folder), "Ses05F_script02_2", *blocks, line_end=line_end)
        listing = listing_of(Path(folder))
    assert [(u.id, u.speaker, sorted(votes_of(u))) for u in listing.utterances] == expected
    assert not listing.faults


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.text(st.characters(codec="latin-1"), max_size=3)), max_size=8))
def test_a_spoilt_file_is_never_an_exception(edits: list[tuple[int, str]]) -> None:
    text = "\n".join(IMPRO)
    for position, inserted in edits:
        text = text[:position] + inserted + text[position + 2 * len(inserted) :]
    whole = turn("Ses01F_script01_1_M003", "neu", "C-E1:|Neutral;|()")
    with tempfile.TemporaryDirectory() as folder:
        write_labels(Path(folder), "Ses01M_impro01", text)
        write_labels(Path(folder), "Ses01F_script01_1", whole)
        for raters in ("outside", "all"):
            found = {u.id: u for u in listing_of(Path(folder), raters=raters).utterances}
            assert found["Ses01F_script01_1_M003"].votes == (Vote(annotator="E1", primary="Neutral"),)
