"""What learns is what should, and the loss is over the answer to the letter and over nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from serxbench.adapters import Loading
from serxbench.adapters.qwen2_audio import ANSWER_END
from serxbench.audio import read_audio
from serxbench.errors import AdapterError, CorpusError
from serxbench.records import Prompt
from serxbench.sft.recipe import Settings
from serxbench.sft.samples import Sample
from serxbench.sft.targets import VARIANTS, Variant
from serxbench.sft.trainee import IGNORED, Trainee, load_trainee

QUESTION = "What emotion do you think the audio expresses?"


@pytest.fixture
def make_sample(write_clip: Callable[..., Path]) -> Callable[..., Sample]:
    def make(seconds: float = 0.7, **changes: Any) -> Sample:
        path = write_clip(f"{seconds}-{len(changes)}.wav", seconds=seconds)
        clip = read_audio(path)
        known = Sample(
            id="c/u",
            part="train",
            audio=str(path),
            audio_sha256=clip.sha256(),
            n_samples=len(clip.waveform),
            prompt="open",
            question=QUESTION,
            emotion="Fear",
            transcript="Ça suffit, l'œuvre est 终于完成了 🎉.",
            rationale='The pitch is high, and "suffit" is pressed.',
        )
        return replace(known, **changes)

    return make


def load(folder: Path, prompt_style: str = "chat", **settings: Any) -> Trainee:
    loading = Loading(folder=folder, prompt_style=prompt_style)
    return load_trainee("qwen2_audio", loading, Settings(**{"dtype": "float32", **settings}))


def test_only_attention_and_output_layer_of_the_language_model_learn(tiny_checkpoint: Path) -> None:
    trainee = load(tiny_checkpoint)
    wanted = {
        f"model.language_model.layers.{n}.self_attn.{p}_proj.lora_{m}.default.weight"
        for n in (0, 1)
        for p in "qkvo"
        for m in "AB"
    }
    assert set(trainee.trainable) == wanted | {f"lm_head.lora_{m}.default.weight" for m in "AB"}
    assert {parameter.dtype for parameter in trainee.trainable.values()} == {torch.float32}
    assert {parameter.shape[0] for name, parameter in trainee.trainable.items() if "lora_A" in name} == {8}


def test_what_learns_stays_in_float32_beside_a_short_base(tiny_checkpoint: Path) -> None:
    trainee = load(tiny_checkpoint, dtype="bfloat16")
    assert trainee.module.model.lm_head.base_layer.weight.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in trainee.trainable.values()} == {torch.float32}


def test_all_weights_learn_in_full(tiny_checkpoint: Path) -> None:
    trainee = load(tiny_checkpoint, method="full", dtype="bfloat16")
    assert set(trainee.trainable) == {name for name, _ in trainee.module.model.named_parameters()}
    assert {parameter.dtype for parameter in trainee.trainable.values()} == {torch.float32}


@pytest.mark.parametrize("style", ["chat", "llamafactory"])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seconds", [0.12, 1.7, 30.0])
def test_the_loss_is_over_the_answer_to_the_letter(
    patient_checkpoint: Path, make_sample: Callable[..., Sample], style: str, variant: Variant, seconds: float
) -> None:
    trainee, sample = load(patient_checkpoint, style), make_sample(seconds)
    batch = trainee.build([sample], variant)
    row, labels = batch.inputs["input_ids"][0], batch.labels[0]
    tokenizer = trainee._adapter._processor.tokenizer
    said = labels != IGNORED
    assert tokenizer.decode(row[said]) == sample.target(variant) + ANSWER_END
    assert torch.equal(row[said], labels[said])
    # What is before the answer is what a run asks, sound and all.
    prompt = Prompt(name="open", text=QUESTION, sha256="")
    asked = trainee._adapter.build_inputs([sample.waveform()], prompt)["input_ids"][0]
    assert torch.equal(row[~said], asked)
    assert int((row == tokenizer.convert_tokens_to_ids("<|AUDIO|>")).sum()) == {0.12: 3, 1.7: 42, 30.0: 750}[seconds]


def test_padding_is_no_part_of_the_loss(tiny_checkpoint: Path, make_sample: Callable[..., Sample]) -> None:
    trainee = load(tiny_checkpoint)
    samples = [make_sample(0.4), make_sample(1.6, transcript="Oh."), make_sample(0.9, rationale="Low.", id="c/v")]
    alone = [trainee.build([sample], "with-reason") for sample in samples]
    together = trainee.build(samples, "with-reason")
    assert together.n_targets == sum(batch.n_targets for batch in alone)
    with torch.no_grad():
        separate = sum(float(trainee.loss(batch)) for batch in alone)
        assert float(trainee.loss(together)) == pytest.approx(separate, rel=1e-5)


def test_the_loss_is_that_of_transformers(tiny_checkpoint: Path, make_sample: Callable[..., Sample]) -> None:
    trainee = load(tiny_checkpoint)
    batch = trainee.build([make_sample()], "with-reason")
    with torch.no_grad():
        theirs = trainee.module.model(**batch.inputs, labels=batch.labels).loss
        assert float(trainee.loss(batch)) / batch.n_targets == pytest.approx(float(theirs), rel=1e-5)


def test_gradient_checkpointing_gives_the_same_gradient(
    tiny_checkpoint: Path, make_sample: Callable[..., Sample]
) -> None:
    found = []
    for checkpointing in (False, True):
        trainee = load(tiny_checkpoint, gradient_checkpointing=checkpointing)
        trainee.module.train()
        torch.autograd.backward(trainee.loss(trainee.build([make_sample()], "with-reason")))
        gradient = trainee.trainable["lm_head.lora_B.default.weight"].grad
        assert gradient is not None
        assert gradient.abs().max() > 0
        found.append(gradient)
    torch.testing.assert_close(*found)


def test_speeds_are_drawn_by_epoch_and_sample(tiny_checkpoint: Path, make_sample: Callable[..., Sample]) -> None:
    trainee, sample = load(tiny_checkpoint, speeds=(0.8, 1.0, 1.25)), make_sample(1.0)
    lengths = [trainee.build([sample], "with-reason", epoch).inputs["attention_mask"].shape[1] for epoch in range(12)]
    # 25 tokens a second: 25, 31 or 20 of them.
    assert len(set(lengths)) == 3
    assert lengths == [
        trainee.build([sample], "with-reason", epoch).inputs["attention_mask"].shape[1] for epoch in range(12)
    ]
    assert trainee.build([sample], "with-reason").inputs["attention_mask"].shape[1] == sorted(set(lengths))[1]


def test_a_tokenizer_that_does_not_give_the_text_back_is_refused(
    tiny_checkpoint: Path, make_sample: Callable[..., Sample]
) -> None:
    from tokenizers import normalizers

    trainee = load(tiny_checkpoint)
    trainee._adapter._processor.tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    with pytest.raises(AdapterError, match="c/u: the loss would be over '<asr> ça suffit"):
        trainee.build([make_sample()], "with-reason")


def test_a_clip_that_changed_is_refused(tiny_checkpoint: Path, make_sample: Callable[..., Sample]) -> None:
    sample = make_sample(0.7)
    Path(sample.audio).write_bytes(Path(make_sample(0.8).audio).read_bytes())
    with pytest.raises(CorpusError, match="c/u: its clip changed since the samples were built"):
        load(tiny_checkpoint).build([sample], "with-reason")


def test_a_sample_that_is_too_long_is_refused(tiny_checkpoint: Path, make_sample: Callable[..., Sample]) -> None:
    with pytest.raises(AdapterError, match=r"c/u: has \d+ tokens, above max_tokens 100"):
        load(tiny_checkpoint, max_tokens=100).build([make_sample()], "with-reason")


def test_a_family_without_an_end_of_answer_is_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(AdapterError, match="models of the family 'salmonn' cannot be fine-tuned here"):
        Trainee(object(), "salmonn", Settings())
