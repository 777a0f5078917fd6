"""Speed and memory of full-size models with random weights, through the adapters and the engine that a run uses.

    python benchmarks/models.py                      all models, on the GPU
    python benchmarks/models.py q2a wavlm --tiny     at toy size, on a CPU: shows that the script works

Random weights say nothing of accuracy and everything of time and memory: the architecture is the real one, down to the
vocabulary. Answers are cut after 32 tokens, which random weights hardly ever end before. 256 clips of 2 to 11 s (mean
5.7 s, as MSP-Podcast has them) are written as WAV files, decoded, resampled and asked about in batches planned by
length; of small batches, eight are timed. For each batch size: utterances a second, the share of the time spent outside
the model's own forward passes, and the peak memory. A batch size that does not fit ends the row.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import soundfile
import torch

from serxbench.audio import SAMPLE_RATE
from serxbench.catalog import load_prompt
from serxbench.emotions import EMOTIONS
from serxbench.engines import plan_batches
from serxbench.engines.transformers import generate_batches
from serxbench.records import Decoding, Utterance

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from tiny_models import CHAT_TEMPLATE, byte_tokenizer

BATCH_SIZES = (1, 4, 16, 32, 64, 128)
N_NEW_TOKENS = 32

#: With small batches, fewer clips tell the rate as well.
_MOST_BATCHES = 8

#: Objects and the names of their methods that do a model's computing.
Computes = list[tuple[Any, str]]

_OMNI_TEMPLATE = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    "<|audio_bos|><|AUDIO|><|audio_eos|>{{ messages[0]['content'][1]['text'] }}<|im_end|>\n<|im_start|>assistant\n"
)


def main() -> None:
    """Prints a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", help=f"of {', '.join(BUILDERS)}; all if none is named")
    parser.add_argument("--tiny", action="store_true", help="toy sizes")
    parser.add_argument("--clips", type=int, default=256)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=BATCH_SIZES)
    chosen = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not chosen.tiny:
        sys.exit("no GPU here; --tiny shows that the script works")
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, {'toy' if chosen.tiny else 'full'} size, random weights")
    with tempfile.TemporaryDirectory() as folder:
        utterances = list(write_clips(Path(folder), chosen.clips))
        for model in chosen.models or BUILDERS:
            torch.manual_seed(0)
            try:
                with torch.device(device):
                    dtype = torch.float32 if device == "cpu" else torch.bfloat16
                    adapter, computes = BUILDERS[model](chosen.tiny, dtype)
            except ImportError as error:
                print(f"\n{model}: left out ({error})", flush=True)
                continue
            measure(model, adapter, computes, utterances, chosen.batch_sizes)
            del adapter, computes
            if device == "cuda":
                gc.collect()  # models are in cycles
                torch.cuda.empty_cache()


def write_clips(folder: Path, n: int) -> Iterator[Utterance]:
    """Clips of noise on disk; lengths as in MSP-Podcast."""
    random = np.random.default_rng(0)
    for number, seconds in enumerate(np.clip(random.gamma(5.5, 1.04, size=n), 2, 11)):
        path = folder / f"{number:04}.wav"
        soundfile.write(path, random.normal(scale=0.05, size=int(seconds * SAMPLE_RATE)), SAMPLE_RATE)
        yield Utterance(id=path.stem, audio=path)


def measure(name: str, adapter: Any, computes: Computes, utterances: list[Utterance], sizes: Any) -> None:
    """One line a batch size. computes: the methods whose time is the model's."""
    computing: list[float] = []
    for holder, method in computes:
        timed(holder, method, computing)
    prompt, decoding = load_prompt("closed", EMOTIONS), Decoding(max_new_tokens=N_NEW_TOKENS)
    cuda = torch.cuda.is_available()
    if cuda:
        print(f"\n{name}: {torch.cuda.memory_allocated() / 2**30:.1f} GiB of weights")
    else:
        print(f"\n{name}")
    print("  batch  utterances/s  outside the model  peak GiB")
    for size in sizes:
        asked = utterances[: size * _MOST_BATCHES]
        plan = plan_batches(asked, size)
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        for warm in (True, False):
            done = frozenset() if not warm else frozenset(sorted(plan.batches)[:-1])
            computing.clear()
            began, n_failed = time.perf_counter(), 0
            for batch in generate_batches(adapter, asked, plan, done, (prompt, decoding)):
                n_failed += len(batch.halved) + sum(response.stop == "error" for response in batch.responses)
            took = time.perf_counter() - began
        if n_failed:
            print(f"  {size:5}  does not fit")
            return
        peak = f"{torch.cuda.max_memory_allocated() / 2**30:8.1f}" if cuda else "     n/a"
        outside = 1 - sum(computing) / took
        print(f"  {size:5}  {len(asked) / took:12.2f}  {100 * outside:15.1f} %  {peak}", flush=True)


def timed(holder: Any, method: str, computing: list[float]) -> None:
    """Makes a method add its seconds, device included, to `computing`."""
    whole: Callable[..., Any] = getattr(holder, method)

    def measured(*given: Any, **named: Any) -> Any:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        began = time.perf_counter()
        found = whole(*given, **named)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        computing.append(time.perf_counter() - began)
        return found

    object.__setattr__(holder, method, measured)


def qwen2_audio(tiny: bool, dtype: torch.dtype) -> tuple[Any, Computes]:
    """Qwen2-Audio-7B."""
    from transformers import (
        Qwen2AudioConfig,
        Qwen2AudioForConditionalGeneration,
        Qwen2AudioProcessor,
        WhisperFeatureExtractor,
    )

    from serxbench.adapters.qwen2_audio import Qwen2Audio

    tokenizer = byte_tokenizer()
    mels = 16 if tiny else 128
    processor = Qwen2AudioProcessor(WhisperFeatureExtractor(mels), tokenizer, chat_template=CHAT_TEMPLATE)
    config = Qwen2AudioConfig(
        audio_config=_whisper_like(tiny, mels),
        text_config={"model_type": "qwen2", **_decoder(tiny), "vocab_size": 1000 if tiny else 156_032},
        audio_token_index=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
    )
    model = _random(Qwen2AudioForConditionalGeneration, config, dtype)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return Qwen2Audio(model, processor), [(model, "generate")]


def qwen2_5_omni(tiny: bool, dtype: torch.dtype) -> tuple[Any, Computes]:
    """The thinker of Qwen2.5-Omni-7B, its vision tower included as in a real run."""
    from transformers import (
        Qwen2_5OmniThinkerConfig,
        Qwen2_5OmniThinkerForConditionalGeneration,
        WhisperFeatureExtractor,
    )

    from serxbench.adapters._speech_processor import SpeechProcessor
    from serxbench.adapters.qwen2_5_omni import Qwen25Omni

    tokenizer = byte_tokenizer()
    mels, small = 16 if tiny else 128, {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 1}
    # The published sizes of the vision tower; the class's own defaults are three times as large.
    large = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16}
    sizes = _decoder(tiny) | ({} if tiny else {"hidden_size": 3584, "intermediate_size": 18_944})
    sizes |= {} if tiny else {"num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4}
    width = sizes["hidden_size"]
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6] if tiny else [16, 24, 24]}
    config = Qwen2_5OmniThinkerConfig(
        audio_config={**_whisper_like(tiny, mels), "output_dim": width},
        vision_config={**(small if tiny else large), "out_hidden_size": width, "fullatt_block_indexes": [0]},
        text_config={**sizes, "vocab_size": 1000 if tiny else 152_064, "rope_parameters": rope},
        audio_token_index=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
        vision_start_token_id=997,
        image_token_index=998,
        video_token_index=999,
    )
    model = _random(Qwen2_5OmniThinkerForConditionalGeneration, config, dtype)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    extractor = WhisperFeatureExtractor(mels, chunk_length=300)
    processor = SpeechProcessor(tokenizer=tokenizer, feature_extractor=extractor, chat_template=_OMNI_TEMPLATE)
    return Qwen25Omni(model, processor), [(model, "generate")]


def salmonn(tiny: bool, dtype: torch.dtype) -> tuple[Any, Computes]:
    """SALMONN-7B: greedy, the ears counted with the model."""
    from peft import LoraConfig, inject_adapter_in_model
    from tiny_salmonn import CONFIGS
    from transformers import LlamaConfig, LlamaForCausalLM, WhisperConfig, WhisperFeatureExtractor, WhisperModel

    from serxbench.adapters._salmonn.beats import Beats, BeatsConfig
    from serxbench.adapters._salmonn.fusion import Fusion, FusionSizes
    from serxbench.adapters._salmonn.model import Ears
    from serxbench.adapters.salmonn import Salmonn

    cfg: dict[str, Any] = dict(CONFIGS["official"].beats)
    if not tiny:
        cfg |= {"embed_dim": 512, "encoder_layers": 12, "encoder_embed_dim": 768, "encoder_ffn_embed_dim": 3072}
        cfg |= {"encoder_attention_heads": 12}
    beats = Beats(BeatsConfig(**{k: v for k, v in cfg.items() if k in BeatsConfig.__dataclass_fields__})).to(dtype)
    heard = _whisper_like(tiny, 80)
    whisper_config = WhisperConfig(**heard, decoder_layers=1, decoder_attention_heads=1, decoder_ffn_dim=32)
    whisper = _random(WhisperModel, whisper_config, dtype).get_encoder()
    llm_config = LlamaConfig(**_decoder(tiny), vocab_size=32_001)
    llm = _random(LlamaForCausalLM, llm_config, dtype)
    inject_adapter_in_model(LoraConfig(r=8, lora_alpha=32, target_modules=["q_proj", "v_proj"]), llm)
    inner = 64 if tiny else 768
    sizes = FusionSizes(
        speech=heard["d_model"],
        audio=cfg["encoder_embed_dim"],
        hidden=inner,
        inner=4 * inner,
        layers=2,
        queries=1,
        llm=llm_config.hidden_size,
    )
    ears = Ears(whisper, beats, Fusion(sizes).to(dtype)).eval()
    tokenizer = byte_tokenizer()
    tokenizer.bos_token = "<|im_start|>"
    llm.generation_config.eos_token_id = tokenizer.eos_token_id
    processor = SimpleNamespace(feature_extractor=WhisperFeatureExtractor(80), tokenizer=tokenizer)
    return Salmonn(ears, llm, processor), [(llm, "generate"), (ears, "forward")]


def wavlm(tiny: bool, dtype: torch.dtype) -> tuple[Any, Computes]:
    """WavLM-large with the head of the MSP-Podcast baseline."""
    from transformers import WavLMConfig, WavLMModel

    from serxbench.adapters import _classifier as classifier
    from serxbench.adapters import _msp_checkpoint as msp
    from serxbench.adapters.msp_ser import MspSer, Network

    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    large = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
    config = WavLMConfig(
        **(sizes if tiny else large), feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True
    )
    config.mask_time_prob = config.mask_feature_prob = 0.0
    width, encoder = config.hidden_size, _random(WavLMModel, config, dtype)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=dtype) * 0.02

    pool = {"sap_linear.weight": draw(width, width), "sap_linear.bias": draw(width), "attention": draw(width, 1)}
    head = {"fc.0.0.weight": draw(width, 2 * width), "fc.0.0.bias": draw(width), "fc.0.1.weight": draw(width)}
    head |= {"fc.0.1.bias": draw(width), "out.0.weight": draw(8, width), "out.0.bias": draw(8)}
    checkpoint = msp.MspCheckpoint(backbone=config, weights={}, labels=EMOTIONS, mean=0.0, std=0.05, max_seconds=12.0)
    network = Network(encoder=encoder, pool=pool, head=head)
    adapter = MspSer(network, checkpoint, classifier.read_policy(checkpoint.labels, {}), False)
    return adapter, [(network, "logits")]


def _random(kind: Any, config: Any, dtype: torch.dtype) -> Any:
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        return kind(config).eval()
    finally:
        torch.set_default_dtype(usual)


def _whisper_like(tiny: bool, mels: int) -> dict[str, int]:
    """The sizes of Whisper-large's encoder."""
    width, layers, heads = (64, 2, 2) if tiny else (1280, 32, 20)
    return {
        "d_model": width,
        "encoder_layers": layers,
        "encoder_attention_heads": heads,
        "encoder_ffn_dim": 4 * width,
        "num_mel_bins": mels,
    }


def _decoder(tiny: bool) -> dict[str, int]:
    """The sizes of a 7B decoder."""
    width, inner, layers, heads = (64, 128, 2, 2) if tiny else (4096, 11_008, 32, 32)
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "max_position_embeddings": 8192,
    }


BUILDERS = {"q2a": qwen2_audio, "q2.5o": qwen2_5_omni, "salmonn-7b": salmonn, "wavlm": wavlm}

if __name__ == "__main__":
    main()
