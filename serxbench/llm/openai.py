"""Any server that speaks OpenAI's chat completions: vLLM, SGLang, llama.cpp, OpenAI itself, and others."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx2

from serxbench.errors import AdapterError, UsageError
from serxbench.llm._asking import Client, Question, Send
from serxbench.llm._chat import build_body, raise_for_status, read_reply
from serxbench.llm._connections import (
    CONNECT_SECONDS,
    Connections,
    check_certificate,
    connection_settings,
    explain,
    raise_for_lost,
)
from serxbench.llm._endpoints import Endpoint, Pool
from serxbench.llm._loglik import score_options
from serxbench.llm._options import ChatOptions, find_key, read_options
from serxbench.llm._trouble import Answer, Declined, TryAgain
from serxbench.records import Decoding

#: An answer is some kilobytes; a server that sends more than this is not answering.
_MOST_BYTES = 8 * 1024 * 1024

_OPENAI = "api.openai.com"


def third_party(options: Mapping[str, Any]) -> str | None:
    """The first endpoint that is neither this machine nor in a private network, None if there is none."""
    endpoints = read_options(options, ChatOptions).open_endpoints()
    return next((endpoint.shown for endpoint in endpoints if not endpoint.private), None)


class ChatService:
    """A model behind one server or several that serve the same. asked_for: what it may be called there.

    Raises UsageError for options that make no sense.
    """

    def __init__(self, given: Mapping[str, Any], asked_for: Sequence[str]) -> None:
        options = read_options(given, ChatOptions)
        self.endpoints = options.open_endpoints()
        self._key = find_key(options, self.endpoints)
        self._options = _with_usual(options, self.endpoints)
        self._asked_for = asked_for
        self._model: str | None = None

    @property
    def options(self) -> ChatOptions:
        """The options, with what is usual for the kind of server."""
        return self._options

    @property
    def is_official(self) -> bool:
        """Whether it is OpenAI's own."""
        return _is_official(self.endpoints)

    def describe(self) -> dict[str, Any]:
        """The server's kind, its name for the model, and what is sent beside the question; no host, no key."""
        model = self._find_model()
        options = self._options
        others = {"modalities": list(options.modalities), "omit": list(options.omit), "extra": dict(options.extra)}
        return {
            "backend": "http",
            "server": options.server,
            "model": model,
            "token_limit": options.token_limit,
            **{name: value for name, value in others.items() if value},
        }

    def connect(self) -> Client:
        """What asks it."""
        model = self._find_model()
        return _Client(self._options, model, self._key)

    def pool(self) -> Pool:
        """Its endpoints, ready for requests."""
        return Pool(self.endpoints, self._options.patience_seconds)

    def _find_model(self) -> str:
        """The server's name for the model, and what kind of server it is, asked once if the options do not say."""
        if self._model is None:
            options = self._options
            if options.model is None or options.server == "auto":
                listed = _list_models(self.endpoints, self._key)
                self._model = options.model or _only_model(listed, self._asked_for)
                kinds = {each.get("owned_by") for each in listed}
                kind = next((kind for kind in ("vllm", "sglang", "llamacpp") if kind in kinds), "openai")
                self._options = replace(options, server=kind if options.server == "auto" else options.server)
            else:
                self._model = options.model
        return self._model


def _with_usual(options: ChatOptions, endpoints: Sequence[Endpoint]) -> ChatOptions:
    """The options with what is usual for OpenAI's own service, or for any other server, where nothing was said."""
    official = _is_official(endpoints)
    limit = options.token_limit or ("max_completion_tokens" if official else "max_tokens")
    return replace(
        options, token_limit=limit, server="openai" if official and options.server == "auto" else options.server
    )


def _is_official(endpoints: Sequence[Endpoint]) -> bool:
    return {urlsplit(endpoint.url).hostname for endpoint in endpoints} == {_OPENAI}


def _only_model(listed: Sequence[Mapping[str, Any]], asked_for: Sequence[str]) -> str:
    names = [str(each.get("id")) for each in listed]
    wanted = [name for name in names if name in asked_for]
    found = wanted or names
    if len(found) != 1:
        raise UsageError(
            f"the server serves {', '.join(names[:10]) or 'no model that it tells of'}; say which one is "
            f"'{asked_for[0]}' with --backend-option model=NAME"
        )
    return found[0]


def _list_models(endpoints: Sequence[Endpoint], key: str | None) -> list[dict[str, Any]]:
    """What the first endpoint that answers says it serves; an empty list if it does not tell. Raises AdapterError."""
    reasons = []
    for endpoint in endpoints:
        try:
            with httpx2.Client(**connection_settings(private=endpoint.private, seconds=CONNECT_SECONDS)) as client:
                reply = client.get(f"{endpoint.url}/models", headers=_headers(key))
        except httpx2.HTTPError as error:
            check_certificate(error, endpoint)
            reasons.append(f"{endpoint.shown}: {explain(error)}")
            continue
        if reply.status_code in (401, 403):
            raise_for_status(reply.status_code, reply.headers, _without_key(reply.content, key), endpoint.shown)
        with contextlib.suppress(ValueError, AttributeError, TypeError):
            listed = json.loads(_without_key(reply.content, key)).get("data") or []
            return [each for each in listed if isinstance(each, dict)]
        return []
    raise AdapterError(f"no server answers; {'; '.join(reasons)}")


class _Client:
    """Chat completions; see serxbench.llm._asking.Client."""

    def __init__(self, options: ChatOptions, model: str, key: str | None) -> None:
        self._options, self._model, self._key = options, model, key
        self._takes_schemas = True

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Callable[[Question, Decoding], Send]]:
        async with contextlib.AsyncExitStack() as stack:
            connections = Connections(stack, self._options.timeout_seconds)

            def request(question: Question, decoding: Decoding) -> Send:
                refused = False

                async def send(endpoint: Endpoint) -> Answer:
                    nonlocal refused
                    with_schema = question.schema is not None and self._takes_schemas and not refused
                    body = build_body(self._options, self._model, question, decoding, with_schema=with_schema)
                    try:
                        async with connections.one(endpoint) as client:
                            raw = await self._post(client, endpoint, body)
                    except Declined as declined:
                        if not with_schema:
                            raise
                        # Perhaps for its schema: a server that then takes the same question has none.
                        refused = True
                        raise TryAgain("schema", str(declined)) from None
                    self._takes_schemas = self._takes_schemas and not refused
                    answer = read_reply(raw, first_token=question.first_token)
                    if question.choices is None or answer.stop == "filtered":
                        return answer
                    return score_options(answer, question.choices)

                return send

            yield request

    async def _post(self, client: httpx2.AsyncClient, endpoint: Endpoint, body: bytes) -> bytes:
        seconds = self._options.timeout_seconds
        raw = bytearray()
        try:
            # One limit over all: a server that sends a byte now and then would never run into another.
            async with (
                asyncio.timeout(seconds),
                client.stream(
                    "POST", f"{endpoint.url}/chat/completions", content=body, headers=_headers(self._key)
                ) as reply,
            ):
                async for chunk in reply.aiter_bytes():
                    raw += chunk
                    if len(raw) > _MOST_BYTES:
                        raise TryAgain("failed", f"the reply is longer than {_MOST_BYTES} bytes")
        except TimeoutError:
            raise TryAgain("failed", f"no whole reply within {seconds:g} s") from None
        except httpx2.HTTPError as error:
            raise_for_lost(error, endpoint)
        content = _without_key(bytes(raw), self._key)
        raise_for_status(reply.status_code, reply.headers, content, endpoint.shown)
        return content


def _headers(key: str | None) -> dict[str, str]:
    return {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}


def _without_key(raw: bytes, key: str | None) -> bytes:
    """The reply without the key, which some servers quote in their messages."""
    return raw.replace(key.encode(), b"[key]") if key else raw
