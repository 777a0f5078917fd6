"""The command line: fast, free of torch, and one line with the right exit code for everything that is wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Serxbench, write_rows

VERBS = (
    "audit",
    "cluster",
    "compare",
    "corpora",
    "data",
    "doctor",
    "env",
    "import",
    "leaderboard",
    "merge",
    "models",
    "parse",
    "power",
    "probe",
    "prompts",
    "respond",
    "run",
    "score",
)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from serxbench.cli import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'numpy', 'soundfile', 'rich', 'yaml'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert all(verb in finished.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, serxbench: Serxbench) -> None:
    finished = serxbench(verb, "--help")
    assert finished.returncode == 0
    assert "Usage:" in finished.stdout


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (["rnu"], 2, "no command 'rnu'; did you mean 'run'?"),
        (["run", "--model", "qwen2audio", "--mode", "open"], 2, "no model card 'qwen2audio'; did you mean 'q2a'?"),
        (["run", "--model", "nano", "--mode", "clsed"], 2, "no mode 'clsed'; did you mean 'closed'?"),
        (["run", "--model", "nano", "--mode", "open", "--data", "dmo"], 2, "no corpus 'dmo'; did you mean 'demo'?"),
        (["run", "--model", "nano", "--mode", "open", "--data", "demo:tset"], 2, "did you mean 'test'?"),
        (["run", "--model", "nano", "--mode", "open", "--data", "crema-d"], 2, "needs --data-root DIR"),
        (["run", "--model", "nano", "--mode", "open", "--limit", "0"], 2, "--limit must be at least 1"),
        (["run", "--model", "nano", "--mode", "open", "--batch-size", "0"], 2, "--batch-size must be at least 1"),
        (
            ["run", "--model", "nano", "--mode", "open", "--parser", "ruls"],
            2,
            "no parser 'ruls'; did you mean 'rules'?",
        ),
        (["run", "--model", "nano", "--mode", "open", "--dtype", "int4"], 2, "dtype 'int4': wanted one of auto"),
        (["run", "--model", "nano", "--mode", "open", "--device", "cuda"], 1, "sees no GPU here"),
        (["run", "--model", "./nowhere", "--mode", "open"], 2, "no such file or folder"),
        (["run", "--mode", "open"], 2, "Missing option '--model'"),
        (["run", "--model", "q2a", "--mode", "open", "--limit", "1"], 1, "hf download Qwen/Qwen2-Audio-7B-Instruct"),
        (["prompts", "clossed"], 2, "no prompt 'clossed'; did you mean 'closed'?"),
        (["score", "nowhere"], 1, "nowhere: no such run folder"),
        (["score", "."], 1, "is not a run folder"),
        (["leaderboard"], 2, "Missing argument 'RUN...'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    command: list[str], code: int, message: str, serxbench: Serxbench, tmp_path: Path
) -> None:
    finished = serxbench(*command)
    assert (finished.returncode, message in finished.stderr) == (code, True), finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stderr.startswith("error: ") or finished.stderr.startswith("Usage: ")
    assert not any(path.is_file() and path.name != "lock" for path in (tmp_path / "runs").rglob("*"))


def test_a_manifest_with_nothing_to_score_against(serxbench: Serxbench, tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", [{"id": "a", "audio": "a.wav"}])
    finished = serxbench("run", "--model", "nano", "--mode", "open", "--data", "manifest:a.jsonl")
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: manifest:a.jsonl: no utterance has votes or a consensus")
    assert finished.stderr.count("\n") == 1


def test_what_cannot_be_written_is_said_in_one_line(serxbench: Serxbench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    finished = serxbench("run", "--model", "majority", "--mode", "open", "--limit", "1", "--out", "file/run")
    assert (finished.returncode, "Not a directory" in finished.stderr) == (1, True), finished.stderr
    assert "Traceback" not in finished.stderr


def test_an_interrupted_run_says_how_to_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "serxbench", "run", "--model", "nano", "--mode", "open", "--batch-size", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    journal = tmp_path / "runs" / "nano_open_demo-test" / "journal.jsonl"
    deadline = time.monotonic() + 120
    while not journal.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "repeat the same command to go on where it stopped" in said
    assert "Traceback" not in said


def test_lists_as_json(serxbench: Serxbench) -> None:
    models = json.loads(serxbench("models", "--json").stdout)
    assert {"nano", "q2a"} <= {card["name"] for card in models}
    prompts = json.loads(serxbench("prompts", "--json").stdout)
    assert {"open", "closed", "open-cot", "closed-cot"} <= {prompt["name"] for prompt in prompts}
    corpora = json.loads(serxbench("corpora", "--json").stdout)
    assert {"demo", "crema-d", "manifest"} <= {corpus["name"] for corpus in corpora}


def test_the_doctor_names_what_mends(serxbench: Serxbench) -> None:
    findings = {row["what"]: row for row in json.loads(serxbench("doctor", "--json").stdout)}
    assert findings["torch"]["state"] == "ok"
    assert findings["model nano"]["state"] == "ok"
    assert findings["model q2a"]["mend"].startswith("hf download Qwen/Qwen2-Audio-7B-Instruct --revision ")


def test_settings_come_from_the_file_and_the_environment(serxbench: Serxbench, tmp_path: Path) -> None:
    (tmp_path / "serxbench.toml").write_text('mode = "clsed"\n[run]\nmodel = "nano"\n')
    assert "no mode 'clsed'" in serxbench("run").stderr, "model and mode from the file"
    assert "no mode 'opne'" in serxbench("run", SERXBENCH_MODE="opne").stderr, "the environment is above the file"
    assert "no mode 'cot'" in serxbench("run", "--mode", "cot", SERXBENCH_MODE="opne").stderr, "the option above all"
    (tmp_path / "serxbench.toml").write_text('[data-roots]\ncrema-d = "nowhere"\n')
    asked = ["run", "--model", "nano", "--mode", "open", "--data", "crema-d"]
    assert "--data-root nowhere: no such folder" in serxbench(*asked).stderr
    for text, message in [
        ("[rnu]\n", "no section 'rnu'; did you mean 'run'?"),
        ("batchsize = 3\n", "no setting 'batchsize'; did you mean 'batch-size'?"),
        ("[run]\nmodell = 3\n", "no setting 'modell'; did you mean 'model'?"),
        ("mode = \n", "not a readable TOML file"),
    ]:
        (tmp_path / "serxbench.toml").write_text(text)
        finished = serxbench("models")
        assert (finished.returncode, message in finished.stderr) == (2, True), finished.stderr
