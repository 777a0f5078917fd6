"""One worker process: started, asked, and ended with everything that it started; nothing here waits without an end."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from serxbench.errors import AdapterError
from serxbench.workers import protocol
from serxbench.workers.protocol import Message, ProtocolError

#: How long an interpreter may take until it says hello; a cold disk over a network is slow.
START_SECONDS = 120.0

#: How long a worker may take to end by itself when it is told to.
STOP_SECONDS = 3.0

_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "XDG_CACHE_HOME")
_PASSED_ON_PREFIXES = (
    *("HF_", "TRANSFORMERS_", "TORCH_", "PYTORCH_", "TRITON_"),
    *("CUDA_", "CUBLAS_", "NVIDIA_", "NCCL_", "OMP_", "MKL_", "LC_"),
)
_SECRETS = ("TOKEN", "KEY", "SECRET", "PASSWORD", "CREDENTIAL")

_LAST_LINES = 8


class WorkerDied(RuntimeError):
    """The process ended, hung, or said what is no message; it is gone. The first line names no path."""


def worker_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that a worker gets: what computing needs, and no secret.

    The weights were fetched by this process, so the worker gets no token and may fetch nothing.
    """
    kept = {
        name: value
        for name, value in variables.items()
        if (name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)) and not any(word in name for word in _SECRETS)
    }
    # PYTHONFAULTHANDLER: a worker that dies of a signal says where it was.
    fixed = {"HF_HUB_OFFLINE": "1", "PYTHONNOUSERSITE": "1", "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
    return {**kept, **fixed}


class WorkerProcess:
    """A process that said hello. `scratch` is a folder for this process's sound, gone with it.

    Its stderr is appended to `log`. Raises AdapterError if it cannot be started or speaks another protocol.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="serxbench-worker-"))
        self._log = log
        self._received = b""
        self._log_begins = log.stat().st_size if log.is_file() else 0
        try:
            self._process = _start(command, environment, log, self.scratch)
        except OSError as error:
            shutil.rmtree(self.scratch, ignore_errors=True)
            raise AdapterError(f"the worker cannot be started: {command[0]}: {error.strerror or error}") from error
        self._end = weakref.finalize(self, _end_process, self._process, self.scratch)
        try:
            hello = self._exchange(b"", START_SECONDS)
        except WorkerDied as error:
            raise AdapterError(f"the worker did not start: {error}") from error
        if hello["type"] != "hello" or hello["protocol"] != protocol.VERSION:
            _kill_group(self._process)
            self.end()
            found = f"protocol {hello.get('protocol')}" if hello["type"] == "hello" else f"'{hello['type']}' first"
            raise AdapterError(f"the worker speaks {found}; this serxbench speaks protocol {protocol.VERSION}")

    @property
    def pid(self) -> int:
        """The process's id, which is its group's too."""
        return self._process.pid

    def request(self, message: Message, seconds: float) -> Message:
        """The reply. Raises WorkerDied, after which the process and its children are gone."""
        reply = self._exchange(protocol.encode(message), seconds)
        if reply.get("number") != message["number"]:
            raise self._died(f"answered request {reply.get('number')} instead of {message['number']}")
        return reply

    def end(self) -> None:
        """Ends the process; it is asked first and then killed with its whole group."""
        self._end()

    def _exchange(self, outgoing: bytes, seconds: float) -> Message:
        """Sends `outgoing` and returns the next message, both within `seconds`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        writing, reading = self._process.stdin.fileno(), self._process.stdout.fileno()
        deadline = time.monotonic() + seconds
        poll = select.poll()
        poll.register(reading, select.POLLIN)
        # A worker that reads nothing must not block us, so writing waits in the same place as reading.
        if outgoing:
            poll.register(writing, select.POLLOUT)
        while outgoing or b"\n" not in self._received:
            if time.monotonic() > deadline:
                raise self._died(f"gave no answer within {seconds:g} s and was killed")
            for descriptor, _ in poll.poll(1000 * min(0.5, max(0.0, deadline - time.monotonic()))):
                if descriptor == reading:
                    self._receive(reading)
                elif not (outgoing := self._send(writing, outgoing)):
                    poll.unregister(writing)
            if _has_ended(self._process):
                # What it said before it ended is still in the pipe; a child may hold the pipe open for ever.
                while select.select([reading], [], [], 0)[0] and b"\n" not in self._received:
                    self._receive(reading)
                if b"\n" not in self._received:
                    raise self._died(None)
                outgoing = b""
        line, _, self._received = self._received.partition(b"\n")
        try:
            return protocol.decode(line)
        except ProtocolError as error:
            raise self._died(f"said what is no message ({error})") from error

    def _send(self, descriptor: int, outgoing: bytes) -> bytes:
        try:
            return outgoing[os.write(descriptor, outgoing[:65536]) :]
        except BlockingIOError:
            return outgoing
        except BrokenPipeError:
            raise self._died(None) from None

    def _receive(self, descriptor: int) -> None:
        chunk = os.read(descriptor, 1 << 20)
        if not chunk:
            raise self._died(None)
        self._received += chunk

    def _died(self, reason: str | None) -> WorkerDied:
        """Ends what is left of the process. The error's first line is the reason, the log's last lines follow."""
        _kill_group(self._process)
        reason = reason or _how_it_ended(self._process.returncode)
        self.end()
        said = self._last_lines()
        return WorkerDied("\n".join([f"the worker {reason}", *([f"{self._log}:"] if said else []), *said]))

    def _last_lines(self) -> list[str]:
        with self._log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(self._log_begins, file.tell() - 20_000))
            lines = file.read().decode("utf-8", "replace").splitlines()
        return [f"    {line[:300]}" for line in lines if line.strip()][-_LAST_LINES:]


def _start(command: Sequence[str], environment: Mapping[str, str], log: Path, folder: Path) -> subprocess.Popen[bytes]:
    stderr: IO[bytes]
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
            env=dict(environment),
            cwd=folder,
            # A group of its own: ended as a whole, and not by a Ctrl-C that is meant for us.
            start_new_session=True,
        )
    assert process.stdin is not None
    os.set_blocking(process.stdin.fileno(), False)
    return process


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process is known to have ended. It is not reaped, so that its group's number stays its own."""
    if process.returncode is not None:
        return True
    if not hasattr(os, "waitid"):  # macOS: the end of the pipe tells, or the time limit
        return False
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    hint = " (the system does this when memory runs out)" if code == -signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-code).name}{hint}"


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _end_process(process: subprocess.Popen[bytes], scratch: Path) -> None:
    """Asks the process to stop, kills its group, and removes its folder. Safe to call for one that is gone."""
    if process.returncode is None:
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):
            os.write(process.stdin.fileno(), protocol.encode({"type": "stop"}))
        until = time.monotonic() + STOP_SECONDS
        while select.select([process.stdout], [], [], max(0.0, until - time.monotonic()))[0]:
            if not os.read(process.stdout.fileno(), 1 << 20):
                break
        _kill_group(process)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    shutil.rmtree(scratch, ignore_errors=True)
