"""Google's Gemini through its own package; the flow and the rules for asking again are those of any other server."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import io
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from serxbench.errors import AdapterError, UsageError
from serxbench.llm._asking import Client, Question, Send
from serxbench.llm._connections import connection_settings, raise_for_lost
from serxbench.llm._endpoints import Endpoint, Pool
from serxbench.llm._gemini_replies import build_settings, raise_for_error, read_reply
from serxbench.llm._options import ServerOptions, find_key, read_options
from serxbench.llm._trouble import Answer, TryAgain
from serxbench.records import Decoding

_GOOGLE = "https://generativelanguage.googleapis.com"

_MEBIBYTE = 1024 * 1024

#: A request may be 20 MB; what is not sound in it is small.
_ROOM_FOR_TEXT = 64 * 1024

_UPLOAD_POLL_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class GeminiOptions(ServerOptions):
    """How Gemini is asked. thinking_budget: tokens that the model may think before its answer; None leaves it to it.

    inline_mib: a request larger than this has its sound sent by the Files API.
    """

    endpoints: tuple[str, ...] = (_GOOGLE,)
    thinking_budget: int | None = None
    inline_mib: float = 19.0


def third_party(options: Mapping[str, Any]) -> str | None:
    """Google's address, unless the options name only this machine or a private network."""
    endpoints = read_options(options, GeminiOptions).open_endpoints("")
    return next((endpoint.shown for endpoint in endpoints if not endpoint.private), None)


class GeminiService:
    """A Gemini model. Raises AdapterError without the package, UsageError for options that make no sense or no key."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        if importlib.util.find_spec("google") is None or importlib.util.find_spec("google.genai") is None:
            raise AdapterError("the backend gemini needs the package google-genai: pip install 'serxbench[gemini]'")
        self.options = read_options(given, GeminiOptions)
        self.endpoints = self.options.open_endpoints("")
        if self.options.model is None:
            raise UsageError("the backend gemini: say which model with --backend-option model=NAME (gemini-2.5-flash)")
        budget = self.options.thinking_budget
        if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int) or budget < 0):
            raise UsageError(f"thinking_budget: must be a whole number from 0 up; found {budget!r}")
        self._key = find_key(self.options, self.endpoints)

    def describe(self) -> dict[str, Any]:
        """The model's name and how it is asked; no key."""
        budget = self.options.thinking_budget
        thinking = {} if budget is None else {"thinking_budget": budget}
        return {"backend": "gemini", "model": self.options.model, "safety": "BLOCK_NONE", **thinking}

    def connect(self) -> Client:
        """What asks it."""
        return _Client(self.options, self.endpoints, self._key)

    def pool(self) -> Pool:
        """Its endpoints, ready for requests."""
        return Pool(self.endpoints, self.options.patience_seconds)


class _Client:
    """google-genai, one client an endpoint; see serxbench.llm._asking.Client."""

    def __init__(self, options: GeminiOptions, endpoints: Sequence[Endpoint], key: str | None) -> None:
        self._options, self._endpoints, self._key = options, endpoints, key

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Callable[[Question, Decoding], Send]]:
        async with contextlib.AsyncExitStack() as stack:
            clients = {endpoint.url: await self._connect(stack, endpoint) for endpoint in self._endpoints}

            def request(question: Question, decoding: Decoding) -> Send:
                async def send(endpoint: Endpoint) -> Answer:
                    return await self._send(clients[endpoint.url], endpoint, question, decoding)

                return send

            yield request

    async def _connect(self, stack: contextlib.AsyncExitStack, endpoint: Endpoint) -> Any:
        from google import genai

        seconds = self._options.timeout_seconds
        # Connections of our own: else it depends on what is installed which library makes them, and how they fail.
        connections = await stack.enter_async_context(
            httpx2.AsyncClient(**connection_settings(private=endpoint.private, seconds=seconds))
        )
        # Everything is said, since the environment is asked for whatever is not.
        options = genai.types.HttpOptions(
            base_url=endpoint.url,
            api_version="v1beta",
            timeout=round(seconds * 1000),
            httpx_async_client=connections,
            retry_options=genai.types.HttpRetryOptions(attempts=1),
        )
        return genai.Client(vertexai=False, api_key=self._key or "none", http_options=options).aio

    async def _send(self, client: Any, endpoint: Endpoint, question: Question, decoding: Decoding) -> Answer:
        from google.genai import errors, types

        options = self._options
        file = None
        try:
            async with asyncio.timeout(options.timeout_seconds):
                parts = [types.Part.from_text(text=question.text)]
                if (
                    question.wav is not None
                    and len(question.wav) * 4 / 3 + _ROOM_FOR_TEXT > options.inline_mib * _MEBIBYTE
                ):
                    file = await self._upload(client, question.wav)
                    parts.insert(0, types.Part.from_uri(file_uri=file.uri, mime_type="audio/wav"))
                elif question.wav is not None:
                    parts.insert(0, types.Part.from_bytes(data=question.wav, mime_type="audio/wav"))
                reply = await client.models.generate_content(
                    model=options.model,
                    contents=[types.Content(role="user", parts=parts)],
                    config=build_settings(decoding, options.thinking_budget, question),
                )
        except TimeoutError:
            raise TryAgain("failed", f"no whole reply within {options.timeout_seconds:g} s") from None
        except errors.APIError as error:
            raise_for_error(error, endpoint.shown, self._key)
        except httpx2.HTTPError as error:
            raise_for_lost(error, endpoint)
        except ValueError:
            # So are all errors of a reply that is no JSON or has another form, the package's own and pydantic's.
            raise TryAgain("failed", "the reply has not the form of an answer") from None
        finally:
            if file is not None:
                await _delete(client, file.name)
        return read_reply(reply)

    async def _upload(self, client: Any, wav: bytes) -> Any:
        """The file, ready to be asked about. Google deletes it after two days; we delete it when it is answered."""
        from google.genai import types

        file = await client.files.upload(file=io.BytesIO(wav), config=types.UploadFileConfig(mime_type="audio/wav"))
        while file.state is not None and file.state.name == "PROCESSING":
            await asyncio.sleep(_UPLOAD_POLL_SECONDS)
            file = await client.files.get(name=file.name)
        if file.state is not None and file.state.name == "FAILED":
            await _delete(client, file.name)
            raise TryAgain("failed", "the uploaded file could not be processed")
        return file


async def _delete(client: Any, name: str) -> None:
    # A file that stays is a nuisance for two days; an answer that is lost for it would be worse.
    with contextlib.suppress(Exception):
        await client.files.delete(name=name)
