"""Connections to a server: how they are opened, and what it means when one is lost."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import httpx2

from serxbench.errors import AdapterError
from serxbench.llm._endpoints import Endpoint
from serxbench.llm._trouble import TryAgain

CONNECT_SECONDS = 10.0

#: The environment's proxy is for the world outside; its certificates (SSL_CERT_FILE) are for both.
_NO_PROXY = {"all://": None, "http://": None, "https://": None}


def connection_settings(*, private: bool, seconds: float) -> dict[str, Any]:
    """What every httpx2 client is opened with: certificates are checked, and no redirection is followed."""
    return {
        "timeout": httpx2.Timeout(seconds, connect=CONNECT_SECONDS, pool=None),
        "limits": httpx2.Limits(max_connections=None, max_keepalive_connections=None),
        "follow_redirects": False,
        "mounts": _NO_PROXY if private else None,
    }


class Connections:
    """Clients of httpx2, each used by one request at a time.

    One client for all would look through all of its connections at every request, which with 32 of them takes longer
    than the request itself.
    """

    def __init__(self, stack: contextlib.AsyncExitStack, seconds: float) -> None:
        self._stack, self._seconds = stack, seconds
        # Reading the certificates takes a tenth of a second, so it is done once.
        self._certificates = httpx2.create_ssl_context()
        self._free: dict[bool, list[httpx2.AsyncClient]] = {True: [], False: []}

    @contextlib.asynccontextmanager
    async def one(self, endpoint: Endpoint) -> AsyncIterator[httpx2.AsyncClient]:
        """A client that nobody else uses meanwhile; the one that was given back last, so that few are opened."""
        free = self._free[endpoint.private]
        if free:
            client = free.pop()
        else:
            settings = connection_settings(private=endpoint.private, seconds=self._seconds)
            client = await self._stack.enter_async_context(httpx2.AsyncClient(verify=self._certificates, **settings))
        try:
            yield client
        finally:
            free.append(client)


def raise_for_lost(error: httpx2.HTTPError, endpoint: Endpoint) -> NoReturn:
    """Raises TryAgain for a connection that did not come about or broke; AdapterError for a certificate."""
    check_certificate(error, endpoint)
    away = isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError))
    raise TryAgain("unreachable" if away else "failed", explain(error)) from None


def check_certificate(error: httpx2.HTTPError, endpoint: Endpoint) -> None:
    """Raises AdapterError if the connection failed for a certificate that this machine does not trust."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        raise AdapterError(
            f"{endpoint.shown}: its certificate is not trusted here ({error}); if it is your own, name the file of its "
            "authority in SSL_CERT_FILE"
        ) from None


def explain(error: httpx2.HTTPError) -> str:
    """What happened to a connection, without an address: the text may end up in a result file."""
    kinds = {
        httpx2.ConnectError: "no connection (refused, or no such host)",
        httpx2.ConnectTimeout: "no connection within the time limit",
        httpx2.TimeoutException: "no reply within the time limit",
        httpx2.ProxyError: "the proxy refused the connection",
        httpx2.TransportError: "the connection broke",
    }
    reason = next((text for kind, text in kinds.items() if isinstance(error, kind)), "an unusable reply")
    return f"{reason} ({type(error).__name__})"
