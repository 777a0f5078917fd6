"""From filled sheets to parser errors and adjusted scores, end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from audited_runs import fill, make_corpus, make_run, read_sheet, says, write_sheet_rows
from conftest import Serxbench

from serxbench.errors import RunError, UsageError
from serxbench.runs import Run
from serxbench.stages.audit_sample import SampleRequest, draw_sample
from serxbench.stages.audit_score import gate, score_sample
from serxbench.stages.evaluation import Settings
from serxbench.statistics import Inference

FAST = Settings(how=Inference(n_resamples=200))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("runs")
    corpus = make_corpus(folder)
    return [make_run(folder, "one", corpus, mute=20), make_run(folder, "two", corpus, hit=0.4, seed=2)]


def sampled(runs: list[Run], out: Path, **request: Any) -> Path:
    draw_sample(runs, out, SampleRequest(per_system=120, **request))
    return out


def coded(folder: Path, *, careless: int = 0) -> list[Path]:
    """Two filled sheets; the second coder writes Surprise for the first `careless` items of hers."""
    slips = {row["item"] for row in read_sheet(folder / "sheets" / "coder2.csv")[:careless]}
    one = fill(folder / "sheets" / "coder1.csv", folder / "a.csv", says)
    two = fill(
        folder / "sheets" / "coder2.csv",
        folder / "b.csv",
        lambda row: "Surprise" if row["item"] in slips else says(row),
    )
    return [one, two]


def test_a_good_parser_passes_the_gate(runs: list[Run], tmp_path: Path) -> None:
    folder = sampled(runs, tmp_path / "s")
    found = score_sample(folder, coded(folder), settings=FAST)
    assert found["coders"]["alpha"] == 1
    assert found["n_disagreements"] == 0
    (pair,) = found["coders"]["pairs"]
    assert (pair["kappa"]["value"], pair["kappa"]["high"]) == (1, 1)
    assert pair["kappa"]["low"] < 1
    for system in found["systems"]:
        assert system["error"]["n"] == 120
        assert system["error"]["value"] <= 0.02
        assert 0 < system["error"]["high"] < 0.1
        assert system["none"]["precision"]["high"] <= 1
        assert {each["second"] for each in system["agreement"]} == {"identity"}
        assert len(system["scores"]) == 4
    assert found["systems"][0]["n_textless"] == 20
    assert found["gate"]["passes"]
    assert len(found["comparisons"]) == 4
    assert json.loads((folder / "audit.json").read_text()) == json.loads(json.dumps(found))


def test_a_bad_parser_is_measured_and_undone(runs: list[Run], tmp_path: Path) -> None:
    """`identity` reads sentences as Other. Its errors by hand from the key; its score moves towards that of `rules`."""
    folder = sampled(runs[:1], tmp_path / "s", parser="identity")
    found = score_sample(folder, coded(folder), settings=FAST)
    key = json.loads((folder / "key.json").read_text())
    answers = {id: item["answer"] for item in key["items"] for id in item["ids"]["s1"]}
    strata = key["systems"][0]["strata"]
    by_hand = sum(
        row["size"] / 220 * sum(_reading(answers[id]) != _read(row["code"]) for id in row["ids"]) / row["n"]
        for row in strata
    )
    (system,) = found["systems"]
    assert system["error"]["value"] == pytest.approx(by_hand)
    assert system["error"]["value"] > 0.5
    assert system["error"]["low"] < by_hand < system["error"]["high"]
    assert system["none"]["precision"] is None
    assert system["none"]["recall"]["value"] == 0
    assert "none" in system["indistinct"]
    assert not found["gate"]["passes"]
    counts = system["confusion"]["counts"]
    assert sum(map(sum, counts)) == 120
    assert counts[9][8] == sum(_reading(answers[id]) == "none" for row in strata for id in row["ids"])
    rules = score_sample(sampled_rules := sampled(runs[:1], tmp_path / "r"), coded(sampled_rules), settings=FAST)
    better = {row["variant"]: row["read"] for row in rules["systems"][0]["scores"] if row["subset"] == "all"}
    for row in system["scores"]:
        if row["subset"] == "all":
            assert row["read"] < row["value"]
            assert abs(row["value"] - better[row["variant"]]) < abs(row["read"] - better[row["variant"]])


def _reading(answer: str) -> str:
    code = says({"answer": answer})
    return "none" if code in ("refused", "off_format") else code


def _read(code: str) -> str:
    return code if code[0].isupper() else "none"


def test_disagreements_go_to_a_third_person(runs: list[Run], tmp_path: Path, serxbench: Serxbench) -> None:
    folder = sampled(runs, tmp_path / "s")
    sheets = coded(folder, careless=6)
    undecided = serxbench("audit", "score", folder, *sheets, "--resamples", "200")
    assert undecided.returncode == 0, undecided.stderr
    assert "--adjudicated FILE" in undecided.stderr
    rows = read_sheet(folder / "disagreements.csv")
    assert 3 <= len(rows) <= 6
    assert all("Surprise" in row["given"] for row in rows)
    assert (folder / "disagreements.html").is_file()
    assert json.loads((folder / "audit.json").read_text())["systems"] is None
    third = write_sheet_rows(tmp_path / "third.csv", [{"item": row["item"], "label": says(row)} for row in rows])
    told = serxbench("audit", "score", folder, *sheets, "--adjudicated", third, "--resamples", "200")
    assert told.returncode == 0, told.stderr
    assert "| s1 one, open | rules |" in told.stdout
    assert "Gate passed" in told.stdout
    found = json.loads((folder / "audit.json").read_text())
    assert found["systems"][0]["error"]["value"] <= 0.02
    assert found["coders"]["alpha"] < 1
    short = write_sheet_rows(tmp_path / "short.csv", [{"item": rows[0]["item"], "label": "Sad"}])
    with pytest.raises(RunError, match=f"{len(rows) - 1} items are not there"):
        score_sample(folder, sheets, short, FAST)


def test_reasons_of_no_commitment_are_no_disagreement_about_the_reading(runs: list[Run], tmp_path: Path) -> None:
    folder = sampled(runs[:1], tmp_path / "s")
    one, _ = coded(folder)
    other = fill(
        folder / "sheets" / "coder2.csv",
        folder / "c.csv",
        lambda row: "empty" if says(row) in ("refused", "off_format") else says(row),
    )
    found = score_sample(folder, [one, other], settings=FAST)
    assert found["n_disagreements"] == 0
    (pair,) = found["coders"]["pairs"]
    assert pair["kappa"]["value"] == 1
    assert pair["kappa_all_codes"]["value"] < 1


def test_without_the_runs_the_errors_are_still_measured(runs: list[Run], tmp_path: Path) -> None:
    folder = sampled(runs[:1], tmp_path / "s")
    sheets = coded(folder)
    (folder / "local.json").write_text(json.dumps({"s1": "gone"}))
    (system,) = score_sample(folder, sheets, settings=FAST)["systems"]
    assert "no such run folder" in system["reason"]
    assert system["scores"] == []
    assert system["error"]["n"] == 120


def test_a_parser_that_changed_since_the_sample_is_not_scored(runs: list[Run], tmp_path: Path) -> None:
    folder = sampled(runs[:1], tmp_path / "s")
    sheets = coded(folder)
    key = json.loads((folder / "key.json").read_text())
    key["systems"][0]["readings_sha256"] = "0"
    (folder / "key.json").write_text(json.dumps(key))
    (system,) = score_sample(folder, sheets, settings=FAST)["systems"]
    assert "rules does not read its answers as when the sample was drawn" in system["reason"]


def test_what_cannot_be_scored(runs: list[Run], tmp_path: Path) -> None:
    folder = sampled(runs[:1], tmp_path / "s")
    one, two = coded(folder)
    with pytest.raises(UsageError, match="two coders or more"):
        score_sample(folder, [one, one], settings=FAST)
    with pytest.raises(UsageError, match="two coders or more"):
        score_sample(folder, [one], settings=FAST)
    with pytest.raises(RunError, match="holds no sample"):
        score_sample(tmp_path, [one, two], settings=FAST)
    fill(folder / "sheets" / "coder1.csv", one, lambda row: "happy-ish")
    with pytest.raises(RunError, match=r"a\.csv:2: item \w{5} has label 'happy-ish'; did you mean Happy\?"):
        score_sample(folder, [one, two], settings=FAST)


@pytest.mark.parametrize(
    ("rates", "passes", "n_reasons"),
    [([0.01, 0.012], True, 0), ([0.021], False, 1), ([0.001, 0.012], False, 1), ([0.0, 0.05], False, 2)],
)
def test_the_gate(rates: list[float], passes: bool, n_reasons: int) -> None:
    """98 % read rightly in every system, and no two systems more than a point apart."""
    found = gate([{"error": {"value": rate}} for rate in rates])
    assert (found["passes"], len(found["reasons"])) == (passes, n_reasons)
