"""The base of `nano`: python -m serxbench.demo.nano_base --out DIR [--steps N] [--seed S]

A Qwen2-Audio in every respect but size. Its encoder has learnt to hear on the corpus `demo`, as that of a real SpeechLM
has heard much before anyone fine-tunes it; its language model knows nothing yet. Two heads that exist only here (which
emotion, which sentence) teach the encoder. What `nano` answers, it learns by `serxbench sft`. Results vary in the last
digits with the machine.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor

from serxbench.adapters._inputs import pooled_twice
from serxbench.demo import nano_data
from serxbench.demo.generate import DATA
from serxbench.demo.nano_data import Features
from serxbench.demo.nano_model import CHUNK_SECONDS, build_model, build_processor
from serxbench.demo.sentences import COLOURED_SENTENCES, NEUTRAL_SENTENCES
from serxbench.emotions import EMOTIONS

SENTENCES = tuple(sentence.text for sentence in (*NEUTRAL_SENTENCES, *COLOURED_SENTENCES))

STEPS = 1_500
BATCH_SIZE = 16
#: So many batches are drawn at once and sorted by length, which saves a quarter of the padding.
BUCKET_BATCHES = 3
LEARNING_RATE = 1.2e-3
WEIGHT_DECAY = 0.05
WARMUP_SHARE = 0.06
LOSS_WEIGHTS = {"class": 0.6, "sentence": 0.4}


CARD = f"""---
name: nano-base
adapter: qwen2_audio
repository: .
dtype: float32
prompt_style: chat
max_audio_seconds: {CHUNK_SECONDS}
licence: Apache-2.0
family: serxbench
---
What `nano` is fine-tuned from: its encoder has heard the corpus `demo`, its language model is as initialised.
"""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One training batch. features: (batch, 80, longest); frames: how many of each clip are sound."""

    features: torch.Tensor
    frames: torch.Tensor
    classes: torch.Tensor
    sentences: torch.Tensor


class Heads(nn.Module):
    """The two heads that exist only in training, on mean and spread of the audio tokens over time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.classes = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * width, len(EMOTIONS)))
        self.sentences = nn.Sequential(nn.Dropout(0.1), nn.Linear(2 * width, len(SENTENCES)))

    def forward(self, audio: torch.Tensor, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(logits of the emotions, logits of the sentences). frames: of each clip, before the encoder."""
        lengths = pooled_twice(frames)[:, None]
        valid = torch.arange(audio.shape[1])[None, :] < lengths
        mean = (audio * valid[..., None]).sum(dim=1) / lengths
        variance = ((audio - mean[:, None]) ** 2 * valid[..., None]).sum(dim=1) / lengths
        pooled = torch.cat([mean, (variance + 1e-5).sqrt()], dim=1)
        return self.classes(pooled), self.sentences(pooled)


def encode(model: Qwen2AudioForConditionalGeneration, features: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """The audio tokens as the decoder gets them, shape (batch, frames / 4, width).

    The model's own encoder without the padding to 6 s; `test_nano.py` holds it against the real forward pass.
    """
    tower = model.model.audio_tower
    hidden = functional.gelu(tower.conv2(functional.gelu(tower.conv1(features)))).permute(0, 2, 1)
    hidden = hidden + tower.embed_positions.weight[: hidden.shape[1]]
    hidden = functional.dropout(hidden, tower.dropout, training=model.training)
    lengths = (frames - 1) // 2 + 1
    padding = torch.arange(hidden.shape[1])[None, :] >= lengths[:, None]
    mask = torch.zeros(padding.shape).masked_fill(padding, -1e4)[:, None, None, :].to(hidden.dtype)
    for layer in tower.layers:
        hidden = layer(hidden, mask.expand(-1, 1, hidden.shape[1], -1))
    pooled = tower.layer_norm(tower.avg_pooler(hidden.permute(0, 2, 1)).permute(0, 2, 1))
    tokens: torch.Tensor = model.model.multi_modal_projector(pooled)
    return tokens


def make_batch(rows: Sequence[dict[str, Any]], features: Sequence[Features]) -> Batch:
    """The rows with one set of features each."""
    padded, frames = nano_data.pad_features(features)
    return Batch(
        features=padded,
        frames=frames,
        classes=torch.tensor([EMOTIONS.index(row["consensus"]) for row in rows]),
        sentences=torch.tensor([SENTENCES.index(row["transcript"]) for row in rows]),
    )


def draw_batches(frames: Sequence[int], random: np.random.RandomState) -> Iterator[list[int]]:
    """Batches of row numbers without end: each bucket holds clips at random, each batch clips of like length."""
    while True:
        order = random.permutation(len(frames))
        for first in range(0, len(order) - BATCH_SIZE * BUCKET_BATCHES + 1, BATCH_SIZE * BUCKET_BATCHES):
            bucket = sorted(order[first : first + BATCH_SIZE * BUCKET_BATCHES], key=lambda index: frames[index])
            for number in random.permutation(BUCKET_BATCHES):
                yield [int(index) for index in bucket[number * BATCH_SIZE : (number + 1) * BATCH_SIZE]]


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    warmup = max(1, round(WARMUP_SHARE * steps))
    if step < warmup:
        return LEARNING_RATE * (step + 1) / warmup
    return LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def train(
    processor: Qwen2AudioProcessor, rows: Sequence[dict[str, Any]], steps: int, seed: int
) -> tuple[Qwen2AudioForConditionalGeneration, Heads]:
    """The model with a trained encoder, and the heads that taught it. A random speed and augmentation for each row."""
    torch.manual_seed(seed)
    random = np.random.RandomState(seed)
    model = build_model(processor)
    heads = Heads(model.config.text_config.hidden_size)
    features = nano_data.load_features(DATA, rows, processor, nano_data.SPEEDS)
    learning = (*model.model.audio_tower.parameters(), *model.model.multi_modal_projector.parameters())
    parameters = [p for p in (*learning, *heads.parameters()) if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.98))
    model.train()
    started = time.monotonic()
    batches = draw_batches([f[0].mel.shape[1] for f in features], random)
    for step in range(steps):
        chosen = next(batches)
        drawn = [features[n][random.randint(len(features[n]))] for n in chosen]
        drawn = [Features(mel=nano_data.augment(f.mel, random), floor=f.floor) for f in drawn]
        batch = make_batch([rows[n] for n in chosen], drawn)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        classes, sentences = heads(encode(model, batch.features, batch.frames), batch.frames)
        losses = {
            "class": functional.cross_entropy(classes, batch.classes, label_smoothing=0.05),
            "sentence": functional.cross_entropy(sentences, batch.sentences),
        }
        total = torch.stack([LOSS_WEIGHTS[name] * loss for name, loss in losses.items()]).sum()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(total)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            said = ", ".join(f"{name} {value.item():.3f}" for name, value in losses.items())
            print(f"step {step + 1}/{steps}, {time.monotonic() - started:.0f} s: loss {said}", file=sys.stderr)
    return model.eval(), heads.eval()


def accuracies(
    model: Qwen2AudioForConditionalGeneration, heads: Heads, processor: Qwen2AudioProcessor, split: str
) -> dict[str, float]:
    """Of the two heads, on the items of one split whose consensus is a class."""
    rows = [row for row in nano_data.read_rows(DATA, split) if row["consensus"] in EMOTIONS]
    features = [each[0] for each in nano_data.load_features(DATA, rows, processor, (1.0,))]
    hits = {"class": 0, "sentence": 0}
    for first in range(0, len(rows), BATCH_SIZE):
        batch = make_batch(rows[first : first + BATCH_SIZE], features[first : first + BATCH_SIZE])
        with torch.inference_mode():
            classes, sentences = heads(encode(model, batch.features, batch.frames), batch.frames)
        hits["class"] += int((classes.argmax(dim=1) == batch.classes).sum())
        hits["sentence"] += int((sentences.argmax(dim=1) == batch.sentences).sum())
    return {name: count / len(rows) for name, count in hits.items()}


def save(model: Qwen2AudioForConditionalGeneration, processor: Qwen2AudioProcessor, out: Path) -> None:
    """The checkpoint at `out`: float16 tensors; the configuration says float32, so that they are computed with."""
    model.half().save_pretrained(out)
    processor.save_pretrained(out)
    path = out / "config.json"
    config = json.loads(path.read_text())
    config["dtype"] = config["text_config"]["dtype"] = config["audio_config"]["dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (out / "nano-base.md").write_text(CARD)
    for file in out.iterdir():  # safetensors are written for their owner alone
        file.chmod(0o644)


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains and saves; the heads' accuracies on the development split go to stdout as JSON."""
    parser = argparse.ArgumentParser(prog="python -m serxbench.demo.nano_base")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    started = time.monotonic()
    rows = [row for row in nano_data.read_rows(DATA, "train") if row["consensus"] in EMOTIONS]
    processor = build_processor(nano_data.tokenizer_texts(rows))
    model, heads = train(processor, rows, options.steps, options.seed)
    heard = accuracies(model, heads, processor, "development")
    save(model, processor, options.out)
    print(json.dumps({"minutes": (time.monotonic() - started) / 60, "development": heard}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
