"""Google's Gemini through its own package; the flow and the rules for asking again are those of the backend http.

docs/backends.md says which options there are, and what becomes of a blocked answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import io
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from serxbench.engines import Asked, Batch, Plan, Starting, plan_singly
from serxbench.engines._gemini_replies import build_settings, raise_for_error, read_reply
from serxbench.engines._http_asking import Asker, Question, Send, answer_all, make_questions
from serxbench.engines._http_connections import connection_settings, raise_for_lost
from serxbench.engines._http_endpoints import Endpoint, Pool
from serxbench.engines._http_hearing import prove_served_hearing
from serxbench.engines._http_options import ServerOptions, find_key, read_options
from serxbench.engines._http_trouble import Answer, TryAgain
from serxbench.errors import AdapterError, UsageError
from serxbench.records import Decoding, Utterance

#: The weights are somewhere else: nothing is located or loaded on this machine.
SERVED = True

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


def start(starting: Starting) -> GeminiEngine:
    """The engine for the model in the options. Raises AdapterError without the package, UsageError without a key."""
    if importlib.util.find_spec("google") is None or importlib.util.find_spec("google.genai") is None:
        raise AdapterError("--backend gemini needs the package google-genai: pip install 'serxbench[gemini]'")
    return GeminiEngine(starting)


def third_party(options: Mapping[str, Any]) -> str | None:
    """Google's address, unless the options name only this machine or a private network."""
    endpoints = read_options(options, GeminiOptions).open_endpoints("")
    return next((endpoint.shown for endpoint in endpoints if not endpoint.private), None)


class GeminiEngine:
    """A Gemini model; see serxbench.engines."""

    def __init__(self, starting: Starting) -> None:
        self._options = read_options(starting.options, GeminiOptions)
        self._endpoints = self._options.open_endpoints("")
        if self._options.model is None:
            raise UsageError("--backend gemini: say which model with --backend-option model=NAME (gemini-2.5-flash)")
        budget = self._options.thinking_budget
        if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int) or budget < 0):
            raise UsageError(f"thinking_budget: must be a whole number from 0 up; found {budget!r}")
        self._key = find_key(self._options, self._endpoints)

    def describe(self) -> dict[str, Any]:
        """The model's name and how it is asked; no key."""
        options = self._options
        thinking = {} if options.thinking_budget is None else {"thinking_budget": options.thinking_budget}
        return {
            "backend": "gemini",
            "model": options.model,
            "safety": "BLOCK_NONE",
            **options.describe_limit(),
            **thinking,
        }

    def plan(self, utterances: Sequence[Utterance]) -> Plan:
        """Each utterance by itself."""
        return plan_singly(utterances)

    def answer(self, asked: Asked) -> Iterator[Batch]:
        """Compares answers to sound and to silence, and asks all questions."""
        options = self._options
        client = _Client(options, self._endpoints, self._key)
        pool = Pool(self._endpoints, options.patience_seconds)
        prove_served_hearing(asked, client, pool, options.max_audio_seconds, shows_logprobs=False)
        questions = make_questions(asked, options.max_audio_seconds)
        yield from answer_all(Asker(client=client, pool=pool), asked, questions)


class _Client:
    """google-genai, one client an endpoint; see serxbench.engines._http_asking.Client."""

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
                    config=build_settings(decoding, options.thinking_budget, question.id),
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
