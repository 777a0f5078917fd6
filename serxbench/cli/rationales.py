"""serxbench rationales"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click

from serxbench.cli import _options as options
from serxbench.cli._asking import backend_option, read_backend_options, remote_code_option, upload_option


@click.command()
@options.option("--model", default="q2.5o", help="The teacher: a card's name, a card's path, or a checkpoint folder.")
@options.option("--data", required=True, metavar="CORPUS:SPLIT", help="A training split; see `serxbench corpora`.")
@options.data_root
@options.limit
@options.option("--samples", type=int, default=1, envvar=None, help="Rationales of each item, with a seed each.")
@options.option("--max-new-tokens", type=int, default=512, help="The longest rationale, in tokens.")
@options.option("--temperature", type=float, default=0.0, help="0 is greedy decoding.")
@options.option("--seed", type=int, default=0, help="Of sampling; greedy decoding uses none.")
@options.option("--prompt", default="rationale", envvar=None, help="The prompt; it has {{transcript}} and {{emotion}}.")
@options.option("--backend", metavar="transformers|vllm|http|gemini", help="How it is computed.  [default: the card's]")
@options.option(
    "--endpoint", "endpoints", multiple=True, metavar="URL", help="A server for --backend http; repeatable."
)
@options.option("--concurrency", type=int, help="Requests in flight at each endpoint.  [default: 8]")
@backend_option
@options.option("--device", default="auto", metavar="auto|cpu|cuda", help="Where the model computes.")
@options.option("--dtype", default="auto", metavar="auto|float32|bfloat16|float16", help="The number format.")
@upload_option
@remote_code_option
@options.option(
    "--dry-run", is_flag=True, envvar=None, help="Say what would be asked and what it would cost; ask nothing."
)
@options.option("--out", type=options.FOLDER, required=True, envvar=None, help="The folder to write.")
@options.cards
@options.prompts
@options.as_json
@options.quiet
def command(out: Path, dry_run: bool, as_json: bool, quiet: bool, **asked: Any) -> int:
    """Have a teacher explain the label of each utterance of a training split.

    The teacher gets the audio, the transcript and the label. Writes OUT/rationales.jsonl; repeating the command goes on
    where it stopped. Items of validation and test splits are never asked about.
    """
    from serxbench.cli import EXIT_FAILED_RECORDS
    from serxbench.cli._console import listen
    from serxbench.cli._forecast import print_forecast
    from serxbench.stages.rationales import RATIONALES, make_rationales, plan_rationales

    progress, teaching = listen(quiet), _teaching(asked)
    if dry_run:
        return print_forecast(plan_rationales(teaching, progress).request, out, as_json)
    rows = make_rationales(teaching, out, progress)
    counts = Counter(row.status for row in rows)
    if as_json:
        click.echo(json.dumps({"out": str(out / RATIONALES), "n": len(rows), "statuses": dict(counts)}))
    progress.say(f"{out / RATIONALES}: " + ", ".join(f"{n} {status}" for status, n in counts.most_common()))
    progress.say(f"next: serxbench curate {out / RATIONALES} --out {out / 'curated.jsonl'}")
    return EXIT_FAILED_RECORDS if counts["error"] or counts["empty"] or counts["held_out"] else 0


def _teaching(asked: dict[str, Any]) -> Any:
    """What the options mean. Raises UsageError."""
    from serxbench.catalog import load_template, resolve_card
    from serxbench.errors import UsageError
    from serxbench.records import Decoding, Prompt
    from serxbench.stages.backends import RespondRequest, choose_backend
    from serxbench.stages.rationales import Teaching

    if asked["max_new_tokens"] < 1 or asked["temperature"] < 0:
        raise UsageError("--max-new-tokens must be at least 1 and --temperature at least 0")
    card = resolve_card(asked["model"], asked["cards"])
    template = load_template(asked["prompt"], asked["prompts"])
    request = RespondRequest(
        card=card,
        mode="open",
        cot=False,
        prompt=Prompt(name=template.name, text=template.text, sha256=template.sha256),
        corpus=options.open_corpus(asked["data"], asked["data_root"], asked["limit"]),
        decoding=Decoding(max_new_tokens=asked["max_new_tokens"], temperature=asked["temperature"], seed=asked["seed"]),
        # An adapter asks all clips of a batch the same, and each of these is asked something of its own.
        batch_size=1,
        backend=choose_backend(asked["backend"], card),
        backend_options=read_backend_options({**asked, "decode": None}),
        device=asked["device"],
        dtype=asked["dtype"],
        may_upload=asked["may_upload"],
        trust_remote_code=asked["trust_remote_code"],
        cards=asked["cards"],
    )
    return Teaching(request=request, template=template, samples=asked["samples"])
