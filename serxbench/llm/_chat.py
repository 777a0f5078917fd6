"""Chat completions as OpenAI defined them: a question → the body of a request; a reply → an answer, or a trouble."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from serxbench.errors import AdapterError
from serxbench.llm._asking import Question
from serxbench.llm._options import ChatOptions
from serxbench.llm._trouble import Answer, Declined, Trouble, TryAgain, first_line, read_retry_after
from serxbench.records import Decoding

#: What a server would otherwise fill in from the checkpoint's generation settings, or from its own. At least one token,
#: as everywhere in serxbench. A service that knows fewer fields refuses a request with others.
_PINNED: Mapping[str, Mapping[str, Any]] = {
    "openai": {},
    "vllm": {
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "min_tokens": 1,
    },
    "sglang": {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0},
    "llamacpp": {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0},
}

#: As many first tokens as OpenAI and vLLM (unless started with --max-logprobs) list.
N_LOGPROBS = 20

_STOPS = {"stop": "end", "length": "length", "content_filter": "filtered"}


def build_body(
    options: ChatOptions, model: str, question: Question, decoding: Decoding, *, with_schema: bool = True
) -> bytes:
    """The JSON of one request. The same question gives the same bytes. with_schema: send the schema that it has."""
    # One seed an item, so that a sampled answer does not depend on what else was asked.
    own = int(hashlib.sha256(question.id.encode()).hexdigest()[:7], 16) if decoding.temperature > 0 else 0
    fields: dict[str, Any] = {
        "model": model,
        "messages": [
            *([{"role": "system", "content": question.system}] if question.system is not None else []),
            {"role": "user", "content": _content(options, question)},
        ],
        "temperature": decoding.temperature,
        "top_p": 1.0,
        "seed": decoding.seed + own,
        options.token_limit or "max_tokens": 1 if question.first_token else decoding.max_new_tokens,
        **_PINNED[options.server],
        **({"modalities": list(options.modalities)} if options.modalities else {}),
        **({"logprobs": True, "top_logprobs": N_LOGPROBS} if question.first_token else {}),
        **({"response_format": _format(question.schema)} if question.schema is not None and with_schema else {}),
        **options.extra,
    }
    return json.dumps({name: fields[name] for name in fields if name not in options.omit}).encode()


def _format(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def _content(options: ChatOptions, question: Question) -> Any:
    if question.wav is None:
        # Servers of text models need not know content in parts.
        return question.text
    text = {"type": "text", "text": question.text}
    data = base64.b64encode(question.wav).decode("ascii")
    if options.audio_part == "audio_url":
        audio: dict[str, Any] = {"type": "audio_url", "audio_url": {"url": f"data:audio/wav;base64,{data}"}}
    else:
        audio = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    return [audio, text] if options.part_order == "audio_first" else [text, audio]


def read_reply(raw: bytes, *, first_token: bool) -> Answer:
    """The answer in the body of a reply with status 200. Raises TryAgain for a body that holds none."""
    try:
        body = json.loads(raw)
    except ValueError:
        raise TryAgain("failed", f"the reply of {len(raw)} bytes is not whole JSON") from None
    try:
        if body.get("error"):
            raise TryAgain("failed", f"an error in place of an answer: {first_line(_message(body))}")
        choice = body["choices"][0]
        message = choice["message"]
        stop = _STOPS.get(choice.get("finish_reason") or "stop", "end")
        served = _served(body)
        if message.get("refusal"):
            return Answer(text=str(message["refusal"]), stop="filtered", error="refused by the provider", served=served)
        if stop == "filtered":
            return Answer(stop="filtered", error="filtered by the provider", served=served)
        if first_token:
            return Answer(text=_text(message), stop="length", served=served, logprobs=_logprobs(choice))
        text = _text(message)
    except (AttributeError, LookupError, TypeError):
        raise TryAgain("failed", "the reply has not the form of a chat completion") from None
    thought = message.get("reasoning_content") or message.get("reasoning")
    note = "the token limit was reached before the answer" if not text and stop == "length" and thought else None
    n_prompt, n_answer = _usage(body)
    answer = Answer(
        text=text,
        stop="length" if stop == "length" else "end",
        note=note,
        served=served,
        n_prompt_tokens=n_prompt,
        n_answer_tokens=n_answer,
    )
    if not text and stop != "length":
        raise TryAgain("empty", "the reply holds no text", answer=answer)
    return answer


def _text(message: Mapping[str, Any]) -> str:
    """What the model answered: text, or text in parts, or the words of a spoken answer."""
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(part["text"] for part in content if part.get("type") == "text")
    if not content and isinstance(message.get("audio"), Mapping):
        content = message["audio"].get("transcript")
    if content is not None and not isinstance(content, str):
        raise TypeError("content")
    return content or ""


def _served(body: Mapping[str, Any]) -> str | None:
    name, fingerprint = body.get("model"), body.get("system_fingerprint")
    return " ".join(first_line(part) for part in (name, fingerprint) if part) or None


def _usage(body: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Tokens of prompt and answer as the server counted them, None where it says nothing usable."""
    usage = body.get("usage")
    said = (usage.get("prompt_tokens"), usage.get("completion_tokens")) if isinstance(usage, Mapping) else (None, None)
    prompt, answer = (n if isinstance(n, int) and not isinstance(n, bool) and n >= 0 else None for n in said)
    return prompt, answer


def _logprobs(choice: Mapping[str, Any]) -> dict[str, float] | None:
    """First token → log-probability. The same text can be two tokens; their probabilities are added up."""
    content = (choice.get("logprobs") or {}).get("content") or []
    if not content:
        return None
    found: dict[str, float] = {}
    for each in content[0].get("top_logprobs") or []:
        token, logprob = str(each["token"]), float(each["logprob"])
        found[token] = float(_log_sum(found[token], logprob)) if token in found else logprob
    return found or None


def _log_sum(a: float, b: float) -> float:
    high, low = max(a, b), min(a, b)
    return high + math.log1p(math.exp(low - high))


def raise_for_status(status: int, headers: Mapping[str, str], raw: bytes, shown: str) -> None:
    """Raises what a reply that is no answer calls for: TryAgain, Declined, or AdapterError for a hopeless run."""
    if status == 200:
        return
    message, code = _error_of(raw)
    reason = f"HTTP {status}: {message}" if message else f"HTTP {status}"
    seconds = read_retry_after(headers.get("retry-after"))
    if status in (401, 403, 404) or code == "insufficient_quota":
        hint = {401: "; is the key right?", 404: "; is the path right, and the model's name?"}.get(status, "")
        raise AdapterError(f"{shown}: {reason}{hint}")
    if 300 <= status < 400:
        raise AdapterError(f"{shown}: {reason}: a redirection is not followed; give the address that it leads to")
    if status == 429 or (status in (503, 529) and seconds is not None):
        raise TryAgain("busy", reason, seconds)
    if status in (408, 409, 425) or status >= 500:
        trouble: Trouble = "failed"
        raise TryAgain(trouble, reason, seconds)
    raise Declined(reason)


def _error_of(raw: bytes) -> tuple[str | None, str | None]:
    """(message, code) of an error's body, each None if it has none."""
    try:
        body = json.loads(raw)
    except ValueError:
        return None, None
    if not isinstance(body, dict):
        return None, None
    error = body.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return first_line(_message(body)), str(code) if code else None


def _message(body: Mapping[str, Any]) -> Any:
    error = body.get("error")
    if isinstance(error, Mapping):
        return error.get("message") or error.get("type") or "no message"
    return error if isinstance(error, str) else body.get("message") or body.get("detail") or "no message"
