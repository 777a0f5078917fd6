"""serxbench data"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from serxbench.cli import _options as options
from serxbench.cli._data_export import export

if TYPE_CHECKING:
    from serxbench.stages.check_corpus import CorpusReport

#: Faults of one kind that the text output names; `--json` has all of them.
_SHOWN = 25


@click.group(commands=[export])
def command() -> None:
    """Look at a corpus, or write it in another format."""


@command.command()
@click.argument("corpus", metavar="CORPUS[:SPLIT][,OPTION=VALUE]")
@options.data_root
@options.option("--quick", is_flag=True, help="Read the headers of the clips only; silence is not found then.")
@options.as_json
@options.quiet
def check(corpus: str, data_root: Path | None, quick: bool, as_json: bool, quiet: bool) -> int:
    """Count what is in a corpus and name every fault in it.

    Works on label files alone. Exit code 3 if there are faults: rows that cannot be read, labels that are none, clips
    that are missing, damaged, silent or named by no label file, a consensus that its votes do not give.
    """
    from serxbench.cli import EXIT_FAILED_RECORDS
    from serxbench.cli._console import listen
    from serxbench.stages.check_corpus import check_corpus

    report = check_corpus(corpus, options.root_of(corpus, data_root), decode=not quick, progress=listen(quiet))
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=1, ensure_ascii=False))
    else:
        _print(report)
    return EXIT_FAILED_RECORDS if report.faults else 0


def _print(report: CorpusReport) -> None:
    found = report.to_dict()
    where = f"{found['corpus']}{':' + found['split'] if found['split'] else ''}"
    click.echo(f"{where}: {found['utterances']} utterances, {found['audio_found']} with audio")
    click.echo(f"licence: {found['licence']}; its audio may {'' if found['upload_allowed'] else 'not '}be uploaded")
    _print_splits(found["splits"])
    speakers, groups = found["speakers"] or "unknown", found["groups"] or "none"
    click.echo(f"speakers: {speakers}; groups: {groups}; transcripts: {found['transcripts']}")
    _print_votes(found)
    _print_audio(found["audio"])
    if found["left_out"]:
        click.echo(f"left out by the options: {found['left_out']} utterances")
    for remark in found["remarks"]:
        click.echo(f"remark: {remark}")
    _print_faults(report)


def _print_splits(splits: dict[str, Any]) -> None:
    from serxbench.cli._console import print_table

    labels = list(dict.fromkeys(label for split in splits.values() for label in split["labels"]))
    print_table(
        ["split", "utterances", *labels],
        [
            [name, str(split["utterances"]), *(str(split["labels"].get(label, 0)) for label in labels)]
            for name, split in splits.items()
        ],
    )


def _print_votes(found: dict[str, Any]) -> None:
    votes, agreement = found["votes"], found["plurality_agreement"]
    if votes is None:
        click.echo("votes: none released; scores against single annotators are n/a")
        return
    per_item, annotators = votes["per_item"], votes["annotators"] or "unnamed"
    click.echo(
        f"votes: {votes['votes']} on {votes['items']} items, {per_item['min']} to {per_item['max']} an item, "
        f"{per_item['mean']:.2f} in the mean; annotators: {annotators}"
    )
    click.echo(
        f"of these items: {votes['unique_plurality']} have a plurality, {votes['strict_majority']} a strict majority, "
        f"{votes['unanimous']} are unanimous"
    )
    if agreement["total"]:
        share = 100 * agreement["agree"] / agreement["total"]
        click.echo(f"released consensus = our plurality: {agreement['agree']} of {agreement['total']} ({share:.2f} %)")
    else:
        click.echo("released consensus: none to compare the votes with")


def _print_audio(audio: dict[str, Any] | None) -> None:
    if audio is None:
        click.echo("audio: none found; labels only")
        return
    seconds = audio["seconds"]
    lengths = f", {seconds['min']:g} to {seconds['max']:g} s, median {seconds['median']:g} s" if seconds else ""
    how = "decoded" if audio["decoded"] else "headers read"
    click.echo(f"audio: {audio['readable']} clips {how}, {audio['hours']:.2f} h{lengths}")
    for row in audio["formats"]:
        click.echo(f"  {row['clips']} × {row['suffix']}, {row['sample_rate']} Hz, channels: {row['channels']}")


def _print_faults(report: CorpusReport) -> None:
    if not report.faults:
        click.echo("faults: none")
        return
    click.echo(f"faults: {len(report.faults)}")
    # The rarest kind first: a thousand missing clips must not hide one wrong label.
    for kind, _ in reversed(Counter(fault.kind for fault in report.faults).most_common()):
        named = [fault for fault in report.faults if fault.kind == kind]
        click.echo(f"  {kind}: {len(named)}")
        for fault in named[:_SHOWN]:
            click.echo(f"    {fault}")
        if len(named) > _SHOWN:
            click.echo(f"    … and {len(named) - _SHOWN} more; --json names all")
