"""serxbench judge"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from serxbench.cli import _options as options
from serxbench.cli._asking import only_typed
from serxbench.cli._llm import llm_options


@click.command()
@options.runs_argument
@options.option("--judge", required=True, metavar="CARD|openai:MODEL", help="Who judges; see `serxbench models`.")
@options.option(
    "--pairs", "rule", default="same-label", metavar="same-label|all|both-correct", help="Which utterances are judged."
)
@options.option("--per-emotion", type=int, default=50, help="Utterances sampled of each emotion; 0 takes them all.")
@options.option("--seed", type=int, default=0, help="Of the sample, of the order, and of the canaries.")
@options.option("--orders", default="both", metavar="both|one", help="Show each pair in both orders, or in one.")
@options.option("--judge-audio", is_flag=True, help="The judge hears the recording.")
@options.option("--judge-transcript", is_flag=True, help="The judge reads the reference transcript.")
@options.option(
    "--normalise", default="", metavar="markup,label,length", help="What is taken off the texts, or equalled."
)
@options.option("--with-and-without", is_flag=True, help="Judge the texts as they are written too.")
@options.option("--canaries", type=int, default=10, help="Questions of each kind whose answer is known.")
@options.option("--weights", default="emotions", metavar="emotions|items|population", help="How the emotions weigh.")
@options.option("--human-votes", type=options.FILE, help="People's votes on the same pairs, JSONL or CSV.")
@options.option("--level", type=float, default=0.95, help="Of the intervals.")
@options.option("--max-new-tokens", type=int, default=512, help="The longest reply of the judge, in tokens.")
@options.option("--figure/--no-figure", default=True, help="Draw win_rates.svg and win_rates.png.")
@options.option(
    "--i-have-the-right-to-upload",
    "may_upload",
    is_flag=True,
    envvar=None,
    callback=only_typed,
    help="Send audio or transcripts to a hosted judge although the licence of the corpus does not allow it.",
)
@options.option("--data-root", type=options.FOLDER, help="Where the corpus lies, if not where it lay during the runs.")
@options.prompts
@llm_options
@options.option("--out", type=options.FOLDER, help="The folder.  [default: judgments/A_vs_B_JUDGE]")
@options.option("--dry-run", is_flag=True, envvar=None, help="Say what would be asked and what it would cost.")
@options.as_json
@options.quiet
def command(
    runs: tuple[Path, ...],
    llm: dict[str, Any],
    data_root: Path | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> int:
    """Have a judge compare how two runs or more explain themselves, and report what the judge is worth.

    Repeating the command goes on where it stopped; no reply is paid for twice.
    """
    from serxbench.cli import EXIT_FAILED_RECORDS
    from serxbench.cli._console import listen
    from serxbench.cli._judge_report import make_judge_request, print_forecast, print_judging
    from serxbench.cli._scoring import open_scored
    from serxbench.stages.judge import forecast, judge

    progress = listen(quiet)
    request = make_judge_request(given, llm)
    opened = [open_scored(path, data_root) for path in runs]
    if dry_run:
        print_forecast(forecast(opened, request, progress), as_json)
        return 0
    out = given["out"] or Path("judgments") / _folder_name(opened, given["judge"])
    found = judge(opened, request, out, progress)
    print_judging(found, as_json)
    return EXIT_FAILED_RECORDS if found.n_failed else 0


def _folder_name(opened: list[Any], judge: str) -> str:
    names = "_vs_".join(run.path.resolve().name for run in opened)
    plain = "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in Path(judge).stem)
    return f"{names}_{plain}"
