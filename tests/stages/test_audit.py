"""Readings of the same answers against each other, and what the choice of the parser does to scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from audited_runs import make_corpus, make_run
from conftest import Serxbench, write_rows

from serxbench.corpora import open_corpus
from serxbench.errors import MissingStage
from serxbench.runs import Run
from serxbench.stages.audit import audit
from serxbench.stages.audit_readings import excerpt, one_line, readings_of
from serxbench.stages.evaluation import Settings
from serxbench.stages.import_answers import import_answers
from serxbench.stages.parse import parse
from serxbench.statistics import Inference

FAST = Settings(how=Inference(n_resamples=200))

ANSWERS = ["Sad", "sad", "I think it is angry.", "I'm sorry, I cannot say.", "", "purple"]


@pytest.fixture
def small(tmp_path: Path) -> Run:
    utterances = [{"id": f"u{n}", "votes": ["Sad", "Sad", "Happy"]} for n in range(len(ANSWERS))]
    corpus = open_corpus(f"manifest:{write_rows(tmp_path / 'corpus.jsonl', utterances)}", None)
    file = write_rows(tmp_path / "answers.jsonl", [{"id": f"u{n}", "response": a} for n, a in enumerate(ANSWERS)])
    run = import_answers(file, "theirs", ("open", False), corpus, tmp_path / "run")
    parse(run, ["rules", "identity"])
    return run


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    folder = tmp_path_factory.mktemp("audit")
    corpus = make_corpus(folder)
    return make_run(folder, "a", corpus, hit=0.8), make_run(folder, "b", corpus, hit=0.5, seed=2)


def test_by_hand(small: Run) -> None:
    """rules: Sad Sad Angry refused empty off_format; identity: Sad Sad Other Other empty Other.

    Alike: 3 of 6. Margins (Sad 2, Angry 1, refused 1, empty 1, off_format 1) and (Sad 2, Other 3, empty 1):
    p_e = (2 · 2 + 1 · 1) / 36, κ = (1/2 − 5/36) / (31/36) = 13/31.
    """
    (report,) = audit([small], FAST)["runs"]
    (pair,) = report["agreement"]
    assert (pair["first"], pair["second"], report["scored"]) == ("rules", "identity", "rules")
    assert pair["kinds"] == {"same": 3, "other_label": 1, "first_only": 0, "second_only": 2, "other_status": 0}
    assert pair["agreement"]["value"] == 0.5
    assert pair["kappa"]["value"] == pytest.approx(13 / 31)
    assert (report["n"], report["n_distinct"]) == (6, 6)
    assert sum(row["n"] for row in pair["routes"]) == 6
    assert sum(row["n_differ"] for row in pair["routes"]) == 3
    angry = next(each for each in pair["examples"] if each["id"] == "u2")
    assert (angry["first"]["code"], angry["first"]["word"], angry["second"]["code"]) == ("Angry", "angry", "Other")


def test_examples_are_of_every_kind_and_each_text_once(two: tuple[Run, Run]) -> None:
    (report,) = audit([two[0]], FAST, n_examples=12)["runs"]
    examples = report["agreement"][0]["examples"]
    assert len(examples) == 12
    assert len({each["answer"] for each in examples}) == 12
    # nine pairs of codes differ: every class read as Other, and refusals; each comes before any comes twice
    pairs = [(each["first"]["code"], each["second"]["code"]) for each in examples]
    assert len(set(pairs[:9])) == 9


def test_scores_under_each_reading_are_those_of_the_parser_alone(two: tuple[Run, Run], serxbench: Serxbench) -> None:
    run = two[0]
    before = {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    (report,) = audit([run], FAST)["runs"]
    assert {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()} == before
    scored = json.loads(serxbench("score", run.path, "--json", "--resamples", "200").stdout)[0]["scores"]
    for row in report["scores"]:
        same = ("metric", "reference", "variant", "subset")
        own = next(each for each in scored if all(each[key] == row[key] for key in same))
        assert row["values"]["rules"] == pytest.approx(own["value"])
        (told,) = row["differences"]
        assert told["difference"] == pytest.approx(row["values"]["rules"] - row["values"]["identity"])
        assert told["low"] < told["difference"] < told["high"]
    assert len(report["scores"]) == 4


def test_a_comparison_that_the_parser_decides_is_flagged(tmp_path: Path) -> None:
    """a answers rightly in sentences, b half as often in bare words: b leads for `identity`, a for `rules`."""
    corpus = make_corpus(tmp_path)
    opened = open_corpus(f"manifest:{corpus}", None)
    runs = []
    for name, form, every in (("a", "I hear {}, clearly.", 1), ("b", "{}", 2)):
        rows = [
            {"id": u.id, "response": form.format(u.votes[0].primary if n % every == 0 else "Other")}
            for n, u in enumerate(opened.utterances)
        ]
        file = write_rows(tmp_path / f"{name}.jsonl", rows)
        run = import_answers(file, name, ("open", False), opened, tmp_path / name)
        parse(run, ["rules", "identity"])
        runs.append(run)
    found = audit(runs, FAST)
    assert len(found["comparisons"]) == 4
    for row in found["comparisons"]:
        assert row["by_parser"]["rules"]["difference"] > 0 > row["by_parser"]["identity"]["difference"]
        assert "sign" in row["changes"]
    against = audit(runs[:1], FAST, baseline=runs[1])
    assert {row["adjustment"] for row in against["comparisons"]} == {"holm"}


def test_one_reading_is_nothing_to_compare(small: Run) -> None:
    parse(small, ["rules"])
    small.file("parsings/identity.jsonl").unlink()
    with pytest.raises(MissingStage, match=r"only rules has read its answers.*serxbench parse .* --parser OTHER"):
        audit([small], FAST)


def test_what_rules_alone_read_stands_beside_a_parser_that_begins_with_them(small: Run) -> None:
    """The reading of `rules` is made for the report where only `rules+NAME` is stored."""
    records = small.file("parsings/identity.jsonl").read_text().replace('"identity"', '"rules+theirs"')
    for path in small.file("parsings").iterdir():
        path.unlink()
    small.file("parsings/rules-theirs.jsonl").write_text(records)
    small.remember_sources(
        "parsings/rules-theirs.jsonl", ["responses.jsonl"], {"parser": "rules+theirs", "sha256": "x"}
    )
    small.file("parsed.jsonl").unlink()
    found = readings_of(small)
    assert list(found) == ["rules+theirs", "rules"]
    assert found["rules"].derived
    assert audit([small], FAST)["runs"][0]["not_stored"] == ["theirs"]
    assert found["rules"].codes == ["Sad", "Sad", "Angry", "refused", "empty", "off_format"]


def test_a_run_whose_corpus_is_gone_still_shows_agreement(small: Run) -> None:
    small.file("local.json").unlink()
    (report,) = audit([small], FAST)["runs"]
    assert report["scores"] == []
    assert "--data-root" in report["reason"]
    assert report["agreement"][0]["n"] == 6


def test_the_verb(two: tuple[Run, Run], serxbench: Serxbench) -> None:
    told = serxbench("audit", two[0].path, two[1].path, "--examples", "3", "--resamples", "200")
    assert told.returncode == 0, told.stderr
    assert "kappa" in told.stdout
    assert "comparisons of runs under each reading" in told.stdout
    options_first = serxbench("audit", "--json", two[0].path, "--resamples", "200", "--reference", "mv")
    found = json.loads(options_first.stdout)
    assert [row["reference"] for row in found["runs"][0]["scores"]] == ["mv", "mv"]
    absent = serxbench("audit", "show", "nowhere")
    assert (absent.returncode, absent.stderr.strip()) == (1, "error: nowhere: no such run folder")


def test_an_answer_is_shown_where_it_decides_and_cannot_write_elsewhere() -> None:
    long = "word " * 100 + "she is \x1b[2Jangry\u202e indeed" + " word" * 100
    shown = excerpt(long, [None, "angry"], width=60)
    assert "angry" in shown
    assert shown.isprintable()
    assert len(shown) <= 64
    assert excerpt(None, []) == ""
    assert one_line("a\r\n\tb\x00") == "a b"
