"""Filled sheets and the key → how sure the coding is, how often each system is misread, and its scores without that."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from serxbench.errors import MetricError, RunError, UsageError
from serxbench.metrics import krippendorff_alpha
from serxbench.runs import write_atomically
from serxbench.stages.audit_adjusted import adjusted_comparisons, adjusted_scores, parser_agreement, reopen
from serxbench.stages.audit_page import write_page
from serxbench.stages.audit_readings import READINGS, reading_of
from serxbench.stages.audit_rules import ANSWERS, WORDS, Task
from serxbench.stages.audit_sample import KEY, SCHEMA
from serxbench.stages.audit_sheets import Coding, Item, read_coding, write_sheet
from serxbench.stages.audit_words import judge_words
from serxbench.stages.evaluation import Settings
from serxbench.statistics import Inference, compare_raters
from serxbench.statistics.misreading import N_DRAWS, Stratum, error_rate, indistinct, joint, posterior

RESULT = "audit.json"
DISAGREEMENTS = "disagreements"

#: The gate: a parser is good enough to print its scores first if it reads this share of answers as people do, and no
#: two systems differ by more in how often they are misread.
LEAST_ACCURACY = 0.98
LARGEST_DIFFERENCE = 0.01


def score_sample(
    folder: Path,
    sheets: Sequence[Path],
    adjudicated: Path | None = None,
    settings: Settings | None = None,
    data_root: Path | None = None,
) -> dict[str, Any]:
    """What the coders' sheets say of the parser, written to audit.json in the sample's folder.

    Without `adjudicated`, coders who disagree end it early: `disagreements.csv` and `.html` hold what a third person
    has to decide, and `systems` is None. Raises RunError naming every fault of a sheet.
    """
    settings = settings or Settings()
    key = read_key(folder)
    task = WORDS if key["kind"] == "words" else ANSWERS
    rows, sample = key["items"], key["sample"]
    codings = _codings(sheets, [row["item"] for row in rows], sample, task)
    disputed = [row for row in rows if len({reading_of(coding.labels[row["item"]]) for coding in codings}) > 1]
    result: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": key["kind"],
        "sample": sample,
        "n_items": len(rows),
        "coders": _coders(codings, task, settings.how),
        "n_disagreements": len(disputed),
        "systems": None,
    }
    if disputed and adjudicated is None:
        _write_disputed(folder, disputed, codings, sample, task)
    else:
        truth = {row["item"]: reading_of(codings[0].labels[row["item"]]) for row in rows}
        if adjudicated is not None:
            decided = read_coding(adjudicated, [row["item"] for row in disputed], sample, task).labels
            truth |= {item: reading_of(code) for item, code in decided.items()}
        if task is WORDS:
            result |= judge_words(folder, key, codings, truth, settings)
        else:
            result |= _judged(folder, key, truth, settings, data_root)
    write_atomically(folder / RESULT, json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False))
    return result


def read_key(folder: Path) -> dict[str, Any]:
    """What `draw_sample` wrote. Raises RunError if the folder is no sample of this version."""
    try:
        key: dict[str, Any] = json.loads((folder / KEY).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(
            f"{folder}: holds no sample (no {KEY}); draw one: serxbench audit sample RUN --out {folder}"
        ) from None
    except ValueError as error:
        raise RunError(f"{folder / KEY}: not valid JSON ({error})") from error
    if key.get("schema") != SCHEMA:
        raise RunError(f"{folder / KEY}: has schema {key.get('schema')}; this serxbench reads {SCHEMA}")
    return key


def _codings(sheets: Sequence[Path], items: Sequence[str], sample: str, task: Task) -> list[Coding]:
    if len({path.resolve() for path in sheets}) < max(2, len(sheets)):
        raise UsageError(
            "the sheets of two coders or more are wanted, each once: serxbench audit score DIR A.csv B.csv"
        )
    codings = [read_coding(path, items, sample, task) for path in sheets]
    names = [coding.name for coding in codings]
    if len(set(names)) < len(names):  # two folders, one file name
        return [dataclasses.replace(coding, name=str(path)) for coding, path in zip(codings, sheets, strict=True)]
    return codings


def _coders(codings: Sequence[Coding], task: Task, how: Inference) -> dict[str, Any]:
    """How far the coders agree: no parser can be found to agree with people better than they do with each other."""
    readings = tuple(dict.fromkeys(map(reading_of, task.names)))
    table = np.array(
        [
            [sum(reading_of(coding.labels[item]) == reading for coding in codings) for reading in readings]
            for item in codings[0].labels
        ]
    )
    try:
        alpha = krippendorff_alpha(table)
    except MetricError:
        alpha = None
    return {
        "names": [coding.name for coding in codings],
        "alpha": alpha,
        "pairs": [
            {"first": one.name, "second": other.name, **_pair(one, other, readings, task, how)}
            for one, other in combinations(codings, 2)
        ],
    }


def _pair(one: Coding, other: Coding, readings: Sequence[str], task: Task, how: Inference) -> dict[str, Any]:
    """Of readings, which scores depend on; and of all codes, which also say why an answer commits to nothing."""
    left, right = list(one.labels.values()), [other.labels[item] for item in one.labels]
    found = compare_raters(list(map(reading_of, left)), list(map(reading_of, right)), readings, how=how)
    every = compare_raters(left, right, task.names, how=how)
    return {**dataclasses.asdict(found), "kappa_all_codes": every.kappa and dataclasses.asdict(every.kappa)}


def _write_disputed(
    folder: Path, disputed: Sequence[Mapping[str, Any]], codings: Sequence[Coding], sample: str, task: Task
) -> None:
    shown = [
        Item(
            item=row["item"],
            answer=row["answer"],
            options=row.get("options"),
            given=tuple(sorted({coding.labels[row["item"]] for coding in codings})),
        )
        for row in disputed
    ]
    write_sheet(folder / f"{DISAGREEMENTS}.csv", shown, adjudication=True)
    write_page(folder / f"{DISAGREEMENTS}.html", shown, task, sample=sample, coder=DISAGREEMENTS)


def _judged(
    folder: Path,
    key: Mapping[str, Any],
    truth: Mapping[str, str],
    settings: Settings,
    data_root: Path | None,
) -> dict[str, Any]:
    """Systems, their differences, the gate, and comparisons of adjusted scores."""
    systems, opened = [], {}
    for system in key["systems"]:
        of = {id: truth[each["item"]] for each in key["items"] for id in each["ids"].get(system["name"], ())}
        strata = strata_of(system, of)
        report = {**_about(system), **_misread(system, strata, of, settings.how)}
        found = reopen(folder, system, settings, data_root)
        if isinstance(found, str):
            report |= {"scores": [], "agreement": [], "reason": found}
        else:
            opened[system["name"]] = dataclasses.replace(found, strata=strata)
            report["scores"] = list(adjusted_scores(opened[system["name"]], settings))
            report["agreement"] = parser_agreement(opened[system["name"]], settings.how)
        systems.append(report)
    return {
        "systems": systems,
        "differences": [_difference(one, other) for one, other in combinations(systems, 2)],
        "gate": gate(systems),
        "comparisons": list(adjusted_comparisons(opened, settings)),
        "references": str(settings.policy),
        "draws": N_DRAWS,
    }


def _about(system: Mapping[str, Any]) -> dict[str, Any]:
    told = ("name", "model", "mode", "cot", "parser", "clusterer", "n", "n_textless")
    return {name: system[name] for name in told}


def strata_of(system: Mapping[str, Any], truth: Mapping[str, str]) -> list[Stratum]:
    """The strata of one system with what the sampled answers truly say. truth: id → one of READINGS."""
    return [
        Stratum(
            size=row["size"],
            read=READINGS.index(reading_of(row["code"])),
            truths=tuple(Counter(truth[id] for id in row["ids"])[reading] for reading in READINGS),
        )
        for row in system["strata"]
    ]


def _misread(
    system: Mapping[str, Any], strata: Sequence[Stratum], truth: Mapping[str, str], how: Inference
) -> dict[str, Any]:
    """How often one system's answers are misread, of those that have a text."""
    table = joint(strata)
    draws = posterior(strata, 10 * N_DRAWS, np.random.default_rng(how.seed))
    by_truth = table.sum(axis=1)
    counts = np.zeros((len(READINGS), len(READINGS)), dtype=np.intp)
    for stratum in strata:
        counts[:, stratum.read] += np.array(stratum.truths)
    return {
        "n_sampled": len(truth),
        "error": dataclasses.asdict(error_rate(strata, how.level)),
        "level": how.level,
        "none": {
            "precision": _part(table[-1, -1], table[:, -1].sum(), draws[:, -1, -1], draws[:, :, -1].sum(axis=1), how),
            "recall": _part(table[-1, -1], table[-1].sum(), draws[:, -1, -1], draws[:, -1].sum(axis=1), how),
        },
        "confusion": {
            "codes": list(READINGS),
            "counts": counts.tolist(),
            "shares": [
                (row / total).tolist() if total > 0 else None for row, total in zip(table, by_truth, strict=True)
            ],
        },
        "indistinct": [reading for reading, unclear in zip(READINGS, indistinct(table), strict=True) if unclear],
        "strata": [
            {
                "route": row["route"],
                "code": row["code"],
                "size": row["size"],
                "n": stratum.n,
                "n_errors": stratum.n - stratum.truths[stratum.read],
            }
            for row, stratum in zip(system["strata"], strata, strict=True)
        ],
    }


def _part(over: float, under: float, overs: Any, unders: Any, how: Inference) -> dict[str, float] | None:
    """A share with limits from the posterior; None where nothing is in its denominator."""
    if under <= 0:
        return None
    low, high = np.quantile(overs / unders, [(1 - how.level) / 2, (1 + how.level) / 2])
    return {"value": float(over / under), "low": float(low), "high": float(high)}


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Difference of two error rates, with Newcombe's interval (1998, method 10) from the two Wilson intervals."""
    a, b = one["error"], other["error"]
    difference = a["value"] - b["value"]
    return {
        "first": one["name"],
        "second": other["name"],
        "difference": difference,
        "low": difference - float(np.hypot(a["value"] - a["low"], b["high"] - b["value"])),
        "high": difference + float(np.hypot(a["high"] - a["value"], b["value"] - b["low"])),
    }


def gate(systems: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Whether scores may be printed as the parser reads them; `reasons` says why not."""
    rates = [system["error"]["value"] for system in systems]
    accuracy, spread = 1 - max(rates), max(rates) - min(rates)
    reasons = []
    if accuracy < LEAST_ACCURACY:
        reasons.append(
            f"a system is read rightly {100 * accuracy:.2f} % of the time; wanted {100 * LEAST_ACCURACY:g} %"
        )
    if spread > LARGEST_DIFFERENCE:
        wanted = f"wanted at most {100 * LARGEST_DIFFERENCE:g}"
        reasons.append(f"systems differ by {100 * spread:.2f} points in how often they are misread; {wanted}")
    return {"passes": not reasons, "accuracy": accuracy, "difference": spread, "reasons": reasons}
