"""Trains `nano` on the corpus `demo`: python -m serxbench.demo.train_nano --out DIR [--steps N] [--seed S]

The checkpoint is a Qwen2-Audio in every respect but size. Two classification heads (which emotion, which sentence) help
the encoder during training and are dropped before saving. Results vary in the last digits with the machine.
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
from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor

from serxbench.demo import nano_data
from serxbench.demo.generate import DATA
from serxbench.demo.nano_check import evaluate
from serxbench.demo.nano_data import Features
from serxbench.demo.nano_model import build_model, build_processor
from serxbench.demo.sentences import COLOURED_SENTENCES, NEUTRAL_SENTENCES
from serxbench.emotions import EMOTIONS

SENTENCES = tuple(sentence.text for sentence in (*NEUTRAL_SENTENCES, *COLOURED_SENTENCES))

BATCH_SIZE = 16
#: So many batches are drawn at once and sorted by length, which saves a quarter of the padding.
BUCKET_BATCHES = 3
LEARNING_RATE = 1.2e-3
WEIGHT_DECAY = 0.05
WARMUP_SHARE = 0.06
#: In the first part of the steps only the encoder learns, by the two heads: they are cheap without the decoder.
LISTENING_SHARE = 0.3
LOSS_WEIGHTS = {"answer": 1.0, "class": 0.6, "sentence": 0.4}
#: Weights of the emotion word and of the transcript among the tokens of an answer.
EMOTION_WEIGHT = 6.0
TRANSCRIPT_WEIGHT = 2.0


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One training batch. tokens, weights: shape (batch, longest), right-padded; weight 0 outside the answer."""

    features: torch.Tensor
    frames: torch.Tensor
    tokens: torch.Tensor
    attention: torch.Tensor
    weights: torch.Tensor
    classes: torch.Tensor
    sentences: torch.Tensor


class Heads(nn.Module):
    """The two heads that exist only in training, on mean and spread of the audio tokens over time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.classes = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * width, len(EMOTIONS)))
        self.sentences = nn.Sequential(nn.Dropout(0.1), nn.Linear(2 * width, len(SENTENCES)))

    def forward(self, audio: torch.Tensor, valid: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """The losses by name. valid: which frames of `audio` are not padding."""
        audio, lengths = audio.float(), valid.sum(dim=1)[:, None]
        mean = (audio * valid[..., None]).sum(dim=1) / lengths
        variance = ((audio - mean[:, None]) ** 2 * valid[..., None]).sum(dim=1) / lengths
        pooled = torch.cat([mean, (variance + 1e-5).sqrt()], dim=1)
        return {
            "class": functional.cross_entropy(self.classes(pooled).float(), batch.classes, label_smoothing=0.05),
            "sentence": functional.cross_entropy(self.sentences(pooled).float(), batch.sentences),
        }


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


def count_audio_tokens(frames: torch.Tensor) -> torch.Tensor:
    """How many tokens the processor gives to so many mel frames."""
    return ((frames - 1) // 2 - 1) // 2 + 1


def make_batch(
    indices: Sequence[int],
    rows: Sequence[dict[str, Any]],
    features: Sequence[Sequence[Features]],
    processor: Qwen2AudioProcessor,
    random: np.random.RandomState,
) -> Batch:
    """One batch: a random speed, augmentation and prompt for each row."""
    drawn = [features[i][random.randint(len(features[i]))] for i in indices]
    drawn = [Features(mel=nano_data.augment(f.mel, random), floor=f.floor) for f in drawn]
    padded, frames = nano_data.pad_features(drawn)
    sequences, weights = [], []
    for index, n_audio in zip(indices, count_audio_tokens(frames).tolist(), strict=True):
        tokens, weight = _conversation(rows[index], n_audio, processor, random)
        sequences.append(torch.tensor(tokens))
        weights.append(torch.tensor(weight))
    pad = nn.utils.rnn.pad_sequence
    return Batch(
        features=padded,
        frames=frames,
        tokens=pad(sequences, batch_first=True),
        attention=pad([torch.ones(len(s), dtype=torch.long) for s in sequences], batch_first=True),
        weights=pad(weights, batch_first=True),
        classes=torch.tensor([EMOTIONS.index(rows[index]["consensus"]) for index in indices]),
        sentences=torch.tensor([SENTENCES.index(rows[index]["transcript"]) for index in indices]),
    )


def _conversation(
    row: dict[str, Any], n_audio: int, processor: Qwen2AudioProcessor, random: np.random.RandomState
) -> tuple[list[int], list[float]]:
    """Tokens of the whole conversation and the loss weight of each."""
    prompt, reasons = nano_data.draw_prompt(row["consensus"], random)
    content = [{"type": "audio", "audio_url": ""}, {"type": "text", "text": prompt}]
    question = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    ).replace(processor.audio_token, processor.audio_token * n_audio)
    asked = processor.tokenizer(question)["input_ids"]
    said = processor.tokenizer(nano_data.answer_text(row, reasons=reasons) + "<|im_end|>")["input_ids"]
    emotion = processor.tokenizer(" " + row["consensus"].lower())["input_ids"]
    n_transcript = len(processor.tokenizer(f"<asr>{row['transcript']}</asr>")["input_ids"])
    weights = [EMOTION_WEIGHT if token in emotion else 1.0 for token in said]
    weights[:n_transcript] = [TRANSCRIPT_WEIGHT] * n_transcript
    return asked + said, [0.0] * len(asked) + weights


def answer_loss(
    model: Qwen2AudioForConditionalGeneration, batch: Batch, audio: torch.Tensor, valid: torch.Tensor
) -> torch.Tensor:
    """Weighted cross-entropy of the answers' tokens. valid: which frames of `audio` are not padding."""
    embedded = model.model.language_model.embed_tokens(batch.tokens).to(audio.dtype)
    places = (batch.tokens == model.config.audio_token_id) & (batch.attention == 1)
    embedded = embedded.masked_scatter(places[..., None], audio[valid])
    hidden = model.model.language_model(inputs_embeds=embedded, attention_mask=batch.attention).last_hidden_state
    said = batch.weights[:, 1:] > 0
    logits = model.lm_head(hidden[:, :-1][said]).float()
    weights = batch.weights[:, 1:][said]
    losses = functional.cross_entropy(logits, batch.tokens[:, 1:][said], reduction="none")
    return (losses * weights).sum() / weights.sum()


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
    processor: Qwen2AudioProcessor, rows: list[dict[str, Any]], steps: int, seed: int
) -> Qwen2AudioForConditionalGeneration:
    """The trained model, its heads dropped."""
    torch.manual_seed(seed)
    random = np.random.RandomState(seed)
    model = build_model(processor)
    heads = Heads(model.config.text_config.hidden_size)
    features = nano_data.load_features(DATA, rows, processor, nano_data.SPEEDS)
    parameters = [p for p in (*model.parameters(), *heads.parameters()) if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.98))
    model.train()
    started = time.monotonic()
    batches = draw_batches([f[0].mel.shape[1] for f in features], random)
    listening = round(LISTENING_SHARE * steps)
    for step in range(steps):
        batch = make_batch(next(batches), rows, features, processor, random)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            audio = encode(model, batch.features, batch.frames)
            valid = torch.arange(audio.shape[1])[None, :] < count_audio_tokens(batch.frames)[:, None]
            losses = heads(audio, valid, batch)
            if step >= listening:
                losses["answer"] = answer_loss(model, batch, audio, valid)
        total = torch.stack([LOSS_WEIGHTS[name] * loss for name, loss in losses.items()]).sum()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(total)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % 25 == 0 or step == steps - 1:
            said = " ".join(f"{name} {value.item():.3f}" for name, value in losses.items())
            print(f"step {step}/{steps} {time.monotonic() - started:.0f} s: {said}", file=sys.stderr, flush=True)
    return model.eval()


def save(model: Qwen2AudioForConditionalGeneration, processor: Qwen2AudioProcessor, out: Path) -> None:
    """The checkpoint at `out`: float16 tensors; the configuration says float32, so that they are computed with."""
    model.half().save_pretrained(out)
    processor.save_pretrained(out)
    path = out / "config.json"
    config = json.loads(path.read_text())
    config["dtype"] = config["text_config"]["dtype"] = config["audio_config"]["dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    for file in out.iterdir():
        file.chmod(0o644)


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains, saves, loads again and evaluates; the scores go to stdout as JSON."""
    parser = argparse.ArgumentParser(prog="python -m serxbench.demo.train_nano")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, default=1_900)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--test", action="store_true", help="score the test split too")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    rows = [row for row in nano_data.read_rows(DATA, "train") if row["consensus"] in EMOTIONS]
    processor = build_processor(nano_data.tokenizer_texts(rows))
    save(train(processor, rows, options.steps, options.seed), processor, options.out)
    minutes = (time.monotonic() - started) / 60
    scores = {"minutes": minutes, **evaluate_checkpoint(options.out, ["development"] + ["test"] * options.test)}
    print(json.dumps(scores, indent=1))
    return 0


def evaluate_checkpoint(folder: Path, splits: Sequence[str]) -> dict[str, dict[str, float]]:
    """Scores of the saved checkpoint, by `split/prompt`."""
    processor = AutoProcessor.from_pretrained(folder)
    model = Qwen2AudioForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    scores = {}
    for split in splits:
        rows = nano_data.read_rows(DATA, split)
        for name in nano_data.PROMPT_NAMES:
            scores[f"{split}/{name}"] = evaluate(model, processor, DATA, rows, name)
            print(split, name, scores[f"{split}/{name}"], file=sys.stderr, flush=True)
    return scores


if __name__ == "__main__":
    sys.exit(main())
