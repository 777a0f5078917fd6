"""Making and removing environments: `python -m venv`, then pip from the index that the user's pip is configured for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from serxbench.errors import AdapterError
from serxbench.runs import write_atomically
from serxbench.workers.environments import DESCRIPTION, Environment, built_for, hold
from serxbench.workers.process import worker_environment

#: What pip and a compiler need beyond what a worker gets: packages run code of their own when they are built.
_PASSED_ON = ("CC", "CXX", "MAX_JOBS", "NVCC_THREADS", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
_PASSED_ON_PREFIXES = ("PIP_", "XDG_CONFIG_", "FLASH_ATTENTION_")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")

LOG = "pip.log"


def build(environment: Environment, say: Callable[[str], None], rebuild: bool = False) -> bool:
    """Makes the environment; whether anything had to be done. Raises AdapterError with the last lines of pip's log.

    say: is told what is being done. rebuild: also when it is there already.
    """
    folder = environment.folder
    with hold(folder, alone=True) as lock:
        if environment.state == "ready" and not rebuild:
            return False
        python = _find_python(environment.python)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        began = time.monotonic()
        say(f"{folder}: a virtual environment of {python}; what pip says is in {folder / LOG}")
        _run([python, "-m", "venv", str(folder)], folder, lock)
        index = ["--extra-index-url", environment.extra_index_url] if environment.extra_index_url else []
        pip = [str(environment.interpreter), "-m", "pip", "--no-input", "--disable-pip-version-check"]
        if environment.requirements:
            say(f"installing {len(environment.requirements)} requirements")
            _run([*pip, "install", *index, *environment.requirements], folder, lock)
        if environment.build_requirements:
            say(f"building {', '.join(environment.build_requirements)}; this can take very long")
            _run([*pip, "install", "--no-build-isolation", *index, *environment.build_requirements], folder, lock)
        described = {
            "card": environment.card,
            "requirements": [*environment.requirements, *environment.build_requirements],
            "packages": _packages(pip, folder),
            "seconds": round(time.monotonic() - began, 1),
            "bytes": _size(folder),
        }
        write_atomically(folder / DESCRIPTION, json.dumps(described, indent=2))
    return True


def remove(card: str) -> list[Path]:
    """The folders that were removed: all that were ever built for the card. Raises AdapterError if one is in use."""
    removed = built_for(card)
    for folder in removed:
        with hold(folder, alone=True):
            # The description first: what is half removed must not look whole.
            (folder / DESCRIPTION).unlink(missing_ok=True)
            shutil.rmtree(folder)
    return removed


def _find_python(version: str | None) -> str:
    """The interpreter of that version on PATH; ours if none is asked for. Raises AdapterError."""
    if version is None or version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return sys.executable
    name = f"python{version}"
    found = shutil.which(name)
    if found:
        asked = subprocess.run(
            [found, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=False,
        )
        # A launcher such as pyenv's can be on PATH for a version that it does not offer.
        if asked.returncode == 0 and asked.stdout.strip() == version:
            return found
    raise AdapterError(f"the environment wants Python {version}, and no working {name} is on PATH; install it")


def _run(command: Sequence[str], folder: Path, lock: IO[str]) -> None:
    with (folder / LOG).open("ab") as log:
        log.write(f"$ {' '.join(command)}\n".encode())
        log.flush()
        # The child keeps the lock's file open, so a build whose parent was killed is still seen as one under way.
        finished = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_pip_environment(),
            pass_fds=[lock.fileno()],
            check=False,
        )
    if finished.returncode:
        lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
        said = "\n".join(f"    {line[:300]}" for line in lines[-12:])
        raise AdapterError(f"the environment could not be built; the end of {folder / LOG}:\n{said}")


def _pip_environment() -> dict[str, str]:
    kept = worker_environment(os.environ)
    for name, value in os.environ.items():
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES) or name.lower() in _PROXIES:
            kept[name] = value
    return kept


def _packages(pip: Sequence[str], folder: Path) -> dict[str, str]:
    """Name → version of everything that is installed."""
    listed = subprocess.run(
        [*pip, "list", "--format", "json"], capture_output=True, text=True, check=False, env=_pip_environment()
    )
    if listed.returncode:
        raise AdapterError(f"{folder}: pip cannot list what it installed: {listed.stderr.strip()[-300:]}")
    return {row["name"]: row["version"] for row in json.loads(listed.stdout)}


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
