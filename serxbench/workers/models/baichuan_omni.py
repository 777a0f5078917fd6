"""Baichuan-Omni-1.5 by its own code: transformers 4.45, flash-attn, a CUDA GPU; text answers, one clip at a time.

Source: github.com/baichuan-inc/Baichuan-Omni-1.5 (baichuan-omni/model, web_demo). What has to be right here:

- a text answer is asked for by `<B_SYS>{system}<C_Q>{question and sound}<C_A>`, with nothing between the parts;
- sound goes in as the path of a file, between two special tokens whose names come from the configuration's ids;
- the processor cuts the sound into windows of 30 s, all of which are heard. A file that it cannot read it only
  prints about, so the number of windows and of audio tokens is compared with what the clip must give;
- the configuration ships `use_cache: false` and an `eos_token_id` that is not the tokenizer's;
- the demo samples and penalises repetition; here decoding is what the request says, without penalty.

Settings of a card: `system`, the text of the system turn.
"""

from __future__ import annotations

import importlib
import json
import struct
from pathlib import Path
from typing import Any

SYSTEM, USER, ASSISTANT = "<B_SYS>", "<C_Q>", "<C_A>"
END = "<|endoftext|>"
DEFAULT_SYSTEM = "You are a helpful assistant."

#: 12.5 audio tokens a second in a context of 8,192.
MAX_SECONDS = 600.0
#: Less than a window of the Fourier transform and four encoder frames is no audio token at all.
MIN_SECONDS = 0.1


class AdapterError(Exception):
    """The model cannot be loaded, or its inputs are not what they should be; the client knows it by its name."""


def load(request: dict[str, Any]) -> BaichuanOmni:
    """The model in the request's folder. Raises AdapterError."""
    loading = request["loading"]
    if not request["trust_remote_code"]:
        raise AdapterError("Baichuan-Omni runs code that comes with its weights; give --trust-remote-code")
    if loading["prompt_style"] != "chat":
        raise AdapterError(f"baichuan_omni has no prompt style '{loading['prompt_style']}'; there is: chat")
    settings = loading["settings"]
    if unknown := sorted(set(settings) - {"system"}):
        raise AdapterError(f"baichuan_omni has no setting '{unknown[0]}'; there is: system")
    import torch
    import transformers

    check_packages(importlib.import_module("torchaudio"), transformers.__version__)
    folder = loading["folder"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder,
        trust_remote_code=True,
        torch_dtype=getattr(torch, loading["dtype"]),
        device_map={"": loading["device"]},
    )
    return BaichuanOmni(model.eval(), tokenizer, Path(request["scratch"]), settings.get("system", DEFAULT_SYSTEM))


def check_packages(torchaudio: Any, transformers_version: str) -> None:
    """Raises AdapterError if the model's own code could not load sound, or not run, with these versions."""
    if transformers_version.partition(".")[0] != "4":
        raise AdapterError(f"Baichuan-Omni's code is for transformers 4.45; found {transformers_version}")
    backends: list[str] = torchaudio.list_audio_backends() if hasattr(torchaudio, "list_audio_backends") else []
    if not backends or not hasattr(torchaudio, "info"):
        raise AdapterError(
            f"torchaudio {getattr(torchaudio, '__version__', '?')} cannot read files as Baichuan-Omni's code does "
            f"(backends: {', '.join(backends) or 'none'}); torchaudio 2.4.0 with soundfile or FFmpeg below 7 is wanted"
        )


class BaichuanOmni:
    """A loaded model as the server wants it."""

    max_seconds, min_seconds = MAX_SECONDS, MIN_SECONDS

    def __init__(self, model: Any, tokenizer: Any, scratch: Path, system: str) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._scratch = scratch
        self._system = system
        self._audio = model.config.audio_config
        model.config.use_cache = True
        self._end = check_tokens(tokenizer, model)
        model.bind_processor(tokenizer, training=False, relative_path="/")

    def answer(self, clips: list[Any], prompt: dict[str, Any], decoding: dict[str, Any]) -> list[dict[str, Any]]:
        """One answer a clip, each computed alone: positions of padded batches are not those of single clips."""
        return [self._answer(self._cut(clip), prompt["text"], decoding) for clip in clips]

    def hear(self, clips: list[Any], prompt: dict[str, Any]) -> Any:
        """The logits of the first answer token, shape (clips, vocabulary)."""
        import numpy as np
        import torch

        rows = []
        for clip in clips:
            inputs = self.build_inputs(self._cut(clip), prompt["text"])
            with torch.inference_mode():
                # The same inputs as in generation: positions begin at 1 in this model.
                prepared = self._model.prepare_inputs_for_generation(**inputs, use_cache=False)
                rows.append(self._model(**prepared).logits[0, -1].float().cpu().numpy())
        return np.stack(rows)

    def render(self, question: str, file: Path) -> str:
        """The text of one request, with the sound's file in it."""
        names = [self._audio.audio_start_token_id, self._audio.audio_end_token_id]
        start, end = self._tokenizer.convert_ids_to_tokens(names)
        sound = f"{start}{json.dumps({'path': str(file)})}{end}"
        return f"{SYSTEM}{self._system}{USER}{question}{sound}{ASSISTANT}"

    def build_inputs(self, waveform: Any, question: str) -> dict[str, Any]:
        """The model's keyword arguments for one clip. Raises AdapterError if they lack any of its sound."""
        file = self._scratch / "heard.wav"
        write_wav(file, waveform, self._audio.sampling_rate)
        try:
            # Always a list: a single string comes back as lists of numbers.
            found = self._model.processor([self.render(question, file)])
        except AssertionError as error:
            raise AdapterError("the model's processor could not read the sound; it prints why, see the log") from error
        wanted = count_tokens(len(waveform), self._audio)
        given = [] if found.audios is None else [int(length) for length in found.bridge_length]
        places = int((found.input_ids == self._audio.audio_pad_token_id).sum())
        if given != wanted or places != sum(wanted):
            raise AdapterError(
                f"the processor made {given} audio tokens a window and {places} places for them, where a clip of "
                f"{len(waveform)} samples gives {wanted}: the sound would not reach the model"
            )
        names = ("input_ids", "attention_mask", "audios", "encoder_length", "bridge_length")
        return {name: getattr(found, name).to(self._model.device) for name in names}

    def _cut(self, clip: Any) -> Any:
        return clip.waveform[: int(self.max_seconds * self._audio.sampling_rate)]

    def _answer(self, waveform: Any, question: str, decoding: dict[str, Any]) -> dict[str, Any]:
        import torch

        inputs = self.build_inputs(waveform, question)
        sampling: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if decoding["temperature"] > 0:
            sampling = {"do_sample": True, "temperature": decoding["temperature"], "top_p": 1.0, "top_k": 0}
            torch.manual_seed(decoding["seed"])
        with torch.inference_mode():
            tokens = self._model.generate(
                **inputs,
                tokenizer=self._tokenizer,
                stop_strings=[END],
                max_new_tokens=decoding["max_new_tokens"],
                min_new_tokens=1,
                num_beams=1,
                repetition_penalty=1.0,
                eos_token_id=self._end,
                pad_token_id=self._end,
                use_cache=True,
                **sampling,
            )
        row = tokens[0, inputs["input_ids"].shape[1] :].tolist()
        text = self._tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return {"text": text, "stop": "end" if self._end in row else "length"}


def check_tokens(tokenizer: Any, model: Any) -> int:
    """The id of the token that ends an answer. Raises AdapterError if a token of the chat format is none here."""
    end: int = tokenizer.convert_tokens_to_ids(END)
    if end != model.generation_config.eos_token_id:
        raise AdapterError(f"{END} is token {end} and answers end with {model.generation_config.eos_token_id}")
    for name in (SYSTEM, USER, ASSISTANT):
        if len(tokenizer.encode(name, add_special_tokens=False)) != 1:
            raise AdapterError(f"{name} is not one token of this tokenizer; wanted that of Baichuan-Omni-1.5")
    return end


def count_tokens(samples: int, audio: Any) -> list[int]:
    """How many audio tokens each 30 s window of a clip gives (12.5 a second); see processor_omni.py.

    A window shorter than the Fourier transform's, or than a token, is dropped by the processor.
    """
    window = audio.max_audio_seconds * audio.sampling_rate
    tokens = []
    for start in range(0, samples, window):
        length = min(window, samples - start)
        # A clip of one window is not split, so it is not sifted either.
        if samples > window and length < audio.n_fft:
            continue
        frames = min(window // audio.hop_length, length // audio.hop_length + 1)
        padding = 2 * (audio.kernel_size // 2) - audio.kernel_size
        encoded = (frames + padding + 1 + padding) // audio.stride_size + 1
        if encoded // audio.avg_pooler > 0:
            tokens.append(encoded // audio.avg_pooler)
    return tokens


def write_wav(file: Path, waveform: Any, rate: int) -> None:
    """The samples as a mono WAV file of 32-bit floats, which loses nothing."""
    data = waveform.astype("<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, 1, rate, rate * 4, 4, 32)
    fact = struct.pack("<I", len(waveform))
    chunks = b"".join(
        name + struct.pack("<I", len(body)) + body for name, body in ((b"fmt ", form), (b"fact", fact), (b"data", data))
    )
    file.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
