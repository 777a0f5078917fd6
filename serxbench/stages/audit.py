"""Several parsers' readings of the same answers → where they differ, and what the choice does to the scores."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from serxbench import runs as files
from serxbench.errors import CorpusError, MetricError, MissingStage
from serxbench.records import Response
from serxbench.runs import Run
from serxbench.stages.audit_readings import CODES, READINGS, Reading, clusterer_of, excerpt, readings_of
from serxbench.stages.evaluation import (
    HEADLINES,
    SUBSETS,
    Evaluation,
    Headline,
    Settings,
    Subset,
    evaluate,
    reopen_corpus,
)
from serxbench.statistics import (
    Comparison,
    Inference,
    Unit,
    against_baseline,
    all_pairs,
    compare_raters,
    paired_test,
)

#: Of the JSON that `serxbench audit --json` prints.
SCHEMA = 1

#: The scores that are told for every parser: macro-F1 against the plurality and against every annotator.
TOLD = tuple(headline for headline in HEADLINES if headline.metric == "macro_f1")

Evaluations = Mapping[str, Mapping[str, Evaluation]]


def audit(
    runs: Sequence[Run], settings: Settings | None = None, *, baseline: Run | None = None, n_examples: int = 10
) -> dict[str, Any]:
    """How far the stored readings of each run agree, and the scores of every reading. Nothing is written.

    Of several runs, every comparison is made under each parser that read them all, as `compare` makes it; `changes`
    says whether its sign or its star depends on the parser. Raises MissingStage for a run with fewer than two readings.
    """
    settings = settings or Settings()
    members = {str(run.path): run for run in (*([baseline] if baseline else []), *runs)}
    readings = {name: _several(run) for name, run in members.items()}
    reports, found = [], {}
    for name, run in members.items():
        report = _report(run, readings[name], settings.how, n_examples)
        try:
            corpus = reopen_corpus(run)
        except CorpusError as error:
            reports.append({**report, "scores": [], "reason": str(error)})
            continue
        found[name] = {
            parser: evaluate(run, corpus, settings, predictions=each.predictions)
            for parser, each in readings[name].items()
        }
        reports.append({**report, "scores": list(_score_rows(found[name], settings))})
    against = str(baseline.path) if baseline else None
    return {
        "schema": SCHEMA,
        "references": str(settings.policy),
        "runs": reports,
        "baseline": against,
        "comparisons": list(_comparisons(found, against, settings)) if len(found) > 1 else [],
    }


def _several(run: Run) -> dict[str, Reading]:
    found = readings_of(run)
    if len(found) < 2:
        (name,) = found
        raise MissingStage(
            f"{run.path}: only {name} has read its answers, and there is nothing to compare it with; "
            f"store another reading: serxbench parse {run.path} --parser {name} --parser OTHER"
        )
    return found


def _report(run: Run, readings: Mapping[str, Reading], how: Inference, n_examples: int) -> dict[str, Any]:
    responses, manifest = run.read_records(files.RESPONSES, Response), run.manifest
    return {
        "run": str(run.path),
        "system": {"model": manifest.model["name"], "mode": manifest.mode, "cot": manifest.cot},
        "n": len(responses),
        "n_distinct": len({response.text for response in responses}),
        "scored": next(iter(readings)),
        "not_stored": sorted({other for name in readings if (other := name.partition("+")[2])} - readings.keys()),
        "clusterer": clusterer_of(run),
        "readings": [_summary(each) for each in readings.values()],
        "agreement": [
            agreement(responses, first, second, how, n_examples) for first, second in combinations(readings.values(), 2)
        ],
    }


def _summary(reading: Reading) -> dict[str, Any]:
    return {
        "parser": reading.parser,
        "derived": reading.derived,
        "n_ok": sum(parsed.status == "ok" for parsed in reading.parsed),
        "codes": _counted(reading.codes),
        "routes": dict(Counter(parsed.route or parsed.status for parsed in reading.parsed).most_common()),
    }


def _counted(codes: Sequence[str]) -> dict[str, int]:
    counts = Counter(codes)
    return {code: counts[code] for code in CODES if counts[code]}


def kind_of(first: str, second: str) -> str:
    """In which way two codes of one answer differ.

    >>> kind_of("Sad", "Sad"), kind_of("Sad", "Other"), kind_of("Sad", "refused"), kind_of("empty", "refused")
    ('same', 'other_label', 'first_only', 'other_status')
    """
    if first == second:
        return "same"
    commits = (first in READINGS, second in READINGS)
    names = {(True, True): "other_label", (True, False): "first_only", (False, True): "second_only"}
    return names.get(commits, "other_status")


KINDS = ("same", "other_label", "first_only", "second_only", "other_status")


def agreement(
    responses: Sequence[Response], first: Reading, second: Reading, how: Inference, n_examples: int
) -> dict[str, Any]:
    """How far two readings agree. Intervals resample different answers: a text that came often is read once."""
    used = [code for code in CODES if code in {*first.codes, *second.codes}]
    codes = used if len(used) > 1 else [*used, next(code for code in CODES if code not in used)]
    unit = Unit.of("answer", [str(response.text) for response in responses])
    found = compare_raters(first.codes, second.codes, codes, unit=unit, how=how)
    kinds = Counter(map(kind_of, first.codes, second.codes))
    return {
        "first": first.parser,
        "second": second.parser,
        **dataclasses.asdict(found),
        "kinds": {kind: kinds[kind] for kind in KINDS},
        "routes": _routes(first, second),
        "examples": _examples(responses, first, second, n_examples),
    }


def _routes(first: Reading, second: Reading) -> list[dict[str, Any]]:
    """For each pair of rules that decided: answers, and answers that came out differently, the most of these first."""
    n, differing = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for one, other, left, right in zip(first.parsed, second.parsed, first.codes, second.codes, strict=True):
        pair = (one.route or one.status, other.route or other.status)
        n[pair] += 1
        differing[pair] += left != right
    order = sorted(n, key=lambda pair: (-differing[pair], -n[pair], pair))
    return [{"first": pair[0], "second": pair[1], "n": n[pair], "n_differ": differing[pair]} for pair in order]


def _examples(responses: Sequence[Response], first: Reading, second: Reading, n: int) -> list[dict[str, Any]]:
    """Up to n differing answers, each text once: one of every pair of codes first, the most frequent pairs leading."""
    by_pair: dict[tuple[str, str], dict[str | None, list[int]]] = defaultdict(lambda: defaultdict(list))
    for position, pair in enumerate(zip(first.codes, second.codes, strict=True)):
        if pair[0] != pair[1]:
            by_pair[pair][responses[position].text].append(position)
    pairs = sorted(by_pair.values(), key=lambda texts: -sum(map(len, texts.values())))
    columns = [sorted(texts.values(), key=lambda items: (-len(items), items[0])) for texts in pairs]
    chosen = [column[rank] for rank in range(n) for column in columns if rank < len(column)][:n]
    return [_example(responses[items[0]], first, second, items) for items in chosen]


def _example(response: Response, first: Reading, second: Reading, items: Sequence[int]) -> dict[str, Any]:
    sides = [(reading.parsed[items[0]], reading.codes[items[0]]) for reading in (first, second)]
    return {
        "id": response.id,
        "n_same": len(items),
        "answer": excerpt(response.text, [parsed.span for parsed, _ in sides]),
        "kind": kind_of(sides[0][1], sides[1][1]),
        **{
            side: {"code": code, "word": parsed.word, "route": parsed.route, "span": parsed.span}
            for side, (parsed, code) in zip(("first", "second"), sides, strict=True)
        },
    }


def columns() -> Iterator[tuple[Headline, Subset, dict[str, Any]]]:
    """The scores that are told for every parser, and how a row of each begins."""
    for headline in TOLD:
        for subset in SUBSETS:
            head = {"metric": headline.metric, "reference": headline.reference, "variant": headline.variant}
            yield headline, subset, {**head, "subset": subset}


def _score_rows(found: Mapping[str, Evaluation], settings: Settings) -> Iterator[dict[str, Any]]:
    """For each column: the score under every parser, and the paired difference of every two of them."""
    for headline, subset, head in columns():
        try:
            one = next(iter(found.values()))
            selection = one.select(headline, subset)
            own = {parser: each.contributions(headline, selection) for parser, each in found.items()}
            unit = one.unit.take(selection.items)
            tests = {
                pair: paired_test(own[pair[0]], own[pair[1]], headline.formula, unit=unit, how=settings.how)
                for pair in combinations(own, 2)
            }
        except MetricError as error:
            yield {**head, "reason": str(error)}
            continue
        yield {
            **head,
            "n": selection.n_items,
            "values": {parser: each.value(headline.formula) for parser, each in own.items()},
            "differences": [
                {
                    "first": first,
                    "second": second,
                    "difference": test.difference,
                    "low": test.low,
                    "high": test.high,
                    "p": test.p,
                    "level": test.level,
                    "unit": test.unit,
                    "n_clusters": test.n_clusters,
                }
                for (first, second), test in tests.items()
            ],
        }


def _comparisons(found: Evaluations, baseline: str | None, settings: Settings) -> Iterator[dict[str, Any]]:
    """For each column and pair of runs: the comparison under each common parser, and what of it depends on that."""
    parsers = [name for name in next(iter(found.values())) if all(name in each for each in found.values())]
    for headline, subset, head in columns():
        try:
            families = {
                parser: _family(
                    {run: each[parser] for run, each in found.items()}, headline, subset, baseline, settings
                )
                for parser in parsers
            }
        except MetricError as error:
            yield {**head, "reason": str(error)}
            continue
        for row in zip(*families.values(), strict=True):
            by_parser = {parser: _told(each, settings) for parser, each in zip(parsers, row, strict=True)}
            yield {
                **head,
                "first": row[0].first,
                "second": row[0].second,
                "adjustment": row[0].adjustment,
                "by_parser": by_parser,
                "changes": [
                    name
                    for name, key in (("sign", "sign"), ("star", "starred"))
                    if len({told[key] for told in by_parser.values()}) > 1
                ],
            }


def _family(
    found: Mapping[str, Evaluation], headline: Headline, subset: Subset, baseline: str | None, settings: Settings
) -> list[Comparison]:
    own = {run: each.contributions(headline, each.select(headline, subset)) for run, each in found.items()}
    one = next(iter(found.values()))
    unit = one.unit.take(one.select(headline, subset).items)
    if baseline is None:
        return list(all_pairs(own, headline.formula, unit=unit, how=settings.how).values())
    return list(against_baseline(own, baseline, headline.formula, unit=unit, how=settings.how).values())


def _told(found: Comparison, settings: Settings) -> dict[str, Any]:
    test = found.test
    return {
        "difference": test.difference,
        "low": test.low,
        "high": test.high,
        "p_adjusted": found.p_adjusted,
        "sign": (test.difference > 0) - (test.difference < 0),
        "starred": found.p_adjusted <= 1 - settings.how.level,
    }
