"""Tiny checkpoints with random weights, built through the real configuration, tokenizer and processor classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"

CHAT_TEMPLATE = (
    "{% set audio_count = namespace(value=0) %}{% for message in messages %}"
    f"{{% if loop.first and message['role'] != 'system' %}}{SYSTEM}"
    "{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n{% else %}"
    "{% for content in message['content'] %}{% if content['type'] == 'audio' %}"
    "{% set audio_count.value = audio_count.value + 1 %}"
    "Audio {{ audio_count.value }}: <|audio_bos|><|AUDIO|><|audio_eos|>\n"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")

#: Generation settings that sample, penalise and forbid half the bytes: what an adapter leaves to the checkpoint shows.
TRAPS = {"do_sample": True, "temperature": 0.7, "top_p": 0.5, "top_k": 20, "repetition_penalty": 1.5}
TRAPS |= {"suppress_tokens": list(range(64, 192))}


def byte_tokenizer(
    special: Sequence[str] = SPECIAL, end: str = "<|im_end|>", pad: str = "<|endoftext|>", **settings: Any
) -> Any:
    """A byte-level tokenizer of 256 bytes and special tokens (Qwen2-Audio's), padding on the wrong side."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: n for n, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=end, pad_token=pad, padding_side="right", **settings
    )


def save_model(model: Any, folder: Path, end_tokens: Sequence[int], pad_token: int) -> None:
    """Saves the model, with settings that are traps and weights so large that clips give different answers."""
    import torch
    from transformers import GenerationConfig

    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.35)
    model.generation_config = GenerationConfig(**TRAPS, eos_token_id=list(end_tokens), pad_token_id=pad_token)
    model.save_pretrained(folder)


def qwen2_audio(folder: Path, seed: int = 0, chunk_seconds: int = 2) -> Path:
    """A Qwen2-Audio checkpoint in `folder` whose own generation settings sample and penalise repetition."""
    import torch
    from transformers import (
        Qwen2AudioConfig,
        Qwen2AudioForConditionalGeneration,
        Qwen2AudioProcessor,
        WhisperFeatureExtractor,
    )

    tokenizer = byte_tokenizer()
    extractor = WhisperFeatureExtractor(feature_size=16, chunk_length=chunk_seconds)
    processor = Qwen2AudioProcessor(extractor, tokenizer, chat_template=CHAT_TEMPLATE)
    config = Qwen2AudioConfig(
        audio_config={
            "d_model": 32,
            "encoder_layers": 2,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 64,
            "num_mel_bins": 16,
            "max_source_positions": 50 * chunk_seconds,
        },
        text_config={
            "model_type": "qwen2",
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": 1024,
            "eos_token_id": tokenizer.eos_token_id,
        },
        audio_token_index=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
    )
    torch.manual_seed(seed)
    model = Qwen2AudioForConditionalGeneration(config)
    save_model(model, folder, [tokenizer.eos_token_id, tokenizer.pad_token_id], tokenizer.pad_token_id)
    processor.save_pretrained(folder)
    return folder
