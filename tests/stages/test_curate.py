"""serxbench curate: rows in, the same rows out, whatever is wrong with them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from conftest import Serxbench, read_rows, write_rows

from serxbench.demo.rationales import make_rows
from serxbench.hashing import hash_file

FIT = {
    "id": "u1",
    "emotion": "Sad",
    "transcript": "I miss her so much.",
    "rationale": 'The words "so much" come slowly, in a low, breathy voice with a falling end.',
}


def test_every_line_comes_out_again_in_order(serxbench: Serxbench, tmp_path: Path) -> None:
    lines = [
        json.dumps({**FIT, "speaker": "s1", "note": "stays"}),
        "{not json",
        json.dumps([1, 2]),
        json.dumps({"id": "u4", "emotion": "Sad", "transcript": "No."}),
        json.dumps({**FIT, "id": "u5", "rationale": None, "status": "error"}),
        json.dumps({**FIT, "id": "u6", "transcript": ""}),
        json.dumps({**FIT, "id": "u7", "emotion": "Other"}),
        json.dumps({**FIT, "id": "u8", "rationale": FIT["rationale"] + " What do you think?"}),
        json.dumps({**FIT, "id": "u9", "rationale": 3}),
    ]
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = serxbench("curate", source, "--out", out, "--report", tmp_path / "report.md", "--json")
    rows = read_rows(out)
    assert done.returncode == 3
    assert [row["reasons"] for row in rows[1:7]] == [
        ["malformed"], ["malformed"], ["malformed"], ["no_rationale"], ["no_transcript"], ["no_label"],
    ]  # fmt: skip
    assert rows[8]["details"] == ["line 9: has rationale that is no text"]
    assert rows[1]["text"] == "{not json"
    assert "in.jsonl: line 2: is not JSON" in done.stderr
    first, duplicate = sorted((rows[0], rows[7]), key=lambda row: not row["kept"])
    assert first["kept"]
    assert duplicate["reasons"] == ["near_duplicate"]
    assert duplicate["duplicate_of"] == first["id"]
    assert rows[0]["note"] == "stays"
    assert rows[7]["rationale"] == FIT["rationale"]
    assert rows[7]["rationale_given"] == FIT["rationale"] + " What do you think?"
    assert rows[7]["removed"] == [{"code": "question", "text": "What do you think?"}]
    summary = json.loads(done.stdout)
    assert (summary["n"], summary["n_kept"], summary["reasons"]["malformed"]) == (9, 1, 4)
    assert json.loads((tmp_path / "out.jsonl.derived.json").read_text())["out.jsonl"]["made_from"] == {
        "in.jsonl": hash_file(source)
    }


def test_what_is_kept_does_not_depend_on_the_order_of_the_file(serxbench: Serxbench, tmp_path: Path) -> None:
    rows = make_rows()[:300]
    shuffled = random.Random(1).sample(rows, len(rows))
    kept = []
    for name, given in (("a", rows), ("b", shuffled)):
        serxbench("curate", write_rows(tmp_path / f"{name}.jsonl", given), "--out", tmp_path / f"{name}.out", "-q")
        kept.append({row["id"] for row in read_rows(tmp_path / f"{name}.out") if row["kept"]})
    assert kept[0] == kept[1]
    assert 250 < len(kept[0]) < 300


def test_curating_what_was_curated_changes_nothing(serxbench: Serxbench, tmp_path: Path) -> None:
    given = [FIT, {**FIT, "id": 2, "rationale": "Well, she is sad, isn't she?"}]
    serxbench("curate", write_rows(tmp_path / "a.jsonl", given), "--out", tmp_path / "b.jsonl", "-q")
    serxbench("curate", tmp_path / "b.jsonl", "--out", tmp_path / "c.jsonl", "-q")
    assert (tmp_path / "b.jsonl").read_bytes() == (tmp_path / "c.jsonl").read_bytes()


def test_the_report_shows_model_output_as_text(serxbench: Serxbench, tmp_path: Path) -> None:
    hostile = {**FIT, "id": "<img src=x>|", "rationale": "# Heading\n<script>alert(1)</script> | sad `code`"}
    source = write_rows(tmp_path / "in.jsonl", [hostile])
    serxbench("curate", source, "--out", tmp_path / "out.jsonl", "--report", tmp_path / "report.md")
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "\\<img src=x\\>\\|" in report
    assert all(line.startswith("      ") for line in report.splitlines() if "<script>" in line)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.jsonl", "--out", "x"], "no such file"),
        (["in.jsonl", "--out", "in.jsonl"], "is the file that is read"),
        (["in.jsonl", "--out", "x", "--min-words", "9", "--max-words", "3"], "1 <= --min-words <= --max-words"),
        (["in.jsonl", "--out", "x", "--similarity", "0"], "wanted a share"),
    ],
)
def test_what_makes_no_sense_is_refused(
    serxbench: Serxbench, tmp_path: Path, arguments: list[str], message: str
) -> None:
    write_rows(tmp_path / "in.jsonl", [FIT])
    done = serxbench("curate", *arguments)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
