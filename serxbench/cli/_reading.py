"""What `serxbench run` is told of how answers are read: the parsers, the clusterer, and the LLMs among them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from serxbench.cli import _options as options

if TYPE_CHECKING:
    from serxbench.stages.llms import LlmRequest

_OPTIONS = (
    options.parsers,
    options.clusterer,
    options.word_table,
    options.option("--parser-endpoint", multiple=True, metavar="URL", help="A server of the LLM that parses."),
    options.option("--clusterer-endpoint", multiple=True, metavar="URL", help="A server of the LLM that clusters."),
    options.option("--max-calls", type=int, envvar=None, help="The most requests to each LLM; repeating goes on."),
    options.option("--max-cost", "max_usd", type=float, envvar=None, help="The most US dollars for each LLM."),
    options.option(
        "--llm-cache", type=options.FILE, help="The file of LLMs' replies.  [default: in the user's cache folder]"
    ),
)
_NAMES = ("parsers", "clusterer", "word_table", "parser_endpoint", "clusterer_endpoint", "max_calls", "max_usd")


def reading_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options to a command, which receives them as one dict `reading`."""

    @functools.wraps(function)
    def command(**given: Any) -> Any:
        reading = {name: given.pop(name) for name in (*_NAMES, "llm_cache")}
        return function(reading=reading, **given)

    for decorate in reversed(_OPTIONS):
        command = decorate(command)
    return command


def request_for(role: str, reading: dict[str, Any], cards: tuple[Any, ...]) -> Callable[[str], LlmRequest]:
    """How the LLM of a role (`parser`, `clusterer`) is asked: its name → the request."""

    def request(model: str) -> LlmRequest:
        from serxbench.stages.llms import LlmRequest

        return LlmRequest(
            model=model,
            endpoints=reading[f"{role}_endpoint"],
            max_calls=reading["max_calls"],
            max_usd=reading["max_usd"],
            cache=reading["llm_cache"],
            cards=cards,
        )

    return request
