"""serxbench probe"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from serxbench.cli import _options as options


@click.command()
@options.option("--data", required=True, metavar="CORPUS[:SPLIT][,OPTION=VALUE]", help="What is fitted on.")
@options.data_root
@options.limit
@options.option(
    "--features",
    required=True,
    metavar="egemaps|ENCODER",
    help="What the classifier sees: eGeMAPS, or a frozen encoder (a folder, or a hub id with or without @REVISION).",
)
@options.option("--layer", default="mean", metavar="mean|last|N", help="Of the encoder; mean: over all layers.")
@options.option("--max-seconds", type=float, default=30.0, help="Of a clip no more is heard.")
@options.option("--folds", type=int, default=5, help="Of the cross-validation over speakers.")
@options.option("--c", type=float, help="Inverse regularisation.  [default: chosen on training speakers]")
@options.option("--class-weight", type=click.Choice(["balanced", "none"]), default="balanced", help="In the fit.")
@options.option("--device", default="auto", metavar="auto|cpu|cuda", help="Where the encoder computes.")
@options.option("--out", type=options.FOLDER, required=True, help="A new folder; its name becomes the model's.")
@options.as_json
@options.quiet
def command(data: str, data_root: Path | None, limit: int | None, out: Path, **given: Any) -> None:
    """Fit a linear classifier on frozen features, and make it a model that `serxbench run` knows.

    The scores that are printed come from speakers that the classifier was not fitted on. Needs scikit-learn
    (pip install 'serxbench[probe]'), and openSMILE for eGeMAPS (serxbench[egemaps]).
    """
    from serxbench.cli._console import listen
    from serxbench.errors import UsageError
    from serxbench.stages.probe import FitSettings, ProbeRequest, fit_probe

    if given["c"] is not None and given["c"] <= 0:
        raise UsageError(f"--c must be above 0; found {given['c']:g}")
    progress = listen(given["quiet"])
    corpus = options.open_corpus(data, data_root, limit)
    for remark in corpus.remarks:
        progress.say(remark)
    request = ProbeRequest(
        corpus=corpus,
        features=given["features"],
        layer=given["layer"],
        max_seconds=given["max_seconds"],
        device=given["device"],
        settings=FitSettings(n_folds=given["folds"], c=given["c"], balanced=given["class_weight"] == "balanced"),
    )
    report = fit_probe(request, out, progress)
    if given["as_json"]:
        click.echo(json.dumps({"model": str(out), **report}, indent=1, ensure_ascii=False))
    else:
        _print(report)
    progress.say(f"next: serxbench run --model {out / (out.resolve().name + '.md')} --mode closed --data …")


def _print(report: dict[str, Any]) -> None:
    from serxbench.cli._console import print_table
    from serxbench.cli._report import percent

    where = f"{report['corpus']['name']}{':' + report['corpus']['split'] if report['corpus']['split'] else ''}"
    click.echo(f"linear probe on {report['features']['name']}, fitted on {where}")
    rows = [
        [str(number), str(fold["n"]), str(fold["n_speakers"]), f"{fold['c']:g}", *_scores(fold)]
        for number, fold in enumerate(report["folds"], start=1)
    ]
    rows.append(["all", str(report["n"]), str(report["n_speakers"]), f"{report['c']:g}", *_scores(report)])
    print_table(["fold", "utterances", "speakers", "C", "macro-F1", "UAR", "accuracy"], rows)
    left_out = ", ".join(f"{n} {reason}" for reason, n in report["left_out"].items())
    click.echo(f"left out: {left_out or 'none'}")
    click.echo(f"macro-F1 of guessing by the prior: {percent(report['floors']['prior'])}")


def _scores(row: dict[str, Any]) -> list[str]:
    from serxbench.cli._report import percent

    return [percent(row[name]) for name in ("macro_f1", "uar", "accuracy")]
