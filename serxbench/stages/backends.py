"""What is asked of whom → the model located, the backend started, and what may not be done refused."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serxbench.adapters import Adapter, Loading
from serxbench.catalog import Mode, ModelCard
from serxbench.corpora import Corpus
from serxbench.engines import Engine, Starting, find_backend
from serxbench.engines._ray import Workers, choose_workers, distribute
from serxbench.errors import AdapterError, DefinitionError, UsageError
from serxbench.records import Decoding, Prompt, Utterance
from serxbench.stages.controls import Control, ReadingAdapter, SilentAdapter, shuffle_sound
from serxbench.stages.models import LocatedModel, ServedModel, check_isolation, load_adapter, locate_model

DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class RespondRequest:
    """One model asked one prompt about one corpus.

    batch_size: None for as many as fit; see serxbench.stages.batch_sizes.
    backend: how it is computed, with options that only it understands.
    device, dtype: `auto` lets the machine and the card decide. may_upload: the user has the right to send audio of a
    corpus whose licence does not give it. control: what the model gets in place of the sound. trust_remote_code: code
    that comes with the weights may run, in the model's own environment. cards: folders where a card's base may lie.
    prompts: id → prompt, where each utterance is asked in words of its own and `prompt` is what they have in common.
    ray, workers, gpus_per_worker: how many replicas of the model, and where; see serxbench.engines._ray.
    """

    card: ModelCard
    mode: Mode
    cot: bool
    prompt: Prompt
    corpus: Corpus
    decoding: Decoding
    batch_size: int | None
    backend: str = "transformers"
    backend_options: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    dtype: str = "auto"
    may_upload: bool = False
    control: Control | None = None
    trust_remote_code: bool = False
    cards: tuple[Path, ...] = ()
    ray: str | None = None
    workers: int = 1
    gpus_per_worker: float | None = None
    prompts: Mapping[str, Prompt] | None = None


def utterances_asked(request: RespondRequest) -> Sequence[Utterance]:
    """The corpus's utterances, each with the sound that the model gets for it."""
    utterances = request.corpus.utterances
    return shuffle_sound(utterances) if request.control == "shuffle" else utterances


def prepare(request: RespondRequest) -> tuple[LocatedModel | ServedModel, Loading]:
    """The model and what loads it; nothing is looked for on this machine if a server has it. Raises AdapterError."""
    if getattr(find_backend(request.backend), "SERVED", False):
        if request.ray is not None:
            raise UsageError(f"--ray places replicas of a model; of the backend {request.backend}, the server has them")
        served = ServedModel(card=request.card)
        return served, served.loading("cpu", "auto")
    check_isolation(request.card, request.trust_remote_code)
    workers = _workers(request)
    # Of the workers' machines only Ray knows what they have.
    device = choose_device(request.device) if workers is None else ("cuda" if workers.gpus else "cpu")
    dtype = choose_dtype(request.dtype, request.card.dtype, device)
    model = locate_model(request.card, request.cards)
    return model, model.loading(device, dtype)


def start_engine(request: RespondRequest, model: LocatedModel | ServedModel, loading: Loading, log: Path) -> Engine:
    """The backend that was asked for; nothing is loaded yet."""
    assert request.batch_size is not None
    load = functools.partial(
        _load, model, loading, request.control, transcripts_of(request), request.trust_remote_code, log
    )
    card = request.card
    starting = Starting(
        name=card.name,
        adapter=card.adapter,
        repository=card.repository,
        loading=loading,
        load=load,
        batch_size=request.batch_size,
        options=backend_options(request),
    )
    workers = _workers(request)
    if workers is not None:
        return distribute(request.backend, starting, workers)
    engine: Engine = find_backend(request.backend).start(starting)
    return engine


def _workers(request: RespondRequest) -> Workers | None:
    return choose_workers(request.ray, request.workers, request.gpus_per_worker, request.device)


def _load(
    model: LocatedModel | ServedModel,
    loading: Loading,
    control: Control | None,
    transcripts: Mapping[str, str] | None,
    trust_remote_code: bool,
    log: Path,
) -> Adapter:
    """The adapter, or the one that stands between it and the sound in a control run."""
    if isinstance(model, ServedModel):
        raise AdapterError(f"'{model.card.name}' is asked through a server; there is nothing to load here")
    adapter = load_adapter(model, loading.device, loading.dtype, trust_remote_code=trust_remote_code, log=log)
    if control == "silence":
        return SilentAdapter(adapter)
    return adapter if transcripts is None else ReadingAdapter(adapter, transcripts)


def transcripts_of(request: RespondRequest) -> dict[str, str] | None:
    if request.control != "transcript":
        return None
    return {u.id: u.transcript for u in request.corpus.utterances if u.transcript}


def check_licence(request: RespondRequest) -> None:
    """Raises UsageError if the model would get audio on somebody else's machine and the licence does not allow it."""
    card, info = request.card, request.corpus.info
    if info.upload_allowed or request.may_upload:
        return
    find_host = getattr(find_backend(request.backend), "third_party", None)
    host = find_host(backend_options(request)) if find_host else None
    if card.hosted or host:
        where = f"at {host}, somebody else's machine" if host else "by a third party"
        raise UsageError(
            f"the model '{card.name}' is hosted {where}, and the licence of {info.name} ({info.licence}) does "
            "not allow its audio to be uploaded. If yours does, say so with --i-have-the-right-to-upload"
        )


def choose_backend(asked: str | None, card: ModelCard) -> str:
    """The backend that was asked for, else the card's, else transformers. Raises UnknownName."""
    name = str(asked or card.settings.get("backend") or "transformers")
    find_backend(name)
    return name


def backend_options(request: RespondRequest) -> dict[str, Any]:
    """What the backend is told beside the plan: the card's settings if the model is a server's, then the command's."""
    card, given = request.card, dict(request.backend_options)
    backend = find_backend(request.backend)
    decode = given.get("decode", "text")
    if decode not in getattr(backend, "DECODES", ("text",)):
        raise UsageError(f"--decode {decode}: the backend {request.backend} does not do that")
    if decode == "loglik" and (request.cot or request.prompt.options is None):
        raise UsageError("--decode loglik scores the options of a closed prompt without reasoning: --mode closed")
    if not getattr(backend, "SERVED", False):
        if "endpoints" in given:
            raise UsageError(f"--endpoint is of no use to the backend {request.backend}; --backend http asks a server")
        # A settings file's endpoint is for other runs; to do what it does anyway, a backend needs not know the word.
        return {name: given[name] for name in given if name != "endpoint" and (name, given[name]) != ("decode", "text")}
    limits = {} if card.max_audio_seconds is None else {"max_audio_seconds": card.max_audio_seconds}
    # The settings of any other adapter are for the model that it loads.
    own = card.settings if card.adapter == "hosted" else {}
    if "key_variable" in own:
        # A card may come from anybody, and names the endpoint too.
        raise DefinitionError(
            f"{card.path}: settings.key_variable: no card says which key is sent; --backend-option key_variable=NAME"
        )
    return {**limits, **{name: own[name] for name in own if name != "backend"}, **given}


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
