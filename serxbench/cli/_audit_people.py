"""serxbench audit sample, serxbench audit score"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from serxbench.cli import _options as options
from serxbench.cli._scoring import make_settings, scoring_options


@click.command()
@options.runs_argument
@options.option("--out", type=options.FOLDER, required=True, envvar=None, help="The folder of the sample to make.")
@options.option("--per-system", type=int, default=300, envvar=None, help="Answers to draw from each run.")
@options.option("--coders", type=int, default=2, envvar=None, help="People who will code, each alone.")
@options.option("--seed", type=int, default=0, envvar=None, help="Of the draw, the items' codes and their order.")
@options.option("--words", is_flag=True, envvar=None, help="Draw emotion words, to audit the clusterer instead.")
@options.option("--parser", envvar=None, help="Whose readings are audited.  [default: the one that is scored]")
@options.quiet
def sample(
    runs: tuple[Path, ...],
    out: Path,
    per_system: int,
    coders: int,
    seed: int,
    words: bool,
    parser: str | None,
    quiet: bool,
) -> None:
    """Draw answers for people to code: blind sheets (CSV and an offline page) for each coder, and a key apart.

    Strata are the rule that decided and the reading; answers that an LLM read, Other, readings of nothing and rare
    classes are drawn more often, and weighted back by `serxbench audit score`. With --words, every word that came five
    times or more and a hundred others are drawn, to be mapped to classes by people.
    """
    from serxbench.runs import Run
    from serxbench.stages.audit_sample import SHEETS, SampleRequest, draw_sample
    from serxbench.stages.audit_words import draw_words

    request = SampleRequest(per_system=per_system, n_coders=coders, seed=seed, parser=parser)
    key = (draw_words if words else draw_sample)([Run.open(path) for path in runs], out, request)
    if quiet:
        return
    for system in key["systems"] if not words else ():
        n = sum(stratum["n"] for stratum in system["strata"])
        textless = f"; {system['n_textless']} have no text to code" if system["n_textless"] else ""
        click.echo(f"{system['name']} {system['model']}: {n} of {system['n']} answers{textless}", err=True)
    kind = "words" if words else "answers"
    click.echo(f"{key['items']} different {kind} to code in {out / SHEETS}; key.json is not for the coders", err=True)
    sheets = " ".join(f"coder{number}.csv" for number in range(1, coders + 1))
    click.echo(f"next, when they are filled: serxbench audit score {out} {sheets}", err=True)


@click.command()
@click.argument("folder", type=options.FOLDER, metavar="DIR")
@click.argument("sheets", nargs=-1, required=True, type=options.FILE, metavar="SHEET...")
@options.option("--adjudicated", type=options.FILE, envvar=None, help="What a third person decided on disagreements.")
@scoring_options
@options.option("--data-root", type=options.FOLDER, help="Where the corpus lies, if not where it lay during the runs.")
@options.as_json
@options.quiet
def score(
    folder: Path,
    sheets: tuple[Path, ...],
    adjudicated: Path | None,
    chosen: dict[str, Any],
    data_root: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """What the filled sheets of a sample say: coders' agreement, each system's parser errors, scores without them.

    Where coders disagree, `disagreements.csv` and `disagreements.html` are written for a third person, whose sheet is
    given by --adjudicated. The result is also written to audit.json in DIR.
    """
    from serxbench.cli._audit_result import print_result
    from serxbench.stages.audit_score import DISAGREEMENTS, score_sample

    found = score_sample(folder, sheets, adjudicated, make_settings(chosen), data_root)
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        print_result(found)
    if found["systems"] is None and not quiet:
        click.echo(f"{found['n_disagreements']} disagreements are in {folder / DISAGREEMENTS}.csv and .html", err=True)
        click.echo("next, when a third person has decided them: the same command with --adjudicated FILE", err=True)
