"""The outcomes of a parser that are not about emotion words, and the accuracy on real answers."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from serxbench.clustering import get_clusterer
from serxbench.clustering.table import WordTable
from serxbench.emotions import EMOTIONS, OTHER, options_of
from serxbench.errors import UnknownName
from serxbench.parsing import PARSERS, get_parser
from serxbench.parsing.rules import RulesParser
from serxbench.records import Response

ANSWERS = Path(__file__).parents[3] / "shared" / "data" / "answers" / "answers_dev.jsonl"
OPTIONS = options_of(EMOTIONS)


def parse(text: str | None, stop: str = "end", error: str | None = None, name: str = "rules"):  # type: ignore[no-untyped-def]
    return get_parser(name).parse(Response(id="7", text=text, stop=stop, error=error), None)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(PARSERS))
@pytest.mark.parametrize(
    ("text", "stop", "status"),
    [
        (None, "error", "error"),
        ("Sad", "error", "error"),
        (None, "end", "error"),
        (None, "filtered", "refused"),
        ("Sad", "filtered", "refused"),
        ("", "end", "empty"),
        (" \n\t", "length", "empty"),
        ("Sad", "end", "ok"),
    ],
)
def test_stop_decides_before_the_text(name: str, text: str | None, stop: str, status: str) -> None:
    parsed = parse(text, stop, name=name)
    assert (parsed.id, parsed.parser, parsed.status) == ("7", name, status)
    assert (parsed.word is not None) == (status == "ok")


def test_the_reason_of_an_error_is_carried_over() -> None:
    assert parse(None, "error", "CUDA out of memory").error == "CUDA out of memory"
    assert parse(None, "end").error == "the response has no text"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("<think>The speaker sounds angry and", "truncated"),
        ("Let me listen to the pitch and", "truncated"),
        ("The speaker is sad because the", "ok"),
        ("I'm sorry, but I cannot", "refused"),
    ],
)
def test_cut_by_the_token_limit(text: str, status: str) -> None:
    assert parse(text, "length").status == status


def test_the_target_string_of_training_is_taken_apart() -> None:
    text = "<asr> I lost it. </asr><answer> I think the emotion is sad </answer><reason> Low pitch. </reason>"
    parsed = parse(text)
    assert (parsed.word, parsed.transcript, parsed.rationale) == ("sad", "I lost it.", "Low pitch.")
    assert parsed.route == "tag/statement"
    assert parsed.span is not None
    assert parsed.span in text


def test_word_route_and_span() -> None:
    parsed = parse("The pitch is low. Overall, she sounds Disappointed. Thanks!")
    assert (parsed.word, parsed.route, parsed.span) == (
        "disappointed",
        "conclusion",
        "Overall, she sounds Disappointed.",
    )


def test_a_word_that_is_not_listed_still_answers_where_an_answer_belongs() -> None:
    parsed = parse("<answer>blorpy</answer>")
    assert (parsed.status, parsed.word, parsed.route) == ("ok", "blorpy", "tag/unlisted")
    assert get_clusterer("table").cluster(parsed).via == "unlisted"
    assert parse("blorpy").status == "off_format"


def test_identity_takes_the_text_as_it_is() -> None:
    assert parse(" Fear \n", name="identity").word == "Fear"


def test_a_letter_without_options_commits_to_nothing() -> None:
    assert parse("B").status == "off_format"


def test_options_of_a_corpus_may_be_words_that_no_table_lists() -> None:
    parser, options = get_parser("rules"), (("A", "Wistful calm"), ("B", "Brouhaha"))
    assert parser.parse(Response(id="1", text="(b) brouhaha", stop="end"), options).word == "brouhaha"
    assert parser.parse(Response(id="1", text="brouhaha.", stop="end"), options).word == "brouhaha"


def test_the_hash_follows_the_table() -> None:
    table = WordTable(version=1, sha256="0" * 64, labels={"sad": "Sad"}, sources={"sad": "class"})
    assert RulesParser(table).sha256 != RulesParser().sha256 == get_parser("rules").sha256


def test_unknown_parser() -> None:
    with pytest.raises(
        UnknownName, match=r"no parser 'rule'; did you mean 'rules'\? List them: serxbench parse --help"
    ):
        get_parser("rule")


def test_forty_six_thousand_answers_take_no_minutes() -> None:
    text = "The speaker's voice conveys a sense of sadness number {}, as 'I lost it' and the low pitch indicate."
    responses = [Response(id=str(n), text=text.format(n), stop="end") for n in range(1150)]
    parser, seconds = get_parser("rules"), []
    for _ in range(4):
        begin = time.process_time()
        assert {parser.parse(response, OPTIONS).word for response in responses} == {"sadness"}
        seconds.append(time.process_time() - begin)
    # What it takes is measured by benchmarks/parsing.py; this catches an expression that backtracks.
    assert min(seconds) * 40 < 60


@pytest.mark.skipif(not ANSWERS.exists(), reason="the development answers are not part of the project")
@pytest.mark.parametrize("lettered", [False, True])
def test_real_answers(lettered: bool) -> None:
    rows = [json.loads(line) for line in ANSWERS.read_text(encoding="utf-8").splitlines()]
    parser, clusterer = get_parser("rules"), get_clusterer("table")
    missed = []
    for row in rows:
        options = options_of(tuple(row["options"])) if lettered and row["options"] else None
        parsed = parser.parse(Response(id=row["id"], text=row["response"], stop="end"), options)
        label = clusterer.cluster(parsed).label or OTHER
        if label != row["label"]:
            missed.append((row["response"], row["label"], label))
    assert len(missed) <= 0.05 * len(rows), missed


@pytest.mark.parametrize(
    "piece", ["happy, ", "not angry and ", "不是悲伤", '{"emotion": ', "<answer>", "(a) ", "\"'“ ", "A "]
)
def test_a_model_caught_in_a_loop_costs_no_more_than_seconds(piece: str) -> None:
    begin = time.process_time()
    get_parser("rules").parse(Response(id="1", text=piece * (12_000 // len(piece)), stop="length"), OPTIONS)
    assert time.process_time() - begin < 4
