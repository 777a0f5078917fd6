"""The sample: its strata and weights, blind sheets, and nothing in them that a spreadsheet would run."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from audited_runs import make_corpus, make_run, read_sheet, says, write_sheet_rows
from conftest import write_rows
from hypothesis import given
from hypothesis import strategies as st

from serxbench.corpora import open_corpus
from serxbench.errors import RunError, UnknownName, UsageError
from serxbench.runs import Run
from serxbench.stages.audit_rules import ANSWERS
from serxbench.stages.audit_sample import LEAST, SampleRequest, allocate, draw_sample
from serxbench.stages.audit_sheets import Item, read_coding, safe_cell, write_sheet
from serxbench.stages.import_answers import import_answers
from serxbench.stages.parse import parse


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("runs")
    corpus = make_corpus(folder)
    return [make_run(folder, "system-one", corpus, mute=30), make_run(folder, "system-two", corpus, seed=2)]


@pytest.fixture(scope="module")
def drawn(runs: list[Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sample") / "audit"
    draw_sample(runs, out, SampleRequest(per_system=100))
    return out


def test_every_stratum_is_sampled_and_adds_up_to_the_answers(drawn: Path) -> None:
    key = json.loads((drawn / "key.json").read_text())
    for system, textless in zip(key["systems"], (30, 0), strict=True):
        strata = system["strata"]
        assert system["n_textless"] == textless
        assert sum(row["size"] for row in strata) == system["n"] - textless == 240 - textless
        assert sum(row["n"] for row in strata) == 100
        assert all(min(LEAST, row["size"]) <= row["n"] <= row["size"] for row in strata)
        assert all(len(set(row["ids"])) == row["n"] for row in strata)
        listed = [id for row in strata for id in row["ids"]]
        known = [id for item in key["items"] for id in item["ids"].get(system["name"], [])]
        assert sorted(listed) == sorted(known)


def test_the_same_request_gives_the_same_bytes_and_another_seed_does_not(
    runs: list[Run], drawn: Path, tmp_path: Path
) -> None:
    for name, seed in (("again", 0), ("other", 1)):
        draw_sample(runs, tmp_path / name, SampleRequest(per_system=100, seed=seed))
    files = ["key.json", "sheets/coder1.csv", "sheets/coder2.html"]
    assert all((tmp_path / "again" / file).read_bytes() == (drawn / file).read_bytes() for file in files)
    assert all((tmp_path / "other" / file).read_bytes() != (drawn / file).read_bytes() for file in files)


def test_sheets_are_blind_and_in_another_order_for_each_coder(drawn: Path, runs: list[Run]) -> None:
    sheets = [read_sheet(drawn / "sheets" / f"coder{number}.csv") for number in (1, 2)]
    order = [[row["item"] for row in sheet] for sheet in sheets]
    assert sorted(order[0]) == sorted(order[1])
    assert order[0] != order[1]
    assert order[0] != sorted(order[0])
    key = json.loads((drawn / "key.json").read_text())
    assert len(order[0]) == len(key["items"]) == len({(i["answer"], str(i.get("options"))) for i in key["items"]})
    assert [row["label"] for row in sheets[0]] == [""] * len(sheets[0])
    told = [file.read_text(encoding="utf-8-sig") for file in (drawn / "sheets").iterdir()]
    assert len(told) == 5
    secrets = ["system-one", "system-two", "demo", "identity", "statement", "slot", "clip-"]
    for text in told:
        assert not [secret for secret in secrets if secret in text]


def test_a_cell_is_never_a_formula(drawn: Path) -> None:
    raw = (drawn / "sheets" / "coder1.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    answers = [row["answer"] for row in read_sheet(drawn / "sheets" / "coder1.csv")]
    assert any(answer.startswith("'=SUM(A1)") for answer in answers)
    assert not [answer for answer in answers if answer[:1] in "=+-@"]


@given(st.text(max_size=20))
def test_any_text_is_a_harmless_cell(text: str) -> None:
    cell = safe_cell(text)
    assert not cell.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
    assert not cell.startswith(("\t", "\r", "\n"))
    assert not any(ord(letter) < 32 and letter not in "\n\t" for letter in cell)


def test_a_cell_that_a_spreadsheet_would_cut_says_what_is_left_out() -> None:
    cell = safe_cell("x" * 40_000)
    assert len(cell) < 32_767
    assert "[… 10000 characters left out …]" in cell


@given(st.lists(st.tuples(st.integers(1, 5_000), st.sampled_from([1.0, 2.0, 6.0])), min_size=1, max_size=30))
def test_allocation(strata: list[tuple[int, float]]) -> None:
    sizes, boosts = zip(*strata, strict=True)
    given_ = allocate(sizes, boosts, 300)
    assert sum(given_) == min(300, sum(sizes))
    assert all(min(LEAST, size) <= n <= size for n, size in zip(given_, sizes, strict=True))


def test_allocation_favours_what_is_boosted_and_bounds_every_weight() -> None:
    plain, boosted = (allocate([20_000, 9_000, 900, 100], [1, 1, 1, boost], 300) for boost in (1, 6))
    assert boosted[3] > 1.5 * plain[3]
    for sizes in (plain, boosted):
        heaviest = max(size / n for size, n in zip([20_000, 9_000, 900, 100], sizes, strict=True))
        assert heaviest < 1.45 * 30_000 / 300


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (SampleRequest(per_system=20), UsageError, "--per-system 20: wanted 40 or more"),
        (SampleRequest(n_coders=1), UsageError, "--coders 1: wanted two or more"),
        (SampleRequest(parser="gpt"), UnknownName, "no stored reading 'gpt'"),
    ],
)
def test_refused_requests(
    runs: list[Run], tmp_path: Path, request_: SampleRequest, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        draw_sample(runs, tmp_path / "out", request_)
    assert not (tmp_path / "out" / "key.json").exists()


def test_a_sample_that_people_may_be_coding_is_never_drawn_over(runs: list[Run], drawn: Path) -> None:
    with pytest.raises(UsageError, match="holds a sample already"):
        draw_sample(runs, drawn, SampleRequest(per_system=100))
    with pytest.raises(UsageError, match="named twice"):
        draw_sample([runs[0], runs[0]], drawn / "x", SampleRequest())


def test_equal_letters_under_different_options_are_different_items(tmp_path: Path) -> None:
    utterances = [{"id": f"u{n}", "votes": ["Sad"]} for n in range(20)]
    opened = open_corpus(f"manifest:{write_rows(tmp_path / 'corpus.jsonl', utterances)}", None)
    runs = []
    for mode in ("open", "closed"):
        rows = [{"id": each["id"], "response": "(B) Sad" if mode == "open" else "(B)"} for each in utterances]
        file = write_rows(tmp_path / f"{mode}.jsonl", [*rows[:10], *({**row, "response": "(A)"} for row in rows[10:])])
        runs.append(import_answers(file, mode, (mode, False), opened, tmp_path / mode))
        parse(runs[-1])
    draw_sample(runs, tmp_path / "out", SampleRequest())
    rows = read_sheet(tmp_path / "out" / "sheets" / "coder1.csv")
    assert sorted((row["answer"], row["options"][:10]) for row in rows) == [
        ("(A)", ""),
        ("(A)", "(A) Angry "),
        ("(B)", "(A) Angry "),
        ("(B) Sad", ""),
    ]


def test_a_smaller_run_than_the_sample_is_coded_whole(runs: list[Run], tmp_path: Path) -> None:
    key = draw_sample(runs[:1], tmp_path / "out", SampleRequest(per_system=1000))
    assert sum(row["n"] for row in key["systems"][0]["strata"]) == 210


ITEMS = [Item(item="abcde", answer="Sad."), Item(item="fghjk", answer="x"), Item(item="mnpqr", answer="y")]
GOOD = {"abcde": "Sad", "fghjk": "refused", "mnpqr": "off format"}


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"delimiter": ";", "encoding": "cp1252"},
        {"delimiter": "\t", "encoding": "utf-16"},
        {"delimiter": ",", "encoding": "utf-8"},
    ],
)
def test_sheets_are_read_as_spreadsheets_save_them(tmp_path: Path, form: dict[str, str]) -> None:
    rows = [
        {"item": item, "answer": 'a "quoted"\nléger; one', "Label": f" {code.upper()} "} for item, code in GOOD.items()
    ]
    path = write_sheet_rows(tmp_path / "coder1.csv", rows, **form)
    coding = read_coding(path, GOOD, "s", ANSWERS)
    assert coding.labels == {"abcde": "Sad", "fghjk": "refused", "mnpqr": "off_format"}
    assert coding.name == "coder1"


def test_every_fault_of_a_sheet_is_named_with_its_line(tmp_path: Path) -> None:
    rows = [
        {"item": "abcde", "label": "Sadd"},
        {"item": "zzzzz", "label": "Sad"},
        {"item": "fghjk", "label": ""},
        {"item": "fghjk", "label": "Sad"},
    ]
    path = write_sheet_rows(tmp_path / "c.csv", rows)
    with pytest.raises(RunError) as caught:
        read_coding(path, GOOD, "s", ANSWERS)
    message = str(caught.value)
    assert "5 faults" in message
    assert "c.csv:2: item abcde has label 'Sadd'; did you mean Sad?" in message
    assert "c.csv:3: item 'zzzzz' is not in this sample" in message
    assert "c.csv:4: item fghjk is there 2 times" in message
    assert "1 items are not there: mnpqr" in message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.csv", "item,emotion\nabcde,Sad\n", "has the columns item, emotion; wanted item and label"),
        ("c.csv", "", "has the columns none"),
        ("c.json", "{", "is not what the page exports"),
        ("c.json", '{"sample": "other", "labels": {"abcde": "Sad"}}', "is of the sample other, wanted s"),
    ],
)
def test_what_is_no_sheet(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(RunError, match=message):
        read_coding(path, GOOD, "s", ANSWERS)
    with pytest.raises(RunError, match="cannot read the sheet"):
        read_coding(tmp_path / "absent.csv", GOOD, "s", ANSWERS)


def test_what_the_page_exports_is_read(tmp_path: Path) -> None:
    path = tmp_path / "coder2.json"
    path.write_text(json.dumps({"sample": "s", "coder": "coder2", "labels": GOOD, "notes": {}}))
    assert read_coding(path, GOOD, "s", ANSWERS).labels["abcde"] == "Sad"


def test_the_adjudicators_sheet_shows_what_was_given(tmp_path: Path) -> None:
    item = Item(item="abcde", answer="=1", options=[("A", "Angry"), ("B", "Other")], given=("Angry", "Sad"))
    write_sheet(tmp_path / "d.csv", [item], adjudication=True)
    (row,) = read_sheet(tmp_path / "d.csv")
    assert row == {
        "item": "abcde",
        "options": "(A) Angry  (B) Other",
        "answer": "'=1",
        "given": "Angry, Sad",
        "label": "",
        "note": "",
    }


def test_the_rules_and_codes_lie_beside_the_spreadsheet(drawn: Path) -> None:
    instructions = (drawn / "sheets" / "instructions.txt").read_text()
    assert all(f"\n  {code}" in instructions for code in ANSWERS.names)
    assert all(rule in instructions for rule in ANSWERS.rules)
    counts = Counter(map(says, read_sheet(drawn / "sheets" / "coder1.csv")))
    assert set(counts) <= set(ANSWERS.names)
