"""Endpoints: which addresses are allowed, whose machines they are, and which of several gets the next request."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from serxbench.errors import AdapterError, UsageError
from serxbench.llm._trouble import MAX_ATTEMPTS, TryAgain

#: Failures in a row after which an endpoint is left alone for a while; one that takes no connection counts twice. Less
#: than the requests for one item, so that a server that has died fails no item for good.
_SET_ASIDE_AT = MAX_ATTEMPTS - 1
_UNREACHABLE_COUNTS = 2
_SHORTEST_ASIDE_SECONDS = 1.0
_LONGEST_ASIDE_SECONDS = 30.0

#: A server that has never answered is most likely a wrong address.
_FIRST_CONTACT_SECONDS = 10.0


@dataclass(eq=False)
class Endpoint:
    """One server. url: without a slash at the end. shown: scheme and host, for messages to the user.

    limit: requests in flight that it takes at present; fewer after it has said that it is busy.
    """

    url: str
    shown: str
    private: bool
    concurrency: int
    limit: float = 0.0
    in_flight: int = 0
    faults: int = 0
    paused_until: float = 0.0
    aside_seconds: float = 0.0
    answered: bool = False

    def __post_init__(self) -> None:
        self.limit = float(self.concurrency)

    def free(self, now: float) -> bool:
        """Whether it may get a request now. One that was set aside gets one at a time until it answers."""
        return now >= self.paused_until and self.in_flight < (1 if self.aside_seconds else int(self.limit))


def read_endpoint(url: Any, concurrency: int, usual_path: str = "/v1") -> Endpoint:
    """The endpoint at `url`; one without a path gets the usual one. Raises UsageError; no message shows a password."""
    parts = urlsplit(url) if isinstance(url, str) else None
    try:
        port = parts.port if parts else None
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError("an endpoint must be a URL like http://127.0.0.1:8000 or https://host/v1")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    shown = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
    if parts.username is not None or parts.password is not None:
        raise UsageError(f"the endpoint {shown} is given with a user or password; keys come from the environment")
    if parts.query or parts.fragment:
        raise UsageError(f"the endpoint {shown} has something behind its path; keys come from the environment")
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return Endpoint(
        url=f"{shown}{path or usual_path}", shown=shown, private=is_private(parts.hostname), concurrency=concurrency
    )


def is_private(host: str) -> bool:
    """Whether the host is this machine or in a private network (RFC 1918 and the like), told by its name alone.

    A name that would have to be looked up is not: what it means may change between the look-up and the request.

    >>> [is_private(host) for host in ("localhost", "127.0.0.2", "::1", "192.168.1.5", "8.8.8.8", "api.openai.com")]
    [True, True, True, True, False, False]
    """
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    networks = _PRIVATE_V4 if address.version == 4 else _PRIVATE_V6
    return any(address in network for network in networks)


# ipaddress.is_private also counts documentation and benchmarking networks, which are nobody's own.
_PRIVATE_V4 = [ipaddress.ip_network(n) for n in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
_PRIVATE_V6 = [ipaddress.ip_network(n) for n in ("::1/128", "fc00::/7")]


@dataclass
class Pool:
    """The endpoints of a run. The least loaded one gets the next request; see `take`.

    patience: seconds without any answer after which the run stops. remarks: what happened, for the run's record.
    """

    endpoints: Sequence[Endpoint]
    patience: float
    remarks: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._answered_at = time.monotonic()
        self._changed = asyncio.Event()
        self._last_trouble = "no request was sent"

    @contextlib.asynccontextmanager
    async def take(self) -> AsyncIterator[Endpoint]:
        """An endpoint for one request, as soon as one is free. Raises AdapterError if none is for too long.

        What the request raises is noted, and passed on.
        """
        endpoint = await self._wait_for_one()
        endpoint.in_flight += 1
        began = time.monotonic()
        try:
            yield endpoint
        except TryAgain as trouble:
            self._note_trouble(endpoint, trouble, began)
            raise
        else:
            self._note_answer(endpoint)
        finally:
            endpoint.in_flight -= 1
            self._changed.set()

    async def _wait_for_one(self) -> Endpoint:
        while True:
            now = time.monotonic()
            free = [endpoint for endpoint in self.endpoints if endpoint.free(now)]
            if free:
                return min(free, key=lambda endpoint: endpoint.in_flight / endpoint.limit)
            self._check_patience(now)
            self._changed.clear()
            wake = [endpoint.paused_until - now for endpoint in self.endpoints if endpoint.paused_until > now]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(wake, default=None))

    def _check_patience(self, now: float) -> None:
        away = all(endpoint.aside_seconds or endpoint.paused_until > now for endpoint in self.endpoints)
        known = any(endpoint.answered for endpoint in self.endpoints)
        patience = self.patience if known else min(self.patience, _FIRST_CONTACT_SECONDS)
        if away and now - self._answered_at > patience:
            raise AdapterError(
                f"{self._names()}: no answer for {now - self._answered_at:.0f} s ({self._last_trouble}). What is "
                "finished is kept: when the server is back, repeat the same command"
            )

    def _note_answer(self, endpoint: Endpoint) -> None:
        if endpoint.aside_seconds:
            self.remarks.append({"event": "endpoint_back", "endpoint": self.endpoints.index(endpoint) + 1})
        endpoint.faults, endpoint.aside_seconds, endpoint.answered = 0, 0.0, True
        endpoint.limit = min(float(endpoint.concurrency), endpoint.limit + 1 / endpoint.limit)
        self._answered_at = time.monotonic()

    def _note_trouble(self, endpoint: Endpoint, trouble: TryAgain, began: float) -> None:
        now = time.monotonic()
        if trouble.trouble in ("empty", "schema"):
            return
        self._last_trouble = trouble.reason
        if trouble.trouble == "busy":
            self._pause(endpoint, trouble, began, now)
            return
        endpoint.faults += _UNREACHABLE_COUNTS if trouble.trouble == "unreachable" else 1
        # Requests that were on their way when it was set aside say nothing new.
        if endpoint.faults >= _SET_ASIDE_AT and began >= endpoint.paused_until:
            longer = max(_SHORTEST_ASIDE_SECONDS, 2 * endpoint.aside_seconds)
            endpoint.aside_seconds = min(_LONGEST_ASIDE_SECONDS, longer)
            endpoint.paused_until = now + endpoint.aside_seconds
            place = self.endpoints.index(endpoint) + 1
            warning = f"endpoint {place} gets no requests for {endpoint.aside_seconds:g} s: {trouble.reason}"
            self.remarks.append({"event": "endpoint_set_aside", "warning": warning})
        trouble.in_doubt = endpoint.aside_seconds > 0

    def _pause(self, endpoint: Endpoint, trouble: TryAgain, began: float, now: float) -> None:
        """All requests to an endpoint that is busy wait, and fewer are sent at once from then on."""
        seconds = trouble.seconds if trouble.seconds is not None else 1.0
        if seconds > self.patience:
            raise AdapterError(
                f"{endpoint.shown} asks to come back in {seconds:.0f} s ({trouble.reason}), longer than the run waits. "
                "What is finished is kept: repeat the same command then"
            )
        if began >= endpoint.paused_until:
            endpoint.limit = max(1.0, 0.7 * endpoint.limit)
        endpoint.paused_until = max(endpoint.paused_until, now + seconds)

    def _names(self) -> str:
        return ", ".join(endpoint.shown for endpoint in self.endpoints)
