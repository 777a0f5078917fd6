"""corpus → responses.jsonl: real audio through a real model."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from serxbench import __version__, runs
from serxbench.adapters import find_adapter
from serxbench.engines import Asked, Batch, Engine, Plan
from serxbench.errors import RunError, UsageError
from serxbench.progress import Progress
from serxbench.records import Response, Utterance
from serxbench.runs import Journal, Run, RunManifest
from serxbench.stages.backends import (
    RespondRequest,
    backend_options,
    check_licence,
    prepare,
    start_engine,
    transcripts_of,
    utterances_asked,
)
from serxbench.stages.batch_sizes import choose_batch_size
from serxbench.stages.controls import control_id
from serxbench.stages.models import LocatedModel, ServedModel

DEFAULT_PARSER = "rules"

#: What a model in a process of its own prints, in the run's folder; there only for such a model.
WORKER_LOG = "worker.log"


def respond(request: RespondRequest, out: Path, progress: Progress) -> Run:
    """The run in `out` with its responses complete; what an earlier process finished is kept.

    Raises ManifestMismatch if `out` holds another run, RunLocked if someone else is writing it, AdapterError.
    """
    if request.batch_size is not None and request.batch_size < 1:
        raise UsageError(f"--batch-size must be at least 1; found {request.batch_size}")
    check_licence(request)
    model, loading = prepare(request)
    request = replace(request, batch_size=choose_batch_size(request, loading))
    utterances = utterances_asked(request)
    with runs.lock_folder(out):
        engine = start_engine(request, model, loading, out / WORKER_LOG)
        plan = engine.plan(utterances)
        run = Run.start(out, _manifest(request, model, engine, plan))
        run.remember_corpus(request.corpus.data, request.corpus.root)
        if not run.file(runs.RESPONSES).is_file():
            _compute(run, request, engine, (utterances, plan), progress)
        else:
            progress.say(f"{out}: the responses are there already; nothing is asked again")
        Journal(run.file(runs.JOURNAL)).delete()
    return run


def ask_again(request: RespondRequest, utterances: Sequence[Utterance], log: Path) -> Iterator[Batch]:
    """The batches for some of utterances_asked, computed as in a run and written nowhere. Raises AdapterError."""
    check_licence(request)
    model, loading = prepare(request)
    request = replace(request, batch_size=choose_batch_size(request, loading))
    engine = start_engine(request, model, loading, log)
    plan = engine.plan(utterances)
    yield from engine.answer(_ask(request, utterances, plan, frozenset(), lambda event: None))


def _manifest(request: RespondRequest, model: LocatedModel | ServedModel, engine: Engine, plan: Plan) -> RunManifest:
    prompt = request.prompt
    return RunManifest(
        serxbench=__version__,
        model=model.describe(),
        mode=request.mode,
        cot=request.cot,
        parser=_parser(request),
        control=control_id(request.control),
        corpus=request.corpus.describe(),
        prompt={"name": prompt.name, "text": prompt.text, "sha256": prompt.sha256},
        options=prompt.options,
        decoding=dataclasses.asdict(request.decoding),
        engine={**engine.describe(), "batch_plan": plan.sha256()},
    )


def _parser(request: RespondRequest) -> str:
    if backend_options(request).get("decode") == "loglik":
        return "identity"
    parser: str = getattr(find_adapter(request.card.adapter), "PARSER", DEFAULT_PARSER)
    return parser


def _compute(
    run: Run, request: RespondRequest, engine: Engine, planned: tuple[Sequence[Utterance], Plan], progress: Progress
) -> None:
    """Computes what the journal lacks, then writes responses.jsonl in corpus order."""
    utterances, plan = planned
    journal = Journal(run.file(runs.JOURNAL))
    done = _finished(journal, plan, [utterance.id for utterance in utterances])
    if len(done) < len(plan.batches):
        n_done = sum(len(responses) for responses in done.values())
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        run.note_timing(event="start", at=at, n_done=n_done)
        asked = _ask(request, utterances, plan, frozenset(done), lambda event: _note_event(run, event, progress))
        progress.start("asking the model", total=len(utterances), done=n_done)
        try:
            for batch in engine.answer(asked):
                journal.append(batch.number, batch.responses)
                done[batch.number] = batch.responses
                _note(run, batch, progress)
        finally:
            progress.finish()
    by_id = {response.id: response for responses in done.values() for response in responses}
    run.write_records(runs.RESPONSES, [by_id[utterance.id] for utterance in utterances])


def _ask(
    request: RespondRequest,
    utterances: Sequence[Utterance],
    plan: Plan,
    done: frozenset[int],
    note: Callable[[Mapping[str, Any]], None],
) -> Asked:
    return Asked(
        utterances=utterances,
        plan=plan,
        done=done,
        prompt=request.prompt,
        decoding=request.decoding,
        silent=request.control == "silence",
        transcripts=transcripts_of(request),
        note=note,
        prompts=request.prompts,
    )


def _finished(journal: Journal, plan: Plan, ids: list[str]) -> dict[int, list[Response]]:
    """The journal's batches. Raises RunError if one is not what the plan says."""
    done = {number: [Response(**row) for row in rows] for number, rows in journal.read().items()}
    for number, responses in done.items():
        expected = {ids[n] for n in plan.batches.get(number, ())}
        if expected != {response.id for response in responses}:
            raise RunError(f"{journal.path}: batch {number} holds other utterances than planned; delete the run folder")
    return done


def _note_event(run: Run, event: Mapping[str, Any], progress: Progress) -> None:
    """What an engine tells beside its answers; a `warning` in it is for the user's eyes too."""
    run.note_timing(**event)
    if "warning" in event:
        progress.say(f"warning: {event['warning']}")


def _note(run: Run, batch: Batch, progress: Progress) -> None:
    failed = [response for response in batch.responses if response.stop in ("error", "filtered")]
    progress.advance(len(batch.responses), len(failed))
    for remark in batch.halved:
        progress.say(remark)
    run.note_timing(
        event="batch",
        batch=batch.number,
        n=len(batch.responses),
        audio_seconds=round(sum(response.audio_seconds or 0.0 for response in batch.responses), 3),
        seconds_waiting=round(batch.seconds_waiting, 4),
        seconds_generating=round(batch.seconds_generating, 4),
        halved=list(batch.halved),
    )
