"""Utterances a second of a small model: this harness beside a bare `generate` loop, and beside lmms-eval if it is here.

    python benchmarks/throughput.py [--items 1000] [--batch-size 8] [--rounds 3] [--model nano|nano-no-reason]
        [--lmms-eval PATH/bin/python]

Overhead: the respond stage, from the loaded model to the file of responses (planning, decoding, the proof that the
model hears, generating, the journal), against two loops that do nothing but what the model needs, on the same batches
of the same clips in the same process: one reads each file when it needs it, one has all waveforms in memory. They take
turns; the median over the rounds counts. Answers of all three must be equal.

End to end: `serxbench respond` against `python -m lmms_eval`, each a process of its own from start to exit, the same
checkpoint, clips, prompt and batch size, in turns. lmms-eval is no dependency: make an environment for it (torch for
the CPU first, `pip install --no-deps lmms-eval`, then what it asks for) and name its Python. Without a GPU its calls of
`.to("cuda")` are sent to the CPU, and nothing else of it is changed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from serxbench.audio import SAMPLE_RATE
from serxbench.catalog import load_prompt, resolve_card
from serxbench.corpora import open_corpus
from serxbench.engines import UNREADABLE, plan_batches
from serxbench.progress import Silent
from serxbench.records import Decoding, Utterance
from serxbench.runs import RESPONSES, TIMINGS
from serxbench.stages.backends import RespondRequest
from serxbench.stages.models import load_adapter, locate_model
from serxbench.stages.respond import respond

N_NEW_TOKENS = 256
CARDS = Path(__file__).parent.parent / "model_cards"


def main() -> None:
    """Prints both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="nano", help="nano, or nano-no-reason with its short answers")
    parser.add_argument("--lmms-eval", type=Path, help="the Python of an environment that has it")
    chosen = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    with tempfile.TemporaryDirectory() as scratch:
        manifest, utterances = write_manifest(Path(scratch), chosen.items)
        print(f"{len(utterances)} clips, batches of {chosen.batch_size}, torch {torch.__version__} on {_machine()}")
        compare_with_loops(chosen.model, manifest, utterances, chosen.batch_size, chosen.rounds)
        if chosen.lmms_eval is None:
            print("lmms-eval: left out (--lmms-eval PATH/bin/python)")
        else:
            compare_with_lmms_eval(chosen.model, manifest, chosen.lmms_eval, chosen.batch_size, chosen.rounds)


def write_manifest(folder: Path, n: int) -> tuple[Path, list[Utterance]]:
    """The first `n` clips of the embedded corpus, all splits, as a manifest and as records."""
    splits = ("test", "development", "train")
    utterances = [each for split in splits for each in open_corpus(f"demo:{split}").utterances][:n]
    manifest = folder / "clips.jsonl"
    rows = [json.dumps({"id": each.id, "audio": str(each.audio)}) for each in utterances]
    manifest.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return manifest, utterances


def compare_with_loops(
    name: str, manifest: Path, utterances: Sequence[Utterance], batch_size: int, rounds: int
) -> None:
    """Prints items a second of the respond stage and of both loops, and the overhead."""
    card = resolve_card(name)
    adapter: Any = load_adapter(locate_model(card), "cpu", "float32")
    model, processor = adapter._model, adapter._processor
    corpus = open_corpus(f"manifest:{manifest}")
    prompt = load_prompt("open", corpus.labels)
    plan = plan_batches(utterances, batch_size)
    batches = [members for number, members in plan.batches.items() if number != UNREADABLE]
    paths = [utterance.audio for utterance in utterances]
    in_memory = [read(path) for path in paths if path]
    text = adapter.render(prompt)
    request = RespondRequest(
        card=card,
        mode="open",
        cot=False,
        prompt=prompt,
        corpus=corpus,
        decoding=Decoding(max_new_tokens=N_NEW_TOKENS),
        batch_size=batch_size,
        device="cpu",
    )
    ways: dict[str, Callable[[], tuple[float, dict[str, str]]]] = {
        "clips in memory": lambda: run_loop(model, processor, text, batches, in_memory.__getitem__),
        "clips read": lambda: run_loop(model, processor, text, batches, lambda n: read(paths[n])),
        "respond stage": lambda: run_stage(request),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    answers: dict[str, dict[str, str]] = {}
    run_loop(model, processor, text, batches[:4], in_memory.__getitem__)  # warm
    for _ in range(rounds):
        for name, way in ways.items():
            took, answers[name] = way()
            seconds[name].append(took)
    places = {utterance.id: str(n) for n, utterance in enumerate(utterances)}
    ours = {places[id]: text for id, text in answers["respond stage"].items()}
    assert ours == answers["clips read"] == answers["clips in memory"], "the answers differ"
    for name, took in seconds.items():
        rates = ", ".join(f"{len(utterances) / each:.1f}" for each in took)
        print(f"{name:16} {len(utterances) / np.median(took):6.1f} items a second  ({rates})")
    for name in ("clips read", "clips in memory"):
        ratios = [mine / bare for mine, bare in zip(seconds["respond stage"], seconds[name], strict=True)]
        print(f"overhead against a loop with {name}: {100 * (np.median(ratios) - 1):+.1f} % (target 5 %)")


def read(path: Any) -> NDArray[np.float32]:
    """What a bare loop does with the corpus's clips, which are 16 kHz mono."""
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == SAMPLE_RATE
    return np.asarray(samples, dtype=np.float32)


def run_loop(
    model: Any, processor: Any, text: str, batches: Sequence[Sequence[int]], clip: Callable[[int], Any]
) -> tuple[float, dict[str, str]]:
    """(seconds, position → answer) of processor, generate, decode and nothing else."""
    answers: dict[str, str] = {}
    began = time.perf_counter()
    for members in batches:
        inputs = processor(
            text=[text] * len(members),
            audio=[clip(n) for n in members],
            sampling_rate=SAMPLE_RATE,
            padding=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            made = model.generate(**inputs, do_sample=False, max_new_tokens=N_NEW_TOKENS)
        texts = processor.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        answers.update(zip(map(str, members), texts, strict=True))
    return time.perf_counter() - began, answers


def run_stage(request: RespondRequest) -> tuple[float, dict[str, str]]:
    """(seconds without those of loading, id → answer) of the respond stage."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        began = time.perf_counter()
        respond(request, out, Silent())
        took = time.perf_counter() - began
        events = map(json.loads, (out / TIMINGS).read_text(encoding="utf-8").splitlines())
        loading = sum(event["seconds"] for event in events if event["event"] == "loaded")
        rows = map(json.loads, (out / RESPONSES).read_text(encoding="utf-8").splitlines())
        return took - loading, {row["id"]: row["text"] for row in rows}


def compare_with_lmms_eval(name: str, manifest: Path, python: Path, batch_size: int, rounds: int) -> None:
    """Prints wall seconds of both commands, and their ratio. name: the model."""
    task = manifest.parent / "task"
    task.mkdir()
    # lmms-eval puts no sound in the prompt itself; the question is the same.
    question = load_prompt("open", open_corpus("demo").labels).text
    rows = map(json.loads, manifest.read_text(encoding="utf-8").splitlines())
    data = task / "clips.jsonl"
    data.write_text("".join(json.dumps({**row, "question": question}) + "\n" for row in rows), encoding="utf-8")
    (task / "clips.yaml").write_text(_TASK.format(data=data), encoding="utf-8")
    (task / "clips_task.py").write_text(_TASK_CODE, encoding="utf-8")
    (task / "start.py").write_text(_START, encoding="utf-8")
    model = f"pretrained={CARDS / name},device=cpu,device_map=auto"
    theirs = [python, "start.py", "--model", "qwen2_audio", "--model_args", model, "--tasks", "clips"]
    theirs += ["--include_path", task, "--batch_size", batch_size, "--log_samples", "--output_path", task / "out"]
    seconds: dict[str, list[float]] = {"serxbench": [], "lmms-eval": []}
    for n in range(rounds):
        ours = [sys.executable, "-m", "serxbench", "respond", "--model", name, "--mode", "open", "--quiet"]
        ours += ["--data", f"manifest:{manifest}", "--batch-size", batch_size, "--out", manifest.parent / f"run{n}"]
        seconds["serxbench"].append(wall(ours, task))
        seconds["lmms-eval"].append(wall(theirs, task))
        n_equal, n_items = count_equal(manifest.parent / f"run{n}", task / "out")
        print(f"round {n + 1}: {n_equal} of {n_items} answers are equal")
    for name, took in seconds.items():
        print(f"{name:16} {np.median(took):6.1f} s from start to exit  ({', '.join(f'{s:.1f}' for s in took)})")
    ratios = [their / mine for mine, their in zip(seconds["serxbench"], seconds["lmms-eval"], strict=True)]
    print(f"end to end: {np.median(ratios):.2f} times lmms-eval's rate (target 1.5)")


def count_equal(ours: Path, theirs: Path) -> tuple[int, int]:
    """How many answers of both are equal, and of how many. Exits unless lmms-eval has answered all: it ends with 0."""
    rows = list(map(json.loads, (ours / RESPONSES).read_text(encoding="utf-8").splitlines()))
    samples = max(theirs.rglob("*samples_clips.jsonl"), default=None, key=lambda path: path.stat().st_mtime)
    found = samples.read_text(encoding="utf-8").splitlines() if samples else []
    answers = {row["target"]: row["filtered_resps"] for row in map(json.loads, found)}
    if set(answers) != {row["id"] for row in rows}:
        sys.exit(f"lmms-eval answered {len(answers)} of {len(rows)}")
    # What it returns has its end tokens cut off and blanks stripped.
    return sum(row["text"].strip() == _text(answers[row["id"]]) for row in rows), len(rows)


def _text(answer: Any) -> str:
    return str(answer[0] if isinstance(answer, list) else answer).strip()


def wall(command: Sequence[object], folder: Path) -> float:
    """Seconds of a command. Exits with what it wrote if it fails."""
    settings = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "cache")}
    threads = str(torch.get_num_threads())
    began = time.perf_counter()
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**settings, "OMP_NUM_THREADS": threads, "PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{command[:4]} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return time.perf_counter() - began


def _machine() -> str:
    return f"{os.cpu_count()} CPU cores, {torch.get_num_threads()} threads"


_TASK = """\
task: clips
dataset_path: json
dataset_kwargs: {{data_files: "{data}"}}
test_split: train
output_type: generate_until
doc_to_visual: !function clips_task.sound
doc_to_text: !function clips_task.question
doc_to_target: id
generation_kwargs: {{max_new_tokens: 256, do_sample: false, temperature: 0, until: []}}
process_results: !function clips_task.results
metric_list: [{{metric: answered, aggregation: mean, higher_is_better: true}}]
"""

_TASK_CODE = """\
import soundfile

def sound(doc):
    samples, rate = soundfile.read(doc["audio"], dtype="float32")
    return [{"array": samples, "sampling_rate": rate}]

def question(doc, lmms_eval_specific_kwargs=None):
    return doc["question"]

def results(doc, results):
    return {"answered": float(bool(results[0]))}
"""

_START = """\
import torch
from transformers import BatchFeature

def here(move):
    def to(self, *given, **named):
        given = tuple("cpu" if one == "cuda" else one for one in given)
        return move(self, *given, **{k: "cpu" if v == "cuda" else v for k, v in named.items()})
    return to

if not torch.cuda.is_available():
    BatchFeature.to, torch.Tensor.to = here(BatchFeature.to), here(torch.Tensor.to)

from lmms_eval.__main__ import cli_evaluate
cli_evaluate()
"""

if __name__ == "__main__":
    main()
