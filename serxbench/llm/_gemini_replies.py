"""What is asked of Gemini beside the question, and what its replies and errors mean."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any, NoReturn

from serxbench.errors import AdapterError
from serxbench.llm._asking import Question
from serxbench.llm._chat import raise_for_status
from serxbench.llm._trouble import Answer, Declined, TryAgain, first_line
from serxbench.records import Decoding

#: All that can be relaxed. What is blocked all the same is counted as such.
_HARMS = ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")

#: The ends that are the provider's decision about the content. Asking again would be answered alike, or hide it.
_FILTERED = ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE")


def build_settings(decoding: Decoding, thinking_budget: int | None, question: Question) -> Any:
    """The GenerateContentConfig: greedy unless asked otherwise, no limit on the answer but ours, no filter but theirs.

    Tokens of thought count against the provider's limit, so they come on top of ours.
    """
    from google.genai import types

    own = int(hashlib.sha256(question.id.encode()).hexdigest()[:7], 16) if decoding.temperature > 0 else 0
    thinking = None if thinking_budget is None else types.ThinkingConfig(thinking_budget=thinking_budget)
    return types.GenerateContentConfig(
        temperature=decoding.temperature,
        top_p=1.0,
        seed=decoding.seed + own,
        candidate_count=1,
        max_output_tokens=decoding.max_new_tokens + (thinking_budget or 0),
        thinking_config=thinking,
        system_instruction=question.system,
        response_mime_type=None if question.schema is None else "application/json",
        response_json_schema=None if question.schema is None else dict(question.schema),
        safety_settings=[
            types.SafetySetting(
                category=types.HarmCategory(f"HARM_CATEGORY_{harm}"), threshold=types.HarmBlockThreshold.BLOCK_NONE
            )
            for harm in _HARMS
        ],
    )


def read_reply(reply: Any) -> Answer:
    """The answer in a GenerateContentResponse; a blocked one has the provider's reason. Raises TryAgain."""
    served = reply.model_version
    blocked = reply.prompt_feedback.block_reason if reply.prompt_feedback else None
    if blocked:
        return Answer(stop="filtered", error=f"blocked by the provider: {_name(blocked)}", served=served)
    if not reply.candidates:
        raise TryAgain("failed", "the reply holds no answer")
    candidate = reply.candidates[0]
    reason = _name(candidate.finish_reason) if candidate.finish_reason else "STOP"
    parts = (candidate.content.parts if candidate.content else None) or []
    text = "".join(part.text for part in parts if part.text and not part.thought)
    if reason in _FILTERED:
        return Answer(text=text or None, stop="filtered", error=f"blocked by the provider: {reason}", served=served)
    if reason == "MAX_TOKENS":
        note = None if text else "the token limit was reached before the answer"
        return _counted(Answer(text=text, stop="length", note=note, served=served), reply)
    if not text:
        answer = Answer(text="", stop="end", served=served)
        raise TryAgain("empty", f"the reply holds no text (it ended with {reason})", answer=answer)
    return _counted(Answer(text=text, stop="end", served=served), reply)


def _counted(answer: Answer, reply: Any) -> Answer:
    """The answer with the tokens that Google counted, thoughts with the answer's; as it is if it counted none."""
    usage = reply.usage_metadata
    if usage is None or usage.prompt_token_count is None or usage.candidates_token_count is None:
        return answer
    n_answer = usage.candidates_token_count + (usage.thoughts_token_count or 0)
    return replace(answer, n_prompt_tokens=usage.prompt_token_count, n_answer_tokens=n_answer)


def raise_for_error(error: Any, shown: str, key: str | None) -> NoReturn:
    """Raises what a google.genai.errors.APIError calls for: TryAgain, Declined, or AdapterError for a hopeless run."""
    body = json.dumps(error.details, default=str)
    if key:
        body = body.replace(key, "[key]")
    message = first_line(json.loads(body).get("error", {}).get("message") if isinstance(error.details, dict) else "")
    if "API_KEY_INVALID" in body:
        raise AdapterError(f"{shown}: HTTP {error.code}: {message}; is the key right?") from None
    if error.code == 429 and "PerDay" in body:
        raise AdapterError(
            f"{shown}: HTTP 429: {message} (the quota of a day). What is finished is kept: repeat the same command "
            "tomorrow"
        ) from None
    headers = dict(getattr(error.response, "headers", None) or {})
    delay = _retry_delay(error.details)
    raise_for_status(error.code, {"retry-after": delay} if delay else headers, body.encode(), shown)
    raise Declined(f"HTTP {error.code}: {message}") from None


def _retry_delay(details: Any) -> str | None:
    """The seconds that Google's RetryInfo asks to wait ("21s"), as text without the unit; None if there is none."""
    error = details.get("error") if isinstance(details, dict) else None
    for each in (error.get("details") if isinstance(error, dict) else None) or []:
        if isinstance(each, dict) and each.get("retryDelay"):
            return str(each["retryDelay"]).rstrip("s")
    return None


def _name(reason: Any) -> str:
    return str(getattr(reason, "value", reason))
