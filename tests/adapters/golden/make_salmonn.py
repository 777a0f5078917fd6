"""Computes the golden tensors of SALMONN with the authors' own code, which is not part of this project.

    python tests/adapters/golden/make_salmonn.py CHECKOUT --kaldi KALDI

takes a checkout of the branch `salmonn` of bytedance/SALMONN, and torchaudio's own compliance/kaldi.py. It
writes salmonn-NAME.npz beside this file for each configuration of tests/tiny_salmonn.py: at several durations BEATs'
features alone, the audio tokens, and the language model's logits for the next tokens.

The authors' code wants libraries of 2023. It runs under today's after four shims, all here and none in the reference:
names that transformers moved, torchaudio's filterbank, three methods of its BERT, and an object built from parts that
are here instead of downloads. The filterbank is one file of torchaudio, which needs none of the rest (an installed
torchaudio that does not fit torch breaks transformers); without `--kaldi`, transformers' own spectrogram stands in.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

#: Below the least, two in between, and one that is cut: Whisper hears 30 s officially, 10 s in the other configuration.
SECONDS = {"official": (0.7, 5.0, 12.0, 31.0), "other": (0.7, 5.0, 12.0)}
PROMPT = "USER: <Speech><SpeechHere></Speech> Describe the emotion of the speaker in one word.\nASSISTANT:"

#: What is kept, so that the files stay small: every so-manieth patch of BEATs, and the logits of the last places.
PATCH_STEP = 8
LAST_LOGITS = 8


def main() -> None:
    """Writes the files for the reference that the command line names."""
    import tiny_salmonn
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--kaldi", type=Path)
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    salmonn = import_reference(options.reference, options.kaldi)
    for name, config in tiny_salmonn.CONFIGS.items():
        with tempfile.TemporaryDirectory() as folder:
            model = build_reference(salmonn, tiny_salmonn.build(Path(folder), config), config)
            found: dict[str, Any] = {}
            for seconds in SECONDS[name]:
                with torch.inference_mode():
                    found |= compute(model, tiny_salmonn.clip(seconds, seed=3), f"{seconds:g}")
        path = options.out / f"salmonn-{name}.npz"
        np.savez_compressed(path, **found)
        print(path, path.stat().st_size, {key: value.shape for key, value in found.items()})


def compute(model: Any, waveform: np.ndarray, label: str) -> dict[str, np.ndarray]:
    """BEATs' features, audio tokens and last logits of one clip, prepared as the authors' data set does."""
    import torch

    extractor, tokenizer = model.extractor, model.llama_tokenizer
    # Their code reads audio as float64.
    waveform = waveform.astype(np.float64)[: extractor.n_samples]
    waveform = np.concatenate([waveform, np.zeros(max(0, 16_000 - len(waveform)))])
    spectrogram = extractor(waveform, sampling_rate=16_000, return_tensors="pt")["input_features"]
    raw = torch.from_numpy(waveform)[None]
    # Nothing is padding. Their folding of this mask fails where there are more patches than frames.
    mask = torch.zeros(1, len(waveform), dtype=torch.bool) if model.beats.input_patch_size == 16 else None
    beats, _ = model.beats.extract_features(raw, padding_mask=mask, feature_only=True)
    tokens, attention = model.encode_speech(spectrogram, raw_wav=raw, audio_padding_mask=mask)
    wrapped, attention = model.prompt_wrap(tokens, attention, [PROMPT], multi_prompt=True)
    begin = model.llama_model.model.model.embed_tokens(torch.tensor([[tokenizer.bos_token_id]]))
    embeds = torch.cat([begin, wrapped], dim=1)
    attention = torch.cat([attention[:, :1], attention], dim=1)
    logits = model.llama_model(inputs_embeds=embeds, attention_mask=attention, return_dict=True).logits
    return {
        f"beats-{label}": beats[0, ::PATCH_STEP].numpy(),
        f"tokens-{label}": tokens[0].numpy(),
        f"logits-{label}": logits[0, -LAST_LOGITS:].numpy(),
    }


def import_reference(folder: Path, kaldi: Path | None) -> Any:
    """The module models.salmonn of the reference, under shims."""
    import torch
    from transformers import modeling_utils, pytorch_utils

    # These two look for torchaudio, so they come before it seems to be installed.
    for name in ("transformers.audio_utils", "peft"):
        importlib.import_module(name)
    modeling_utils.apply_chunking_to_forward = pytorch_utils.apply_chunking_to_forward
    modeling_utils.prune_linear_layer = getattr(pytorch_utils, "prune_linear_layer", None)
    modeling_utils.find_pruneable_heads_and_indices = None
    package, compliance = types.ModuleType("torchaudio"), types.ModuleType("torchaudio.compliance")
    module = types.ModuleType("torchaudio.compliance.kaldi")
    sys.modules |= {each.__name__: each for each in (package, compliance, module)}
    package.compliance, compliance.kaldi = compliance, module  # type: ignore[attr-defined]
    if kaldi is None:
        module.fbank = kaldi_like_filterbank  # type: ignore[attr-defined]
    else:
        spec = importlib.util.spec_from_file_location("torchaudio_kaldi", kaldi)
        assert spec is not None
        assert spec.loader is not None
        real = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(real)
        module.fbank = real.fbank  # type: ignore[attr-defined]
    sys.path.insert(0, str(folder))
    import models.salmonn as reference  # type: ignore[import-not-found]
    from models.Qformer import BertPreTrainedModel  # type: ignore[import-not-found]

    BertPreTrainedModel.init_weights = lambda self: self.apply(self._init_weights)
    BertPreTrainedModel.get_head_mask = lambda self, mask, n, chunked=False: [None] * n
    BertPreTrainedModel.invert_attention_mask = lambda self, mask: (
        (1.0 - mask[:, None, None, :].to(torch.float32)) * torch.finfo(torch.float32).min
    )
    return reference


def kaldi_like_filterbank(waveform: Any, **settings: Any) -> Any:
    """torchaudio.compliance.kaldi.fbank with the settings that BEATs gives it."""
    import torch
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    wanted = {"num_mel_bins": 128, "sample_frequency": 16000, "frame_length": 25, "frame_shift": 10}
    assert settings == wanted, settings
    bank = mel_filter_bank(
        num_frequency_bins=257,
        num_mel_filters=128,
        min_frequency=20,
        max_frequency=8000,
        sampling_rate=16_000,
        norm=None,
        mel_scale="kaldi",
        triangularize_in_mel_space=True,
    )
    features = spectrogram(
        waveform[0].numpy(),
        window_function(400, "povey", periodic=False),
        frame_length=400,
        hop_length=160,
        fft_length=512,
        power=2.0,
        center=False,
        preemphasis=0.97,
        mel_filters=bank,
        log_mel="log",
        mel_floor=1.192092955078125e-07,
        remove_dc_offset=True,
        dtype=np.float64,
    )
    return torch.from_numpy(features.T)


def build_reference(salmonn: Any, folder: Path, config: Any) -> Any:
    """The authors' model around the tiny parts in `folder`, filled by their own loading calls."""
    import torch
    from models.modeling_llama import LlamaForCausalLM  # type: ignore[import-not-found]
    from models.modeling_whisper import WhisperModel  # type: ignore[import-not-found]
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import LlamaConfig, LlamaTokenizer, WhisperConfig, WhisperFeatureExtractor

    model = salmonn.SALMONN.__new__(salmonn.SALMONN)
    torch.nn.Module.__init__(model)
    model.beats_path, model.lora = "beats.pt", True
    model.use_speech_Qformer = model.window_level_Qformer = True
    model.second_per_window = model.second_stride = 0.333333
    model.extractor = WhisperFeatureExtractor.from_pretrained(folder / "whisper")
    model.llama_tokenizer = LlamaTokenizer.from_pretrained(folder / "vicuna")
    model.llama_tokenizer.add_special_tokens({"pad_token": "[PAD]"})

    model.speech_encoder = fill(
        WhisperModel(WhisperConfig.from_pretrained(folder / "whisper")), folder / "whisper"
    ).encoder
    model.ln_speech = torch.nn.LayerNorm(model.speech_encoder.config.d_model)
    beats = torch.load(folder / "beats.pt", weights_only=True)
    model.beats = salmonn.BEATs(salmonn.BEATsConfig(beats["cfg"]))
    model.beats.load_state_dict(beats["model"])
    model.ln_audio = torch.nn.LayerNorm(model.beats.cfg.encoder_embed_dim)
    model.speech_Qformer, model.speech_query_tokens = build_qformer(salmonn, model, config)

    llama = fill(LlamaForCausalLM(LlamaConfig.from_pretrained(folder / "vicuna")), folder / "vicuna")
    lora = LoraConfig(
        task_type=TaskType.CAUSAL_LM, r=8, lora_alpha=32, lora_dropout=0.1, target_modules=["q_proj", "v_proj"]
    )
    model.llama_model = get_peft_model(llama, lora)
    model.speech_llama_proj = torch.nn.Linear(config.qformer[0], llama.config.hidden_size)
    saved = torch.load(folder / "salmonn.pth", weights_only=True)["model"]
    check_keys(model.load_state_dict(saved, strict=False), saved)
    return model.eval()


def fill(model: Any, folder: Path) -> Any:
    """The model with the weights in `folder`; today's from_pretrained leaves the tables of old code empty."""
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    if not any(key.startswith("model.") for key in model.state_dict()):
        weights = {key.removeprefix("model."): value for key, value in weights.items()}
    found = model.load_state_dict(weights, strict=False)
    if lacking := [key for key in found.missing_keys if not key.endswith("inv_freq")]:
        raise SystemExit(f"{folder} has no {lacking}")
    return model


def build_qformer(salmonn: Any, model: Any, config: Any) -> tuple[Any, Any]:
    """Their Q-Former at the tiny sizes; the parts that their constructor deletes are deleted."""
    import torch

    hidden, inner, layers, queries = config.qformer
    bert = salmonn.BertConfig(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        intermediate_size=inner,
    )
    bert.encoder_width = model.speech_encoder.config.d_model + model.beats.cfg.encoder_embed_dim
    bert.add_cross_attention, bert.cross_attention_freq, bert.query_length = True, 1, queries
    qformer = salmonn.BertLMHeadModel(config=bert)
    qformer.bert.embeddings.word_embeddings = qformer.bert.embeddings.position_embeddings = None
    for layer in qformer.bert.encoder.layer:
        layer.output = layer.intermediate = None
    qformer.cls = None
    return qformer, torch.nn.Parameter(torch.zeros(1, queries, hidden))


def check_keys(result: Any, saved: dict[str, Any]) -> None:
    """Fails unless every trained weight came from the file and nothing but old buffers was left over."""
    strange = [key for key in result.unexpected_keys if not key.endswith(("rotary_emb.inv_freq", "position_ids"))]
    trained = ("speech_query", "ln_", "speech_Qformer", "speech_llama_proj")
    unfilled = [key for key in result.missing_keys if key.startswith(trained) or "lora_" in key]
    if strange or [key for key in unfilled if not key.endswith("position_ids")]:
        raise SystemExit(f"the tiny file and the reference do not fit: {strange}, {unfilled}, of {len(saved)} keys")


if __name__ == "__main__":
    main()
