"""Options that several verbs share. Each may also be given as SERXBENCH_<NAME> in the environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from serxbench.cli._defaults import data_root_of

if TYPE_CHECKING:
    from serxbench.corpora import Corpus

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


def option(*names: str, **settings: Any) -> Callable[[CommandT], CommandT]:
    """click.option whose environment variable is SERXBENCH_ and the option's name."""
    long = next(name for name in names if name.startswith("--")).split("/")[0]
    variable = "SERXBENCH_" + long.removeprefix("--").replace("-", "_").upper()
    return click.option(*names, **{"envvar": variable, "show_default": True, **settings})


model = option("--model", required=True, help="A card's name, the path of a card, or a checkpoint folder.")
mode = option("--mode", required=True, metavar="open|closed", help="The form of the question.")
cot = option("--cot", is_flag=True, help="Ask with a chain-of-thought instruction.")
data = option(
    "--data", default="demo", metavar="CORPUS[:SPLIT][,OPTION=VALUE]", help="The corpus; see `serxbench corpora`."
)
data_root = option("--data-root", type=FOLDER, help="The folder of the corpus as it was distributed.")
limit = option("--limit", type=int, help="Only the first N utterances in corpus order.")
cards = option("--cards", type=FOLDER, multiple=True, help="A folder of your own model cards.")
prompts = option("--prompts", type=FOLDER, multiple=True, help="A folder of your own prompts.")
parsers = option(
    "--parser", "parsers", multiple=True, help="What reads the answers; the first one's are scored.  [default: rules]"
)
clusterer = option("--clusterer", help="What maps emotion words to classes.  [default: table]")
word_table = option(
    "--word-table", type=FILE, help="Rows of your own: word, class, source.  [default: word_tables/NAME.tsv for an LLM]"
)
as_json = option("--json", "as_json", is_flag=True, envvar=None, help="Print JSON on stdout.")
quiet = option("--quiet", "-q", is_flag=True, help="No progress and no hints on stderr.")
runs_argument = click.argument("runs", nargs=-1, required=True, type=FOLDER, metavar="RUN...")
run_argument = click.argument("run", type=FOLDER, metavar="RUN")


def root_of(data: str, root: Path | None) -> Path | None:
    """The folder that --data-root gives for the corpus in `data`, or else the settings."""
    return root or data_root_of(data.partition(":")[0].partition(",")[0].lower().replace("_", "-"))


def open_corpus(data: str, root: Path | None, limit: int | None = None) -> Corpus:
    """The corpus that --data and --data-root, or the settings, mean."""
    from serxbench import corpora

    return corpora.open_corpus(data, root_of(data, root), limit)
