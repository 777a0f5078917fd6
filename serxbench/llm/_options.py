"""The options of a backend behind a server, checked: from a card's settings and the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar
from urllib.parse import urlsplit

from serxbench.errors import UnknownName, UsageError
from serxbench.llm._endpoints import Endpoint, read_endpoint

_CHOICES = {
    "server": ("auto", "openai", "vllm", "sglang", "llamacpp"),
    "audio_part": ("input_audio", "audio_url"),
    "part_order": ("audio_first", "text_first"),
    "token_limit": ("max_tokens", "max_completion_tokens"),
    "decode": ("text", "loglik"),
}

#: The key for a server that is nobody's in particular. It is sent if it is set.
OUR_KEY = "SERXBENCH_HTTP_KEY"

_KEYS_OF_HOSTS = {
    "api.openai.com": ("OPENAI_API_KEY",),
    "generativelanguage.googleapis.com": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
}


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """What every backend behind a server understands; docs/backends.md explains each.

    typed: the endpoints are the user's own words, not a card's. model: the server's name for the model. key_variable:
    the environment variable that holds the key.
    """

    endpoints: tuple[str, ...] = ()
    typed: bool = True
    model: str | None = None
    concurrency: int = 8
    key_variable: str | None = None
    max_audio_seconds: float = float("inf")
    timeout_seconds: float = 300.0
    patience_seconds: float = 300.0

    def describe_limit(self) -> dict[str, float]:
        """What the manifest says of the longest clip; nothing if there is no limit."""
        limit = self.max_audio_seconds
        return {} if limit == float("inf") else {"max_audio_seconds": limit}

    def open_endpoints(self, usual_path: str = "/v1") -> list[Endpoint]:
        """The endpoints. Raises UsageError for one that may not be used, or for none."""
        if not self.endpoints:
            raise UsageError("--backend http needs --endpoint URL, for instance --endpoint http://127.0.0.1:8000")
        found = [read_endpoint(url, self.concurrency, usual_path) for url in self.endpoints]
        if len({endpoint.url for endpoint in found}) < len(found):
            raise UsageError("the same --endpoint is given twice; --concurrency says how many requests it gets")
        return found


@dataclass(frozen=True, kw_only=True)
class ChatOptions(ServerOptions):
    """How a server of chat completions is asked. Without `model`, it is the only one that the server has.

    omit: fields that are not sent. extra: fields that are sent besides.
    """

    server: str = "auto"
    audio_part: str = "input_audio"
    part_order: str = "audio_first"
    token_limit: str | None = None
    modalities: tuple[str, ...] = ()
    omit: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    decode: str = "text"


OptionsT = TypeVar("OptionsT", bound=ServerOptions)


def read_options(given: Mapping[str, Any], kind: type[OptionsT]) -> OptionsT:
    """The options in `given`. Raises UsageError or UnknownName, naming the option."""
    names = [each.name for each in fields(kind) if each.name != "typed"]
    chosen = dict(given)
    typed = "endpoints" in chosen
    if "endpoint" in chosen:
        # A card names one endpoint; those of the command line come in its place.
        of_card = chosen.pop("endpoint")
        chosen.setdefault("endpoints", of_card)
    for name in chosen:
        if name not in names:
            raise UnknownName("option of this backend", str(name), names)
    for name in ("endpoints", "modalities", "omit"):
        if name in chosen:
            chosen[name] = _texts(name, chosen[name])
    for name, choices in _CHOICES.items():
        if chosen.get(name) is not None and chosen[name] not in choices:
            raise UsageError(f"{name}: {chosen[name]!r} is none of {', '.join(choices)}")
    _check_numbers(chosen)
    if chosen.get("model") is not None:
        chosen["model"] = str(chosen["model"])
    if not isinstance(chosen.get("extra", {}), Mapping):
        raise UsageError(f"extra: must be fields of a request, like {{top_k: 1}}; found {chosen['extra']!r}")
    return kind(**chosen, typed=typed)


def _texts(name: str, value: Any) -> tuple[str, ...]:
    values = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, (list, tuple)) else ()
    if not all(isinstance(each, str) for each in values) or not values:
        raise UsageError(f"{name}: must be a list of texts; found {type(value).__name__}")
    return values


def _check_numbers(chosen: Mapping[str, Any]) -> None:
    for name in ("concurrency", "max_audio_seconds", "timeout_seconds", "patience_seconds"):
        value = chosen.get(name, 1)
        whole = name != "concurrency" or isinstance(value, int)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0 or not whole:
            raise UsageError(f"{name}: must be a{' whole' if name == 'concurrency' else ''} number above 0")


def find_key(options: ServerOptions, endpoints: list[Endpoint]) -> str | None:
    """The key for the endpoints, from the environment; None if there is none. Raises UsageError without showing it.

    The variable that was asked for has to be set. Without one, the host's own is looked at, or SERXBENCH_HTTP_KEY for
    endpoints that the user named.
    """
    hosts = {urlsplit(endpoint.url).hostname or "" for endpoint in endpoints}
    usual = _KEYS_OF_HOSTS.get(next(iter(hosts)), ()) if len(hosts) == 1 else ()
    wanted = (options.key_variable,) if options.key_variable else usual
    looked_at = wanted or ((OUR_KEY,) if options.typed else ())
    variable = next((name for name in looked_at if os.environ.get(name, "").strip()), None)
    if variable is None:
        if wanted:
            raise UsageError(f"the environment variable {' or '.join(wanted)}, which should hold the key, is not set")
        return None
    key = os.environ[variable].strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(f"the environment variable {variable} holds something that is no key")
    for endpoint in endpoints:
        if endpoint.url.startswith("http:") and not endpoint.private:
            raise UsageError(f"{endpoint.shown}: a key is not sent over an unencrypted connection; use https")
    return key
