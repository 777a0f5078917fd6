"""What `score` and `compare` share: the options that say how references, intervals and tests are made."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from serxbench.cli import _options as options

if TYPE_CHECKING:
    from serxbench.runs import Run
    from serxbench.stages.evaluation import Settings

_OPTIONS = (
    options.option(
        "--reference",
        multiple=True,
        metavar="mv|all|VARIANT",
        help="Print only these readings of the references; a variant's name (multilabel, …) adds it.",
    ),
    options.option("--subset", type=click.Choice(["all", "strict"]), help="Print only these items."),
    options.option(
        "--unit",
        type=click.Choice(["auto", "speaker", "group", "item"]),
        default="auto",
        help="What is resampled; auto: speakers where every utterance names one.",
    ),
    options.option(
        "--method",
        type=click.Choice(["auto", "percentile", "bca", "studentized", "jackknife", "delta"]),
        default="auto",
        help="How intervals are made.",
    ),
    options.option("--level", type=float, default=0.95, help="Of the intervals."),
    options.option("--resamples", type=int, default=10_000, help="Of bootstrap and permutation."),
    options.option("--resample-seed", type=int, default=0, help="Of bootstrap and permutation."),
    options.option("--ties", type=click.Choice(["none", "first", "random"]), default="none", help="What a tie gives."),
    options.option("--secondary", is_flag=True, help="Secondary emotions count in All-labels."),
    options.option("--other-creditable", is_flag=True, help="An answer Other is a hit where an annotator said Other."),
    options.option("--include-x", is_flag=True, help="Items without a plurality enter All-labels."),
    options.option(
        "--strict-denominator",
        type=click.Choice(["all", "classes"]),
        default="all",
        help="Whether votes for Other count in the strict majority's denominator.",
    ),
)


def scoring_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options to a command, which receives them as one dict `chosen`."""

    @functools.wraps(function)
    def command(**given: Any) -> Any:
        keys = ("reference", "subset", "unit", "method", "level", "resamples", "resample_seed")
        policy = ("ties", "secondary", "other_creditable", "include_x", "strict_denominator")
        return function(chosen={key: given.pop(key) for key in (*keys, *policy)}, **given)

    for decorate in reversed(_OPTIONS):
        command = decorate(command)
    return command


def make_settings(chosen: dict[str, Any]) -> Settings:
    """What the options mean. Raises UnknownName for a reference, MetricError for a level or number out of range."""
    from serxbench.errors import UnknownName
    from serxbench.metrics import ReferencePolicy
    from serxbench.stages.evaluation import Settings, known_references, reference_variant
    from serxbench.statistics import Inference

    for name in chosen["reference"]:
        if name not in known_references():
            raise UnknownName("reference", name, known_references(), "serxbench score --help")
    return Settings(
        policy=ReferencePolicy(
            ties=chosen["ties"],
            secondary=chosen["secondary"],
            other_creditable=chosen["other_creditable"],
            include_x=chosen["include_x"],
            other_in_strict_denominator=chosen["strict_denominator"] == "all",
        ),
        unit=chosen["unit"],
        how=Inference(
            method=chosen["method"],
            level=chosen["level"],
            n_resamples=chosen["resamples"],
            seed=chosen["resample_seed"],
        ),
        variants=tuple(reference_variant(name) for name in chosen["reference"] if name not in ("mv", "all")),
    )


def is_wanted(row: dict[str, Any], chosen: dict[str, Any]) -> bool:
    """Whether a row of scores or comparisons is one that --reference and --subset let through."""
    wanted = chosen["reference"]
    named = not wanted or row["variant"] in wanted or (row["reference"] == "all" and "all" in wanted and _plain(row))
    return named and chosen["subset"] in (None, row["subset"])


def _plain(row: dict[str, Any]) -> bool:
    return row["variant"] in ("credited_reference", "hit_rate")


def open_scored(path: Path, data_root: Path | None) -> Run:
    """A run whose answers are parsed and mapped, with its corpus where --data-root says if it says anything."""
    from serxbench.runs import Run
    from serxbench.stages.cluster import cluster
    from serxbench.stages.parse import parse

    run = Run.open(path)
    if data_root is not None:
        known = run.recall_corpus()
        corpus = run.manifest.corpus
        split = f":{corpus['split']}" if corpus.get("split") else ""
        options = "".join(f",{name}={value}" for name, value in corpus.get("options", {}).items())
        run.remember_corpus(known[0] if known else f"{corpus['name']}{split}{options}", data_root.resolve())
    parse(run)
    cluster(run)
    return run
