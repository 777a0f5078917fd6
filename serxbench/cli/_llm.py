"""What the verbs that ask an LLM share: the options that say where it is served and how much it may cost."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serxbench.cli import _options as options
from serxbench.cli._asking import backend_option, read_backend_options

if TYPE_CHECKING:
    from serxbench.stages.llms import LlmRequest

_OPTIONS = (
    options.option("--endpoint", "endpoints", multiple=True, metavar="URL", help="A server of the LLM; repeatable."),
    options.option("--concurrency", type=int, help="Requests in flight at each endpoint.  [default: 8]"),
    backend_option,
    options.option("--max-calls", type=int, envvar=None, help="The most requests to the LLM; repeating goes on."),
    options.option("--max-cost", "max_usd", type=float, envvar=None, help="The most US dollars for the LLM."),
    options.option(
        "--llm-cache", type=options.FILE, help="The file of replies.  [default: in the user's cache folder]"
    ),
    options.cards,
)
_NAMES = ("endpoints", "concurrency", "backend_options", "max_calls", "max_usd", "llm_cache", "cards")


def llm_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options to a command, which receives them as one dict `llm`."""

    @functools.wraps(function)
    def command(**given: Any) -> Any:
        llm = {name: given.pop(name) for name in _NAMES}
        return function(llm=llm, **given)

    for decorate in reversed(_OPTIONS):
        command = decorate(command)
    return command


def make_llm_request(model: str, llm: dict[str, Any]) -> LlmRequest:
    """The request for the LLM called `model` with what the options say."""
    from serxbench.stages.llms import LlmRequest

    given = read_backend_options({**llm, "decode": None, "concurrency": None})
    endpoints: tuple[str, ...] = given.pop("endpoints", ())
    cache: Path | None = llm["llm_cache"]
    return LlmRequest(
        model=model,
        endpoints=endpoints,
        options=given,
        concurrency=llm["concurrency"],
        max_calls=llm["max_calls"],
        max_usd=llm["max_usd"],
        cache=cache,
        cards=llm["cards"],
    )
