"""What the base of `nano` is trained on: the corpus's rows, the texts of its vocabulary, and mel features."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from transformers import Qwen2AudioProcessor

from serxbench.audio import SAMPLE_RATE, read_audio
from serxbench.catalog import load_prompt
from serxbench.demo.rationales import rationale_of
from serxbench.emotions import EMOTIONS, OTHER
from serxbench.sft.targets import target_text

PROMPT_NAMES = ("open", "closed", "open-cot", "closed-cot")

#: Playing speeds of the training clips: pitch, formants and pace change together, as with another body.
SPEEDS = (1.0, 0.9, 0.95, 1.05, 1.1)


@dataclass(frozen=True, kw_only=True)
class Features:
    """Log-mel frames of one clip. mel: shape (80, frames), no padding. floor: the extractor's value for silence."""

    mel: NDArray[np.float32]
    floor: float


def read_rows(data: Path, split: str) -> list[dict[str, Any]]:
    """The rows of one split in corpus order."""
    lines = (data / "utterances.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["split"] == split]


def tokenizer_texts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the vocabulary is trained on: prompts and answers, so that their words become single tokens."""
    system = "system\nYou are a helpful assistant.\nuser\nAudio 1: \nassistant\n"
    prompts = [load_prompt(name, EMOTIONS).text for name in PROMPT_NAMES]
    texts = [system, *EMOTIONS, OTHER, *(emotion.lower() for emotion in (*EMOTIONS, OTHER))]
    for number, row in enumerate(rows):
        reason = rationale_of(row["transcript"], row["acoustics"], row["id"])
        texts += [prompts[number % len(prompts)], target_text(row["transcript"], row["consensus"], reason)]
    return texts


def clip_features(waveform: NDArray[np.float32], processor: Qwen2AudioProcessor) -> Features:
    """What the processor computes for one clip, without its padding to six seconds."""
    extractor = processor.feature_extractor
    made = extractor(
        waveform, sampling_rate=SAMPLE_RATE, padding="max_length", return_attention_mask=True, return_tensors="np"
    )
    frames = int(made["attention_mask"][0].sum())
    mel = np.asarray(made["input_features"][0], dtype=np.float32)
    return Features(mel=np.ascontiguousarray(mel[:, :frames]), floor=float(mel.min()))


def load_features(
    data: Path, rows: Sequence[Mapping[str, Any]], processor: Qwen2AudioProcessor, speeds: Sequence[float]
) -> list[list[Features]]:
    """For each row, its features at each speed."""
    loaded = []
    for row in rows:
        clip = read_audio(data / row["audio"]).waveform
        played = (clip if s == 1 else soxr.resample(clip, SAMPLE_RATE * s, SAMPLE_RATE) for s in speeds)
        loaded.append([clip_features(waveform, processor) for waveform in played])
    return loaded


def augment(mel: NDArray[np.float32], random: np.random.RandomState) -> NDArray[np.float32]:
    """Another vocal tract (mel axis stretched), colour and level, and SpecAugment masks."""
    n_mels, frames = mel.shape
    bins = np.arange(n_mels) * random.uniform(0.92, 1.08) + random.uniform(-1.5, 1.5)
    bins = np.clip(bins, 0, n_mels - 1)
    low = np.minimum(bins.astype(int), n_mels - 2)
    share = (bins - low).astype(np.float32)[:, None]
    warped = mel[low] * (1 - share) + mel[low + 1] * share
    knots = random.uniform(-0.06, 0.06, size=6)  # about 2.5 dB in the extractor's units (10 dB are 0.25)
    colour = np.interp(np.arange(n_mels), np.linspace(0, n_mels - 1, 6), knots) + random.uniform(-0.03, 0.03)
    warped = warped + colour.astype(np.float32)[:, None]
    mean = warped.mean()
    for _ in range(random.randint(0, 3)):
        start, width = random.randint(n_mels), random.randint(1, 10)
        warped[start : start + width] = mean
    if random.uniform() < 0.3:
        start = random.randint(frames)
        warped[:, start : start + random.randint(2, 12)] = mean
    return np.asarray(warped, dtype=np.float32)


def pad_features(batch: Sequence[Features]) -> tuple[torch.Tensor, torch.Tensor]:
    """(features, frames): shape (batch, 80, longest + 4 rounded up to 4), filled with each clip's silence."""
    frames = torch.tensor([features.mel.shape[1] for features in batch])
    longest = (int(frames.max()) + 7) // 4 * 4
    padded = torch.stack([torch.full((features.mel.shape[0], longest), features.floor) for features in batch])
    for row, features in zip(padded, batch, strict=True):
        row[:, : features.mel.shape[1]] = torch.from_numpy(features.mel)
    return padded, frames
