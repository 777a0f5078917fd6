"""serxbench audit"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from serxbench.cli import _options as options
from serxbench.cli._audit_people import sample, score
from serxbench.cli._scoring import make_settings, open_scored, scoring_options


class _OrShow(click.Group):
    """A group whose first argument may be a run instead of a subcommand: `audit RUN` is `audit show RUN`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts `show` before anything that is neither a subcommand nor a call for help."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_OrShow, commands=[sample, score])
def command() -> None:
    """Measure what parsers make of answers: against each other (audit RUN...), and against people (sample, score)."""


@command.command()
@options.runs_argument
@options.option("--baseline", type=options.FOLDER, envvar=None, help="The run that all others are compared with.")
@options.option("--examples", type=click.IntRange(0), default=10, envvar=None, help="Differing answers to show.")
@scoring_options
@options.option("--data-root", type=options.FOLDER, help="Where the corpus lies, if not where it lay during the runs.")
@options.as_json
def show(
    runs: tuple[Path, ...],
    baseline: Path | None,
    examples: int,
    chosen: dict[str, Any],
    data_root: Path | None,
    as_json: bool,
) -> None:
    """How far the stored parsers agree on the answers of runs, and what the choice of the parser does to the scores.

    Two readings are stored by `serxbench parse RUN --parser A --parser B`. The scores of the run stay as they are.
    """
    from serxbench.cli._audit_report import print_audit
    from serxbench.cli._scoring import is_wanted
    from serxbench.stages.audit import audit

    settings = make_settings(chosen)
    opened = [open_scored(path, data_root) for path in runs]
    against = open_scored(baseline, data_root) if baseline else None
    found = audit(opened, settings, baseline=against, n_examples=examples)
    for part in (found, *found["runs"]):
        for key in {"scores", "comparisons"} & part.keys():
            part[key] = [row for row in part[key] if is_wanted(row, chosen)]
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        print_audit(found)
