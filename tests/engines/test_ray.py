"""Ray: as many workers as one likes, some of them lost on the way, and the bytes of one process."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import read_rows
from hypothesis import given
from hypothesis import strategies as st

from serxbench.adapters import Loading
from serxbench.cli import cli
from serxbench.engines import Asked, Batch, Starting, find_backend
from serxbench.engines._ray import Workers, choose_workers, distribute
from serxbench.engines._shards import Shards
from serxbench.errors import AdapterError, UsageError
from serxbench.records import Decoding, Prompt, Utterance

sys.path.insert(0, str(Path(__file__).parent))
import ray_adapters
from ray_adapters import Behaviour

needs_ray = pytest.mark.skipif(not __import__("importlib.util").util.find_spec("ray"), reason="Ray is not installed")

PROMPT = Prompt(name="p", text="?", sha256="0")


def command(out: Path, *more: object) -> list[str]:
    asked = ["respond", "--model", "nano", "--mode", "open", "--limit", 48, "--batch-size", 4, "--out", out, *more]
    return [sys.executable, "-m", "serxbench", *map(str, asked)]


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("one") / "run"
    assert cli.main(command(out, "--quiet")[3:], standalone_mode=False) == 0
    return out


@needs_ray
@pytest.mark.parametrize("kill", [False, True])
def test_two_workers_give_the_bytes_of_one_process(one_process: Path, tmp_path: Path, kill: bool) -> None:
    out = tmp_path / "run"
    started = command(out, "--ray", "local", "--workers", 2, "--quiet")
    process = subprocess.Popen(started, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if kill:
        os.kill(a_working_worker(out, process), signal.SIGKILL)
    said = process.communicate(timeout=200)
    assert (process.returncode, said) == (0, ("", ""))
    for name in ("responses.jsonl", "manifest.json"):
        assert (out / name).read_bytes() == (one_process / name).read_bytes()
    events = [row["event"] for row in read_rows(out / "timings.jsonl")]
    assert events.count("worker lost") == kill
    assert events.count("worker") == 2 + kill
    assert events.count("heard") == 1
    assert not left_over(out), "no process outlives the run"


def a_working_worker(out: Path, process: subprocess.Popen[str]) -> int:
    """The process of a worker, as soon as it has delivered something."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if (out / "journal.jsonl").exists():
            rows = read_rows(out / "timings.jsonl")
            loaded = {row["worker"] for row in rows if row["event"] == "loaded"}
            return next(row["process"] for row in rows if row["event"] == "worker" and row["worker"] in loaded)
        time.sleep(0.005)
    raise AssertionError("the run ended before a worker could be killed")


def left_over(out: Path) -> list[int]:
    """The processes of workers of this run that are still there."""
    rows = [row for row in read_rows(out / "timings.jsonl") if row["event"] == "worker"]
    return [row["process"] for row in rows if Path(f"/proc/{row['process']}").exists()]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster that is there already, as in a program that uses Ray itself."""
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield
        ray.shutdown()


@pytest.fixture
def utterances(write_clip: Callable[..., Path], tmp_path: Path) -> list[Utterance]:
    clips = [write_clip(f"u{n:02}.wav", seconds=0.2 + 0.01 * n) for n in range(24)]
    there = [Utterance(id=clip.stem, audio=clip) for clip in clips]
    return [*there, Utterance(id="gone", audio=tmp_path / "gone.wav")]


def answer(utterances: list[Utterance], behaviour: Behaviour, n_workers: int | None = 2, done: int = 0) -> list[Batch]:
    """The batches, by number: of one process (None), or of so many workers. done: how many are there already."""
    starting = Starting(
        name="m",
        adapter="qwen2_audio",
        repository="none",
        loading=Loading(folder=Path()),
        load=functools.partial(ray_adapters.load, behaviour),
        batch_size=2,
    )
    engine = find_backend("transformers").start(starting)
    if n_workers is not None:
        engine = distribute("transformers", starting, Workers(address="local", n=n_workers, gpus=0.0))
    plan = engine.plan(utterances)
    asked = Asked(
        utterances=utterances, plan=plan, done=frozenset(range(done)), prompt=PROMPT, decoding=Decoding(temperature=1.0)
    )
    return sorted(engine.answer(asked), key=lambda batch: batch.number)


def responses(batches: list[Batch]) -> list[tuple[int, list[object]]]:
    return [(batch.number, list(batch.responses)) for batch in batches]


def test_a_resumed_run_of_sampled_answers_is_the_same(cluster: None, utterances: list[Utterance]) -> None:
    whole = answer(utterances, Behaviour(), None)
    assert responses(answer(utterances, Behaviour(), 3)) == responses(whole)
    assert responses(answer(utterances, Behaviour(), 2, done=7)) == responses(whole[7:])


def test_a_worker_that_dies_once_costs_nothing(cluster: None, utterances: list[Utterance], tmp_path: Path) -> None:
    dying = Behaviour(dies_at={"u05"}, once=tmp_path / "died")
    assert responses(answer(utterances, dying)) == responses(answer(utterances, Behaviour(), None))
    assert (tmp_path / "died").exists()


def test_clips_that_end_every_worker_stop_the_run_by_name(cluster: None, utterances: list[Utterance]) -> None:
    with pytest.raises(AdapterError, match=r"3 workers in a row ended at the same batch, of u04, u05; the last: "):
        answer(utterances, Behaviour(dies_at={"u05"}))


def test_a_straggler_does_not_hold_up_the_run(
    cluster: None, utterances: list[Utterance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serxbench.engines._ray_crew._SLOW_SECONDS", 0.5)
    slow = Behaviour(sleeps_at={"u03": 60.0}, once=tmp_path / "slept")
    began = time.monotonic()
    assert responses(answer(utterances, slow)) == responses(answer(utterances, Behaviour(), None))
    assert time.monotonic() - began < 30


def test_a_stretch_of_clips_that_fail_is_recorded_as_in_one_process(cluster: None, utterances: list[Utterance]) -> None:
    ill = Behaviour(raises_for={f"u{n:02}" for n in range(8, 22)})
    alone, among = answer(utterances, ill, None), answer(utterances, ill)
    assert responses(among) == responses(alone)
    assert sum(response.stop == "error" for batch in among for response in batch.responses) == 15


def test_a_model_that_fails_on_everything_stops_the_run(cluster: None, utterances: list[Utterance]) -> None:
    ill = Behaviour(raises_for={u.id for u in utterances})
    with pytest.raises(AdapterError, match=r"failed on each of its first \d+ clips.*this clip makes me ill"):
        answer(utterances, ill)


def test_a_model_that_cannot_be_loaded_ends_the_run_with_its_own_words(
    cluster: None, utterances: list[Utterance]
) -> None:
    with pytest.raises(AdapterError, match=r"^its weights are of another model$"):
        answer(utterances, Behaviour(unloadable="its weights are of another model"))


def test_an_error_of_the_inputs_stops_the_run(cluster: None, utterances: list[Utterance]) -> None:
    with pytest.raises(AdapterError, match=r"^the inputs are not what they should be$"):
        answer(utterances, Behaviour(refuses_at={"u11"}))


def test_without_ray_the_message_says_how_to_get_it(
    utterances: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(AdapterError, match=r"pip install 'serxbench\[ray\]'"):
        answer(utterances, Behaviour())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("local", 0, None, "cpu"), "--workers must be at least 1"),
        ((None, 2, None, "cpu"), "go with --ray local"),
        (("ray://host:10001", 2, None, "cpu"), "a Ray client cannot stream"),
        (("local", 2, None, "cuda:1"), "say --device cuda"),
        (("local", 2, -1.0, "cuda"), "must not be negative"),
        (("auto", 2, 0.0, "cuda"), "no worker would see a GPU"),
    ],
)
def test_options_that_do_not_go_together(given: tuple[str | None, int, float | None, str], words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("(", r"\(")):
        choose_workers(*given)


def test_a_worker_has_one_gpu_unless_something_else_is_said() -> None:
    assert choose_workers(None, 1, None, "auto") is None
    assert choose_workers("auto", 8, None, "cuda") == Workers(address="auto", n=8, gpus=1.0)
    assert choose_workers("10.0.0.1:6379", 8, 0.5, "auto") == Workers(address="10.0.0.1:6379", n=8, gpus=0.5)
    assert choose_workers("local", 2, None, "cpu") == Workers(address="local", n=2, gpus=0.0)


@given(
    n=st.integers(0, 60),
    n_workers=st.integers(1, 5),
    small=st.booleans(),
    fates=st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["work", "work", "lose", "end", "copy"])), max_size=80),
)
def test_no_batch_is_forgotten_and_none_counts_twice(
    n: int, n_workers: int, small: bool, fates: list[tuple[int, str]]
) -> None:
    shards = Shards(range(1, n + 1), n_workers, largest=7)
    shards.small = small
    counted: list[int] = []

    def step(worker: int, fate: str) -> None:
        held = shards.missing(worker)
        if fate == "lose":
            shards.lost(worker)
        elif not held:
            others = [other for other in range(5) if other != worker] if fate == "copy" else []
            shards.give_back(worker)
            assert shards.take(worker) or shards.copy(worker, others) or True
        elif shards.arrived(worker, held[0]):
            counted.append(held[0])

    for worker, fate in fates:
        step(worker, fate)
    for other in range(5):
        shards.lost(other)
    for _ in range(2 * n + 2):
        step(0, "work")
    assert shards.finished
    assert sorted(counted) == list(range(1, n + 1))
