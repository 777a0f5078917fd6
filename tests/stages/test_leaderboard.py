"""The leaderboard: the paper's columns, marks where signatures differ, no markup from the outside."""

from __future__ import annotations

import copy
import re
from typing import Any

from serxbench.stages.leaderboard import leaderboard

INTERVAL = {
    "n": 9,
    "low": 0.15,
    "high": 0.25,
    "method": "jackknife",
    "unit": "speaker",
    "n_clusters": 12,
    "cautions": [{"kind": "few_clusters", "text": "12 speakers only"}],
    "ceiling": {"human": 0.5, "model_matched": 0.2, "n": 9},
}


def scores(name: str, mode: str, value: float, **parts: str) -> dict[str, Any]:
    signature = {"model": f"{name}@1", "prompt": mode, "corpus": "c", "parser": "rules@1", "dtype": "float32", **parts}
    floors = {"uniform": 0.1, "prior": 0.12, "majority": 0.05, "majority_class": 0}
    rows = [
        {
            "metric": "macro_f1",
            "reference": reference,
            "subset": subset,
            "value": value,
            "n": 9,
            "floors": floors,
            **INTERVAL,
        }
        for reference in ("mv", "all")
        for subset in ("all", "strict")
    ]
    return {
        "system": {"model": name, "display_name": name, "mode": mode, "cot": False},
        "corpus": {
            "name": "c",
            "split": "test",
            "revision": "r",
            "n": 10,
            "labels": ["Sad"],
            "description": "a corpus",
        },
        "run": f"runs/{name}-{mode}",
        "answers": {"coverage": 0.875},
        "scores": rows,
        "signature": {"text": "|".join(signature.values()), "parts": signature},
    }


def rows_of(text: str) -> list[list[str]]:
    """The first table: its headings and its systems."""
    shown = text.split("<details>")[0].splitlines()
    lines = [line for line in shown if line.startswith("| ") and not line.startswith("| |")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_open_and_closed_stand_side_by_side() -> None:
    text = leaderboard([scores("low", "open", 0.2), scores("high", "open", 0.3), scores("low", "closed", 0.4)])
    heads, high, low = rows_of(text)
    assert heads[2:7] == ["open MV", "open All", "open MV >.5", "open All >.5", "open coverage"]
    assert high == ["1", "high", "30.00", "30.00", "30.00", "30.00", "87.5", *["–"] * 5]
    assert low == ["2", "low", *["20.00"] * 4, "87.5", *["40.00"] * 4, "87.5"]
    assert "| | *guess: prior of these items* | 12.00 | 12.00 | 12.00 | 12.00 |  | 12.00 |" in text
    assert "| | *one more annotator* | 50.00 |" in text
    assert "| | high | [15.00, 25.00] |" in text
    assert "- caution: 12 speakers only" in text


def test_chain_of_thought_is_a_row_of_its_own() -> None:
    cot = scores("q2a", "open", 0.3)
    cot["system"]["cot"] = True
    assert [row[1] for row in rows_of(leaderboard([scores("q2a", "open", 0.2), cot]))[1:]] == ["q2a + CoT", "q2a"]


def test_a_different_signature_is_marked_and_explained() -> None:
    members = [scores("a", "open", 0.2), scores("b", "open", 0.3, parser="llm@2"), scores("c", "open", 0.1)]
    text = leaderboard(members)
    cells = {row[1]: row[2] for row in rows_of(text)}
    assert cells["b"] == "30.00 †"
    assert cells["a"] == "20.00"
    assert "† not comparable with the unmarked rows: parser llm@2 instead of rules@1" in text


def test_other_corpora_stand_apart() -> None:
    other = copy.deepcopy(scores("a", "open", 0.2))
    other["corpus"]["revision"] = "another"
    assert leaderboard([scores("a", "open", 0.2), other]).count("## c, split test") == 2


def test_a_missing_number_is_said_to_be_missing() -> None:
    one = scores("a", "open", 0.2)
    one["scores"][2] = {**one["scores"][2], "value": None, "reason": "no votes"}
    text = leaderboard([one])
    assert "n/a" in rows_of(text)[1]
    assert "All: n/a (no votes)" in text


def test_names_cannot_break_out_of_their_cell() -> None:
    text = leaderboard([scores("<script>alert(1)</script>|evil\n| 9 | x", "open", 0.2)])
    assert "<script>" not in text.split("<details>")[0]
    heads, row = rows_of(text)
    assert len(row) == len(heads)
    assert "`<script>alert(1)</script>|evil | 9 | x@1|open|" in text, "a signature stays in its code span"


def test_stars_say_what_they_compare() -> None:
    tested = {"difference": 0.1, "test": "permutation", "unit": "speaker", "n_resamples": 10_000, "family_size": 3}
    rows = [("macro_f1", "runs/a-open", "mv", 0.01), ("macro_f1", "runs/a-open", "all", 0.2)]
    rows.append(("uar", "runs/base-open", "mv", 0.01))
    found = {
        "baseline": "runs/base-open",
        "runs": {"runs/base-open": {"model": "base", "mode": "open"}},
        "comparisons": [
            {"metric": metric, "first": first, "reference": reference, "subset": "all", "p_adjusted": p, **tested}
            for metric, first, reference, p in rows
        ],
    }
    text = leaderboard([scores("a", "open", 0.3), scores("base", "open", 0.2)], [found])
    cells = {row[1]: row[2:4] for row in rows_of(text)}
    assert cells["a"] == ["30.00\\*", "30.00"]
    assert cells["base"] == ["20.00", "20.00"]
    assert (
        "differs from base (`runs/base-open`), paired permutation of whole speakers, B = 10000, Holm-adjusted" in text
    )
