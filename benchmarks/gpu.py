"""How busy Qwen2-Audio-7B, full size with random weights, keeps a GPU: our path beside a bare `generate` loop.

    python benchmarks/gpu.py                 on the GPU, under five minutes
    python benchmarks/gpu.py --compiled      besides, with a static cache and a compiled decoding step
    python benchmarks/gpu.py --tiny          at toy size, on a CPU: shows that the script works

Clips of noise as long as MSP-Podcast's, as WAV files; 32 new tokens, which random weights hardly ever end before. For
each batch size, on the same batches in turns: our engine (files in, responses in the journal out), a bare loop (read
the files, processor, generate, detokenise, one after the other), and `generate` alone on inputs that lie on the GPU
already, which nothing can beat. Then, for our best batch size, where the time of a batch goes and how much of it the
GPU computes.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import soundfile
import torch

sys.path.insert(0, str(Path(__file__).parent))

from models import N_NEW_TOKENS, qwen2_audio, write_clips

from serxbench.audio import SAMPLE_RATE
from serxbench.catalog import load_prompt
from serxbench.emotions import EMOTIONS
from serxbench.engines import UNREADABLE, Plan, plan_batches
from serxbench.engines.transformers import generate_batches, let_memory_grow
from serxbench.records import Decoding, Utterance
from serxbench.runs import Journal

BATCH_SIZES = (32, 64, 128)
DECODING = Decoding(max_new_tokens=N_NEW_TOKENS)
CUDA = torch.cuda.is_available()

#: What the time of a batch is divided into, as GPU seconds between two marks in its queue.
PHASES = ("audio encoder", "prompt", "decoding steps")


def main() -> None:
    """Prints a line a batch size, and what becomes of the time at the best one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="toy size")
    parser.add_argument("--compiled", action="store_true", help="measure a static cache with compiled decoding as well")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=BATCH_SIZES)
    parser.add_argument("--batches", type=int, default=4, help="timed for each size")
    parser.add_argument("--rounds", type=int, default=2, help="of both ways in turns; the best of each counts")
    chosen = parser.parse_args()
    if not CUDA and not chosen.tiny:
        sys.exit("no GPU here; --tiny shows that the script works")
    began = time.perf_counter()
    let_memory_grow()
    torch.manual_seed(0)
    with torch.device("cuda" if CUDA else "cpu"):
        adapter, _ = qwen2_audio(chosen.tiny, torch.bfloat16 if CUDA else torch.float32)
    name = torch.cuda.get_device_name() if CUDA else "CPU"
    weights = sum(each.numel() * each.element_size() for each in adapter._model.parameters()) / 2**30
    say(f"{name}, torch {torch.__version__}, Qwen2-Audio, {'toy' if chosen.tiny else 'full'} size, {weights:.1f} GiB")
    say(f"ready after {time.perf_counter() - began:.0f} s; {chosen.batches} batches of clips of 2 to 11 s")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(adapter, list(write_clips(Path(folder), max(chosen.batch_sizes) * chosen.batches)), Path(folder))
        best = compare(bench, chosen.batch_sizes, chosen.batches, chosen.rounds)
        break_down(bench, best, chosen.batches)
        if chosen.compiled:
            compile_decoding(bench, best, chosen.batches)
        profile(bench, best)
    say(f"{time.perf_counter() - began:.0f} s in all")


def say(line: str) -> None:
    """Prints at once: what is known is not lost if the machine is."""
    print(line, flush=True)


class Bench:
    """One model, clips on disk, and three ways to ask about them; each gives (seconds, id → text)."""

    def __init__(self, adapter: Any, utterances: list[Utterance], folder: Path) -> None:
        self.adapter, self.utterances, self.folder = adapter, utterances, folder
        self.model, self.processor = adapter._model, adapter._processor
        self.prompt = load_prompt("closed", EMOTIONS)
        self.text, self.config = adapter.render(self.prompt), adapter._generation_config(DECODING)

    def plan(self, size: int, n_batches: int) -> Plan:
        """Batches of clips of like length, drawn from all lengths."""
        return plan_batches(self.utterances[: size * n_batches], size)

    def ours(self, plan: Plan) -> tuple[float, dict[str, str]]:
        """The engine, from the files to the journal."""
        journal = Journal(self.folder / "journal.jsonl")
        texts: dict[str, str] = {}
        began = now()
        asked = (self.prompt, DECODING)
        for batch in generate_batches(self.adapter, self.utterances, plan, frozenset(), asked):
            journal.append(batch.number, batch.responses)
            if batch.halved or batch.raised:
                raise MemoryError((*batch.halved, *batch.raised)[0])
            texts.update((response.id, response.text or "") for response in batch.responses)
        took = now() - began
        journal.delete()
        return took, texts

    def bare(self, plan: Plan) -> tuple[float, dict[str, str]]:
        """Nothing but what has to be done, one after the other."""
        began = now()
        texts = {}
        for members in batches_of(plan):
            texts.update(self.finish(members, self.inputs(members)))
        return now() - began, texts

    def generate_alone(self, plan: Plan) -> tuple[float, dict[str, str]]:
        """As `bare`, with the inputs of all batches on the GPU before the clock starts."""
        ready = [(members, self.inputs(members)) for members in batches_of(plan)]
        began = now()
        texts = {}
        for members, inputs in ready:
            texts.update(self.finish(members, inputs))
        return now() - began, texts

    def inputs(self, members: Sequence[int]) -> Any:
        """The processor's, on the GPU."""
        clips = [soundfile.read(self.utterances[n].audio, dtype="float32")[0] for n in members]
        built = self.processor(
            text=[self.text] * len(members), audio=clips, sampling_rate=SAMPLE_RATE, padding=True, return_tensors="pt"
        )
        return built.to(self.model.device, self.model.dtype)

    def finish(self, members: Sequence[int], inputs: Any) -> Iterator[tuple[str, str]]:
        """id and text."""
        with torch.inference_mode():
            made = self.model.generate(**inputs, generation_config=self.config)
        texts = self.processor.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return zip((self.utterances[n].id for n in members), texts, strict=True)


def batches_of(plan: Plan) -> list[tuple[int, ...]]:
    return [members for number, members in plan.batches.items() if number != UNREADABLE]


def now() -> float:
    """The time when the GPU has done what it was told."""
    if CUDA:
        torch.cuda.synchronize()
    return time.perf_counter()


def compare(bench: Bench, sizes: Sequence[int], n_batches: int, rounds: int) -> int:
    """One line a size. The size at which our path is fastest.

    Both ways take turns after one pass over the longest batch, which takes the memory that all later ones live in.
    """
    say("\nutterances a second; ratio: ours to the bare loop; GPU busy: as nvidia-smi samples it during our path")
    say("  batch     ours  bare loop  generate alone  ratio (each round)  GPU busy  peak GiB")
    rates: dict[int, tuple[float, float, float]] = {}
    for size in sizes:
        plan = bench.plan(size, n_batches)
        n = len(bench.utterances[: size * n_batches])
        ours: list[float] = []
        bare: list[float] = []
        try:
            longest = max(plan.batches)
            bench.bare(replace(plan, batches={longest: plan.batches[longest]}))
            if CUDA:
                torch.cuda.reset_peak_memory_stats()
            for _ in range(rounds):
                took, answers = bench.ours(plan)
                ours.append(took)
                took, others = bench.bare(plan)
                bare.append(took)
            peak = f"{torch.cuda.max_memory_allocated() / 2**30:8.1f}" if CUDA else "     n/a"
            with Busy() as busy:
                bench.ours(bench.plan(size, 1 + n_batches // 2))
            alone, again = bench.generate_alone(plan)
        except (MemoryError, torch.OutOfMemoryError) as error:
            say(f"  {size:5}  does not fit ({str(error).splitlines()[0][:80]})")
            break
        rates[size] = (n / min(ours), n / min(bare), n / alone)
        row = "  ".join(f"{rate:{width}.2f}" for rate, width in zip(rates[size], (7, 9, 14), strict=True))
        each = ", ".join(f"{b / o:.2f}" for o, b in zip(ours, bare, strict=True))
        say(f"  {size:5}  {row}  {min(bare) / min(ours):5.2f} ({each})  {busy.text():>8}  {peak}")
        if answers != others:
            same, same_again = (sum(one[id] == others[id] for id in others) for one in (answers, again))
            say(f"         {same} of {n} answers are the bare loop's; a second bare pass repeats {same_again} of them")
    best = max(rates, key=lambda size: rates[size][0])
    most, most_alone = (max(each[way] for each in rates.values()) for way in (1, 2))
    say(f"best batch size: {best}. Ours is {100 * rates[best][0] / most:.1f} % of the bare loop's best (target 95 %),")
    say(f"and {100 * rates[best][0] / most_alone:.1f} % of the best of generate alone")
    return best


class Busy:
    """What nvidia-smi says of the GPU while this is open: the share of time with a kernel running."""

    def __enter__(self) -> Busy:
        self._found: list[int] = []
        self._process: subprocess.Popen[str] | None = None
        if CUDA:
            command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "100"]
            with contextlib.suppress(OSError):
                self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                threading.Thread(target=self._read, daemon=True).start()
        return self

    def _read(self) -> None:
        assert self._process is not None
        for line in self._process.stdout or ():
            if line.strip().isdigit():
                self._found.append(int(line))

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def text(self) -> str:
        return f"{sum(self._found) / len(self._found):.0f} %" if self._found else "n/a"


@dataclass
class Marks:
    """Times before and after parts of the model, as the device reaches them."""

    spans: list[tuple[str, Any, Any]] = field(default_factory=list)

    def mark(self) -> Any:
        if not CUDA:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self) -> dict[str, float]:
        """Name → seconds in all."""
        now()
        sums: dict[str, float] = defaultdict(float)
        for name, start, end in self.spans:
            sums[name] += start.elapsed_time(end) / 1000 if CUDA else end - start
        return sums


@contextlib.contextmanager
def marked(model: Any) -> Iterator[Marks]:
    """Marks around the audio encoder, the pass over the prompt and every decoding step."""
    marks, starts = Marks(), {}
    tower = next(module for name, module in model.named_modules() if name.endswith("audio_tower"))

    def before(module: Any, *_: Any) -> None:
        starts[module] = marks.mark()

    def after(module: Any, _given: Any, named: Any, _found: Any) -> None:
        ids = named.get("input_ids")
        step = "decoding steps" if ids is not None and ids.shape[1] == 1 else "prompt"
        marks.spans.append(("audio encoder" if module is tower else step, starts[module], marks.mark()))

    hooks = [module.register_forward_pre_hook(before) for module in (model, tower)]
    hooks += [module.register_forward_hook(after, with_kwargs=True) for module in (model, tower)]
    try:
        yield marks
    finally:
        for hook in hooks:
            hook.remove()


def break_down(bench: Bench, size: int, n_batches: int) -> None:
    """Where the time of a batch goes on our path."""
    plan = bench.plan(size, n_batches)
    waited = []
    with marked(bench.model) as marks:
        began = now()
        for batch in generate_batches(bench.adapter, bench.utterances, plan, frozenset(), (bench.prompt, DECODING)):
            waited.append(batch.seconds_waiting)
        took = now() - began
    spent = marks.seconds()
    spent["prompt"] -= spent["audio encoder"]
    parts = {name: spent[name] for name in PHASES}
    parts |= {"waiting for the first inputs": waited[0], "waiting for others": sum(waited[1:])}
    parts["all else (copying, between steps, texts)"] = took - sum(parts.values())
    say(f"\nour path, batches of {size}: {took / len(waited):.3f} s a batch, of which")
    for name, seconds in parts.items():
        say(f"  {name:42} {seconds / len(waited):7.3f} s  {100 * seconds / took:5.1f} %")
    steps = sum(name == "decoding steps" for name, *_ in marks.spans)
    say(f"  one decoding step: {1000 * spent['decoding steps'] / max(1, steps):.1f} ms")


def profile(bench: Bench, size: int) -> None:
    """How much of the time a kernel runs, and which kernels it is."""
    activity = torch.profiler.ProfilerActivity
    plan = bench.plan(size, 3)
    with torch.profiler.profile(activities=[activity.CUDA if CUDA else activity.CPU]) as profiler:
        took, _ = bench.ours(plan)
    wanted = torch.autograd.DeviceType.CUDA if CUDA else torch.autograd.DeviceType.CPU
    events = [each for each in profiler.profiler.kineto_results.events() if each.device_type() == wanted]
    by_name: dict[str, float] = defaultdict(float)
    for event in events:
        by_name[event.name()] += event.duration_ns() / 1e9
    busy = union([(event.start_ns(), event.start_ns() + event.duration_ns()) for event in events]) / 1e9
    say(f"\nprofiler, 3 batches of {size} in {took:.2f} s: a kernel runs {100 * busy / took:.1f} % of the time")
    for name, seconds in sorted(by_name.items(), key=lambda pair: -pair[1])[:8]:
        say(f"  {100 * seconds / took:5.1f} %  {name[:100]}")


def union(spans: list[tuple[int, int]]) -> int:
    """The length of what the spans cover together."""
    covered = reached = 0
    for start, end in sorted(spans):
        covered += max(0, end - max(start, reached))
        reached = max(reached, end)
    return covered


def compile_decoding(bench: Bench, size: int, n_batches: int) -> None:
    """`generate` alone with a static cache, which compiles the decoding step, against its usual cache."""
    plan = bench.plan(size, n_batches)
    usual, before = bench.generate_alone(plan)
    bench.config.cache_implementation = "static"
    try:
        first, _ = bench.generate_alone(plan)
        second, after = bench.generate_alone(plan)
    finally:
        bench.config.cache_implementation = None
    n = len(before)
    same = sum(after[id] == text for id, text in before.items())
    say(f"\nstatic cache, compiled: {n / second:.2f} utterances a second after {first - second:.0f} s of compiling;")
    say(f"usual cache: {n / usual:.2f}; {same} of {n} answers are equal")


if __name__ == "__main__":
    main()
