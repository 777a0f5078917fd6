"""What a card wants in its model's own virtual environment, and what is there of it.

    environment:
      worker: baichuan_omni                 a module of serxbench/workers/models, or a Python file beside the card
      python: "3.12"                        optional; in quotes, or YAML reads 3.10 as 3.1
      requirements: [torch==2.4.0, …]       what pip installs first
      build_requirements: [flash_attn==2.6.3]   then, without build isolation: what needs the first to be built
      extra_index_url: https://…            optional; besides the index that pip is configured for
      remote_code: true                     the checkpoint's own code runs; refused without --trust-remote-code
      seconds: {load: 1800, batch: 120, clip: 120}   optional time limits
      restarts: 1                           optional; how often a batch is sent again to a new process

An environment is a folder `CARD-HASH` under SERXBENCH_ENVS, else under the user's data folder. The hash is over what
gets installed, so a changed card finds no environment rather than an old one. `environment.json` in it is written
last: a folder without it was not finished.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from serxbench.errors import AdapterError, DefinitionError, UnknownName
from serxbench.hashing import hash_file

State = Literal["ready", "missing", "unfinished", "building"]

#: How messages say it.
STATES: dict[State, str] = {
    "ready": "is ready",
    "missing": "has not been built",
    "unfinished": "was not built to its end",
    "building": "is being built",
}

DESCRIPTION = "environment.json"
MODELS = Path(__file__).parent / "models"

_KEYS: dict[str, type] = {
    "worker": str,
    "python": str,
    "requirements": list,
    "build_requirements": list,
    "extra_index_url": str,
    "remote_code": bool,
    "seconds": dict,
    "restarts": int,
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long a worker may take: to load, for each request, and for each clip in it on top of that.

    A clip's share grows with the longest answer that is allowed: it is for 256 tokens. restarts: how often a batch
    on which the process ended is sent to a new one.
    """

    load: float = 1800.0
    batch: float = 120.0
    clip: float = 120.0
    restarts: int = 1


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One card's environment.

    worker: a name of `models/`, or the path of a Python file. limits: what moves no answer and no installation.
    """

    card: str
    worker: str
    python: str | None = None
    requirements: tuple[str, ...] = ()
    build_requirements: tuple[str, ...] = ()
    extra_index_url: str | None = None
    remote_code: bool = False
    limits: Limits = field(default_factory=Limits)

    def sha256(self) -> str:
        """The hash of what gets installed."""
        wanted = [self.python, self.requirements, self.build_requirements, self.extra_index_url]
        return hashlib.sha256(json.dumps(wanted).encode()).hexdigest()

    @property
    def folder(self) -> Path:
        """Where it is, or would be."""
        return environments_folder() / f"{self.card}-{self.sha256()[:12]}"

    @property
    def interpreter(self) -> Path:
        """Its Python."""
        return self.folder / "bin" / "python"

    @property
    def state(self) -> State:
        """Whether it can be used. One whose base interpreter has gone from the machine is unfinished."""
        if not self.folder.is_dir():
            return "missing"
        if (self.folder / DESCRIPTION).is_file() and self.interpreter.exists():
            return "ready"
        try:
            with hold(self.folder, alone=False):
                return "unfinished"
        except AdapterError:
            return "building"

    def packages(self) -> dict[str, str]:
        """What is installed in it: name → version. Raises AdapterError if it has not been built."""
        self.check_built()
        found: dict[str, str] = json.loads((self.folder / DESCRIPTION).read_text(encoding="utf-8"))["packages"]
        return found

    def check_built(self) -> None:
        """Raises AdapterError with the command that builds it."""
        state = self.state
        if state != "ready":
            raise AdapterError(
                f"'{self.card}' runs in a virtual environment of its own, and that {STATES[state]} on this machine "
                f"({self.folder}). Build it with: serxbench env build {self.card}"
            )

    def describe(self) -> dict[str, Any]:
        """What a run's manifest says of it; every installed package goes into one hash. Raises AdapterError."""
        packages = self.packages()
        file = Path(self.worker)
        # A worker of ours is covered by serxbench's own version.
        worker = {"worker": self.worker} if not file.suffix else {"worker": file.name, "sha256": hash_file(file)}
        return {
            **worker,
            "packages": {name: packages[name] for name in ("torch", "transformers") if name in packages},
            "packages_sha256": hashlib.sha256(json.dumps(sorted(packages.items())).encode()).hexdigest(),
        }


def read_environment(card: str, fields: Mapping[str, Any], path: Path | None = None) -> Environment:
    """The environment that the `environment` mapping of a card asks for. Raises DefinitionError.

    path: the card's file, for messages and for workers that lie beside it.
    """
    where = f"{path or card}: environment"
    for key, value in fields.items():
        if key not in _KEYS:
            raise DefinitionError(f"{where}: {UnknownName('key', str(key), _KEYS)}")
        if not isinstance(value, _KEYS[key]) or (isinstance(value, bool) and _KEYS[key] is not bool):
            hint = ' (put it in quotes: "3.12")' if key == "python" else ""
            raise DefinitionError(f"{where}: '{key}' must be a {_KEYS[key].__name__}; found {value!r}{hint}")
    if "worker" not in fields:
        raise DefinitionError(f"{where}: missing key: worker (one of {', '.join(list_workers())}, or a Python file)")
    return Environment(
        card=card,
        worker=_find_worker(fields["worker"], where, path),
        python=fields.get("python"),
        requirements=_requirements("requirements", fields, where),
        build_requirements=_requirements("build_requirements", fields, where),
        extra_index_url=fields.get("extra_index_url"),
        remote_code=fields.get("remote_code", False),
        limits=_limits(fields, where),
    )


def list_workers() -> list[str]:
    """The names of the workers that come with serxbench."""
    return sorted(file.stem for file in MODELS.glob("*.py") if not file.stem.startswith("_"))


def environments_folder() -> Path:
    """Where environments are kept: SERXBENCH_ENVS, else XDG_DATA_HOME/serxbench/envs, else ~/.local/share/…"""
    if named := os.environ.get("SERXBENCH_ENVS"):
        return Path(named).expanduser().absolute()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser().absolute() / "serxbench" / "envs"


def built_for(card: str) -> list[Path]:
    """The folders built for a card, whatever it asked for then."""
    folders = environments_folder().glob(f"{card}-*")
    return sorted(folder for folder in folders if re.fullmatch(re.escape(card) + "-[0-9a-f]{12}", folder.name))


@contextlib.contextmanager
def hold(folder: Path, *, alone: bool) -> Iterator[IO[str]]:
    """Holds an environment: shared for using it, alone for building or removing it. Raises AdapterError at once."""
    lock = folder.with_name(f"{folder.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    # Whoever only uses an environment may not be allowed to write there.
    with lock.open("r" if lock.is_file() and not alone else "a") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            who = "builds or uses" if alone else "builds or removes"
            raise AdapterError(f"{folder}: another process {who} this environment; wait for it") from None
        yield file


def _find_worker(worker: str, where: str, path: Path | None) -> str:
    if not worker.endswith(".py"):
        if worker not in list_workers():
            raise DefinitionError(f"{where}: {UnknownName('worker', worker, list_workers())}")
        return worker
    file = ((path.parent if path else Path()) / worker).expanduser().resolve()
    if not file.is_file():
        raise DefinitionError(f"{where}: worker '{worker}': no such file: {file}")
    return str(file)


def _limits(fields: Mapping[str, Any], where: str) -> Limits:
    seconds, restarts = fields.get("seconds", {}), fields.get("restarts", Limits.restarts)
    for key, value in seconds.items():
        if key not in ("load", "batch", "clip"):
            raise DefinitionError(f"{where}: seconds: {UnknownName('key', str(key), ('load', 'batch', 'clip'))}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            raise DefinitionError(f"{where}: seconds.{key} must be a number above 0; found {value!r}")
    if restarts < 0:
        raise DefinitionError(f"{where}: restarts must be 0 or more; found {restarts}")
    return Limits(**seconds, restarts=restarts)


def _requirements(key: str, fields: Mapping[str, Any], where: str) -> tuple[str, ...]:
    for value in fields.get(key, []):
        # An option of pip's would be one here too.
        if not isinstance(value, str) or not value.strip() or value.lstrip().startswith("-"):
            raise DefinitionError(f"{where}: {key} must list requirements as pip writes them; found {value!r}")
    return tuple(fields.get(key, []))
