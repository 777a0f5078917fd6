"""responses.jsonl → verify.json: does an answer depend on what was computed beside it?

In exact arithmetic it does not. In bfloat16 the order of sums depends on the batch's shape, and where two tokens are
nearly as likely, the answer turns. How often it does is a property of model and machine, and worth knowing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from serxbench import runs
from serxbench.errors import UsageError
from serxbench.hashing import hash_file
from serxbench.progress import Progress
from serxbench.records import JsonRecord, Response
from serxbench.runs import Run
from serxbench.stages.backends import RespondRequest, utterances_asked
from serxbench.stages.cluster import cluster_again
from serxbench.stages.parse import read_again
from serxbench.stages.respond import WORKER_LOG, ask_again

VERIFY = "verify.json"

#: Backend → what makes it compute one utterance at a time, beside a batch size of 1.
ALONE: Mapping[str, Mapping[str, Any]] = {
    "gemini": {"concurrency": 1},
    "http": {"concurrency": 1},
    "transformers": {},
    "vllm": {"concurrency": 1},
}


@dataclass(frozen=True, kw_only=True)
class Flip(JsonRecord):
    """An answer that came out otherwise alone. label: its class, None if it commits to none."""

    id: str
    text: str | None = None
    text_alone: str | None = None
    label: str | None = None
    label_alone: str | None = None


@dataclass(frozen=True, kw_only=True)
class Verification(JsonRecord):
    """What was found. responses: hash of the file that was verified. n: utterances asked again.

    batch_size: of the run; None where a server decides. n_label_flips: of the flips, those whose class differs too.
    """

    responses: str
    batch_size: int | None
    n: int
    n_text_flips: int
    n_label_flips: int
    flips: tuple[Flip, ...]


def check(request: RespondRequest, n: int) -> None:
    """Raises UsageError if asking again could not tell anything."""
    if n < 1:
        raise UsageError(f"--verify-batch must be at least 1; found {n}")
    if request.decoding.temperature > 0:
        raise UsageError("--verify-batch compares greedy answers; sampled ones differ anyway (--temperature 0)")


def verify(run: Run, request: RespondRequest, n: int, progress: Progress) -> Verification:
    """Asks n utterances of a finished run again, one at a time, and writes what differs to verify.json.

    Those with the smallest hashes of their ids are asked, of all that have an answer: chance and the corpus's order
    have no part in it. Raises AdapterError.
    """
    check(request, n)
    answers = {response.id: response for response in run.read_records(runs.RESPONSES, Response)}
    utterances = utterances_asked(request)
    answered = [u.id for u in utterances if answers[u.id].text is not None]
    chosen = set(sorted(answered, key=lambda id: hashlib.sha256(id.encode()).hexdigest())[:n])
    options = {**request.backend_options, **ALONE[request.backend]}
    alone = replace(request, batch_size=1, backend_options=options)
    found: dict[str, Response] = {}
    with run.lock():
        progress.start("asking again, one at a time", total=len(chosen), done=0)
        try:
            for batch in ask_again(alone, [u for u in utterances if u.id in chosen], run.file(WORKER_LOG)):
                found.update((response.id, response) for response in batch.responses)
                progress.advance(len(batch.responses), sum(response.stop == "error" for response in batch.responses))
        finally:
            progress.finish()
        result = _compare(run, answers, found)
        text = json.dumps(json.loads(result.to_json()), ensure_ascii=False, indent=2)
        runs.write_atomically(run.file(VERIFY), text)
    return result


def _compare(run: Run, answers: Mapping[str, Response], alone: Mapping[str, Response]) -> Verification:
    flips = tuple(
        Flip(
            id=id,
            text=answers[id].text,
            text_alone=alone[id].text,
            label=_label(run, answers[id]),
            label_alone=_label(run, alone[id]),
        )
        for id in answers
        if id in alone and answers[id].text != alone[id].text
    )
    return Verification(
        responses=hash_file(run.file(runs.RESPONSES)),
        batch_size=run.manifest.engine.get("batch_size"),
        n=len(alone),
        n_text_flips=len(flips),
        n_label_flips=sum(flip.label != flip.label_alone for flip in flips),
        flips=flips,
    )


def _label(run: Run, response: Response) -> str | None:
    """The class that the run's own parser and clusterer give the answer."""
    return cluster_again(run, read_again(run, [response]))[0].label
