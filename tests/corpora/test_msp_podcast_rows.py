"""Single rows of MSP-Podcast's label files: every oddity that is read, and every fault that is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from msp_podcast_files import (
    CONSENSUS_HEADER,
    WRITERS,
    A,
    B,
    C,
    Said,
    faults_of,
    opened,
    votes_of,
    write_files,
)

from serxbench.errors import CorpusError
from serxbench.records import Vote

ODD_LINES = {
    "W1; Sad; Sad; A:1.000000; V:2.000000; D:3.000000;": ("Sad", ("Sad",), None),
    " W1 ;SAD;sad , ANGRY ;A:1;V:2;D:3": ("Sad", ("Sad", "Angry"), None),
    "W1; Sad; A:1.000000; V:2.000000; D:3.000000;": ("Sad", (), None),
    "W1; Sad; Sad;": ("Sad", ("Sad",), None),
    "W1; Sad;": ("Sad", (), None),
    "W1; Sad": ("Sad", (), None),
    "W1; Sad; NA; A:NA; V:NA; D:NA;": ("Sad", (), None),
    "W1; Sad; ; A:1; V:2;": ("Sad", (), None),
    "W1; Sad; Fear; D:2;": ("Sad", ("Fear",), None),
    "W1; Sad; Fear; a:1; d:2; v:7;": ("Sad", ("Fear",), None),
    "W1; Other; Other; A:1; V:2; D:3;": ("Other", ("Other",), None),
    "W1; other-; NA; A:1; V:2; D:3;": ("Other", (), None),
    "W1; OTHER-Bored; Other-Bored; A:1; V:2; D:3;": ("Other", ("Other",), "OTHER-Bored"),
    "W1; Other-a, b (c), \"d\" 'e' [1:2] #3!; Sad; A:1; V:2; D:3;":
        ("Other", ("Sad",), "Other-a, b (c), \"d\" 'e' [1:2] #3!"),
    "W1; Other-A:1, V:2; Sad; A:1; V:2; D:3;": ("Other", ("Sad",), "Other-A:1, V:2"),
    "W1; Other-this; or that; Sad,Fear; A:1; V:2; D:3;": ("Other", ("Sad", "Fear"), "Other-this; or that"),
    "W1; Other-this; that; Other-this; that,Sad; A:1; V:2; D:3;": ("Other", ("Other", "Sad"), "Other-this; that"),
    "W1; Other-this; A: big; one; Sad; A:1; V:2; D:3;": ("Other", ("Sad",), "Other-this; A: big; one"),
    "W1; Other-this; or that; NA; A:1; V:2; D:3;": ("Other", (), "Other-this; or that"),
    "W1; Other-this; and; that; A:1; V:2; D:3;": ("Other", (), "Other-this; and; that"),
    "W1; Sad; Sad,Other-this; or that; A:1; V:2; D:3;": ("Sad", ("Sad", "Other"), None),
    "W1; Happy; Dissapointed,Disappointed,Depressed,,Other-; A:1; V:2; D:3;": ("Happy", ("Sad", "Other"), None),
    "W1; Happy; Other-b\xe9mused,zealous; A:1; V:2; D:3;": ("Happy", ("Other",), None),
}  # fmt: skip


@pytest.mark.parametrize("line", ODD_LINES)
@pytest.mark.parametrize("quoted", [False, True])
def test_a_line_is_read_from_both_ends(tmp_path: Path, line: str, quoted: bool) -> None:
    text = '"' + line.replace('"', '""') + '"' if quoted else line
    write_files(tmp_path, {"labels_detailed.csv": f"\ufeffFileName,EmoDetail\r\n{A}.WAV,{text}\r\n"})
    primary, secondary, words = ODD_LINES[line]
    vote = Vote(annotator="W1", primary=primary, secondary=secondary, primary_text=words)
    assert votes_of(opened(tmp_path)) == {A: (vote,)}
    assert faults_of(tmp_path) == []
    write_files(tmp_path, {"labels.txt": f"{A}.wav; S; A:3.5; V:4.0; D:4.5;\r\n{line}\r\n"})
    (tmp_path / "labels_detailed.csv").unlink()
    assert votes_of(opened(tmp_path)) == {A: (vote,)}


GOOD = "W1; Sad; Sad; A:1; V:2; D:3;"
HEAD = "FileName,EmoDetail\n"


@pytest.mark.parametrize(
    ("rows", "faults"),
    [
        (f"{A}.wav\n{A}.wav,{GOOD}\n", [("malformed_row", ":2")]),
        (f"{A}.wav,\n,{GOOD}\n{A}.wav,{GOOD}\n", [("malformed_row", ":2"), ("malformed_row", ":3")]),
        (f"{A}.wav,W1\n{A}.wav,; Sad;\n{A}.wav,{GOOD}\n", [("malformed_row", ":2"), ("malformed_row", ":3")]),
        (f"{A}.wav,W2; Glad; Sad; A:1;\n{A}.wav,{GOOD}\n", [("unknown_label", ":2")]),
        (f"{A}.wav,W2; NA; NA; A:1;\n{A}.wav,{GOOD}\n", [("unknown_label", ":2")]),
        (f'{A}.wav,"{GOOD}\n{B}.wav,"{GOOD}\n', []),
        (f"{A}.wav,{GOOD}\n{A}.wav,{GOOD}\n", [("duplicate_vote", "")]),
        (f"{A}.wav,{GOOD}\n{C}.wav,{GOOD}\nMSP-PODCAST_0009_0009.wav,{GOOD}\n" * 2,
         [("unlisted_votes", ":4"), ("duplicate_vote", ""), ("duplicate_vote", "")]),
    ],
)  # fmt: skip
def test_a_bad_row_is_a_fault_and_takes_no_other_with_it(
    tmp_path: Path, rows: str, faults: list[tuple[str, str]]
) -> None:
    consensus = CONSENSUS_HEADER + "".join(
        f"{id}.wav,S,1,2,3,1,Male,Test1\n" for id in (A, B, C) if f"{id}.wav," in rows
    )
    write_files(tmp_path, {"labels_consensus.csv": consensus, "labels_detailed.csv": HEAD + rows})
    assert faults_of(tmp_path) == [(kind, f"labels_detailed.csv{where}") for kind, where in faults]
    corpus = opened(tmp_path)
    assert all(u.votes == (Vote(annotator="W1", primary="Sad", secondary=("Sad",)),) for u in corpus.utterances)
    assert corpus.n_faults == len(faults)


def test_a_second_and_different_answer_of_a_worker_counts(tmp_path: Path) -> None:
    rows = "".join(f"{A}.wav,W1; Sad; {tag}; A:{a}; V:2; D:3;\n" for tag, a in [("Sad", 1), ("Sad", 2), ("Fear", 1)])
    write_files(tmp_path, {"labels_detailed.csv": HEAD + rows})
    assert [vote.secondary for vote in opened(tmp_path).utterances[0].votes] == [("Sad",), ("Sad",), ("Fear",)]
    assert faults_of(tmp_path) == []


@pytest.mark.parametrize(
    ("value", "fits"), [("0.9", False), ("7.01", False), ("x", False), ("inf", False), ("7", True)]
)
def test_attributes_are_checked_and_the_vote_kept(tmp_path: Path, value: str, fits: bool) -> None:
    release = {f"{A}.wav": [Said("W1", "Sad", "Sad", ("1", value, None))]}
    for format, place in (
        ("1.12", "labels_detailed.csv:2"),
        ("1.6", "labels_detailed.csv:2"),
        ("labels.txt", "labels.txt:2"),
    ):
        WRITERS[format](tmp_path / "labels_detailed.csv", release)
        assert faults_of(tmp_path) == ([] if fits else [("attribute_range", place)])
        assert len(opened(tmp_path).utterances[0].votes) == 1
        (tmp_path / "labels_detailed.csv").unlink(missing_ok=True)


def test_a_row_with_too_many_fields_is_not_guessed_at(tmp_path: Path) -> None:
    header = "FileName,Workers,EmoClass_Major,EmoClass_Second,EmoAct,EmoVal,EmoDom\n"
    rows = f"{A}.wav,W1,Other-a, b,Sad,1,2,3\n{A}.wav,W2,Sad,Sad,1,2,3,,\n{A}.wav,W3,Fear\n"
    write_files(tmp_path, {"labels_detailed.csv": header + rows})
    assert [(vote.annotator, vote.primary) for vote in opened(tmp_path).utterances[0].votes] == [
        ("W2", "Sad"),
        ("W3", "Fear"),
    ]
    assert faults_of(tmp_path) == [("malformed_row", "labels_detailed.csv:2")]


def test_blocks_that_belong_to_no_file(tmp_path: Path) -> None:
    text = f"{GOOD}\n\n{A}.wav; S; A:1;\n{GOOD}\n\n{GOOD}\nno file; N;\n{GOOD}\n{B}.wav;\nW2; Fear;\n"
    write_files(tmp_path, {"labels.txt": text})
    assert faults_of(tmp_path) == [
        *[("malformed_row", f"labels.txt:{line}") for line in (1, 6, 7, 8)],
        ("unknown_label", "labels.txt:9"),
    ]
    assert {id: len(votes) for id, votes in votes_of(opened(tmp_path)).items()} == {A: 1, B: 1}


def test_json_that_is_not_what_it_should_be(tmp_path: Path) -> None:
    good = '{"EmoClass_Major": "Sad", "EmoClass_Second": null, "EmoAct": 3, "EmoVal": "4.0", "EmoDom": 9}'
    rows = f'{{"{A}.wav": {{"W1": {good}, "W2": 3, "W3": {{"EmoClass_Major": "Glad"}}, "W1": {good}}}, "{B}.wav": 5}}'
    write_files(tmp_path, {"labels_detailed.json": rows})
    kinds = [kind for kind, _ in faults_of(tmp_path)]
    assert kinds == [
        "attribute_range",
        "malformed_row",
        "unknown_label",
        "attribute_range",
        "malformed_row",
        "duplicate_vote",
    ]
    assert votes_of(opened(tmp_path)) == {A: (Vote(annotator="W1", primary="Sad"),)}
    for text, message in [("{", "not valid JSON"), ("[[1]]", "found list"), ("3", "found int")]:
        for name in ("labels_detailed.json", "labels_consensus.json"):
            write_files(tmp_path, {"labels_detailed.json": rows, name: text})
            with pytest.raises(CorpusError, match=message):
                opened(tmp_path)
            (tmp_path / name).unlink()


@pytest.mark.parametrize(
    ("code", "label"),
    [
        ("A", "Angry"), ("S", "Sad"), ("H", "Happy"), ("U", "Surprise"), ("F", "Fear"), ("D", "Disgust"),
        ("C", "Contempt"), ("N", "Neutral"), ("O", "Other"), ("X", "X"), ("h", "Happy"), (" surprise ", "Surprise"),
        ("Other-odd", "Other"), ("No agreement", "X"), ("Q", None), ("", None), ("NA", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("format", ["csv", "json", "txt"])
def test_consensus_codes(tmp_path: Path, code: str, label: str | None, format: str) -> None:
    name, text = {
        "csv": ("labels_consensus.csv", f"SpkrID,EmoClass,FileName\nunknown,{code},{A}.wav\n"),
        "json": ("labels_concensus.json", f'{{"{A}.wav": {{"EmoClass": "{code}", "SpkrID": 4, "EmoAct": "2.0"}}}}'),
        "txt": ("labels.txt", f"{A}.wav; {code}; A:2; V:2; D:2;\n{GOOD}\n"),
    }[format]
    write_files(tmp_path, {name: text})
    (utterance,) = opened(tmp_path).utterances
    assert (utterance.consensus, utterance.speaker) == (label, "4" if format == "json" else None)
    place = f"{name}: {A}.wav" if format == "json" else f"{name}:{1 + (format == 'csv')}"
    assert faults_of(tmp_path) == ([] if label else [("unknown_label", place)])


def test_odd_consensus_rows(tmp_path: Path) -> None:
    rows = f"{A}.wav,S,1,2,3,1,Male,Test1\n{A}.wav,N,1,2,3,1,Male,Test1\n\n{B}.wav\n{C}.wav,F\n,S,,,,,,\n"
    write_files(tmp_path, {"labels_consensus.csv": "\ufeff" + CONSENSUS_HEADER + rows})
    corpus = opened(tmp_path)
    assert [(u.id, u.consensus, u.speaker, u.split) for u in corpus.utterances] == [
        (A, "Sad", "1", "test1"),
        (C, "Fear", None, None),
    ]
    kinds = ["duplicate_row", "malformed_row", "malformed_row"]
    assert faults_of(tmp_path) == [(k, f"labels_consensus.csv:{n}") for k, n in zip(kinds, (3, 5, 7), strict=True)]
    assert "1 utterances have no split; only msp-podcast:all has them" in "".join(corpus.remarks)
