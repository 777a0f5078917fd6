"""Tiny checkpoints of the families beyond Qwen2-Audio, laid out as their hub repositories are."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from tiny_models import SYSTEM, byte_tokenizer, save_model

_TURN = "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
_END = (
    "{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

#: The parts of the families' templates that one question about one clip reaches.
QWEN2_5_OMNI_TEMPLATE = (
    f"{SYSTEM}{_TURN}{{% if part['type'] == 'audio' %}}<|audio_bos|><|AUDIO|><|audio_eos|>{{% else %}}{_END}"
)
QWEN3_OMNI_TEMPLATE = (
    f"{_TURN}{{% if part['type'] == 'audio' %}}<|audio_start|><|audio_pad|><|audio_end|>{{% else %}}{_END}"
)
AUDIO_FLAMINGO_3_TEMPLATE = f"{SYSTEM}{_TURN}{{% if part['type'] == 'audio' %}}<sound>{{% else %}}{_END}"

_CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

_DECODER = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}
_ENCODER = {
    "num_mel_bins": 16,
    "encoder_layers": 2,
    "encoder_attention_heads": 1,
    "encoder_ffn_dim": 64,
    "d_model": 32,
}
_BLIND = {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 1, "out_hidden_size": 64}
#: Names that the hub's configurations carry and the models look for, in sound too.
_VISION_TOKENS = {"vision_start_token_id": 9001, "image_token_id": 9002, "video_token_id": 9003}
_ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6]}


def qwen2_5_omni(folder: Path, seed: int = 0) -> Path:
    """A full Qwen2.5-Omni checkpoint: thinker under `thinker.`, something under `talker.`, a template in JSON."""
    import torch
    from transformers import Qwen2_5OmniConfig, Qwen2_5OmniForConditionalGeneration, WhisperFeatureExtractor

    tokenizer = byte_tokenizer((*_CHATML, "<|audio_bos|>", "<|AUDIO|>", "<|audio_eos|>"))
    thinker = {
        "audio_config": {**_ENCODER, "n_window": 20, "output_dim": 64, "max_source_positions": 200},
        "vision_config": {**_BLIND, "fullatt_block_indexes": [0]},
        "text_config": {**_DECODER, "vocab_size": len(tokenizer), "rope_parameters": _ROPE},
        "audio_token_index": tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
        **_VISION_TOKENS,
    }
    torch.manual_seed(seed)
    model = Qwen2_5OmniForConditionalGeneration(Qwen2_5OmniConfig(thinker_config=thinker, enable_audio_output=False))
    save_model(model, folder, [tokenizer.eos_token_id, tokenizer.pad_token_id], tokenizer.pad_token_id)
    _add_talker(folder)
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=16, chunk_length=3).save_pretrained(folder)
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": QWEN2_5_OMNI_TEMPLATE}))
    return folder


def qwen3_omni(folder: Path, seed: int = 0) -> Path:
    """A full Qwen3-Omni checkpoint with four experts, each expert a set of weights of its own as on the hub."""
    import torch
    from transformers import Qwen3OmniMoeConfig, Qwen3OmniMoeForConditionalGeneration, WhisperFeatureExtractor

    tokenizer = byte_tokenizer((*_CHATML, "<|audio_start|>", "<|audio_pad|>", "<|audio_end|>"))
    experts = {"moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2}
    thinker = {
        "audio_config": {**_ENCODER, "downsample_hidden_size": 8, "output_dim": 64},
        "vision_config": {**_BLIND, "deepstack_visual_indexes": [], "num_position_embeddings": 16},
        "text_config": {**_DECODER, **experts, "vocab_size": len(tokenizer), "rope_parameters": _ROPE},
        "audio_token_id": tokenizer.convert_tokens_to_ids("<|audio_pad|>"),
        **_VISION_TOKENS,
    }
    torch.manual_seed(seed)
    model = Qwen3OmniMoeForConditionalGeneration(Qwen3OmniMoeConfig(thinker_config=thinker, enable_audio_output=False))
    save_model(model, folder, [tokenizer.eos_token_id, tokenizer.pad_token_id], tokenizer.pad_token_id)
    _add_talker(folder)
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=16).save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(QWEN3_OMNI_TEMPLATE)
    return folder


def _add_talker(folder: Path) -> None:
    """Weights that no thinker has; they stand for the talker and the vocoder."""
    import safetensors.torch
    import torch

    path = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    safetensors.torch.save_file({**tensors, "talker.model.norm.weight": torch.ones(8)}, path, {"format": "pt"})


def audio_flamingo_3(folder: Path, seed: int = 0) -> Path:
    """An Audio Flamingo 3 with windows of 1 s, and of clips up to 3 s."""
    import torch
    from transformers import (
        AudioFlamingo3Config,
        AudioFlamingo3ForConditionalGeneration,
        AudioFlamingo3Processor,
        WhisperFeatureExtractor,
    )

    tokenizer = byte_tokenizer((*_CHATML, "<sound>"))
    config = AudioFlamingo3Config(
        audio_config={**_ENCODER, "model_type": "audioflamingo3_encoder", "max_source_positions": 50},
        text_config={**_DECODER, "model_type": "qwen2", "vocab_size": len(tokenizer)},
        audio_token_id=tokenizer.convert_tokens_to_ids("<sound>"),
    )
    torch.manual_seed(seed)
    model = AudioFlamingo3ForConditionalGeneration(config)
    save_model(model, folder, [tokenizer.eos_token_id, tokenizer.pad_token_id], tokenizer.pad_token_id)
    extractor = WhisperFeatureExtractor(feature_size=16, chunk_length=1, return_attention_mask=True)
    processor = AudioFlamingo3Processor(extractor, tokenizer, chat_template=AUDIO_FLAMINGO_3_TEMPLATE, max_audio_len=3)
    processor.save_pretrained(folder)
    return folder


def voxtral(folder: Path, seed: int = 0) -> Path:
    """A Voxtral whose tekken.json knows bytes and control tokens only."""
    import torch
    from transformers import VoxtralConfig, VoxtralForConditionalGeneration, WhisperFeatureExtractor

    # The processor insists on 24 for the audio token, and on chunks of 30 s.
    audio_token, control, pad, end = 24, 64, 11, 2
    config = VoxtralConfig(
        audio_config={**_ENCODER, "model_type": "voxtral_encoder", "encoder_layers": 1, "encoder_ffn_dim": 128},
        text_config={**_DECODER, "model_type": "llama", "head_dim": 32, "vocab_size": 256 + control},
        audio_token_id=audio_token,
    )
    torch.manual_seed(seed)
    model = VoxtralForConditionalGeneration(config)
    save_model(model, folder, [end], pad)
    WhisperFeatureExtractor(feature_size=16).save_pretrained(folder)
    (folder / "tekken.json").write_text(json.dumps(_tekken(audio_token, control)))
    return folder


def _tekken(audio_token: int, control: int) -> dict[str, Any]:
    """The file that mistral-common reads a tokenizer from: `control` special tokens, then the 256 bytes."""
    known = {0: "<unk>", 1: "<s>", 2: "</s>", 3: "[INST]", 4: "[/INST]", 11: "<pad>", 17: "[SYSTEM_PROMPT]"}
    known |= {18: "[/SYSTEM_PROMPT]", audio_token: "[AUDIO]", audio_token + 1: "[BEGIN_AUDIO]", 34: "[TRANSCRIBE]"}
    tools = {5: "[AVAILABLE_TOOLS]", 6: "[/AVAILABLE_TOOLS]", 7: "[TOOL_RESULTS]", 8: "[/TOOL_RESULTS]"}
    known |= tools | {9: "[TOOL_CALLS]", 10: "[IMG]", 12: "[IMG_BREAK]", 13: "[IMG_END]", 14: "[PREFIX]"}
    known |= {15: "[MIDDLE]", 16: "[SUFFIX]", 19: "[TOOL_CONTENT]"}
    return {
        "config": {
            "pattern": "[a-z]+|[^a-z]",
            "num_vocab_tokens": 256,
            "default_vocab_size": 256 + control,
            "default_num_special_tokens": control,
            "version": "v7",
        },
        "vocab": [
            {"rank": n, "token_bytes": base64.b64encode(bytes([n])).decode(), "token_str": None} for n in range(256)
        ],
        "special_tokens": [
            {"rank": n, "token_str": known.get(n, f"<SPECIAL_{n}>"), "is_control": True} for n in range(control)
        ],
        "audio": {
            "sampling_rate": 16_000,
            "frame_rate": 12.5,
            "audio_encoding_config": {"num_mel_bins": 16, "hop_length": 160, "window_size": 400},
            "chunk_length_s": 30.0,
        },
    }


def phi4_multimodal(folder: Path, seed: int = 0) -> Path:
    """A Phi-4-multimodal in the converted layout, with a speech adapter that changes every answer."""
    import torch
    from peft import LoraConfig, inject_adapter_in_model
    from transformers import Phi4MultimodalConfig, Phi4MultimodalFeatureExtractor, Phi4MultimodalForCausalLM

    tokenizer = byte_tokenizer(
        ("<|endoftext|>", "<|user|>", "<|end|>", "<|assistant|>", "<|audio|>", "<|image|>"), end="<|end|>"
    )
    ids = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("audio", "image")}
    conformer = {"ext_pw_out_channel": 32, "depthwise_separable_out_channel": 32, "nemo_conv_channels": 8}
    config = Phi4MultimodalConfig(
        **_DECODER,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.pad_token_id,
        eos_token_id=[tokenizer.pad_token_id, tokenizer.eos_token_id],
        pad_token_id=tokenizer.pad_token_id,
        audio_config={
            **conformer,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_blocks": 2,
            "num_attention_heads": 1,
            "input_size": 16,
            "audio_token_id": ids["audio"],
        },
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 1,
            "image_size": 28,
            "crop_size": 28,
            "image_token_id": ids["image"],
        },
    )
    torch.manual_seed(seed)
    model = Phi4MultimodalForCausalLM(config)
    save_model(model, folder, config.eos_token_id, tokenizer.pad_token_id)
    tokenizer.save_pretrained(folder)
    Phi4MultimodalFeatureExtractor(feature_size=16).save_pretrained(folder)
    targets = r".*layers.*((self_attn\.(qkv|o)_proj)|(mlp\.(gate_up|down)_proj))"
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=targets, init_lora_weights=False)
    inject_adapter_in_model(lora, model, "speech")
    save_adapter(model, folder / "speech-lora")
    return folder


def save_adapter(model: Any, folder: Path) -> None:
    """Saves the adapter `speech` of a model as peft does, under the names that peft gives."""
    import safetensors.torch
    from peft import get_peft_model_state_dict

    folder.mkdir()
    weights = get_peft_model_state_dict(model, adapter_name="speech", save_embedding_layers=False)
    tensors = {f"base_model.model.{name}": tensor for name, tensor in weights.items()}
    safetensors.torch.save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    model.peft_config["speech"].save_pretrained(folder)
