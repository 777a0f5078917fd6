"""The name of an LLM → the LLM, ready to be asked: a card's, or `openai:MODEL` at OPENAI_BASE_URL."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serxbench.catalog import ModelCard, read_card, resolve_card
from serxbench.errors import UsageError
from serxbench.llm import Budget, Cache, Llm, Price, Service, usual_cache
from serxbench.records import Decoding
from serxbench.stages.dry_run import CHARACTERS_A_TOKEN, price_of

#: `openai:MODEL` needs no card.
OPENAI = "openai:"

_BASE_URL = "OPENAI_BASE_URL"
_KEY = "OPENAI_API_KEY"


@dataclass(frozen=True, kw_only=True)
class LlmRequest:
    """Which LLM is asked, where, and how much it may cost.

    model: a card's name or file, or `openai:MODEL`. endpoints, options, concurrency: as of the backends http and
    gemini, in place of the card's. cache: the file of replies; None takes the usual one. cards: folders of cards.
    """

    model: str
    endpoints: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    concurrency: int | None = None
    max_calls: int | None = None
    max_usd: float | None = None
    cache: Path | None = None
    cards: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What asking some questions would take. usd: None if no price is known; 0 if there is nothing to ask."""

    n_questions: int
    prompt_tokens: int
    usd: float | None


def estimate(request: LlmRequest, texts: Collection[str], answer_tokens: int) -> Estimate:
    """About what it takes to ask an LLM these texts, if it answers each in so many tokens; no server is spoken to."""
    tokens = round(sum(map(len, texts)) / CHARACTERS_A_TOKEN)
    card = llm_card(request)
    given = {**({} if card is None else card.settings), **request.options}
    price = price_of(str(given.get("model") or request.model.removeprefix(OPENAI)))
    millionths = None if price is None else tokens * price["text"] + answer_tokens * len(texts) * price["answer"]
    usd = 0.0 if not texts else None if millionths is None else millionths / 1_000_000
    return Estimate(n_questions=len(texts), prompt_tokens=tokens, usd=usd)


def open_llm(
    request: LlmRequest, decoding: Decoding, note: Callable[[Mapping[str, Any]], None] = lambda event: None
) -> Llm:
    """The LLM; nothing is asked yet. note: gets what happens at the endpoints, as events.

    Raises UnknownName, UsageError for options that make no sense, or AdapterError.
    """
    card = llm_card(request)
    settings = {} if card is None else {name: card.settings[name] for name in card.settings if name != "backend"}
    if card is not None and card.adapter != "hosted":
        raise UsageError(f"'{card.name}' is no model behind a server (its adapter is {card.adapter}); serxbench models")
    backend = "http" if card is None else str(card.settings.get("backend", "http"))
    given = {**settings, **request.options}
    if card is None:
        given["model"] = request.model.removeprefix(OPENAI)
    if request.endpoints:
        given["endpoints"] = request.endpoints
    elif backend == "http" and "endpoint" not in given:
        given.update(_usual_endpoint(request.model, given))
    if request.concurrency is not None:
        given["concurrency"] = request.concurrency
    service = _connect(backend, given, card, request.model)
    return Llm(
        name=request.model,
        family=None if card is None else card.family,
        service=service,
        decoding=decoding,
        cache=Cache(request.cache or usual_cache()),
        budget=_budget(request, str(given.get("model", ""))),
        note=note,
    )


def llm_card(request: LlmRequest) -> ModelCard | None:
    """The card of the LLM; None for `openai:MODEL`."""
    if request.model.startswith(OPENAI):
        if not request.model.removeprefix(OPENAI):
            raise UsageError("openai: names no model; openai:MODEL was wanted, with the server's name for it")
        return None
    path = Path(request.model)
    return read_card(path) if path.is_file() else resolve_card(request.model, request.cards)


def _connect(backend: str, given: Mapping[str, Any], card: ModelCard | None, name: str) -> Service:
    if backend == "gemini":
        from serxbench.llm.gemini import GeminiService

        return GeminiService(given)
    if backend != "http":
        raise UsageError(f"'{name}': a card of an LLM says backend http or gemini; found {backend!r}")
    from serxbench.llm.openai import ChatService

    return ChatService(given, (name,) if card is None else (card.name, card.repository))


def _usual_endpoint(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Where the environment says, as OpenAI's own package reads it; with its key, if there is one."""
    url = os.environ.get(_BASE_URL, "").strip()
    if not url:
        raise UsageError(
            f"where is '{name}' served? Give --endpoint URL, or set {_BASE_URL} (and {_KEY}, if it wants a key); "
            "for OpenAI's own service that is https://api.openai.com/v1"
        )
    has_key = bool(os.environ.get(_KEY, "").strip())
    key = {"key_variable": _KEY} if has_key and "key_variable" not in given else {}
    return {"endpoints": (url,), **key}


def _budget(request: LlmRequest, model: str) -> Budget:
    for option, value in (("--max-calls", request.max_calls), ("--max-cost", request.max_usd)):
        if value is not None and not value > 0:
            raise UsageError(f"{option}: must be above 0; found {value:g}")
    price = price_of(model)
    if request.max_usd is not None and price is None:
        raise UsageError(
            f"--max-cost: no price is known for '{model}' (serxbench/stages/costs.yaml has those that are); "
            "limit the number of requests with --max-calls"
        )
    return Budget(
        max_calls=request.max_calls,
        max_usd=request.max_usd,
        price=None if price is None else Price(**{name: float(price[name]) for name in price}),
    )
