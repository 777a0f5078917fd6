"""What `sft --evaluate` does: the trained models are run on the same items, and compared with paired tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from serxbench.cli._asking import folder_name

if TYPE_CHECKING:
    from serxbench.progress import Progress
    from serxbench.runs import Run
    from serxbench.stages.sft import SftRequest, Trained

#: A rationale needs room.
MAX_NEW_TOKENS = 512
BATCH_SIZE = 8


def evaluate(
    trained: Sequence[Trained],
    request: SftRequest,
    out: Path,
    asked: tuple[Sequence[str], str, bool],
    progress: Progress,
) -> list[dict[str, Any]]:
    """Runs each model on each corpus in each form; the comparisons, which are printed and kept in comparisons.json.

    asked: the corpora, the forms separated by commas, and whether to print nothing. The baseline is the model without
    reasons.
    """
    from serxbench.catalog import as_mode
    from serxbench.cli._report import print_comparisons, print_scores
    from serxbench.runs import write_atomically
    from serxbench.stages.compare import compare

    corpora, forms, silent = asked
    found = []
    for data in corpora:
        for mode in map(as_mode, forms.split(",")):
            runs = {each.variant: _run(each, request, data, mode, out, progress) for each in trained}
            if not silent:
                print_scores(list(runs.values()), False)
            if len(runs) < 2:
                continue
            baseline = runs.pop("without-reason")[0]
            found.append(compare([run for run, _ in runs.values()], baseline))
            if not silent:
                click.echo(f"\n{data}, {mode}")
                print_comparisons(found[-1])
    write_atomically(out / "comparisons.json", json.dumps(found, indent=1, ensure_ascii=False))
    return found


def _run(
    trained: Trained, request: SftRequest, data: str, mode: Any, out: Path, progress: Progress
) -> tuple[Run, dict[str, Any]]:
    """The scored run of one model, as `serxbench run` makes it."""
    from serxbench.catalog import load_prompt, resolve_card
    from serxbench.corpora import open_corpus
    from serxbench.records import Decoding
    from serxbench.stages.backends import RespondRequest
    from serxbench.stages.cluster import cluster
    from serxbench.stages.parse import parse
    from serxbench.stages.respond import respond
    from serxbench.stages.score import score

    corpus = open_corpus(data, request.root_of(data))
    asked = RespondRequest(
        card=resolve_card(str(trained.folder), request.cards),
        mode=mode,
        cot=False,
        prompt=load_prompt(mode, corpus.labels),
        corpus=corpus,
        decoding=Decoding(max_new_tokens=MAX_NEW_TOKENS),
        batch_size=BATCH_SIZE,
        device=request.device,
        cards=request.cards,
    )
    run = respond(asked, out / "runs" / folder_name(asked), progress)
    parse(run)
    cluster(run)
    return run, score(run, corpus)
