"""serxbench assess"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from serxbench.cli import _options as options


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="RUN|FILE")
@options.option("--data", metavar="CORPUS[:SPLIT]", envvar=None, help="The corpus of a FILE; of a RUN it is known.")
@options.data_root
@options.option("--text-only", is_flag=True, envvar=None, help="Do not check claims against the sound.")
@options.option("--permutations", type=int, default=1000, envvar=None, help="Deals that say what chance gives.")
@options.option("--seed", type=int, default=0, help="Of the permutations and the bootstrap.")
@options.as_json
@options.quiet
def command(
    source: Path,
    data: str | None,
    data_root: Path | None,
    text_only: bool,
    permutations: int,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure rationales without a judge: what they take from words and sound, and whether their claims are true.

    RUN is a run folder that has been parsed and clustered; the figures go to RUN/assessment.json, each claim with its
    verdict to RUN/claims.jsonl. FILE is JSONL with id, emotion and rationale; the figures are only printed.
    """
    from serxbench.cli._console import listen
    from serxbench.errors import UsageError
    from serxbench.runs import Run
    from serxbench.stages import assess as stage
    from serxbench.stages.evaluation import reopen_corpus
    from serxbench.statistics import Inference

    if permutations < 1:
        raise UsageError(f"--permutations must be at least 1; found {permutations}")
    progress = listen(quiet)
    asked = stage.Asked(audio=not text_only, n_deals=permutations, how=Inference(seed=seed))
    if source.is_file():
        if data is None:
            raise UsageError(f"{source}: is a file; say of which corpus its rationales are, with --data CORPUS:SPLIT")
        found, _ = stage.assess(stage.read_file(source, options.open_corpus(data, data_root)), asked, progress)
    else:
        run = Run.open(source)
        corpus = options.open_corpus(data, data_root, run.manifest.corpus.get("limit")) if data else reopen_corpus(run)
        found, claims = stage.assess(stage.read_run(run, corpus), asked, progress)
        stage.write_assessment(run, found, claims)
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    _print(found)


def _print(found: Mapping[str, Any]) -> None:
    from serxbench.cli._console import print_table
    from serxbench.rationales.measures import MEASURES

    click.echo(f"{found['n_with_rationale']} of {found['n']} answers have a rationale; ", nl=False)
    click.echo(f"{found['n_near_duplicates']} say nearly what another says")
    rows = [[name, *_shown(found["measures"][name]), MEASURES[name]] for name in MEASURES if name in found["measures"]]
    print_table(["measure", "mean", "interval", "n", "what"], rows)
    click.echo()
    names = [name for name in MEASURES if name in found["measures"]]
    by_emotion = [
        [emotion, *(_shown(values[name])[0] if name in values else "n/a" for name in names)]
        for emotion, values in found["by_emotion"].items()
    ]
    print_table(["reference", *names], by_emotion, title="By the emotion of the reference")
    if "grounding" not in found:
        return
    grounding = found["grounding"]
    compared = ", ".join(f"{n} with clips of the {kind}" for kind, n in grounding["compared_within"].items())
    click.echo(f"\nClaims against the sound ({grounding['n_measured']} of {grounding['n_clips']} clips; {compared})")
    print_table(
        ["claims on", "n", "supported", "contradicted", "not checkable", "rate", "interval", "chance", "p"],
        [_grounded(name, claims) for name, claims in grounding["claims"].items()],
    )


def _shown(estimate: Mapping[str, Any]) -> list[str]:
    limits = f"[{estimate['low']:.3f}, {estimate['high']:.3f}]" if "low" in estimate else "n/a"
    return [f"{estimate['value']:.3f}", limits, str(estimate["n"])]


def _grounded(name: str, claims: Mapping[str, Any]) -> list[str]:
    counts = [str(claims[key]) for key in ("n", "supported", "contradicted", "not_checkable")]
    if "rate" not in claims:
        return [name, *counts, "n/a", "n/a", "n/a", "n/a"]
    dealt = claims.get("chance")
    by_chance = [f"{dealt['rate']:.3f}", f"{dealt['p']:.4f}"] if dealt else ["n/a", "n/a"]
    return [name, *counts, *_shown(claims["rate"])[:2], *by_chance]
