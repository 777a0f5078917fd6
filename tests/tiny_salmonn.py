"""Tiny SALMONN checkpoints in the official formats, at two configurations.

Every weight is drawn from its name by numpy's RandomState, whose numbers numpy has frozen for good: the golden tensors
in adapters/golden were computed by the authors' code from exactly these files.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

SAMPLE_RATE = 16_000
LLM_HEADS = 4

#: What the released fine-tuned BEATs files say, but for the sizes.
_BEATS = {
    "input_patch_size": 16,
    "embed_dim": 32,
    "conv_bias": False,
    "encoder_layers": 2,
    "encoder_embed_dim": 48,
    "encoder_ffn_embed_dim": 64,
    "encoder_attention_heads": 3,
    "activation_fn": "gelu",
    "layer_wise_gradient_decay_ratio": 0.6,
    "layer_norm_first": False,
    "deep_norm": True,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "encoder_layerdrop": 0.05,
    "dropout_input": 0.0,
    "conv_pos": 128,
    "conv_pos_groups": 16,
    "relative_position_embedding": True,
    "num_buckets": 320,
    "max_distance": 800,
    "gru_rel_pos": True,
    "finetuned_model": True,
    "predictor_dropout": 0.0,
    "predictor_class": 7,
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of a tiny SALMONN. chunk: seconds that Whisper hears. qformer: (width, inner width, layers, queries)."""

    seed: int
    beats: dict[str, Any] = field(default_factory=lambda: dict(_BEATS))
    chunk: int = 30
    whisper_width: int = 32
    qformer: tuple[int, int, int, int] = (128, 160, 2, 1)
    llm_width: int = 64
    llm_layers: int = 2


#: `official` has all settings of the real model and only its sizes are smaller, so a clip gives 88 tokens.
#: `other` differs wherever it may; its BEATs is faster than its Whisper, so that the other side is padded.
CONFIGS = {
    "official": Config(seed=1),
    "other": Config(
        seed=2,
        beats={
            **_BEATS,
            "input_patch_size": 8,
            "embed_dim": 64,
            "encoder_embed_dim": 64,
            "encoder_layers": 3,
            "encoder_ffn_embed_dim": 96,
            "encoder_attention_heads": 4,
            "conv_bias": True,
            "deep_norm": False,
            "conv_pos": 31,
            "conv_pos_groups": 4,
            "num_buckets": 64,
            "max_distance": 100,
            "finetuned_model": False,
        },
        chunk=10,
        whisper_width=48,
        qformer=(192, 96, 3, 2),
        llm_width=96,
        llm_layers=3,
    ),
}

#: The card's settings for a folder that `build` made.
SETTINGS = {"whisper": "whisper", "llm": "vicuna", "beats": "beats.pt", "checkpoint": "salmonn.pth"}


def clip(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise and two tones that come and go; float32, the same everywhere."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    noise = np.random.RandomState(seed).standard_normal(len(time))
    tones = np.sin(2 * np.pi * (180 + 40 * seed) * time) * np.sin(2 * np.pi * 0.7 * time)
    return (0.05 * noise + 0.2 * tones + 0.1 * np.sin(2 * np.pi * 1900 * time) * (time % 1 > 0.5)).astype(np.float32)


def draw(seed: int, name: str, shape: tuple[int, ...]) -> Any:
    """A weight as a float32 tensor: large enough that different clips give different answers."""
    import torch

    numbers = np.random.RandomState(zlib.crc32(f"{seed}/{name}".encode())).standard_normal(shape)
    if name.endswith("bias"):
        numbers = 0.1 * numbers
    elif len(shape) < 2 or name.endswith("grep_a"):
        numbers = 1 + 0.1 * numbers
    elif not name.endswith(("embed_tokens.weight", "relative_attention_bias.weight", "speech_query_tokens")):
        numbers = numbers / np.sqrt(np.prod(shape[1:]))
    if name.endswith("lm_head.weight"):
        # Small logits, so that rounding stays below what the golden tensors are compared to; 2 ends a text.
        numbers *= 0.3
        numbers[2] *= 1.5
    return torch.from_numpy(np.asarray(numbers, dtype=np.float32))


def build(folder: Path, config: Config) -> Path:
    """All parts of a SALMONN in `folder`, in the formats of the official downloads."""
    import torch

    _whisper(folder / "whisper", config)
    _vicuna(folder / "vicuna", config)
    torch.save(beats_file(config), folder / "beats.pt")
    torch.save(salmonn_file(config), folder / "salmonn.pth")
    return folder


def load(folder: Path, dtype: str = "float32", **settings: Any) -> Any:
    """The adapter for a folder that `build` made."""
    from serxbench.adapters import Loading, salmonn

    settings = {**SETTINGS, **settings}
    return salmonn.load(Loading(folder=folder, prompt_style="user-assistant", dtype=dtype, settings=settings))


def beats_file(config: Config) -> dict[str, Any]:
    """The content of a BEATs file: the keys of the release, with weight normalisation and the shared table's copies."""
    cfg = config.beats
    width, patch = cfg["encoder_embed_dim"], cfg["input_patch_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embedding.weight": (cfg["embed_dim"], 1, patch, patch),
        **_norm("layer_norm", cfg["embed_dim"]),
        "encoder.pos_conv.0.bias": (width,),
        "encoder.pos_conv.0.weight_g": (1, 1, cfg["conv_pos"]),
        "encoder.pos_conv.0.weight_v": (width, width // cfg["conv_pos_groups"], cfg["conv_pos"]),
        **_norm("encoder.layer_norm", width),
    }
    if cfg["conv_bias"]:
        shapes["patch_embedding.bias"] = (cfg["embed_dim"],)
    if cfg["embed_dim"] != width:
        shapes |= _linear("post_extract_proj", cfg["embed_dim"], width)
    if cfg["finetuned_model"]:
        shapes |= _linear("predictor", width, cfg["predictor_class"])
    for n in range(cfg["encoder_layers"]):
        layer, head = f"encoder.layers.{n}.", width // cfg["encoder_attention_heads"]
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _linear(f"{layer}self_attn.{name}", width, width)
        shapes |= _linear(f"{layer}self_attn.grep_linear", head, 8)
        shapes[f"{layer}self_attn.grep_a"] = (1, cfg["encoder_attention_heads"], 1, 1)
        shapes |= _norm(f"{layer}self_attn_layer_norm", width) | _norm(f"{layer}final_layer_norm", width)
        shapes |= _linear(f"{layer}fc1", width, cfg["encoder_ffn_embed_dim"])
        shapes |= _linear(f"{layer}fc2", cfg["encoder_ffn_embed_dim"], width)
    weights = {name: draw(config.seed, f"beats.{name}", shape) for name, shape in shapes.items()}
    return {"cfg": dict(cfg), "model": weights | _shared_bias(config, "encoder.layers.")}


def salmonn_file(config: Config) -> dict[str, Any]:
    """The content of a SALMONN file: what was trained, stray buffers, and the optimizer's state that nobody wants."""
    import torch

    hidden, inner, layers, queries = config.qformer
    speech, audio = config.whisper_width, config.beats["encoder_embed_dim"]
    bert = "speech_Qformer.bert."
    shapes: dict[str, tuple[int, ...]] = {
        "speech_query_tokens": (1, queries, hidden),
        **_norm("ln_speech", speech),
        **_norm("ln_audio", audio),
        **_norm(f"{bert}embeddings.LayerNorm", hidden),
        **_linear("speech_llama_proj", hidden, config.llm_width),
    }
    for n in range(layers):
        layer = f"{bert}encoder.layer.{n}."
        for attention, source in (("attention", hidden), ("crossattention", speech + audio)):
            shapes |= _linear(f"{layer}{attention}.self.query", hidden, hidden)
            shapes |= _linear(f"{layer}{attention}.self.key", source, hidden)
            shapes |= _linear(f"{layer}{attention}.self.value", source, hidden)
            shapes |= _linear(f"{layer}{attention}.output.dense", hidden, hidden)
            shapes |= _norm(f"{layer}{attention}.output.LayerNorm", hidden)
        shapes |= _linear(f"{layer}intermediate_query.dense", hidden, inner)
        shapes |= _linear(f"{layer}output_query.dense", inner, hidden)
        shapes |= _norm(f"{layer}output_query.LayerNorm", hidden)
    strays: dict[str, Any] = {f"{bert}embeddings.position_ids": torch.arange(512)[None]}
    for n in range(config.llm_layers):
        attention = f"llama_model.base_model.model.model.layers.{n}.self_attn."
        for name in ("q_proj", "v_proj"):
            shapes[f"{attention}{name}.lora_A.default.weight"] = (8, config.llm_width)
            shapes[f"{attention}{name}.lora_B.default.weight"] = (config.llm_width, 8)
        width = config.llm_width // LLM_HEADS
        strays[f"{attention}rotary_emb.inv_freq"] = 10_000 ** -(torch.arange(0, width, 2) / width)
    strays |= {key: value for key, value in _shared_bias(config, "beats.encoder.layers.").items() if ".0." not in key}
    weights = {name: draw(config.seed, name, shape) for name, shape in shapes.items()}
    moments = {n: {"exp_avg": torch.zeros_like(weight)} for n, weight in enumerate(weights.values())}
    return {"model": weights | strays, "optimizer": {"state": moments, "param_groups": []}, "epoch": 3, "scaler": None}


def _whisper(folder: Path, config: Config) -> None:
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    model = WhisperForConditionalGeneration(
        WhisperConfig(
            d_model=config.whisper_width,
            encoder_layers=2,
            encoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_layers=1,
            decoder_attention_heads=2,
            decoder_ffn_dim=16,
            max_source_positions=config.chunk * 50,
            max_target_positions=8,
            vocab_size=16,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=1,
            suppress_tokens=[],
            begin_suppress_tokens=[],
        )
    )
    _overwrite(model, config, "whisper.")
    model.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=80, chunk_length=config.chunk).save_pretrained(folder)


def _vicuna(folder: Path, config: Config) -> None:
    """A LLaMA whose own generation settings sample, as Vicuna's do, and its tokenizer."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = llama_tokenizer()
    model = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=config.llm_width,
            intermediate_size=96,
            num_hidden_layers=config.llm_layers,
            num_attention_heads=LLM_HEADS,
            num_key_value_heads=LLM_HEADS,
            vocab_size=len(tokenizer),
            max_position_embeddings=1024,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
    )
    _overwrite(model, config, "vicuna.")
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=0.9,
        top_p=0.6,
        repetition_penalty=1.5,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def llama_tokenizer() -> Any:
    """A tokenizer of LLaMA's kind: the characters of ASCII, the newline as a byte, and a space before each text."""
    from transformers import LlamaTokenizer

    pieces = ["<unk>", "<s>", "</s>", "<0x0A>", "▁", *map(chr, range(33, 127))]
    return LlamaTokenizer(vocab={piece: n for n, piece in enumerate(pieces)}, merges=[])


def _overwrite(model: Any, config: Config, prefix: str) -> None:
    for name, parameter in model.named_parameters():
        parameter.data = draw(config.seed, prefix + name, tuple(parameter.shape))


def _shared_bias(config: Config, prefix: str) -> dict[str, Any]:
    cfg = config.beats
    shape = (cfg["num_buckets"], cfg["encoder_attention_heads"])
    bias = draw(config.seed, "beats.relative_attention_bias.weight", shape)
    return {f"{prefix}{n}.self_attn.relative_attention_bias.weight": bias for n in range(cfg["encoder_layers"])}


def _linear(name: str, n_in: int, n_out: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
