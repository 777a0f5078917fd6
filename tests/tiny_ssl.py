"""Tiny SSL classifiers with random weights, in the published formats, through the real configuration classes.

The front end has the geometry of the real ones (a frame of 400 samples every 320), so 16,000 samples give 49 frames.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from serxbench.emotions import EMOTIONS

WIDTH = 16
MEAN, STD = -0.0004, 0.09

_SIZES: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 12,
}


def backbone_config(kind: str, norm: str = "layer", **more: Any) -> Any:
    """The configuration of a tiny `wavlm`, `wav2vec2`, `hubert`, … norm: `layer` as the large ones, or `group`."""
    from transformers import AutoConfig

    stable = norm == "layer"
    return AutoConfig.for_model(
        kind, **_SIZES, feat_extract_norm=norm, do_stable_layer_norm=stable, conv_bias=stable, **more
    )


def randomised(make: Callable[[], Any], seed: int) -> Any:
    """What `make` returns, its weights larger than by default so that different clips give different answers."""
    import torch

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = make()
        for parameter in model.parameters():
            # Large offsets would drown what the layers below say of a clip.
            spread = 2.0 / parameter[0].numel() ** 0.5 if parameter.dim() > 1 else 0.1
            parameter.add_(torch.randn(parameter.shape) * spread)
    return model.eval()


def backbone(folder: Path, kind: str = "wavlm", norm: str = "layer", seed: int = 0) -> Path:
    """A pretrained encoder without a head, as the hub has it."""
    from transformers import AutoModel, Wav2Vec2FeatureExtractor

    config = backbone_config(kind, norm)
    randomised(lambda: AutoModel.from_config(config), seed).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=norm == "layer", return_attention_mask=norm == "layer").save_pretrained(
        folder
    )
    return folder


def msp_parts(
    kind: str = "wavlm", norm: str = "layer", n_labels: int = 8, layers: int = 1, seed: int = 0
) -> dict[str, Any]:
    """`config` (of the encoder), and the state dicts `ssl`, `pool` and `ser` of a baseline."""
    import torch
    from transformers import AutoModel

    generator = torch.Generator().manual_seed(seed + 100)

    def draw(*shape: int) -> Any:
        return torch.randn(shape, generator=generator) * (1.5 / shape[-1] ** 0.5 if len(shape) > 1 else 0.3)

    config = backbone_config(kind, norm)
    encoder = randomised(lambda: AutoModel.from_config(config), seed)
    pool = {
        "sap_linear.weight": draw(WIDTH, WIDTH),
        "sap_linear.bias": draw(WIDTH),
        "attention": draw(1, WIDTH).T.clone(),
    }
    ser = {"out.0.weight": 3 * draw(n_labels, WIDTH), "out.0.bias": draw(n_labels)}
    for n in range(layers):
        ser |= {f"fc.{n}.0.weight": draw(WIDTH, WIDTH if n else 2 * WIDTH), f"fc.{n}.0.bias": draw(WIDTH)}
        ser |= {f"fc.{n}.1.weight": 1 + draw(WIDTH), f"fc.{n}.1.bias": draw(WIDTH)}
    return {"config": config, "ssl": dict(encoder.state_dict()), "pool": pool, "ser": ser}


def msp_hub(folder: Path, parts: Mapping[str, Any], labels: Sequence[str] = EMOTIONS, **config: Any) -> Path:
    """The hub's format without the mask token of training; its encoder's configuration lies beside it."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {f"{part}_model.{key}": value for part in ("ssl", "pool", "ser") for key, value in parts[part].items()}
    weights.pop("ssl_model.masked_spec_embed", None)
    save_file({key: value.clone().contiguous() for key, value in weights.items()}, folder / "model.safetensors")
    parts["config"].to_json_file(folder / "backbone.json", use_diff=False)
    said = {
        "model_type": "ser",
        "architectures": ["SERModel"],
        "auto_map": {"AutoModelForAudioClassification": "pipeline_utils.SERModel"},
        "ssl_type": "backbone.json",
        "num_classes": len(labels),
        "hidden_size": WIDTH,
        "classifier_hidden_layers": 1,
        "sampling_rate": 16000,
        "mean": MEAN,
        "std": STD,
        "maxlen": 192000,
        "id2label": {str(n): label for n, label in enumerate(labels)},
        **config,
    }
    (folder / "config.json").write_text(json.dumps(said), encoding="utf-8")
    return folder


def msp_three_files(folder: Path, parts: Mapping[str, Any], kind: str = "final") -> Path:
    """The format of the training script: three state dicts and a pickle of two NumPy floats."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    for part in ("ssl", "pool", "ser"):
        torch.save(parts[part], folder / f"{kind}_{part}.pt")
    (folder / "train_norm_stat.pkl").write_bytes(pickle.dumps((np.float32(MEAN), np.float32(STD))))
    parts["config"].to_json_file(folder / "config.json", use_diff=False)
    return folder


def audio_classifier(
    folder: Path, labels: Sequence[str] = EMOTIONS, kind: str = "wav2vec2", norm: str = "layer", **config: Any
) -> Path:
    """A fine-tuned classifier as save_pretrained writes it. norm `group`: no mask, as the base models have it."""
    from transformers import AutoModelForAudioClassification, Wav2Vec2FeatureExtractor

    named = {"id2label": dict(enumerate(labels)), "label2id": {label: n for n, label in enumerate(labels)}}
    whole = backbone_config(kind, norm, **named, **config)
    randomised(lambda: AutoModelForAudioClassification.from_config(whole), seed=3).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=norm == "layer", return_attention_mask=norm == "layer").save_pretrained(
        folder
    )
    return folder


def whisper_classifier(folder: Path, labels: Sequence[str] = EMOTIONS) -> Path:
    """A Whisper classifier with a window of two seconds."""
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForAudioClassification

    config = WhisperConfig(
        d_model=WIDTH,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=16,
        num_mel_bins=16,
        max_source_positions=100,
        classifier_proj_size=12,
        vocab_size=16,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        id2label=dict(enumerate(labels)),
        label2id={label: n for n, label in enumerate(labels)},
    )
    randomised(lambda: WhisperForAudioClassification(config), seed=3).save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=16, chunk_length=2).save_pretrained(folder)
    return folder


def probe(folder: Path, encoder: Path, seed: int = 0) -> Path:
    """A linear probe with random weights in `folder`, and its encoder in `encoder`."""
    from serxbench.adapters._frozen_features import FeatureSettings
    from serxbench.adapters.linear_probe import Probe
    from serxbench.hashing import hash_folder

    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    Probe(
        classes=EMOTIONS,
        weights=rng.normal(scale=0.1, size=(len(EMOTIONS), 2 * WIDTH)),
        intercepts=rng.normal(size=len(EMOTIONS)),
        mean=rng.normal(scale=0.1, size=2 * WIDTH),
        scale=rng.uniform(0.05, 0.2, size=2 * WIDTH),
        features=FeatureSettings(kind="ssl"),
        encoder=hash_folder(backbone(encoder)),
        fitted_on={},
    ).save(folder)
    return folder
