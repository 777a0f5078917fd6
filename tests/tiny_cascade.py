"""A tiny Whisper and a tiny text LLM with random weights, built through the real classes; their settings are traps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import tiny_models

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_OF_WHISPER = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|de|>",
    "<|transcribe|>",
    "<|translate|>",
    "<|notimestamps|>",
)


def whisper(folder: Path, seed: int = 0, multilingual: bool = True) -> Path:
    """A Whisper with a window of 2 s in `folder`, whose own generation settings search, sample and penalise."""
    import torch
    from tokenizers import pre_tokenizers
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )

    vocabulary = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *_OF_WHISPER]
    ids = {token: n for n, token in enumerate(vocabulary)}
    tokenizer = WhisperTokenizer(vocab=dict(ids), merges=[], extra_special_tokens=list(_OF_WHISPER))
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    config = WhisperConfig(
        vocab_size=len(ids),
        num_mel_bins=16,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_source_positions=100,
        max_target_positions=32,
        decoder_start_token_id=start,
        eos_token_id=end,
        pad_token_id=end,
        bos_token_id=end,
        begin_suppress_tokens=None,
    )
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(config)
    _spread(model)
    known = {
        "lang_to_id": {"<|en|>": ids["<|en|>"], "<|de|>": ids["<|de|>"]},
        "task_to_id": {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")},
    }
    model.generation_config = GenerationConfig(
        num_beams=3,
        do_sample=True,
        temperature=0.7,
        repetition_penalty=2.0,
        no_repeat_ngram_size=1,
        max_length=24,
        decoder_start_token_id=start,
        eos_token_id=end,
        pad_token_id=end,
        suppress_tokens=[ids[token] for token in _OF_WHISPER[1:]],
        no_timestamps_token_id=ids["<|notimestamps|>"],
        is_multilingual=multilingual,
        **(known if multilingual else {}),
    )
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(feature_size=16, chunk_length=2), tokenizer).save_pretrained(folder)
    return folder


def llm(folder: Path, seed: int = 0, template: str | None = CHAT_TEMPLATE) -> Path:
    """A Qwen2 that chats, byte by byte, in `folder`, whose own generation settings sample and penalise."""
    import torch
    from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    tokenizer = tiny_models.byte_tokenizer()
    tokenizer.chat_template = template
    config = Qwen2Config(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
        max_position_embeddings=2048,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(config)
    _spread(model)
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=0.7,
        top_p=0.5,
        repetition_penalty=1.5,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def pinned(folder: Path) -> str:
    """`folder@sha256:…`, as the error for a part that is not pinned says it."""
    import pytest

    from serxbench.adapters._parts import locate_part
    from serxbench.errors import AdapterError

    with pytest.raises(AdapterError, match="write: part: ") as raised:
        locate_part(str(folder), Path(), "part")
    found = re.search(r"write: part: (\S+)$", str(raised.value))
    assert found is not None
    return found[1]


def _spread(model: Any) -> None:
    """Larger weights than the default initialisation, so that different clips give different answers."""
    import torch

    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.35)
