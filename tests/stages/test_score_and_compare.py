"""Scores with intervals, floors and ceiling; paired comparisons; and what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SHARED, Serxbench, write_rows
from sklearn.metrics import f1_score

from serxbench.emotions import EMOTIONS

#: Every field that a row of scores has: documented in docs/scores.md, and relied on by others.
SCORE_FIELDS = {
    *("metric", "reference", "variant", "subset", "value", "low", "high", "se", "level", "method", "unit", "n"),
    *("n_clusters", "design_effect", "n_resamples", "seed", "cautions", "excluded", "support", "coverage"),
    *("value_answered_only", "floors", "value_above_prior", "ceiling", "mean_votes", "mean_union", "signature"),
}
COMPARISON_FIELDS = {
    *("metric", "reference", "variant", "subset", "first", "second", "value_first", "value_second", "difference"),
    *("low", "high", "se", "level", "method", "test", "p_raw", "p_adjusted", "adjustment", "family_size", "unit", "n"),
    *("n_clusters", "design_effect", "n_resamples", "seed", "detectable_difference", "cautions"),
}

Row = dict[str, Any]


def corpus_rows(n: int = 240, n_speakers: int = 12) -> list[Row]:
    rng = np.random.default_rng(7)
    rows = []
    for item in range(n):
        truth = int(rng.integers(8))
        votes = [truth if rng.random() < 0.6 else int(rng.integers(8)) for _ in range(5)]
        primaries = [EMOTIONS[vote] for vote in votes]
        rows.append({"id": f"u{item}", "speaker": f"s{item % n_speakers}", "votes": primaries})
    return rows


def answers_for(rows: Sequence[Row], hit: float, seed: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    answers = []
    for row in rows:
        counts = {label: row["votes"].count(label) for label in row["votes"]}
        best = max(counts, key=lambda label: counts[label])
        answers.append({"id": row["id"], "response": best if rng.random() < hit else EMOTIONS[int(rng.integers(8))]})
    return answers


def named(row: Row) -> tuple[str, str, str]:
    return row["metric"], row["reference"], row["subset"]


@pytest.fixture
def three_runs(tmp_path: Path, serxbench: Serxbench) -> list[str]:
    rows = corpus_rows()
    data = f"manifest:{write_rows(tmp_path / 'corpus.jsonl', rows)}"
    for name, hit in (("good", 0.8), ("fair", 0.5), ("poor", 0.1)):
        file = write_rows(tmp_path / f"{name}.jsonl", answers_for(rows, hit, seed=len(name) + int(hit * 10)))
        made = serxbench("import", file, "--model", name, "--mode", "open", "--data", data, "--out", name)
        assert made.returncode == 0, made.stderr
    return ["good", "fair", "poor"]


def test_a_row_of_scores_has_what_the_docs_say(three_runs: list[str], serxbench: Serxbench) -> None:
    documented = (Path(__file__).parents[2] / "docs" / "scores.md").read_text(encoding="utf-8")
    found = json.loads(serxbench("score", *three_runs, "--json").stdout)
    assert [scores["run"] for scores in found] == three_runs
    for row in found[0]["scores"]:
        assert row.keys() - {"per_class"} == SCORE_FIELDS
        assert row["low"] <= row["value"] <= row["high"]
        assert (row["unit"], row["n_clusters"], row["level"]) == ("speaker", 12, 0.95)
        assert row["floors"].keys() == {"uniform", "prior", "majority", "majority_class"}
        assert row["ceiling"].keys() == {"human", "model_matched", "n"}
        assert "few_clusters" in {caution["kind"] for caution in row["cautions"]}
        assert f"|subset:{row['subset']}|unit:speaker|" in row["signature"]
    assert all(f"`{field}`" in documented for field in SCORE_FIELDS | COMPARISON_FIELDS)


def test_the_headline_is_scikit_learns(three_runs: list[str], tmp_path: Path, serxbench: Serxbench) -> None:
    (scores,) = json.loads(serxbench("score", "fair", "--json", "--reference", "mv", "--subset", "all").stdout)
    assert {(row["reference"], row["subset"]) for row in scores["scores"]} == {("mv", "all")}
    row = next(row for row in scores["scores"] if row["metric"] == "macro_f1")
    rows = [json.loads(line) for line in (tmp_path / "corpus.jsonl").read_text().splitlines()]
    said = {
        each["id"]: each["response"] for each in map(json.loads, (tmp_path / "fair.jsonl").read_text().splitlines())
    }
    truth, answers = [], []
    for each in rows:
        counts = sorted((each["votes"].count(label), label) for label in set(each["votes"]))
        if len(counts) == 1 or counts[-1][0] > counts[-2][0]:
            truth.append(counts[-1][1])
            answers.append(said[each["id"]])
    expected = f1_score(truth, answers, labels=list(EMOTIONS), average="macro", zero_division=0)
    assert row["value"] == pytest.approx(expected, abs=1e-12)
    assert row["n"] == len(truth)


def test_units_and_variants_are_asked_for(three_runs: list[str], serxbench: Serxbench) -> None:
    (scores,) = json.loads(serxbench("score", "good", "--json", "--unit", "item", "--reference", "multilabel").stdout)
    assert [(row["variant"], row["unit"], row["n_clusters"]) for row in scores["scores"]] == [
        ("multilabel", "item", None)
    ] * 2
    assert "items_resampled" in {caution["kind"] for caution in scores["scores"][0]["cautions"]}
    refused = serxbench("score", "good", "--unit", "group")
    assert (refused.returncode, "have no group id" in refused.stderr) == (1, True)
    unknown = serxbench("score", "good", "--reference", "multilable")
    assert (unknown.returncode, "did you mean 'multilabel'?" in unknown.stderr) == (2, True)


def test_against_a_baseline_p_is_holms(three_runs: list[str], serxbench: Serxbench) -> None:
    found = json.loads(serxbench("compare", "good", "fair", "--baseline", "poor", "--json").stdout)
    assert (found["baseline"], found["adjustment"], found["exploratory"]) == ("poor", "holm", False)
    assert found["items"] == {"n": 240, "of": {"poor": 240, "good": 240, "fair": 240}}
    for row in found["comparisons"]:
        assert row.keys() == COMPARISON_FIELDS
        assert (row["second"], row["family_size"], row["unit"]) == ("poor", 2, "speaker")
        assert row["difference"] == pytest.approx(row["value_first"] - row["value_second"])
        assert row["p_raw"] <= row["p_adjusted"] <= min(1, 2 * row["p_raw"])
    column = {row["first"]: row for row in found["comparisons"] if named(row) == ("macro_f1", "mv", "all")}
    assert column["good"]["difference"] > column["fair"]["difference"] > 0
    assert column["good"]["p_adjusted"] < 0.05


def test_all_pairs_are_exploratory(three_runs: list[str], serxbench: Serxbench) -> None:
    found = json.loads(serxbench("compare", *three_runs, "--json", "--reference", "all", "--subset", "strict").stdout)
    assert (found["baseline"], found["adjustment"], found["exploratory"]) == (None, "benjamini-hochberg", True)
    pairs = [(row["first"], row["second"]) for row in found["comparisons"] if row["metric"] == "macro_f1"]
    assert pairs == [("good", "fair"), ("good", "poor"), ("fair", "poor")]
    table = serxbench("compare", *three_runs).stdout
    assert "whole speakers (12) swapped, B = 10000" in table
    assert "all pairs, exploratory" in table


def test_runs_on_other_items_are_not_silently_intersected(
    three_runs: list[str], tmp_path: Path, serxbench: Serxbench
) -> None:
    data = f"manifest:{tmp_path / 'corpus.jsonl'}"
    file = write_rows(tmp_path / "part.jsonl", answers_for(corpus_rows()[:150], 0.6, seed=3))
    made = serxbench(
        "import", file, "--model", "part", "--mode", "open", "--data", data, "--limit", 150, "--out", "part"
    )
    assert made.returncode == 0, made.stderr
    refused = serxbench("compare", "good", "part")
    assert refused.returncode == 1
    assert (
        "90 only in the first, 0 only in the second, 150 in both. To compare on those in both, add --common"
        in refused.stderr
    )
    found = json.loads(serxbench("compare", "good", "part", "--common", "--json").stdout)
    assert found["items"] == {"n": 150, "of": {"good": 240, "part": 150}}
    assert serxbench("compare", "good", "./good").returncode == 2


def test_another_revision_is_refused(three_runs: list[str], tmp_path: Path, serxbench: Serxbench) -> None:
    rows = corpus_rows()
    rows[0]["votes"] = ["Fear"] * 5
    data = f"manifest:{write_rows(tmp_path / 'other.jsonl', rows)}"
    file = write_rows(tmp_path / "x.jsonl", answers_for(rows, 0.5, seed=1))
    assert serxbench("import", file, "--model", "x", "--mode", "open", "--data", data, "--out", "x").returncode == 0
    refused = serxbench("compare", "good", "x")
    assert (refused.returncode, "the same 240 ids with other labels, votes or speakers" in refused.stderr) == (1, True)
    assert "1 of them have other labels" in serxbench("compare", "good", "x", "--common").stderr


def test_power_of_a_corpus_and_of_a_plan(tmp_path: Path, serxbench: Serxbench) -> None:
    data = f"manifest:{write_rows(tmp_path / 'corpus.jsonl', corpus_rows())}"
    known = json.loads(serxbench("power", "--data", data, "--json").stdout)
    assert (known["unit"], known["n_clusters"]) == ("speaker", 12)
    small, large = (
        json.loads(serxbench("power", "--items", n, "--shares", "48,20,12,8,5,3,3,1", "--json").stdout)["difference"]
        for n in (1_000, 10_000)
    )
    assert small == pytest.approx(0.06, abs=0.01)
    assert large == pytest.approx(0.02, abs=0.004)
    for wrong in (["power"], ["power", "--items", "9", "--shares", "a,b"], ["power", "--items", "1"]):
        finished = serxbench(*wrong)
        assert (finished.returncode in (1, 2), "Traceback" in finished.stderr) == (True, False)


@pytest.mark.skipif(not (SHARED / "crema-d").is_dir(), reason="the CREMA-D development data is not here")
def test_the_ceiling_of_the_real_votes(tmp_path: Path, serxbench: Serxbench) -> None:
    (tmp_path / "tabulatedVotes.csv.gz").write_bytes((SHARED / "crema-d" / "tabulatedVotes.csv.gz").read_bytes())
    from serxbench.corpora import open_corpus

    corpus = open_corpus("crema-d", tmp_path)
    file = write_rows(tmp_path / "neutral.jsonl", [{"id": u.id, "label": "Neutral"} for u in corpus.utterances])
    asked = ["--data", "crema-d", "--data-root", tmp_path, "--out", "run"]
    assert serxbench("import", file, "--model", "neutral", "--mode", "open", *asked).returncode == 0
    (scores,) = json.loads(serxbench("score", "run", "--json").stdout)
    by_name = {named(row): row for row in scores["scores"]}
    assert round(by_name["macro_f1", "mv", "all"]["ceiling"]["human"], 3) == 0.488
    assert round(by_name["macro_f1", "all", "all"]["ceiling"]["human"], 3) == 0.861
    assert round(scores["references"]["krippendorff_alpha"], 3) == 0.281
    assert scores["references"]["consensus_agreement"] == {"agree": 7442, "total": 7442}
    assert by_name["macro_f1", "mv", "all"]["value"] == pytest.approx(
        by_name["macro_f1", "mv", "all"]["floors"]["majority"]
    )
