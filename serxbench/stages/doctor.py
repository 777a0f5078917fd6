"""What this machine can run, and what is missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from serxbench.catalog import list_cards, read_card
from serxbench.checkpoints import is_here
from serxbench.workers.environments import STATES, read_environment

State = Literal["ok", "missing", "broken"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at. missing: something optional is not there. broken: runs will fail. mend: what to type."""

    what: str
    state: State
    found: str
    mend: str | None = None


def examine() -> list[Finding]:
    """Everything worth looking at, in the order in which a run needs it."""
    return [_python(), *_packages(), _gpu(), _memory(), *_optional(), *_programs(), *_weights(), *_environments()]


def _python() -> Finding:
    return Finding(what="python", state="ok", found=".".join(map(str, sys.version_info[:3])))


def _packages() -> Iterator[Finding]:
    for name in ("torch", "transformers", "soundfile", "soxr", "numpy"):
        yield _import(name)
    # transformers imports torchaudio whenever it is installed, so a torchaudio that does not import breaks it.
    if _version("torchaudio"):
        finding = _import("torchaudio")
        mend = "pip uninstall torchaudio (serxbench does not use it, and a broken one breaks transformers)"
        yield (
            finding
            if finding.state == "ok"
            else Finding(what="torchaudio", state="broken", found=finding.found, mend=mend)
        )


def _import(name: str) -> Finding:
    found = _version(name)
    if found is None:
        return Finding(what=name, state="broken", found="not installed", mend=f"pip install {name}")
    try:
        importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        mend = f"pip install --force-reinstall {name}=={found}"
        return Finding(what=name, state="broken", found=f"{found} does not import: {reason}", mend=mend)
    return Finding(what=name, state="ok", found=found)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gpu() -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding(what="gpu", state="broken", found=f"torch does not import: {error}", mend="pip install torch")
    if torch.cuda.is_available():
        devices = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
        names = ", ".join(f"{device.name} ({device.total_memory / 2**30:.0f} GiB)" for device in devices)
        return Finding(what="gpu", state="ok", found=names)
    if shutil.which("nvidia-smi"):
        found = f"nvidia-smi is there, but torch {torch.__version__} sees no GPU"
        return Finding(
            what="gpu", state="missing", found=found, mend="pip install --force-reinstall torch (CUDA build)"
        )
    return Finding(what="gpu", state="missing", found="none: 'nano' runs, 7B models are too slow to be useful")


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    found = f"{total:.0f} GiB of memory, {os.cpu_count()} cores, {free:.0f} GiB of disk free here"
    return Finding(what="machine", state="ok", found=found)


def _optional() -> Iterator[Finding]:
    for name, what_for in (("vllm", "offline throughput on a GPU"), ("ray", "many GPUs")):
        found = _version(name)
        if found:
            yield Finding(what=name, state="ok", found=found)
        else:
            mend = f"pip install 'serxbench[{name}]'"
            yield Finding(what=name, state="missing", found=f"not installed (optional: {what_for})", mend=mend)


def _programs() -> Iterator[Finding]:
    for program, package in (("espeak-ng", "espeak-ng"), ("opusenc", "opus-tools")):
        where = shutil.which(program)
        if where:
            yield Finding(what=program, state="ok", found=where)
        else:
            found = "not found (optional: only for rebuilding the corpus 'demo')"
            yield Finding(what=program, state="missing", found=found, mend=f"apt-get install {package}")


def _weights() -> Iterator[Finding]:
    for name, path in list_cards().items():
        card = read_card(path)
        if is_here(card):
            yield Finding(what=f"model {name}", state="ok", found="weights are here")
        else:
            revision = f" --revision {card.revision}" if card.revision else ""
            mend = f"hf download {card.repository}{revision}"
            yield Finding(what=f"model {name}", state="missing", found="weights are not on this machine", mend=mend)


def _environments() -> Iterator[Finding]:
    for name, path in list_cards().items():
        card = read_card(path)
        if card.environment is None:
            continue
        environment = read_environment(name, card.environment, path)
        if environment.state == "ready":
            yield Finding(what=f"environment {name}", state="ok", found=str(environment.folder))
        else:
            found = STATES[environment.state]
            yield Finding(what=f"environment {name}", state="missing", found=found, mend=f"serxbench env build {name}")
