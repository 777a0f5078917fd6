"""What `nano` answers through the public interface: generation, macro-F1 and format, as the harness will see it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor

from serxbench.audio import SAMPLE_RATE, read_audio
from serxbench.demo.nano_data import prompt_text
from serxbench.emotions import EMOTIONS, NO_AGREEMENT

_PLAIN = re.compile(r"<asr>(.*)</asr><answer>I think the emotion is (\w+)</answer>")
_WITH_REASON = re.compile(_PLAIN.pattern + r"<reason>(.+)</reason>")


def generate_answers(
    model: Qwen2AudioForConditionalGeneration,
    processor: Qwen2AudioProcessor,
    clips: Sequence[Path],
    prompt: str,
    batch_size: int,
) -> list[str]:
    """Greedy answers to one prompt, left-padded batches in the order of the clips."""
    content = [{"type": "audio", "audio_url": ""}, {"type": "text", "text": prompt}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    answers: list[str] = []
    for first in range(0, len(clips), batch_size):
        audio = [read_audio(path).waveform for path in clips[first : first + batch_size]]
        inputs = processor(
            text=[text] * len(audio), audio=audio, sampling_rate=SAMPLE_RATE, padding=True, return_tensors="pt"
        )
        with torch.inference_mode():
            made = model.generate(**inputs, do_sample=False, num_beams=1, max_new_tokens=128)
        answers += processor.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return answers


def macro_f1(references: Sequence[str], predictions: Sequence[str | None]) -> float:
    """Unweighted mean of the F1 of the eight classes; None and other words count as wrong."""
    scores = []
    pairs = list(zip(references, predictions, strict=True))
    for emotion in EMOTIONS:
        hits = sum(reference == emotion == prediction for reference, prediction in pairs)
        named = sum((reference == emotion) + (prediction == emotion) for reference, prediction in pairs)
        scores.append(2 * hits / named if named else 0.0)
    return sum(scores) / len(scores)


def evaluate(
    model: Qwen2AudioForConditionalGeneration,
    processor: Qwen2AudioProcessor,
    data: Path,
    rows: Sequence[Mapping[str, Any]],
    name: str,
) -> dict[str, float]:
    """macro_f1 against the plurality, and the shares of right formats, exact transcripts and right labels."""
    answers = generate_answers(model, processor, [data / row["audio"] for row in rows], prompt_text(name), 16)
    pattern = _WITH_REASON if name.endswith("cot") else _PLAIN
    matches = [pattern.fullmatch(answer) for answer in answers]
    predictions = [match[2].capitalize() if match else None for match in matches]
    rated = [(row, said) for row, said in zip(rows, predictions, strict=True) if row["consensus"] != NO_AGREEMENT]
    exact = [match is not None and match[1] == row["transcript"] for row, match in zip(rows, matches, strict=True)]
    return {
        "macro_f1": macro_f1([row["consensus"] for row, _ in rated], [said for _, said in rated]),
        "accuracy": sum(row["consensus"] == said for row, said in rated) / len(rated),
        "format": sum(said in EMOTIONS for said in predictions) / len(rows),
        "transcripts": sum(exact) / len(rows),
    }
