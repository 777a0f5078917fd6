"""Our side of a worker: an adapter like any other, whose model lives in a process of another environment."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from serxbench.adapters import Loading
from serxbench.adapters._generative import describe_clip
from serxbench.audio import SAMPLE_RATE, Clip
from serxbench.errors import AdapterError
from serxbench.records import Decoding, Prompt, Response, Stop
from serxbench.workers import protocol
from serxbench.workers.environments import Environment, Limits, hold
from serxbench.workers.process import WorkerDied, WorkerProcess, worker_environment
from serxbench.workers.protocol import Message

if TYPE_CHECKING:
    from numpy.typing import NDArray

SERVER = Path(__file__).with_name("server.py")

#: A clip's share of the time limit is for answers up to this length; longer ones get more.
_TOKENS_A_CLIP = 256


class ModelFailed(RuntimeError):
    """The model raised on this batch, and its process lives on; the message is what it raised."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How a worker process is started. log: where its stderr is appended. folder: the environment that it uses."""

    command: tuple[str, ...]
    log: Path
    limits: Limits = field(default_factory=Limits)
    folder: Path | None = None


def start_worker(
    environment: Environment, adapter: str, loading: Loading, trust_remote_code: bool, log: Path | None
) -> WorkerAdapter:
    """The model loaded in its own environment. Raises AdapterError.

    log: where the worker's stderr goes; a new temporary file if None.
    """
    environment.check_built()
    command = (str(environment.interpreter), str(SERVER), environment.worker)
    if log is None:
        descriptor, name = tempfile.mkstemp(prefix=f"serxbench-{environment.card}-", suffix=".log")
        os.close(descriptor)
        log = Path(name)
    launch = Launch(command=command, log=log.absolute(), limits=environment.limits, folder=environment.folder)
    return WorkerAdapter(launch, adapter, loading, trust_remote_code)


class WorkerAdapter:
    """A model in a worker process; see serxbench.adapters.Adapter.

    A process that ends or hangs is replaced and the same batch sent again. If that does not help either, WorkerDied
    is raised, so that the engine halves the batch and the clip that kills the worker is found.
    """

    def __init__(self, launch: Launch, adapter: str, loading: Loading, trust_remote_code: bool) -> None:
        self._launch = launch
        self._request = {
            "adapter": adapter,
            "loading": _plain(dataclasses.asdict(loading)),
            "trust_remote_code": trust_remote_code,
        }
        self._number = 0
        self._process: WorkerProcess | None = None
        self._in_use = contextlib.ExitStack()
        if launch.folder is not None:
            # Nobody removes it meanwhile; the kernel lets go of it when this process ends.
            self._in_use.enter_context(hold(launch.folder, alone=False))
        try:
            ready = self._load()
        except WorkerDied as error:
            raise AdapterError(f"the model could not be loaded: {error}") from error
        self.max_seconds = float("inf") if ready["max_seconds"] is None else float(ready["max_seconds"])
        self.min_seconds = float(ready["min_seconds"])

    def generate(self, ids: Sequence[str], clips: Sequence[Clip], prompt: Prompt, decoding: Decoding) -> list[Response]:
        """One response a clip, in the order given; see serxbench.adapters.Adapter. Raises WorkerDied, ModelFailed."""
        fitting = [n for n, clip in enumerate(clips) if len(clip.waveform) >= self.min_seconds * SAMPLE_RATE]
        answers: dict[int, Message] = {}
        if fitting:
            fields = {"prompt": dataclasses.asdict(prompt), "decoding": dataclasses.asdict(decoding)}
            limits = self._launch.limits
            share = limits.clip * max(1.0, decoding.max_new_tokens / _TOKENS_A_CLIP)
            rows = [(ids[n], clips[n]) for n in fitting]
            reply = self._ask({"type": "generate", **fields}, rows, limits.batch + share * len(rows))
            answers = dict(zip(fitting, reply["answers"], strict=True))
        return [self._response(ids[n], clip, answers.get(n)) for n, clip in enumerate(clips)]

    def hear(self, clips: Sequence[Clip], prompt: Prompt) -> NDArray[np.float32] | None:
        """What the model shows of what it hears; see serxbench.adapters.Adapter. Raises AdapterError."""
        limits = self._launch.limits
        rows = [(str(n), clip) for n, clip in enumerate(clips)]
        message = {"type": "hear", "prompt": dataclasses.asdict(prompt)}
        try:
            reply = self._ask(message, rows, limits.batch + limits.clip * len(rows))
        except (WorkerDied, ModelFailed) as error:
            raise AdapterError(f"the model failed where it was to show that it hears: {error}") from error
        if reply["file"] is None:
            return None
        return np.fromfile(reply["file"], dtype="<f4").astype(np.float32, copy=False).reshape(reply["shape"])

    def close(self) -> None:
        """Ends the process. Happens by itself when the adapter is dropped or Python ends."""
        if self._process is not None:
            self._process.end()
        self._in_use.close()

    @property
    def pid(self) -> int | None:
        """The id of the worker's process; None while there is none."""
        return self._process.pid if self._process else None

    def _response(self, id: str, clip: Clip, answer: Message | None) -> Response:
        known = describe_clip(clip, self.max_seconds)
        if answer is None:
            wanted = f"the model needs at least {self.min_seconds:g} s"
            return Response(id=id, stop="error", error=f"clip of {clip.seconds:.3f} s is too short; {wanted}", **known)
        try:
            response = Response(**{**known, **answer, "id": id})
        except TypeError as error:
            raise AdapterError(f"the worker's answer is not one ({error}): {answer}") from error
        if response.stop not in get_args(Stop):
            raise AdapterError(f"the worker's answer is not one (stop is {response.stop!r}): {answer}")
        return response

    def _ask(self, message: Message, rows: Sequence[tuple[str, Clip]], seconds: float) -> Message:
        """The reply to a request about these clips, from a new process if it must be."""
        died, loading = None, False
        restarts = self._launch.limits.restarts
        for _ in range(restarts + 1):
            try:
                loading = self._process is None
                if loading:
                    self._load()
                    loading = False
                return self._send({**message, "clips": self._write(rows)}, seconds)
            except WorkerDied as error:
                self._process, died = None, error
                doing = "loading the model again" if loading else f"on: {', '.join(id for id, _ in rows)}"
                self._note(f"{str(error).splitlines()[0]}, {doing}")
        if loading:
            # Not the clips' fault: the run stops, and can be resumed.
            raise AdapterError(f"the model could not be loaded again: {died}")
        first, _, rest = str(died).partition("\n")
        often = f" ({restarts + 1} processes in a row did)" if restarts else ""
        raise WorkerDied("\n".join([f"{first}{often}; its own words are in {self._launch.log.name}", rest]))

    def _load(self) -> Message:
        """Starts a process and has it load the model. Raises AdapterError, WorkerDied."""
        launch = self._launch
        self._process = WorkerProcess(launch.command, worker_environment(os.environ), launch.log)
        message = {"type": "load", "protocol": protocol.VERSION, **self._request}
        try:
            return self._send({**message, "scratch": str(self._process.scratch)}, launch.limits.load)
        except BaseException as error:
            self._process.end()
            self._process = None
            if isinstance(error, ModelFailed):
                raise AdapterError(f"the model could not be loaded: {error} (see {launch.log})") from error
            raise

    def _send(self, message: Message, seconds: float) -> Message:
        """The reply to one request. Raises AdapterError, ModelFailed, WorkerDied."""
        assert self._process is not None
        self._number += 1
        reply = self._process.request({**message, "number": self._number}, seconds)
        if reply["type"] != "failed":
            return reply
        what = f"{reply['error']}: {reply['message'] or 'no message'}"
        if reply["kind"] == "adapter":
            raise AdapterError(reply["message"])
        if reply["fatal"]:
            self._process.end()
            raise WorkerDied(f"the worker is of no use any more: {what}")
        raise ModelFailed(what)

    def _write(self, rows: Sequence[tuple[str, Clip]]) -> list[Message]:
        """The clips as raw float32 files in the worker's folder, and what the request says of them."""
        assert self._process is not None
        described = []
        for n, (id, clip) in enumerate(rows):
            file = self._process.scratch / f"clip-{n}.f32"
            clip.waveform.astype("<f4", copy=False).tofile(file)
            described.append({"id": id, "audio": str(file), "seconds": clip.seconds, "note": clip.note})
        return described

    def _note(self, remark: str) -> None:
        with self._launch.log.open("a", encoding="utf-8") as file:
            file.write(f"serxbench: {remark}\n")


def _plain(value: Any) -> Any:
    """Paths as text, absolute: the worker runs in another folder."""
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
