"""What a run would ask, and what that would cost: from headers and tables alone, with nothing loaded or asked."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from serxbench import runs
from serxbench.adapters import Adapter, Loading
from serxbench.engines import UNREADABLE, Engine, Plan, Starting, find_backend, plan_singly
from serxbench.engines._ray import Workers, choose_workers
from serxbench.stages.backends import RespondRequest, backend_options, check_licence, choose_device, utterances_asked
from serxbench.stages.batch_sizes import USUAL

#: Of English in the vocabularies of today's models; OpenAI and Google give the same rule of thumb.
CHARACTERS_A_TOKEN = 4

#: What follows a model's name in the name of one of its snapshots.
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}|-\d{2}-\d{4}|-\d{3}|-latest|")


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Tokens of all that is left to ask. prompt: about. audio: None if unknown. answers: the most there can be."""

    prompt: int
    audio: int | None
    answers: int


@dataclass(frozen=True, kw_only=True)
class Price:
    """The most it can cost, in US dollars, with every answer as long as it may be; None if no price is known.

    date, source: of the price table's entry. Thinking that a model hides, and requests sent again, are not in it.
    """

    dollars: float | None = None
    date: str | None = None
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run would do. n_done: responses that are there already; everything below is about the others.

    audio_hours: of sound that the model would hear. batches, batch_size: None where the engine makes up its own as it
    goes, or the run finds out how many clips fit on its GPU. gpus_per_worker: None without Ray. calls: requests to a
    server, None if there is none. price: None where nobody is paid. seconds: from the timings in the run folder,
    without loading the model; None if there are none.
    """

    model: str
    backend: str
    corpus: str
    n: int
    n_unreadable: int
    n_done: int
    audio_hours: float
    tokens: Tokens
    batches: int | None
    batch_size: int | None
    workers: int
    ray: str | None
    gpus_per_worker: float | None
    calls: int | None
    price: Price | None
    seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values under the fields' names."""
        return asdict(self)


def forecast(request: RespondRequest, out: Path) -> Forecast:
    """What `respond` would do with this request and folder. Reads headers; nothing is loaded, asked or written.

    Raises what the command would raise for options that do not go together, and for a licence.
    """
    check_licence(request)
    workers = choose_workers(request.ray, request.workers, request.gpus_per_worker, request.device)
    sized = request.batch_size is not None or not _on_gpu(request, workers)
    request = replace(request, batch_size=request.batch_size or USUAL)
    served = getattr(find_backend(request.backend), "SERVED", False)
    utterances = utterances_asked(request)
    # What a server's engine begins with, a key, is not needed to plan.
    plan = plan_singly(utterances) if served else _engine(request).plan(utterances)
    done = _done(out).intersection(utterance.id for utterance in utterances)
    left = [n for number, batch in plan.batches.items() if number != UNREADABLE for n in batch]
    left = [n for n in left if utterances[n].id not in done]
    limit = request.card.max_audio_seconds or math.inf
    heard = [min(plan.seconds[n], limit) for n in left]
    entry = _entry(request, served)
    tokens = Tokens(
        prompt=len(left) * math.ceil(len(request.prompt.text) / CHARACTERS_A_TOKEN),
        audio=_audio_tokens(entry, heard) if request.control != "transcript" else 0,
        answers=len(left) * request.decoding.max_new_tokens,
    )
    planned, asked = sized and _is_planned(plan, request), set(left)
    return Forecast(
        model=request.card.name,
        backend=request.backend,
        corpus=request.corpus.data,
        n=len(utterances),
        n_unreadable=len(plan.unreadable),
        n_done=len(done),
        audio_hours=round(sum(heard) / 3600, 4),
        tokens=tokens,
        batches=sum(1 for batch in plan.batches.values() if any(n in asked for n in batch)) if planned else None,
        batch_size=request.batch_size if planned else None,
        workers=workers.n if workers else 1,
        ray=request.ray,
        gpus_per_worker=workers.gpus if workers else None,
        calls=len(left) if served else None,
        price=_price(entry, tokens) if served and _is_paid(request) else None,
        seconds=_seconds(out, len(left), workers.n if workers else 1),
    )


def _on_gpu(request: RespondRequest, workers: Workers | None) -> bool:
    """Whether the model would compute on a GPU, whose size a dry run does not look up."""
    return workers.gpus > 0 if workers else choose_device(request.device).startswith("cuda")


def _engine(request: RespondRequest) -> Engine:
    """The backend's engine, only to plan with: it is given nothing that it could load."""

    def load() -> Adapter:
        raise AssertionError("a dry run loads nothing")

    assert request.batch_size is not None
    card = request.card
    device = "cpu" if request.device == "auto" else request.device
    starting = Starting(
        name=card.name,
        adapter=card.adapter,
        repository=card.repository,
        loading=Loading(folder=Path(), prompt_style=card.prompt_style, device=device, settings=card.settings),
        load=load,
        batch_size=request.batch_size,
        options=backend_options(request),
    )
    engine: Engine = find_backend(request.backend).start(starting)
    return engine


def _is_planned(plan: Plan, request: RespondRequest) -> bool:
    """Whether the plan says what is computed together, and not only what is finished together."""
    sizes = {len(batch) for number, batch in plan.batches.items() if number != UNREADABLE}
    return request.batch_size == 1 or sizes != {1} or len(plan.batches) == 1


@functools.cache
def costs() -> Mapping[str, Any]:
    """The tables: audio tokens by model family, and what models behind an API cost."""
    text = resources.files("serxbench.stages").joinpath("costs.yaml").read_text(encoding="utf-8")
    tables: Mapping[str, Any] = yaml.safe_load(text)
    return tables


def _entry(request: RespondRequest, served: bool) -> Mapping[str, Any] | None:
    """What the tables know of the model; None if nothing."""
    adapter = request.card.adapter
    families: Mapping[str, Mapping[str, Any]] = costs()["families"]
    if not served:
        return families.get(adapter)
    return _hosted(str(backend_options(request).get("model", ""))) or families.get(adapter)


def _hosted(name: str) -> Mapping[str, Any] | None:
    """The entry of a model behind a paid API, or of the one that `name` is a snapshot of; None if there is none."""
    return _named(name, costs()["hosted"])


def _named(name: str, entries: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    known = (each for each in entries if name.startswith(each) and _SNAPSHOT.fullmatch(name[len(each) :]))
    found = next(known, None)
    return None if found is None else entries[found]


def price_of(name: str) -> Mapping[str, float] | None:
    """US dollars for a million tokens of `text`, `answer` and, if it hears, `audio` of a paid model, if known."""
    entry = _hosted(name) or _named(name, costs()["texts"])
    price: Mapping[str, float] | None = None if entry is None else entry.get("price")
    return price


def _is_paid(request: RespondRequest) -> bool:
    """Whether the server is somebody else's."""
    find_host = getattr(find_backend(request.backend), "third_party", None)
    return request.card.hosted or bool(find_host and find_host(backend_options(request)))


def _audio_tokens(entry: Mapping[str, Any] | None, heard: list[float]) -> int | None:
    if entry is None:
        return None
    stretches = [seconds / float(entry["seconds"]) for seconds in heard]
    a_stretch = float(entry["tokens"])
    n_stretches: float = sum(math.ceil(n) if entry.get("whole") else n for n in stretches)
    return round(n_stretches * a_stretch)


def _price(entry: Mapping[str, Any] | None, tokens: Tokens) -> Price:
    if entry is None or "price" not in entry or tokens.audio is None:
        return Price()
    price = entry["price"]
    dollars = (
        tokens.prompt * price["text"] + tokens.audio * price["audio"] + tokens.answers * price["answer"]
    ) / 1_000_000
    return Price(dollars=round(dollars, 4), date=str(entry["date"]), source=entry["source"])


def _done(out: Path) -> set[str]:
    """The ids of utterances that have a response in the run folder, finished or not."""
    if (out / runs.RESPONSES).is_file():
        return {row["id"] for row in _rows(out / runs.RESPONSES)}
    return {response["id"] for row in _rows(out / runs.JOURNAL) for response in row["responses"]}


def _rows(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSONL file; what a kill left of the last one is passed over, and left where it is."""
    if not path.is_file():
        return []
    raw = path.read_bytes()
    return [json.loads(line) for line in raw[: raw.rfind(b"\n") + 1].splitlines()]


def _seconds(out: Path, n_left: int, n_workers: int) -> float | None:
    """How long the rest takes, at the rate that the run folder's timings show."""
    batches = [row for row in _rows(out / runs.TIMINGS) if row.get("event") == "batch"]
    n = sum(int(row["n"]) for row in batches)
    if not n:
        return None
    took = sum(float(row["seconds_waiting"] + row["seconds_generating"]) for row in batches)
    return round(took / n * n_left / n_workers, 1)
