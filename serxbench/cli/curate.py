"""serxbench curate"""

from __future__ import annotations

import json
from pathlib import Path

import click

from serxbench.cli import _options as options


@click.command()
@click.argument("file", type=options.FILE, metavar="FILE")
@options.option("--out", type=options.FILE, required=True, envvar=None, help="The JSONL file to write.")
@options.option("--report", type=options.FILE, envvar=None, help="A markdown file with counts, rates and examples.")
@options.option("--min-words", type=int, default=10, envvar=None, help="The shortest rationale that is kept.")
@options.option("--max-words", type=int, default=250, envvar=None, help="The longest rationale that is kept.")
@options.option(
    "--similarity",
    type=float,
    default=0.8,
    envvar=None,
    help="Share of common word trigrams that makes two rationales near-duplicates.",
)
@options.as_json
@options.quiet
def command(
    file: Path,
    out: Path,
    report: Path | None,
    min_words: int,
    max_words: int,
    similarity: float,
    as_json: bool,
    quiet: bool,
) -> int:
    """Clean rationales and mark those that are not fit to train on.

    FILE is JSONL with id, emotion, transcript and rationale. Every row is in --out again, with `kept`, its `reasons`
    and the cleaned `rationale`.
    """
    from serxbench.cli import EXIT_FAILED_RECORDS
    from serxbench.cli._console import listen, print_table
    from serxbench.rationales.rules import MEANINGS, Bounds
    from serxbench.runs import write_atomically
    from serxbench.stages._curation_report import curation_report
    from serxbench.stages.curate import curate

    progress = listen(quiet)
    bounds = Bounds(min_words=min_words, max_words=max_words, similarity=similarity)
    curation = curate(file, out, bounds, progress)
    if report is not None:
        write_atomically(report, curation_report(curation, file.name))
    if as_json:
        click.echo(json.dumps(curation.summary(), indent=1))
    else:
        rows = [[reason, str(n), MEANINGS[reason]] for reason, n in curation.reasons.items()]  # type: ignore[index]
        print_table(["rejected for", "rationales", "because"], rows)
    progress.say(f"{out}: {curation.n_kept} of {len(curation.rows)} rationales are kept")
    n_malformed = curation.reasons.get("malformed", 0)
    for row in [row for row in curation.rows if row["reasons"] == ["malformed"]][:5]:
        progress.say(f"warning: {file}: {row['details'][0]}")
    return EXIT_FAILED_RECORDS if n_malformed else 0
