"""What a card may say of its environment, and what becomes of a build that does not end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from serxbench.errors import AdapterError, DefinitionError
from serxbench.workers import building, protocol
from serxbench.workers.building import build, remove
from serxbench.workers.environments import Environment, Limits, hold, list_workers, read_environment

DOCUMENTED = Path(__file__).parents[2] / "docs" / "workers.md"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERXBENCH_ENVS", str(tmp_path / "envs"))


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would have been run; `fail` among the requirements fails, and the first command makes an interpreter."""
    commands: list[list[str]] = []

    def run(command: list[str], folder: Path, lock: Any) -> None:
        commands.append(command)
        (folder / "bin").mkdir(exist_ok=True)
        (folder / "bin" / "python").touch()
        if "fail" in command:
            raise AdapterError("pip failed")

    monkeypatch.setattr(building, "_run", run)
    monkeypatch.setattr(building, "_packages", lambda pip, folder: {"torch": "2.4.0"})
    return commands


def environment(**fields: Any) -> Environment:
    return read_environment("mine", {"worker": "serxbench", **fields})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"worker": "baichuan"}, "no worker 'baichuan'; did you mean 'baichuan_omni'?"),
        ({"worker": "gone.py"}, r"worker 'gone.py': no such file"),
        ({"requirement": ["a"]}, "no key 'requirement'; did you mean 'requirements'?"),
        ({"python": 3.12}, r"'python' must be a str; found 3.12 \(put it in quotes"),
        ({"requirements": "torch"}, "'requirements' must be a list; found 'torch'"),
        ({"requirements": ["--index-url=http://x"]}, "must list requirements as pip writes them; found '--index-url"),
        ({"build_requirements": [1]}, "build_requirements must list requirements"),
        ({"remote_code": "yes"}, "'remote_code' must be a bool"),
        ({"seconds": {"loading": 1}}, "no key 'loading'; did you mean 'load'?"),
        ({"seconds": {"load": 0}}, "seconds.load must be a number above 0"),
        ({"restarts": True}, "'restarts' must be a int"),
        ({"restarts": -1}, "restarts must be 0 or more"),
    ],
)
def test_what_a_card_says_wrongly_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match="^mine: environment: .*" + message):
        environment(**fields)


def test_a_worker_has_to_be_named() -> None:
    with pytest.raises(DefinitionError, match=r"missing key: worker .*baichuan_omni, serxbench"):
        read_environment("mine", {"requirements": []})


def test_the_hash_is_over_what_gets_installed() -> None:
    plain = environment(requirements=["a==1"])
    same = environment(requirements=["a==1"], seconds={"load": 5}, restarts=3, remote_code=True)
    assert same.folder == plain.folder
    assert same.limits == Limits(load=5, restarts=3)
    others = (
        {"requirements": ["a==2"]},
        {"build_requirements": ["a==1"]},
        {"python": "3.12"},
        {"extra_index_url": "u"},
    )
    assert len({environment(**each).folder for each in others} | {plain.folder}) == 5


def test_pip_is_asked_in_two_steps(pip: list[list[str]]) -> None:
    asked = environment(requirements=["torch==2.4.0"], build_requirements=["flash_attn"], extra_index_url="http://i")
    assert build(asked, print)
    python = str(asked.folder / "bin" / "python")
    assert pip[0] == [sys.executable, "-m", "venv", str(asked.folder)]
    options = ["--no-input", "--disable-pip-version-check", "install"]
    assert pip[1] == [python, "-m", "pip", *options, "--extra-index-url", "http://i", "torch==2.4.0"]
    assert pip[2] == [
        *[python, "-m", "pip", *options, "--no-build-isolation"],
        *["--extra-index-url", "http://i", "flash_attn"],
    ]
    assert asked.packages() == {"torch": "2.4.0"}
    assert not build(asked, print), "it is there"
    assert len(pip) == 3
    assert build(asked, print, rebuild=True)


def test_a_build_that_did_not_end_is_no_environment(pip: list[list[str]]) -> None:
    asked = environment(requirements=["fail"])
    assert asked.state == "missing"
    with pytest.raises(AdapterError, match="pip failed"):
        build(asked, print)
    assert asked.state == "unfinished"
    with pytest.raises(AdapterError, match=r"was not built to its end .*serxbench env build mine"):
        asked.check_built()
    (asked.folder / "left").touch()
    pip.clear()
    with pytest.raises(AdapterError):
        build(asked, print)
    assert not (asked.folder / "left").exists(), "a new build begins with nothing"


def test_one_builds_or_some_use(pip: list[list[str]]) -> None:
    asked = environment()
    busy = pytest.raises(AdapterError, match="another process builds or uses")
    with hold(asked.folder, alone=False), hold(asked.folder, alone=False), busy:
        build(asked, print)
    build(asked, print)
    with hold(asked.folder, alone=True):
        with pytest.raises(AdapterError, match="another process builds or removes"), hold(asked.folder, alone=False):
            pass
        with pytest.raises(AdapterError, match="another process builds or uses"):
            remove("mine")
    assert remove("mine") == [asked.folder]
    assert asked.state == "missing"


def test_pip_outlives_a_killed_build_and_keeps_it_locked(tmp_path: Path) -> None:
    asked = environment()
    code = (
        "import sys; from pathlib import Path\n"
        "from serxbench.workers.building import _run; from serxbench.workers.environments import hold\n"
        f"folder = Path({str(asked.folder)!r})\n"
        "with hold(folder, alone=True) as lock:\n"
        "    folder.mkdir(); _run(['sh', '-c', 'echo $$ > pid; mv pid started; exec sleep 600'], folder, lock)\n"
    )
    builder = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    try:
        while builder.poll() is None and not (tmp_path / "started").exists():
            pass
        builder.kill()
        builder.wait()
        pip_pid = int((tmp_path / "started").read_text())
        assert asked.state == "building"
        with pytest.raises(AdapterError, match="another process builds or uses"):
            build(asked, print)
    finally:
        os.kill(pip_pid, signal.SIGKILL)


def test_only_what_was_built_for_the_card_is_removed(pip: list[list[str]]) -> None:
    for name in ("mine", "mine-too"):
        build(read_environment(name, {"worker": "serxbench"}), print)
        build(read_environment(name, {"worker": "serxbench", "requirements": ["a"]}), print)
    assert [re.sub("-[0-9a-f]{12}$", "", folder.name) for folder in remove("mine")] == ["mine", "mine"]
    assert [folder.name[:8] for folder in remove("mine-too")] == ["mine-too", "mine-too"]


def test_a_python_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    launcher = tmp_path / "python3.10"
    launcher.write_text("#!/bin/sh\necho 'not installed' >&2\nexit 127\n")
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for version in ("3.10", "2.9"):
        with pytest.raises(AdapterError, match=f"wants Python {version}, and no working python{version} is on PATH"):
            build(environment(python=version), print)


def test_the_documented_messages_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (client|worker) \| (.*?) \|", DOCUMENTED.read_text(), flags=re.MULTILINE)
    documented = {name: (side, set(re.findall(r"`(\w+)`", fields))) for name, side, fields in rows}
    code = {name: ("client", set(fields)) for name, fields in protocol.REQUESTS.items()}
    code |= {name: ("worker", set(fields)) for name, fields in protocol.REPLIES.items()}
    assert documented == code
    assert f"Version {protocol.VERSION}. The client starts" in DOCUMENTED.read_text()


def test_the_documented_keys_are_those_of_the_code() -> None:
    from serxbench.workers.environments import _KEYS

    table = DOCUMENTED.read_text().split("| key of `environment` | meaning |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)) == set(_KEYS)
    limits = Limits()
    for name, default in (("load", limits.load), ("batch", limits.batch), ("clip", limits.clip)):
        assert f"`{name}` ({default:g})" in table
    assert f"({limits.restarts}) |" in table
    for worker in list_workers():
        assert f"`{worker}`" in table


def test_worker_files_are_of_python_3_9() -> None:
    import ast

    folder = Path(building.__file__).parent
    for file in (folder / "server.py", folder / "protocol.py", *folder.glob("models/*.py")):
        ast.parse(file.read_text(), feature_version=(3, 9))
