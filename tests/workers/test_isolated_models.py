"""From a card to answers out of another virtual environment, with a real venv and a real pip that has no index."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Serxbench, read_rows

from serxbench.adapters import Base, Loading
from serxbench.catalog import ModelCard, embedded_folder, load_prompt, read_card, resolve_card
from serxbench.corpora import open_corpus
from serxbench.errors import AdapterError
from serxbench.progress import Silent
from serxbench.records import Decoding
from serxbench.runs import RESPONSES, Run
from serxbench.stages import backends
from serxbench.stages.doctor import examine
from serxbench.stages.environments import build_environment
from serxbench.stages.models import environment_of
from serxbench.stages.respond import respond
from serxbench.workers.client import WorkerAdapter, _plain
from serxbench.workers.models import serxbench as serxbench_worker

N_ITEMS = 64

WHERE = """
import sys, tinypack

def load(request):
    return Where("trusted" if request["trust_remote_code"] else "not trusted")

class Where:
    max_seconds, min_seconds = float("inf"), 0.0

    def __init__(self, trusted):
        self.trusted = trusted

    def answer(self, clips, prompt, decoding):
        ours = "serxbench" if any(name.split(".")[0] == "serxbench" for name in sys.modules) else "no serxbench"
        return [{"text": f"{sys.prefix} {tinypack.ANSWER} {ours}, {self.trusted}", "stop": "end"} for clip in clips]

    def hear(self, clips, prompt):
        return None
"""

CARD = """---
name: {name}
adapter: {adapter}
repository: {repository}
dtype: float32
licence: MIT
environment:
{environment}
---
For a test.
"""


def write_card(folder: Path, name: str, environment: str, adapter: str = "qwen2_audio", repository: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    text = CARD.format(
        name=name,
        adapter=adapter,
        repository=repository or embedded_folder("model_cards") / "nano",
        environment="\n".join(f"  {line}" for line in environment.splitlines()),
    )
    (folder / f"{name}.md").write_text(text)
    return folder / f"{name}.md"


def write_wheel(folder: Path) -> Path:
    """A wheel of one module, as small as they get."""
    folder.mkdir(exist_ok=True)
    info = "tinypack-1.5.dist-info"
    files = {
        "tinypack.py": "ANSWER = 42\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tinypack\nVersion: 1.5\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {
        name: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        for name, text in files.items()
    }
    record = "".join(f"{name},sha256={digests[name]},{len(text)}\n" for name, text in files.items())
    with zipfile.ZipFile(folder / "tinypack-1.5-py3-none-any.whl", "w") as wheel:
        for name, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            wheel.writestr(name, text)
    return folder


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of cards and environments, and a pip that finds one wheel and asks nobody."""
    folder = tmp_path_factory.mktemp("isolated")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            patch.delenv(name)
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(write_wheel(folder / "wheels")))
        patch.setenv("SERXBENCH_ENVS", str(folder / "envs"))
        yield folder


@pytest.fixture(scope="module")
def apart(environments: Path) -> ModelCard:
    """nano in a virtual environment of its own, which sees the packages of this one and no serxbench."""
    path = write_card(environments / "cards", "nano-apart", "worker: serxbench\nrequirements: [tinypack>=1]")
    said: list[str] = []
    environment = build_environment(str(path), (), said.append, rebuild=False)
    assert any("installing 1 requirements" in line for line in said)
    # Installing torch takes minutes. A .pth file is read by this environment alone, and leads to no other .pth file.
    site = next(environment.folder.glob("lib/python*/site-packages"))
    (site / "parent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return read_card(path)


@pytest.fixture
def verbs(environments: Path, serxbench: Serxbench) -> Serxbench:
    """The command line with this module's environments."""

    def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return serxbench(*arguments, SERXBENCH_ENVS=str(environments / "envs"), **variables)

    return run


def request(card: ModelCard, **changes: Any) -> backends.RespondRequest:
    corpus = open_corpus("demo", None, N_ITEMS)
    return backends.RespondRequest(
        card=card,
        mode="closed",
        cot=False,
        prompt=load_prompt("closed", corpus.labels),
        corpus=corpus,
        decoding=Decoding(max_new_tokens=64),
        batch_size=8,
        **changes,
    )


class Killer(Silent):
    """Kills the worker after the third batch."""

    def __init__(self) -> None:
        self.adapters: list[WorkerAdapter] = []
        self.n_batches = 0
        self.pids: list[int | None] = []

    def advance(self, n: int, n_failed: int) -> None:
        self.n_batches += 1
        pid = self.adapters[0].pid
        self.pids.append(pid)
        if self.n_batches == 3 and pid is not None:
            os.kill(pid, signal.SIGKILL)


def test_nano_answers_the_same_from_another_environment(
    apart: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = respond(request(resolve_card("nano")), tmp_path / "here", Silent())
    progress = Killer()
    load = backends.load_adapter

    def load_and_keep(*arguments: Any, **settings: Any) -> Any:
        progress.adapters.append(load(*arguments, **settings))
        return progress.adapters[0]

    monkeypatch.setattr(backends, "load_adapter", load_and_keep)
    there = respond(request(apart), tmp_path / "there", progress)
    progress.adapters[0].close()
    assert len(set(progress.pids)) == 2, "the worker was killed once, and another one went on"
    same = [(run.path / RESPONSES).read_bytes() for run in (here, there)]
    assert same[0] == same[1]
    rows = read_rows(there.path / RESPONSES)
    assert len(rows) == len({row["id"] for row in rows}) == N_ITEMS
    assert len({row["text"] for row in rows}) > 10
    assert (there.path / "worker.log").read_text().count("was ended by SIGKILL") == 1
    described = Run.open(there.path).manifest.model["environment"]
    assert described["worker"] == "serxbench"
    assert len(described["packages_sha256"]) == 64


def test_a_worker_beside_the_card_runs_in_the_other_interpreter(
    apart: ModelCard, tmp_path: Path, verbs: Serxbench
) -> None:
    environment = environment_of(apart)
    assert environment is not None
    # The same name and requirements as the other card's, so the same environment.
    path = write_card(tmp_path / "cards", "nano-apart", "worker: where.py\nrequirements: [tinypack>=1]")
    path.with_name("where.py").write_text(WHERE)
    asked = verbs("respond", "--model", path, "--mode", "open", "--limit", 2, "--out", "run")
    assert asked.returncode == 0, asked.stderr
    texts = {row["text"] for row in read_rows(tmp_path / "run" / RESPONSES)}
    assert texts == {f"{environment.folder} 42 no serxbench, not trusted"}
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["model"]["environment"]["worker"] == "where.py"


def test_env_verbs(apart: ModelCard, environments: Path, verbs: Serxbench) -> None:
    environment = environment_of(apart)
    assert environment is not None
    cards = environments / "cards"
    again = verbs("env", "build", "nano-apart", "--cards", cards)
    assert (again.returncode, again.stdout.strip()) == (0, str(environment.folder)), again.stderr
    assert "is there already" in again.stderr
    listed = json.loads(verbs("env", "list", "--json", "--cards", cards).stdout)
    by_card = {row["card"]: row for row in listed}
    assert (by_card["nano-apart"]["state"], by_card["baichuan-omni-1.5"]["state"]) == ("ready", "missing")
    assert by_card["nano-apart"]["bytes"] > 1_000_000
    assert "tinypack" in environment.packages()
    without = [row for row in json.loads(verbs("env", "list", "--json").stdout) if row["card"] is None]
    assert [row["state"] for row in without] == ["unused"]
    findings = {finding.what: finding for finding in examine()}
    assert findings["environment baichuan-omni-1.5"].mend == "serxbench env build baichuan-omni-1.5"
    for arguments, reason in (
        (("env", "build", "nano"), "'nano' runs in this process"),
        (("env", "build", "nanno"), "did you mean 'nano'?"),
        (("env", "remove", "nano"), "holds no environment of 'nano'"),
    ):
        refused = verbs(*arguments)
        assert refused.returncode == 2
        assert reason in refused.stderr


def test_pip_that_fails_is_quoted(environments: Path, verbs: Serxbench) -> None:
    path = write_card(environments / "cards", "unbuildable", "worker: serxbench\nrequirements: [no-such-package==9]")
    failed = verbs("env", "build", path)
    assert failed.returncode == 1
    assert "No matching distribution found for no-such-package==9" in failed.stderr
    run = verbs("run", "--model", path, "--mode", "open")
    assert run.returncode == 1
    assert "was not built to its end" in run.stderr
    assert "serxbench env build unbuildable" in run.stderr
    removed = verbs("env", "remove", "unbuildable")
    assert removed.returncode == 0
    assert not Path(removed.stdout.strip()).exists()
    path.unlink()


def test_remote_code_is_refused_before_anything_happens(verbs: Serxbench) -> None:
    refused = verbs("run", "--model", "baichuan-omni-1.5", "--mode", "open", "--out", "refused")
    assert refused.returncode == 1
    assert "runs Python code that comes with its weights (baichuan-inc/Baichuan-Omni-1d5)" in refused.stderr
    assert "give --trust-remote-code" in refused.stderr
    trusted = verbs("run", "--model", "baichuan-omni-1.5", "--mode", "open", "--trust-remote-code")
    assert trusted.returncode == 1
    assert "has not been built on this machine" in trusted.stderr
    assert "Build it with: serxbench env build baichuan-omni-1.5" in trusted.stderr


def test_no_setting_stands_for_trust(tmp_path: Path, verbs: Serxbench) -> None:
    variable = verbs("run", "--model", "baichuan-omni-1.5", "--mode", "open", SERXBENCH_TRUST_REMOTE_CODE="1")
    assert "give --trust-remote-code" in variable.stderr
    (tmp_path / "serxbench.toml").write_text("[run]\ntrust-remote-code = true\n")
    setting = verbs("run", "--model", "nano", "--mode", "open")
    assert setting.returncode == 2
    assert "given on the command line each time" in setting.stderr


def test_what_is_to_be_loaded_reaches_the_worker_whole(tmp_path: Path) -> None:
    base = Base(adapter="qwen2_audio", loading=Loading(folder=tmp_path / "base", dtype="bfloat16"))
    loading = Loading(folder=tmp_path, prompt_style="s", device="cuda:1", settings={"a": [1, {"b": None}]}, base=base)
    sent = json.loads(json.dumps(_plain(dataclasses.asdict(loading))))
    assert serxbench_worker._loading(sent) == loading


def test_a_worker_that_was_not_built_is_not_started(environments: Path, tmp_path: Path) -> None:
    card = read_card(write_card(environments / "cards", "absent", "worker: serxbench\nrequirements: [tinypack==2]"))
    with pytest.raises(AdapterError, match="serxbench env build absent"):
        respond(request(card), tmp_path / "run", Silent())
    assert not (tmp_path / "run").exists()
