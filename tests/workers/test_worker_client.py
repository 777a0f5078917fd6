"""The client and a real child process: what one says the other hears, and whatever a worker does, no answer is lost."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serxbench.adapters import Loading
from serxbench.audio import Clip, read_audio
from serxbench.engines import plan_batches
from serxbench.engines.transformers import generate_batches
from serxbench.errors import AdapterError
from serxbench.records import Decoding, Prompt, Response, Utterance
from serxbench.workers import protocol
from serxbench.workers.client import SERVER, Launch, ModelFailed, WorkerAdapter
from serxbench.workers.environments import Limits
from serxbench.workers.process import WorkerDied, WorkerProcess, worker_environment

UNRULY = Path(__file__).with_name("unruly_worker.py")
PROMPT = Prompt(name="p", text="Wie klingt das? 声", sha256="0", options=(("A", "Angry"),))
REQUEST = (PROMPT, Decoding(max_new_tokens=4))

Start = Callable[..., WorkerAdapter]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the unruly worker with settings, and ends it after the test."""
    started = []

    def start(limits: Limits | None = None, **settings: Any) -> WorkerAdapter:
        launch = Launch(
            command=(sys.executable, str(SERVER), str(UNRULY)), log=tmp_path / "worker.log", limits=limits or Limits()
        )
        settings = {"marker": str(tmp_path / "marker"), "child": str(tmp_path / "child"), **settings}
        adapter = WorkerAdapter(launch, "unruly", Loading(folder=Path("weights"), settings=settings), False)
        started.append(adapter)
        return adapter

    yield start
    for adapter in started:
        adapter.close()


@pytest.fixture
def utterances(write_clip: Callable[..., Path]) -> list[Utterance]:
    return [Utterance(id=f"u{n}", audio=write_clip(f"u{n}.wav", seconds=0.2 + 0.05 * n)) for n in range(12)]


def noise(seconds: float, seed: int = 0) -> Clip:
    samples = np.random.default_rng(seed).normal(size=round(seconds * 16_000)).astype(np.float32)
    return Clip(waveform=samples, seconds=seconds, note="2 channels averaged")


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has fetched does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(true: Callable[[], bool], seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    return true()


def kill(adapter: WorkerAdapter) -> None:
    pid = adapter.pid
    # None while a new process is started; 0 would be this test's own group.
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def answers(adapter: WorkerAdapter, utterances: list[Utterance], batch_size: int = 4) -> list[Response]:
    plan = plan_batches(utterances, batch_size)
    return [r for batch in generate_batches(adapter, utterances, plan, frozenset(), REQUEST) for r in batch.responses]


def test_what_one_side_says_the_other_hears(start: Start) -> None:
    adapter = start()
    assert (adapter.max_seconds, adapter.min_seconds) == (2.0, 0.1)
    whole, long, short = noise(0.5), noise(3.0, seed=1), noise(0.05)
    first, second, third = adapter.generate(["ä", "b", "c"], [whole, long, short], PROMPT, Decoding(seed=2**33))
    assert first == Response(
        id="ä",
        text=f"ä {whole.sha256()[:16]} Wie klingt das? 声 {2**33} 2 channels averaged \ud800",
        stop="end",
        audio_seconds=0.5,
        note="2 channels averaged",
        audio_sha256=whole.sha256()[:16],
    )
    assert second.truncated
    assert second.note == "2 channels averaged, cut from 3.0 s to 2 s"
    assert (third.stop, third.error) == ("error", "clip of 0.050 s is too short; the model needs at least 0.1 s")


def test_what_a_model_hears_comes_back_to_the_bit(start: Start) -> None:
    clips = [noise(0.2, seed=n) for n in range(3)]
    heard = start().hear(clips, PROMPT)
    assert heard is not None
    assert heard.dtype == np.float32
    assert heard.tobytes() == np.stack([clip.waveform[:3] for clip in clips]).tobytes()
    assert start(deaf=True).hear(clips, PROMPT) is None


def test_prints_of_libraries_go_to_the_log(start: Start, tmp_path: Path) -> None:
    adapter = start(noise=True)
    assert [r.stop for r in adapter.generate(["a", "b"], [noise(0.2)] * 2, PROMPT, Decoding())] == ["end", "end"]
    adapter.close()
    log = (tmp_path / "worker.log").read_text()
    for line in (
        "printed by C",
        "printed by a child",
        "printed past sys.stdout",
        "a progress bar",
        '"type": "answers"',
    ):
        assert log.count(line) == 2, "once at load, once in the batch"


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ('{"type": "hello", "protocol": 99, "worker": "w", "python": "3"}', "speaks protocol 99; .* speaks protocol 1"),
        ('{"type": "stop"}', "speaks 'stop' first"),
        ("Welcome!", "said what is no message .*Welcome!"),
        ("[1]", "no message of type"),
        ('{"type": "hello"}', "lacks protocol, worker, python"),
    ],
)
def test_another_protocol_is_refused(tmp_path: Path, says: str, reason: str) -> None:
    command = [sys.executable, "-c", f"import time; print({says!r}, flush=True); time.sleep(60)"]
    with pytest.raises(AdapterError, match=reason):
        WorkerProcess(command, {}, tmp_path / "worker.log")
    assert not list(tmp_path.glob("serxbench-worker-*"))


def test_a_worker_refuses_another_client(tmp_path: Path) -> None:
    process = WorkerProcess([sys.executable, str(SERVER), str(UNRULY)], {}, tmp_path / "worker.log")
    message = {"type": "load", "number": 1, "protocol": 99, "adapter": "a", "loading": {}, "trust_remote_code": False}
    reply = process.request({**message, "scratch": str(process.scratch)}, 10)
    assert reply["message"] == f"the client speaks protocol 99, this worker {protocol.VERSION}"
    process.end()


def test_a_crash_at_load_quotes_the_last_lines(start: Start) -> None:
    with pytest.raises(AdapterError) as raised:
        start(crash_at_load=True)
    assert "the worker ended with exit code 7" in str(raised.value)
    assert str(raised.value).splitlines()[-2:] == ["    stderr line 28", "    stderr line 29"]
    assert "stderr line 3\n" not in str(raised.value)


def test_a_missing_interpreter_is_named(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"cannot be started: /no/python: No such file"):
        WorkerProcess(["/no/python"], {}, tmp_path / "worker.log")


def test_what_the_model_raises_is_told_apart(start: Start) -> None:
    with pytest.raises(AdapterError, match=r"^these weights are not mine$") as refused:
        start(refuse=True)
    (frame,) = [entry.locals for entry in refused.traceback if entry.name == "_load"]
    assert frame["self"]._process is None, "no process is left of a model that is not there"
    adapter = start(**{"raise": "bad"})
    pid = adapter.pid
    with pytest.raises(ModelFailed, match=r"^MemoryError: out of memory$"):
        adapter.generate(["bad"], [noise(0.2)], PROMPT, Decoding())
    assert adapter.generate(["good"], [noise(0.2)], PROMPT, Decoding())[0].stop == "end"
    assert adapter.pid == pid, "an exception costs no process"
    with pytest.raises(AdapterError, match="the worker's answer is not one"):
        start(stop="whenever").generate(["a"], [noise(0.2)], PROMPT, Decoding())


def test_a_process_that_cuda_has_left_is_replaced(start: Start) -> None:
    adapter = start(fatal_once="a")
    pid = adapter.pid
    assert adapter.generate(["a"], [noise(0.2)], PROMPT, Decoding())[0].stop == "end"
    assert adapter.pid != pid


def test_a_hanging_worker_is_killed_with_its_children(start: Start, tmp_path: Path) -> None:
    adapter = start(Limits(batch=0.5, clip=0.5), hang_once="b")
    first = adapter.pid
    assert first is not None
    began = time.monotonic()
    responses = adapter.generate(["a", "b"], [noise(0.2), noise(0.3)], PROMPT, Decoding(max_new_tokens=4))
    assert [response.stop for response in responses] == ["end", "end"]
    assert 1.5 <= time.monotonic() - began < 10, "0.5 s for the batch and 0.5 s for each of two clips"
    child = int((tmp_path / "child").read_text())
    assert wait_until(lambda: not is_alive(first) and not is_alive(child))
    assert "gave no answer within 1.5 s and was killed, on: a, b" in (tmp_path / "worker.log").read_text()


def test_longer_answers_get_more_time(start: Start) -> None:
    adapter = start(Limits(batch=0.2, clip=0.2, restarts=0), seconds=0.6)
    with pytest.raises(WorkerDied, match=r"^the worker gave no answer within 0.4 s"):
        adapter.generate(["a"], [noise(0.2)], PROMPT, Decoding(max_new_tokens=256))
    assert adapter.generate(["a"], [noise(0.2)], PROMPT, Decoding(max_new_tokens=2560))[0].stop == "end"


def test_killed_in_the_middle_of_a_run(start: Start, utterances: list[Utterance], tmp_path: Path) -> None:
    undisturbed = answers(start(), utterances)
    # By itself in the first batch (that of the longest clips), from outside at some moment after that, and between two
    # batches.
    adapter = start(Limits(restarts=3), die_once="u10", seconds=0.2)
    pids = {adapter.pid}
    killer = threading.Timer(0.6, lambda: kill(adapter))
    disturbed: list[Response] = []
    plan = plan_batches(utterances, 4)
    killer.start()
    for batch in generate_batches(adapter, utterances, plan, frozenset(), REQUEST):
        disturbed += batch.responses
        pids.add(adapter.pid)
        if batch.number == 2:
            killer.join()
            kill(adapter)
    assert disturbed == undisturbed
    assert len(disturbed) == 12
    assert len(pids) >= 3
    assert (tmp_path / "worker.log").read_text().count("was ended by SIGKILL") in (2, 3)


def test_a_clip_that_kills_the_worker_fails_alone(start: Start, utterances: list[Utterance], tmp_path: Path) -> None:
    undisturbed = {response.id: response for response in answers(start(), utterances)}
    found = {response.id: response for response in answers(start(die="u5"), utterances)}
    failed = found.pop("u5")
    assert (failed.stop, failed.text) == ("error", None)
    assert failed.error == (
        "WorkerDied: the worker was ended by SIGKILL (the system does this when memory runs out) "
        "(2 processes in a row did); its own words are in worker.log"
    )
    undisturbed.pop("u5")
    texts = {id: response.text and response.text.split()[:2] for id, response in found.items()}
    # The seed of a batch depends on its members, and the batch of u5 was halved.
    assert texts == {id: response.text and response.text.split()[:2] for id, response in undisturbed.items()}
    assert str(tmp_path) not in failed.error


def test_a_model_that_cannot_be_loaded_again_stops_the_run(start: Start, tmp_path: Path) -> None:
    adapter = start(die_once="a")
    adapter._request["loading"]["settings"]["crash_at_load"] = True
    with pytest.raises(AdapterError, match="could not be loaded again: the worker ended with exit code 7"):
        adapter.generate(["a"], [noise(0.2)], PROMPT, Decoding())


def test_nothing_is_left_when_the_adapter_is_dropped(start: Start, tmp_path: Path) -> None:
    launch = Launch(command=(sys.executable, str(SERVER), str(UNRULY)), log=tmp_path / "worker.log")
    adapter = WorkerAdapter(launch, "unruly", Loading(folder=Path()), False)
    process = adapter._process
    assert process is not None
    pid, scratch = process.pid, process.scratch
    adapter.generate(["a"], [noise(0.2)], PROMPT, Decoding())
    assert is_alive(pid)
    assert list(scratch.iterdir())
    del adapter, process
    gc.collect()
    assert not is_alive(pid)
    assert not scratch.exists()


def test_no_orphan_when_the_client_is_killed(tmp_path: Path) -> None:
    code = f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_worker_client import *
        launch = Launch(command=(sys.executable, str(SERVER), str(UNRULY)), log=Path("worker.log"))
        settings = {{"hang_once": "a", "marker": "{tmp_path}/marker", "child": "{tmp_path}/child"}}
        adapter = WorkerAdapter(launch, "unruly", Loading(folder=Path(), settings=settings), False)
        print(adapter.pid, adapter._process.scratch, flush=True)
        adapter.generate(["a"], [noise(0.2)], PROMPT, Decoding())
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    parent = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    pid, scratch = parent.stdout.readline().split()
    assert wait_until((tmp_path / "child").exists), "the worker is busy with an answer"
    assert wait_until(lambda: (tmp_path / "child").read_text() != "")
    child = int((tmp_path / "child").read_text())
    assert is_alive(int(pid))
    assert is_alive(child)
    parent.kill()
    parent.communicate()
    assert wait_until(lambda: not is_alive(int(pid)) and not is_alive(child))
    assert wait_until(lambda: not Path(scratch).exists())


def test_the_worker_gets_no_secret() -> None:
    ours = {
        "PATH": "/bin",
        "HF_HOME": "/models",
        "HF_TOKEN": "hf_1",
        "CUDA_VISIBLE_DEVICES": "1",
        "OMP_NUM_THREADS": "1",
        "OPENAI_API_KEY": "sk-1",
        "TORCH_SECRET_THING": "s",
        "PYTHONPATH": "/elsewhere",
        "SERXBENCH_MODEL": "nano",
    }
    given = worker_environment(ours)
    kept = {"PATH": "/bin", "HF_HOME": "/models", "CUDA_VISIBLE_DEVICES": "1", "OMP_NUM_THREADS": "1"}
    fixed = {"HF_HUB_OFFLINE": "1", "PYTHONNOUSERSITE": "1", "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
    assert given == {**kept, **fixed}


def test_real_clips_go_through_unchanged(start: Start, write_clip: Callable[..., Path]) -> None:
    clip = read_audio(write_clip("stereo.wav", seconds=0.4, rate=44_100, channels=2))
    (response,) = start().generate(["a"], [clip], PROMPT, Decoding())
    assert response.text is not None
    assert response.text.split()[1] == response.audio_sha256 == clip.sha256()[:16]
