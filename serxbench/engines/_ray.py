"""Many replicas of one model, each in a process of its own that Ray places: `--ray local` or `--ray ADDRESS`.

Another backend's engine is wrapped. Its plan is the plan; its batches are handed out to the workers, and come back
through the one iterator that the run reads. So results do not depend on the number of workers, nor on which of them
was lost on the way.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from serxbench.engines import Asked, Batch, Engine, Plan, Starting, find_backend
from serxbench.errors import AdapterError, UsageError
from serxbench.records import Utterance

if TYPE_CHECKING:
    from types import ModuleType

#: On this machine; anything else is the address of a cluster.
LOCAL = "local"


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Where how many replicas run. gpus: what each of them gets of a machine's GPUs; a share such as 0.5 is allowed."""

    address: str
    n: int
    gpus: float

    @property
    def local(self) -> bool:
        """Whether they run on this machine, in a cluster of our own."""
        return self.address == LOCAL


def choose_workers(ray: str | None, n: int, gpus: float | None, device: str) -> Workers | None:
    """What --ray, --workers, --gpus-per-worker and --device mean together; None without --ray. Raises UsageError.

    A worker has one GPU unless something else is said, and none if the model computes on the CPU.
    """
    if n < 1:
        raise UsageError(f"--workers must be at least 1; found {n}")
    if ray is None:
        if n > 1 or gpus is not None:
            raise UsageError("--workers and --gpus-per-worker go with --ray local, or --ray ADDRESS for a cluster")
        return None
    if ray.startswith("ray://"):
        raise UsageError(f"--ray {ray}: a Ray client cannot stream results; run serxbench on a machine of the cluster")
    if device.startswith("cuda:"):
        raise UsageError(f"--device {device}: Ray gives each worker its own GPU; say --device cuda")
    if gpus is not None and gpus < 0:
        raise UsageError(f"--gpus-per-worker must not be negative; found {gpus:g}")
    if gpus is None:
        gpus = 1.0 if device == "cuda" or (device == "auto" and ray == LOCAL and _n_gpus_here()) else 0.0
    if device == "cuda" and not gpus:
        raise UsageError("--device cuda with --gpus-per-worker 0: no worker would see a GPU")
    return Workers(address=ray, n=n, gpus=0.0 if device == "cpu" else gpus)


def _n_gpus_here() -> int:
    import torch

    return torch.cuda.device_count()


def distribute(backend: str, starting: Starting, workers: Workers) -> RayEngine:
    """The engine of `backend` on many workers. Raises UsageError for one that has nothing to replicate."""
    module = find_backend(backend)
    if getattr(module, "SERVED", False):
        raise UsageError(f"--ray with --backend {backend}: the model is on a server, so there is nothing to replicate")
    return RayEngine(backend, starting, workers)


class RayEngine:
    """A backend's engine on many workers; see serxbench.engines.Engine."""

    def __init__(self, backend: str, starting: Starting, workers: Workers) -> None:
        self._backend, self._starting, self._workers = backend, starting, workers
        self._wrapped: Engine = find_backend(backend).start(starting)

    def describe(self) -> dict[str, Any]:
        """What the wrapped engine says: how many replicas there are moves no answer.

        A worker is asked where the model computes on a GPU and this machine has none.
        """
        if self._workers.gpus and not _n_gpus_here():
            with connected(self._workers) as ray:
                task = ray.remote(_describe).options(num_cpus=1, num_gpus=self._workers.gpus)
                description: dict[str, Any] = ray.get(task.remote(self._backend, self._starting))
            return description
        return self._wrapped.describe()

    def plan(self, utterances: Sequence[Utterance]) -> Plan:
        """The wrapped engine's plan."""
        return self._wrapped.plan(utterances)

    def answer(self, asked: Asked) -> Iterator[Batch]:
        """The batches that are not done, from whichever worker; see serxbench.engines.Engine."""
        from serxbench.engines._ray_crew import Crew

        utterances = [replace(u, audio=None if u.audio is None else u.audio.absolute()) for u in asked.utterances]
        expected = self.describe()
        with connected(self._workers) as ray:
            crew = Crew(ray, self._workers, replace(asked, utterances=utterances), expected)
            try:
                yield from crew.work(self._backend, self._starting)
            finally:
                crew.dismiss()


def _describe(backend: str, starting: Starting) -> dict[str, Any]:
    engine: Engine = find_backend(backend).start(starting)
    return engine.describe()


@contextlib.contextmanager
def connected(workers: Workers) -> Iterator[ModuleType]:
    """Ray, connected to the cluster, or to one of our own that ends with the context. Raises AdapterError."""
    ray = _import_ray()
    if ray.is_initialized():
        # A program that uses Ray itself has called us; the cluster is its own.
        yield ray
        return
    # Ray's sockets lie in this folder, and the path of a socket must be short.
    folder = tempfile.mkdtemp(prefix="serxbench-ray-", dir=os.environ.get("RAY_TMPDIR", "/tmp"))
    try:
        _connect(ray, workers, folder)
        _check_gpus(ray, workers)
        yield ray
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _import_ray() -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray = importlib.import_module("ray")
    except ImportError as error:
        raise AdapterError(f"--ray needs Ray ({error}): pip install 'serxbench[ray]'") from error
    # Ray prints the death of each worker, which is dealt with here, and knows no setting that stops it.
    internals = importlib.import_module("ray._private.worker")
    if "_worker_logs_enabled" in vars(internals):
        vars(internals)["_worker_logs_enabled"] = False
    return ray


def _connect(ray: ModuleType, workers: Workers, folder: str) -> None:
    if workers.local:
        # As many workers as were asked for, on however few cores.
        n_cpus = max(workers.n, os.cpu_count() or 1)
        where: dict[str, Any] = {"num_cpus": n_cpus, "include_dashboard": False, "_temp_dir": folder}
    else:
        where = {}
    try:
        ray.init(address=workers.address, log_to_driver=False, logging_level="ERROR", **where)
    except Exception as error:  # Ray raises plain Exceptions too, as when a busy machine starts it too slowly
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise AdapterError(
            f"--ray {workers.address}: no Ray cluster can be used there ({reason}). Start one with `ray start --head`, "
            "in the environment that serxbench is installed in, or give --ray local"
        ) from error


def _check_gpus(ray: ModuleType, workers: Workers) -> None:
    n_gpus = ray.cluster_resources().get("GPU", 0.0) if workers.local else None
    if n_gpus is not None and n_gpus < workers.gpus:
        raise AdapterError(f"--gpus-per-worker {workers.gpus:g}: this machine has {n_gpus:g}")
