"""corpus → responses.jsonl: real audio through a real model."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serxbench import __version__, runs
from serxbench.adapters import Adapter, Loading, find_adapter
from serxbench.catalog import Mode, ModelCard
from serxbench.corpora import Corpus
from serxbench.engines import Asked, Batch, Engine, Plan, Starting, find_backend
from serxbench.errors import AdapterError, RunError, UsageError
from serxbench.progress import Progress
from serxbench.records import Decoding, Prompt, Response, Utterance
from serxbench.runs import Journal, Run, RunManifest
from serxbench.stages.controls import Control, ReadingAdapter, SilentAdapter, control_id, shuffle_sound
from serxbench.stages.models import LocatedModel, check_isolation, load_adapter, locate_model

DEFAULT_PARSER = "rules"

#: What a model in a process of its own prints, in the run's folder; there only for such a model.
WORKER_LOG = "worker.log"

DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class RespondRequest:
    """One model asked one prompt about one corpus.

    backend: how it is computed, with options that only it understands.
    device, dtype: `auto` lets the machine and the card decide. may_upload: the user has the right to send audio of a
    corpus whose licence does not give it. control: what the model gets in place of the sound. trust_remote_code: code
    that comes with the weights may run, in the model's own environment. cards: folders where a card's base may lie.
    """

    card: ModelCard
    mode: Mode
    cot: bool
    prompt: Prompt
    corpus: Corpus
    decoding: Decoding
    batch_size: int
    backend: str = "transformers"
    backend_options: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    dtype: str = "auto"
    may_upload: bool = False
    control: Control | None = None
    trust_remote_code: bool = False
    cards: tuple[Path, ...] = ()


def respond(request: RespondRequest, out: Path, progress: Progress) -> Run:
    """The run in `out` with its responses complete; what an earlier process finished is kept.

    Raises ManifestMismatch if `out` holds another run, RunLocked if someone else is writing it, AdapterError.
    """
    if request.batch_size < 1:
        raise UsageError(f"--batch-size must be at least 1; found {request.batch_size}")
    check_licence(request)
    check_isolation(request.card, request.trust_remote_code)
    device = choose_device(request.device)
    dtype = choose_dtype(request.dtype, request.card.dtype, device)
    model = locate_model(request.card, request.cards)
    utterances = request.corpus.utterances
    if request.control == "shuffle":
        utterances = shuffle_sound(utterances)
    with runs.lock_folder(out):
        engine = start_engine(request, model, model.loading(device, dtype), out / WORKER_LOG)
        plan = engine.plan(utterances)
        run = Run.start(out, _manifest(request, model, engine, plan))
        run.remember_corpus(request.corpus.data, request.corpus.root)
        if not run.file(runs.RESPONSES).is_file():
            _compute(run, request, engine, (utterances, plan), progress)
        else:
            progress.say(f"{out}: the responses are there already; nothing is asked again")
        Journal(run.file(runs.JOURNAL)).delete()
    return run


def start_engine(request: RespondRequest, model: LocatedModel, loading: Loading, log: Path) -> Engine:
    """The backend that was asked for; nothing is loaded yet."""
    load = functools.partial(
        _load, model, loading, request.control, _transcripts(request), request.trust_remote_code, log
    )
    card = request.card
    starting = Starting(
        name=card.name,
        adapter=card.adapter,
        repository=card.repository,
        loading=loading,
        load=load,
        batch_size=request.batch_size,
        options=request.backend_options,
    )
    engine: Engine = find_backend(request.backend).start(starting)
    return engine


def _load(
    model: LocatedModel,
    loading: Loading,
    control: Control | None,
    transcripts: Mapping[str, str] | None,
    trust_remote_code: bool,
    log: Path,
) -> Adapter:
    """The adapter, or the one that stands between it and the sound in a control run."""
    adapter = load_adapter(model, loading.device, loading.dtype, trust_remote_code=trust_remote_code, log=log)
    if control == "silence":
        return SilentAdapter(adapter)
    return adapter if transcripts is None else ReadingAdapter(adapter, transcripts)


def _transcripts(request: RespondRequest) -> dict[str, str] | None:
    if request.control != "transcript":
        return None
    return {u.id: u.transcript for u in request.corpus.utterances if u.transcript}


def check_licence(request: RespondRequest) -> None:
    """Raises UsageError if the model would get audio on somebody else's machine and the licence does not allow it."""
    card, info = request.card, request.corpus.info
    if card.hosted and not info.upload_allowed and not request.may_upload:
        raise UsageError(
            f"the model '{card.name}' is hosted by a third party, and the licence of {info.name} ({info.licence}) does "
            "not allow its audio to be uploaded. If yours does, say so with --i-have-the-right-to-upload"
        )


def choose_device(device: str) -> str:
    """`cuda` or `cpu`; `auto` takes the GPU if torch sees one. Raises AdapterError for a GPU that is not there."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise AdapterError(f"--device {device}: torch {torch.__version__} sees no GPU here; see `serxbench doctor`")
    return device


def choose_dtype(asked: str, card: str, device: str) -> str:
    """The number format: what was asked for, else what the card says, else bfloat16 on a GPU and float32 elsewhere."""
    for choice in (asked, card):
        if choice not in DTYPES:
            raise UsageError(f"dtype '{choice}': wanted one of {', '.join(DTYPES)}")
        if choice != "auto":
            return choice
    return "bfloat16" if device.startswith("cuda") else "float32"


def _manifest(request: RespondRequest, model: LocatedModel, engine: Engine, plan: Plan) -> RunManifest:
    prompt = request.prompt
    return RunManifest(
        serxbench=__version__,
        model=model.describe(),
        mode=request.mode,
        cot=request.cot,
        parser=getattr(find_adapter(request.card.adapter), "PARSER", DEFAULT_PARSER),
        control=control_id(request.control),
        corpus=request.corpus.describe(),
        prompt={"name": prompt.name, "text": prompt.text, "sha256": prompt.sha256},
        options=prompt.options,
        decoding=dataclasses.asdict(request.decoding),
        engine={**engine.describe(), "batch_plan": plan.sha256()},
    )


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
        asked = Asked(
            utterances=utterances,
            plan=plan,
            done=frozenset(done),
            prompt=request.prompt,
            decoding=request.decoding,
            silent=request.control == "silence",
            transcripts=_transcripts(request),
            note=lambda event: run.note_timing(**event),
        )
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


def _finished(journal: Journal, plan: Plan, ids: list[str]) -> dict[int, list[Response]]:
    """The journal's batches. Raises RunError if one is not what the plan says."""
    done = {number: [Response(**row) for row in rows] for number, rows in journal.read().items()}
    for number, responses in done.items():
        expected = {ids[n] for n in plan.batches.get(number, ())}
        if expected != {response.id for response in responses}:
            raise RunError(f"{journal.path}: batch {number} holds other utterances than planned; delete the run folder")
    return done


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
