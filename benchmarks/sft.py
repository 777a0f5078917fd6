"""One step of fine-tuning a full-size Qwen2-Audio-7B with random weights: its seconds and its memory.

    python benchmarks/sft.py             on the GPU: LoRA of rank 8, bfloat16, batch 1 × 8, as `serxbench sft` trains
    python benchmarks/sft.py --tiny      at toy size, on a CPU: shows that the script works

The model is built where it computes. A step is eight samples of 2 to 11 s (mean 5.7 s, as in MSP-Podcast) with an
answer of about 120 tokens, through the code that `serxbench sft` runs: features, forward, backward, clipping, update.
The lines of 30 s are the worst case. Random weights say nothing of what is learnt.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

sys.path.insert(0, str(Path(__file__).parent))

from models import qwen2_audio

from serxbench.audio import SAMPLE_RATE, read_audio
from serxbench.sft.loop import Devices, Task, make_optimizer, read_ahead, take_step
from serxbench.sft.recipe import Settings
from serxbench.sft.samples import Sample
from serxbench.sft.trainee import Trainee, use_gradient_checkpointing

RATIONALE = "The voice is low and slow, the pitch hardly moves, and the words tell of something that was lost. "


def main() -> None:
    """Prints a line for each setting."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="toy sizes")
    parser.add_argument("--steps", type=int, default=3, help="timed, after one that is not")
    chosen = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not chosen.tiny:
        sys.exit("no GPU here; --tiny shows that the script works")
    dtype = "bfloat16" if device == "cuda" else "float32"
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, {'toy' if chosen.tiny else 'full'} size, random weights, {dtype}")
    settings = Settings(dtype=dtype, max_tokens=2_048)
    torch.manual_seed(0)
    with torch.device(device):
        adapter, _ = qwen2_audio(chosen.tiny, getattr(torch, dtype))
    for parameter in adapter._model.parameters():
        parameter.requires_grad_(False)
    trainee = Trainee(adapter, "qwen2_audio", settings)
    n_learning = sum(parameter.numel() for parameter in trainee.trainable.values())
    print(f"{n_learning:,} of {trainee.n_weights:,} weights learn, in {len(trainee.trainable)} tensors")
    with tempfile.TemporaryDirectory() as folder:
        usual = list(
            write_samples(Path(folder) / "usual", np.random.default_rng(0).gamma(5.5, 1.04, size=8).clip(2, 11))
        )
        longest = list(write_samples(Path(folder) / "longest", [29.99] * 8))
        print("  samples      checkpointing  s/step  samples/s  peak GiB  loss, first and last step")
        for checkpointing in (False, True):
            for title, samples in (("2 to 11 s", usual), ("30 s", longest)):
                measure(trainee, title, samples, checkpointing, chosen.steps)


def write_samples(folder: Path, lengths: Any) -> Iterator[Sample]:
    """Samples with clips of noise on disk."""
    folder.mkdir()
    random = np.random.default_rng(1)
    for number, seconds in enumerate(lengths):
        path = folder / f"{number}.wav"
        soundfile.write(path, random.normal(scale=0.05, size=int(seconds * SAMPLE_RATE)), SAMPLE_RATE)
        clip = read_audio(path)
        yield Sample(
            id=path.stem,
            part="train",
            audio=str(path),
            audio_sha256=clip.sha256(),
            n_samples=len(clip.waveform),
            prompt="open",
            question="What emotion do you think the audio expresses?",
            emotion="Sad",
            transcript="It was the last time",
            rationale=RATIONALE.strip(),
        )


def measure(trainee: Trainee, title: str, samples: Sequence[Sample], checkpointing: bool, n_steps: int) -> None:
    """One line: seconds and memory of a step over eight samples."""
    from accelerate import Accelerator

    if checkpointing:
        use_gradient_checkpointing(trainee.module.model)
    cuda = torch.cuda.is_available()
    trainee.module.train()
    devices = Devices(Accelerator(cpu=not cuda), trainee)
    settings = replace(trainee.settings, epochs=n_steps + 1)
    task = Task(train=samples, validation=samples, variant="with-reason", settings=settings)
    optimizer = make_optimizer(trainee)
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate
    losses: list[float] = []
    try:
        for step, batches in enumerate(read_ahead(devices, task, 0)):
            if step == 1:
                began = time.perf_counter()
                if cuda:
                    torch.cuda.reset_peak_memory_stats()
            losses.append(take_step(trainee, devices, optimizer, batches)[0])
            if cuda:
                torch.cuda.synchronize()
    except torch.cuda.OutOfMemoryError:
        print(f"  {title:11}  {'on' if checkpointing else 'off':13}  does not fit")
        return
    seconds = (time.perf_counter() - began) / n_steps
    peak = f"{torch.cuda.max_memory_allocated() / 2**30:8.1f}" if cuda else "     n/a"
    print(
        f"  {title:11}  {'on' if checkpointing else 'off':13}  {seconds:6.2f}  {len(samples) / seconds:9.2f}  {peak}"
        f"  {losses[0]:.4f}, {losses[-1]:.4f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
