"""The architecture, tokenizer and processor of `nano`: a real Qwen2-Audio of about three million parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import nn
from transformers import (
    GenerationConfig,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    Qwen2TokenizerFast,
    WhisperFeatureExtractor,
)
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")

#: The longest clip that the model hears; the processor cuts the rest.
CHUNK_SECONDS = 6
N_MELS = 80
WIDTH = 192
#: Three heads of 64: vLLM's attention kernels refuse 16.
N_HEADS = 3
N_LAYERS = 3
VOCABULARY = 1_000


def build_processor(texts: Iterable[str]) -> Qwen2AudioProcessor:
    """The processor with a byte-level BPE trained on `texts`, and the chat template that the class carries."""
    extractor = WhisperFeatureExtractor(feature_size=N_MELS, chunk_length=CHUNK_SECONDS)
    return Qwen2AudioProcessor(feature_extractor=extractor, tokenizer=_build_tokenizer(texts))


def _build_tokenizer(texts: Iterable[str]) -> Qwen2TokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL_TOKENS), initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    return Qwen2TokenizerFast(
        tokenizer_object=bpe,
        unk_token="<|endoftext|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=[*SPECIAL_TOKENS[1:]],
        model_max_length=512,
        padding_side="left",
    )


def build_model(processor: Qwen2AudioProcessor) -> Qwen2AudioForConditionalGeneration:
    """A freshly initialised model with sinusoidal encoder positions (they stay frozen, as in Whisper)."""
    ids = processor.tokenizer.convert_tokens_to_ids
    end, padding = ids("<|im_end|>"), ids("<|endoftext|>")
    config = Qwen2AudioConfig(
        audio_config=_audio_config(),
        text_config=_text_config(len(processor.tokenizer), end, padding),
        audio_token_index=ids("<|AUDIO|>"),
    )
    model = Qwen2AudioForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        eos_token_id=[end, padding], pad_token_id=padding, do_sample=False, max_new_tokens=128
    )
    _initialise(model)
    return model


def _initialise(model: Qwen2AudioForConditionalGeneration) -> None:
    """Wider than the library's standard deviation of 0.02, which is made for a width of thousands.

    With 0.02 the convolutions' output drowns in the positions and the encoder needs hundreds of steps to hear anything.
    """
    tower = model.model.audio_tower
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    for convolution in (tower.conv1, tower.conv2):
        nn.init.kaiming_normal_(convolution.weight)
    nn.init.normal_(model.model.language_model.embed_tokens.weight, std=0.1)
    with torch.no_grad():
        tower.embed_positions.weight.copy_(0.3 * _sinusoids(*tower.embed_positions.weight.shape))


def _audio_config() -> dict[str, Any]:
    return {
        "model_type": "qwen2_audio_encoder",
        "num_mel_bins": N_MELS,
        "d_model": WIDTH,
        "encoder_layers": N_LAYERS,
        "encoder_attention_heads": N_HEADS,
        "encoder_ffn_dim": 4 * WIDTH,
        "max_source_positions": 50 * CHUNK_SECONDS,
        "dropout": 0.1,
        "activation_function": "gelu",
        "scale_embedding": False,
    }


def _text_config(vocabulary: int, end: int, padding: int) -> dict[str, Any]:
    return {
        "model_type": "qwen2",
        "vocab_size": vocabulary,
        "hidden_size": WIDTH,
        "intermediate_size": 512,
        "num_hidden_layers": N_LAYERS,
        "num_attention_heads": N_HEADS,
        "num_key_value_heads": N_HEADS,
        "max_position_embeddings": 1_024,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": end,
        "pad_token_id": padding,
    }


def _sinusoids(length: int, channels: int) -> torch.Tensor:
    decay = torch.exp(-torch.arange(channels // 2) * (torch.log(torch.tensor(10_000.0)) / (channels // 2 - 1)))
    angles = torch.arange(length)[:, None] * decay[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=1)
