"""The worker: `PYTHON server.py WORKER` loads one model and answers requests about it until its client is gone.

It runs in an environment that is not ours, so it imports nothing but the standard library (and numpy for the sound)
before the model's own module, and no syntax here is newer than Python 3.9. See docs/workers.md.
"""

from __future__ import annotations

import importlib.util
import math
import os
import queue
import shutil
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, BinaryIO

HERE = Path(__file__).resolve().parent

#: Versions that are told of, where the model has imported them.
_TELLING = ("numpy", "torch", "transformers")


def load_file(name: str, path: Path) -> ModuleType:
    """The module in the file `path`, registered as `name`, whatever sys.path says."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{path}: is not a Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


protocol = load_file("serxbench_worker_protocol", HERE / "protocol.py")


def main(worker: str) -> None:
    """Serves until `stop`, or until the client's end of the pipe closes."""
    # The folder of this file is where Python would look first, and `protocol` or `models` may mean something else.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]
    requests, replies = take_channel()
    server = Server(worker, replies)
    inbox: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(requests, inbox, server), daemon=True).start()
    server.say({"type": "hello", "protocol": protocol.VERSION, "worker": worker, "python": sys.version.split()[0]})
    while (message := inbox.get())["type"] != "stop":
        server.answer(message)
    # Not sys.exit: threads and exit handlers of libraries can keep a process alive that has nothing left to do.
    sys.stderr.flush()
    os._exit(0)


def take_channel() -> tuple[BinaryIO, BinaryIO]:
    """stdin and stdout as files of our own; whoever prints from now on prints to stderr, whoever reads gets nothing.

    Done on the file descriptors, because C libraries and child processes print past sys.stdout.
    """
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, replies


def find_worker(worker: str) -> Path:
    """The file of a worker's model: a name of `models/`, or the path of a file."""
    return Path(worker) if worker.endswith(".py") else HERE / "models" / f"{worker}.py"


def _listen(requests: BinaryIO, inbox: queue.Queue[dict[str, Any]], server: Server) -> None:
    """Puts requests into the inbox. When the client is gone it ends this process and its children at once."""
    for line in requests:
        try:
            message = protocol.decode(line)
        except protocol.ProtocolError:
            traceback.print_exc()
            break
        inbox.put(message)
        if message["type"] == "stop":
            return
    # Nobody else would remove the sound if the client was killed.
    if server.scratch is not None:
        shutil.rmtree(server.scratch, ignore_errors=True)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


class Server:
    """One model, and the requests about it."""

    def __init__(self, worker: str, replies: BinaryIO) -> None:
        self.scratch: Path | None = None
        self._worker = worker
        self._replies = replies
        self._model: Any = None

    def say(self, message: dict[str, Any]) -> None:
        """Sends one message. Raises ValueError, and sends nothing, for numbers that are not finite."""
        line = protocol.encode(message)
        self._replies.write(line)
        self._replies.flush()

    def answer(self, message: dict[str, Any]) -> None:
        """Answers one request; what the model raises is answered too."""
        number = {"number": message["number"]}
        try:
            self.say({**getattr(self, f"_{message['type']}")(message), **number})
        except Exception as error:  # noqa: BLE001 - the client decides what becomes of it
            traceback.print_exc()
            _free_memory()
            self.say({**describe_failure(error), **number})

    def _load(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["protocol"] != protocol.VERSION:
            raise ValueError(f"the client speaks protocol {message['protocol']}, this worker {protocol.VERSION}")
        self.scratch = Path(message["scratch"])
        module = load_file("serxbench_worker_model", find_worker(self._worker))
        self._model = module.load(message)
        longest = self._model.max_seconds
        return {
            "type": "ready",
            # JSON has no infinity.
            "max_seconds": None if math.isinf(longest) else longest,
            "min_seconds": self._model.min_seconds,
            "versions": {name: str(sys.modules[name].__version__) for name in _TELLING if name in sys.modules},
        }

    def _generate(self, message: dict[str, Any]) -> dict[str, Any]:
        answers = self._model.answer(read_clips(message["clips"]), message["prompt"], message["decoding"])
        if len(answers) != len(message["clips"]):
            raise ValueError(f"the model gave {len(answers)} answers to {len(message['clips'])} clips")
        return {"type": "answers", "answers": answers}

    def _hear(self, message: dict[str, Any]) -> dict[str, Any]:
        numbers = self._model.hear(read_clips(message["clips"]), message["prompt"])
        if numbers is None or self.scratch is None:
            return {"type": "numbers", "file": None, "shape": None}
        file = self.scratch / f"numbers-{message['number']}.f32"
        numbers.astype("<f4").tofile(file)
        return {"type": "numbers", "file": str(file), "shape": list(numbers.shape)}


def read_clips(rows: list[dict[str, Any]]) -> list[SimpleNamespace]:
    """The clips of a request: id, waveform (mono float32 at 16 kHz), seconds, note."""
    import numpy as np

    clips = []
    for row in rows:
        waveform = np.fromfile(row["audio"], dtype="<f4").astype(np.float32, copy=False)
        clips.append(SimpleNamespace(id=row["id"], waveform=waveform, seconds=row["seconds"], note=row["note"]))
    return clips


def describe_failure(error: Exception) -> dict[str, Any]:
    """The `failed` message for an exception, without its number.

    fatal: CUDA is of no use to a process after an error in a kernel, other than memory that ran out.
    """
    name, message = type(error).__name__, str(error)
    fatal = name == "AcceleratorError" or ("CUDA error" in message and "out of memory" not in message)
    kind = "adapter" if "AdapterError" in [base.__name__ for base in type(error).__mro__] else "model"
    return {"type": "failed", "kind": kind, "error": name, "message": message, "fatal": fatal}


def _free_memory() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main(sys.argv[1])
