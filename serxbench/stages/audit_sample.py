"""Runs → a stratified sample of their answers on blind sheets for people, and the key that the sheets are without."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serxbench import __version__
from serxbench import runs as files
from serxbench.emotions import OTHER
from serxbench.errors import RunError, UnknownName, UsageError
from serxbench.records import JsonRecord, Response
from serxbench.runs import Run, write_atomically
from serxbench.stages.audit_page import write_page
from serxbench.stages.audit_readings import READINGS, Reading, clusterer_of, readings_of
from serxbench.stages.audit_rules import ANSWERS, Task, write_instructions
from serxbench.stages.audit_sheets import Item, write_sheet

#: Of key.json; raised by one when a change makes older samples unreadable.
SCHEMA = 1

KEY = "key.json"
LOCAL = "local.json"
SHEETS = "sheets"

#: This part of a sample is proportional to the strata, so that no answer stands for many more than 1 / 0.7 of what it
#: would in a simple random sample; the rest goes to strata where errors are likely or answers rare.
PROPORTIONAL = 0.7

#: Fewer sampled answers than this in a stratum say nothing of it.
LEAST = 2

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # no i, l, o, 0, 1: people copy these


@dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """What is to be drawn. parser: whose readings are audited; None for the one that is scored."""

    per_system: int = 300
    n_coders: int = 2
    seed: int = 0
    parser: str | None = None


@dataclass(frozen=True, kw_only=True)
class KeyItem(JsonRecord):
    """One answer as people code it: equal answers to equal questions are one item. ids: of the sample, by run."""

    item: str
    answer: str
    options: tuple[tuple[str, str], ...] | None = None
    ids: Mapping[str, Sequence[str]]


def draw_sample(runs: Sequence[Run], out: Path, request: SampleRequest) -> dict[str, Any]:
    """Draws the sample into the folder `out` and returns what its key says, without the answers.

    `sheets/` is for the coders, a CSV and an HTML page each; `key.json` is not. Answers without text are not sampled,
    for there is nothing to read in them. The same request on the same runs gives the same files.
    Raises UsageError for a folder that holds a sample already, because coders may have begun.
    """
    check_request(runs, out, request)
    rng = np.random.default_rng(request.seed)
    systems, drawn = [], []
    for number, run in enumerate(runs):
        name = f"s{number + 1}"
        system, responses = _draw(run, name, request, rng)
        systems.append(system)
        drawn.append((name, run, responses))
    items = _items(drawn, rng)
    asked = {"per_system": request.per_system, "coders": request.n_coders, "seed": request.seed}
    rows = [json.loads(item.to_json()) for item in items]
    key = {"schema": SCHEMA, "kind": "answers", "request": asked, "systems": systems, "items": rows}
    shown = [Item(item=each.item, answer=each.answer, options=each.options) for each in items]
    write_sample(out, key, shown, ANSWERS, rng)
    where = {system["name"]: run.path for system, run in zip(systems, runs, strict=True)}
    return {**finish_sample(out, key, where), "items": len(items)}


def write_sample(
    out: Path, key: Mapping[str, Any], items: Sequence[Item], task: Task, rng: np.random.Generator
) -> None:
    """Writes the coders' sheets, each in an order of its own."""
    sheets = out / SHEETS
    sheets.mkdir(parents=True, exist_ok=True)
    write_instructions(sheets / "instructions.txt", task)
    for coder in range(1, key["request"]["coders"] + 1):
        order = [items[position] for position in rng.permutation(len(items))]
        write_sheet(sheets / f"coder{coder}.csv", order)
        write_page(sheets / f"coder{coder}.html", order, task, sample=sample_of(key), coder=f"coder{coder}")


def finish_sample(out: Path, key: Mapping[str, Any], runs: Mapping[str, Path]) -> dict[str, Any]:
    """Writes where the runs lie, and the key, which comes last: a folder with a key is a whole sample."""
    whole = {"serxbench": __version__, "sample": sample_of(key), **key}
    write_atomically(
        out / LOCAL, json.dumps({name: os.path.relpath(path, out) for name, path in runs.items()}, indent=1)
    )
    write_atomically(out / KEY, json.dumps(whole, indent=1, ensure_ascii=False))
    return whole


def sample_of(key: Mapping[str, Any]) -> str:
    """The name of a sample: a hash of what was drawn."""
    return _hash(key)[:16]


def item_codes(n: int, rng: np.random.Generator) -> list[str]:
    """n different codes of five signs, in an order that says nothing."""
    codes: set[str] = set()
    while len(codes) < n:
        codes.add("".join(_LETTERS[place] for place in rng.integers(0, len(_LETTERS), size=5)))
    return [sorted(codes)[place] for place in rng.permutation(n)]


def check_request(runs: Sequence[Run], out: Path, request: SampleRequest) -> None:
    """Raises UsageError for what no sample can be drawn by."""
    if (out / KEY).exists():
        raise UsageError(f"{out}: holds a sample already, which people may be coding; give another --out")
    if len({run.path.resolve() for run in runs}) < len(runs):
        raise UsageError("a run is named twice; name each run once")
    smallest = LEAST * 2 * len(READINGS)
    if request.per_system < smallest:
        raise UsageError(f"--per-system {request.per_system}: wanted {smallest} or more, for each reading its part")
    if request.n_coders < 2:
        raise UsageError(f"--coders {request.n_coders}: wanted two or more, who show how sure the coding itself is")


def _draw(
    run: Run, name: str, request: SampleRequest, rng: np.random.Generator
) -> tuple[dict[str, Any], list[Response]]:
    """What the key says of one system, and its sampled responses in corpus order."""
    readings = readings_of(run)
    parser = request.parser or next(iter(readings))
    if parser not in readings:
        raise UnknownName("stored reading", parser, readings, f"serxbench audit {run.path}")
    reading, responses = readings[parser], run.read_records(files.RESPONSES, Response)
    textual = [position for position, each in enumerate(responses) if (each.text or "").strip()]
    if not textual:
        raise RunError(f"{run.path}: none of its {len(responses)} answers has a text; there is nothing to code")
    strata = stratify(reading, textual, request.per_system)
    sizes = allocate([len(members) for members in strata.values()], list(map(boost_of, strata)), request.per_system)
    rows, chosen = [], []
    for (route, code), n in zip(strata, sizes, strict=True):
        members = strata[route, code]
        sampled = sorted(rng.choice(members, size=n, replace=False).tolist())
        ids = [responses[position].id for position in sampled]
        chosen += sampled
        rows.append({"route": route, "code": code, "size": len(members), "n": n, "ids": ids})
    manifest, maker = run.manifest, run.maker(files.PARSED) or {}
    system = {
        "name": name,
        "model": manifest.model["name"],
        "mode": manifest.mode,
        "cot": manifest.cot,
        "parser": parser,
        "parser_sha256": maker.get("sha256") if maker.get("parser") == parser else None,
        "clusterer": clusterer_of(run),
        "readings_sha256": readings_hash(reading),
        "n": len(responses),
        "n_textless": len(responses) - len(textual),
        "strata": rows,
    }
    return system, [responses[position] for position in sorted(chosen)]


def readings_hash(reading: Reading) -> str:
    """Hash of what a parser reads in every answer of a run."""
    return _hash([[each.id, code] for each, code in zip(reading.parsed, reading.codes, strict=True)])


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def stratify(reading: Reading, positions: Sequence[int], n: int) -> dict[tuple[str, str], list[int]]:
    """(route, code) → positions. Routes with the fewest answers are joined, as `*`, until n are enough for all."""
    strata: dict[tuple[str, str], list[int]] = defaultdict(list)
    for position in positions:
        parsed = reading.parsed[position]
        strata[parsed.route or "none", reading.codes[position]].append(position)
    while sum(min(LEAST, len(members)) for members in strata.values()) > n // 2:
        smallest = min((key for key in strata if key[0] != "*"), key=lambda key: (len(strata[key]), key))
        strata["*", smallest[1]] += strata.pop(smallest)
    return {key: sorted(strata[key]) for key in sorted(strata)}


def boost_of(stratum: tuple[str, str]) -> float:
    """How much of the part that is not proportional a stratum gets: more where an LLM decided, or nothing was found."""
    route, code = stratum
    return (3.0 if route.startswith("llm") else 1.0) * (2.0 if code == OTHER or code not in READINGS else 1.0)


def allocate(sizes: Sequence[int], boosts: Sequence[float], n: int) -> list[int]:
    """How many of n answers each stratum gets: at least LEAST, never more than it has.

    PROPORTIONAL of them by size, the rest by boost; what a full stratum cannot take goes to the others.

    >>> allocate([900, 90, 10], [1, 1, 1], 100)
    [73, 17, 10]
    """
    have = np.array(sizes, dtype=np.int64)
    total = min(n, int(have.sum()))
    want = PROPORTIONAL * have / have.sum() + (1 - PROPORTIONAL) * np.array(boosts) / sum(boosts)
    given = np.minimum(LEAST, have)
    for _ in range(total - int(given.sum())):
        given[np.argmax(np.where(given < have, want * total - given, -np.inf))] += 1
    return [int(each) for each in given]


def _items(drawn: Sequence[tuple[str, Run, Sequence[Response]]], rng: np.random.Generator) -> list[KeyItem]:
    """One item for every different answer, in the order of its code, which says nothing."""
    known: dict[tuple[str, Any], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, run, responses in drawn:
        options = run.manifest.options
        pairs = None if options is None else tuple((letter, label) for letter, label in options)
        for response in responses:
            known[str(response.text), pairs][name].append(response.id)
    items = [
        KeyItem(item=code, answer=answer, options=options, ids=dict(ids))
        for code, ((answer, options), ids) in zip(item_codes(len(known), rng), known.items(), strict=True)
    ]
    return sorted(items, key=lambda each: each.item)
