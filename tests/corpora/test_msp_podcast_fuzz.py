"""MSP-Podcast: whatever annotators say is read back from every format, and junk spoils nothing beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msp_podcast_files import (
    CONSENSUS,
    PARTITIONS,
    RELEASE,
    VOTES,
    WRITERS,
    A,
    B,
    C,
    Said,
    opened,
    votes_of,
    write_files,
)

from serxbench.corpora._label_maps import load_label_maps
from serxbench.corpora._msp_votes import split_line
from serxbench.emotions import EMOTIONS
from serxbench.records import Vote

#: Written by people: anything but what ends a field or a line. Letters would make a class by chance, and are tried too.
FREE = st.text(st.sampled_from("\"'`,()[]{}<>.:!?-_/\\#%&*+=~|0123456789 \t\u00a0\u2028\x85\x0c\u00e9\u4e2d\U0001f642"))
CLASS_OF = {
    **{label: label for label in EMOTIONS},
    "Amused": "Happy", "Excited": "Happy", "Frustrated": "Angry", "Annoyed": "Angry", "Depressed": "Sad",
    "Disappointed": "Sad", "Dissapointed": "Sad", "Concerned": "Fear", "Confused": "Other", "Other": "Other",
}  # fmt: skip
ANY_CASE = st.sampled_from([str, str.lower, str.upper])
VALUES = st.one_of(st.none(), st.just("NA"), st.floats(1, 7).map("{:.6f}".format))


@st.composite
def said(draw: Callable[..., str], worker: str) -> tuple[Said, Vote]:
    """An annotation and the vote that it is."""
    words = None
    if draw(st.booleans()):
        label = draw(st.sampled_from(EMOTIONS))
        primary = draw(ANY_CASE)(label)
    else:
        label = "Other"
        primary = draw(ANY_CASE)("Other-") + draw(st.one_of(FREE, st.just("tired, and sad"), st.just("Happy")))
        words = None if primary.strip().rstrip("- ").lower() == "other" else primary.strip()
    secondary, classes = None, []
    if draw(st.booleans()):
        tags = draw(st.lists(st.one_of(st.sampled_from(list(CLASS_OF)), FREE.map("Other-{}".format)), max_size=4))
        secondary = ",".join(draw(ANY_CASE)(tag) for tag in tags) or draw(st.sampled_from(["", "NA", " "]))
        classes = [CLASS_OF.get(tag, "Other") for tag in tags]
    vote = Vote(annotator=worker, primary=label, secondary=tuple(dict.fromkeys(classes)), primary_text=words)
    return Said(worker, primary, secondary, (draw(VALUES), draw(VALUES), draw(VALUES))), vote


RELEASES = st.lists(
    st.lists(st.integers(1, 10**8 - 1), min_size=1, max_size=4, unique=True).flatmap(
        lambda workers: st.tuples(*(said(f"WORKER{worker:08d}") for worker in workers))
    ),
    min_size=1,
    max_size=3,
)


@pytest.mark.parametrize("format", WRITERS)
@settings(max_examples=100, deadline=None)
@given(annotations=RELEASES)
def test_whatever_is_written_is_read_back(format: str, annotations: list[tuple[tuple[Said, Vote], ...]]) -> None:
    files = {f"MSP-PODCAST_0001_{n:04d}": entries for n, entries in enumerate(annotations)}
    with tempfile.TemporaryDirectory() as folder:
        release = {f"{id}.wav": [said for said, _ in entries] for id, entries in files.items()}
        WRITERS[format](Path(folder, "labels_detailed.csv"), release)
        corpus = opened(Path(folder))
    assert votes_of(corpus) == {id: tuple(vote for _, vote in entries) for id, entries in files.items()}
    assert corpus.n_faults == 0


@settings(max_examples=150, deadline=None)
@given(
    junk=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)),
    format=st.sampled_from([name for name in WRITERS if name != "json"]),
)
def test_one_line_of_junk_spoils_nothing_else(junk: bytes, format: str) -> None:
    """In front of the last row of any text file: the other rows are read as before, and nothing is raised."""
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), {"labels_consensus.csv": CONSENSUS, "Partitions.txt": PARTITIONS})
        WRITERS[format](Path(folder, "labels_detailed.csv"), RELEASE)
        for path in Path(folder).iterdir():
            *lines, last = path.read_bytes().splitlines(keepends=True)
            line = b"?" + b" ".join(junk.split())  # a blank line would end a block of labels.txt
            path.write_bytes(b"".join([*lines, line, b"\n", last]))
        corpus = opened(Path(folder))
    found = votes_of(corpus)
    assert {id: found[id] for id in VOTES} == VOTES
    assert {u.id: u.split for u in corpus.utterances if u.id in VOTES} == {A: "test1", B: "train", C: "development"}


@settings(max_examples=200, deadline=None)
@given(
    parts=st.lists(st.one_of(FREE, st.sampled_from(["Sad", "Other-x", "A:1", "V:x", "NA", "W1"]), st.text(max_size=5)))
)
def test_a_line_of_anything_has_a_worker_and_a_primary_or_is_none(parts: list[str]) -> None:
    found = split_line(";".join(parts), load_label_maps("msp_podcast")["standard"])
    assert found is None or (len(found) == 4 and found[0].strip() == ";".join(parts).partition(";")[0].strip())
