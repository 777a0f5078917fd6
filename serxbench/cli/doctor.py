"""serxbench doctor"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import click

from serxbench.cli import _options as options


@click.command()
@options.as_json
def command(as_json: bool) -> int:
    """Say what this machine can run and what is missing, with the command that mends it."""
    from serxbench.stages.doctor import examine

    findings = examine()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            mark = {"ok": "ok  ", "missing": "--  ", "broken": "BAD "}[finding.state]
            click.echo(f"{mark}{finding.what.ljust(width)}  {finding.found}")
            if finding.mend:
                click.echo(f"    {' ' * width}  → {finding.mend}")
    return _exit_code([finding.state for finding in findings])


def _exit_code(states: Sequence[str]) -> int:
    return 1 if "broken" in states else 0
