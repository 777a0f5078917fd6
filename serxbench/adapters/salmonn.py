"""SALMONN 7B and 13B: Whisper and BEATs, a window-level Q-Former, and Vicuna with LoRA, from the official files.

A native implementation: the authors' code is bound to libraries of 2023. What has to be right here, because getting it
wrong gives scores that look normal:

- the two halves of the prompt around the audio are tokenised apart, and `<Speech>` is plain text,
- clips are encoded one by one, without which the length of its neighbours changes a clip's answer,
- prompts are padded on the left and each row ends by itself; upstream's batches end with their first row,
- Vicuna's own generation settings sample; all of them are replaced,
- the number of audio tokens is the same for every clip, since Whisper's features always last 30 s,
- each weight of the official files has to find its place.

Upstream takes the first channel of a stereo file, and does not resample; the harness averages channels and resamples.

Settings of a card (serxbench.adapters._salmonn.parts says what each part may be):

    whisper, beats, llm, checkpoint     where the parts lie
    sha256: {beats: …, checkpoint: …}   what those files must hash to; not looked at if it is left out
    num_beams: 4                        beams of the search; 1, which is greedy, if it is left out

The authors search with 4 beams. Beams are for temperature 0; sampling uses one.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from serxbench.adapters import Loading
from serxbench.adapters._decoding import complete_generation_config
from serxbench.adapters._generative import Generative, check_prompt_style, unloadable
from serxbench.adapters._quiet import hush_transformers
from serxbench.audio import SAMPLE_RATE, Clip
from serxbench.errors import AdapterError, nearest
from serxbench.records import Decoding, Prompt, Response

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: A SALMONN has no config.json; only a card can name it.
MODEL_TYPES: tuple[str, ...] = ()

#: The prompt styles that a card of this family may name.
PROMPT_STYLES = ("user-assistant",)

#: Shorter clips are padded with silence up to this, as upstream does.
PADDED_SECONDS = 1.0

_SETTINGS = ("whisper", "beats", "llm", "checkpoint", "sha256", "num_beams")
_AUDIO = "<SpeechHere>"
_TEMPLATE = f"USER: <Speech>{_AUDIO}</Speech> {{instruction}}\nASSISTANT:"


def load(loading: Loading) -> Salmonn:
    """The adapter for the parts that `loading.settings` name. Raises AdapterError."""
    check_prompt_style("salmonn", loading.prompt_style, PROMPT_STYLES)
    num_beams = _num_beams(loading.settings)
    if not _is_installed("peft"):
        raise AdapterError("salmonn needs the package peft for its LoRA weights: pip install 'serxbench[lora]'")
    hush_transformers()
    import torch

    from serxbench.adapters._salmonn.model import load_model
    from serxbench.adapters._salmonn.parts import locate_parts

    parts = locate_parts(loading.settings, loading.folder)
    processor = SimpleNamespace(feature_extractor=_load_extractor(parts.whisper), tokenizer=_load_tokenizer(parts.llm))
    ears, llm = load_model(parts, dtype=getattr(torch, loading.dtype), device=loading.device)
    return Salmonn(ears, llm, processor, num_beams)


class Salmonn(Generative):
    """A loaded SALMONN; see serxbench.adapters.Adapter."""

    prepares_ahead = False

    def __init__(self, ears: Any, llm: Any, processor: Any, num_beams: int = 1) -> None:
        self._ears = ears
        self._num_beams = num_beams
        super().__init__(llm, processor, max_seconds=processor.feature_extractor.n_samples / SAMPLE_RATE)

    def render(self, prompt: Prompt) -> str:
        """The text for one clip, with `<SpeechHere>` where the audio tokens go."""
        return _TEMPLATE.format(instruction=prompt.text)

    def render_words(self, question: str) -> str:
        """The text for a question without sound."""
        return f"{self._processor.tokenizer.bos_token}USER: {question}\nASSISTANT:"

    def build_inputs(self, waveforms: Sequence[NDArray[np.float32]], prompt: Prompt) -> Any:
        """The language model's keyword arguments, the sound already in its place."""
        import torch

        from serxbench.adapters._salmonn.model import Row, join_rows

        before, after = (self._tokenize(half) for half in self.render(prompt).split(_AUDIO, maxsplit=1))
        before = [self._processor.tokenizer.bos_token_id, *before]
        with torch.inference_mode():
            rows = [Row(before=before, audio=self.listen(waveform), after=after) for waveform in waveforms]
            return join_rows(self._model, rows)

    def listen(self, waveform: NDArray[np.float32]) -> Any:
        """The audio tokens of one clip, shape (tokens, width of the language model)."""
        import torch

        extract = self._processor.feature_extractor
        waveform = np.pad(waveform, (0, max(0, int(PADDED_SECONDS * SAMPLE_RATE) - len(waveform))))
        with torch.inference_mode():
            mel = extract(waveform, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
            return self._ears(mel, torch.from_numpy(waveform))

    def _tokenize(self, text: str) -> list[int]:
        # Each half begins with SentencePiece's own space, as when the model was trained.
        tokens: list[int] = self._processor.tokenizer(text, add_special_tokens=False).input_ids
        return tokens

    def _response(self, id: str, clip: Clip, answer: tuple[str, bool] | None) -> Response:
        response = super()._response(id, clip, answer)
        if answer is None or len(clip.waveform) >= PADDED_SECONDS * SAMPLE_RATE:
            return response
        padded = f"padded with silence to {PADDED_SECONDS:g} s"
        return replace(response, note=", ".join(filter(None, (response.note, padded))))

    def _generation_config(self, decoding: Decoding) -> Any:
        num_beams = 1 if decoding.temperature > 0 else self._num_beams
        return complete_generation_config(decoding, self._end_tokens, self._pad_token, num_beams)


def _num_beams(settings: Mapping[str, Any]) -> int:
    """The beams that the card's settings ask for. Raises AdapterError for that and for settings that are none."""
    for key in settings:
        if key not in _SETTINGS:
            near = nearest(str(key), _SETTINGS)
            hint = f"did you mean '{near}'?" if near else f"there are: {', '.join(_SETTINGS)}"
            raise AdapterError(f"salmonn: the card's settings have '{key}', which is none; {hint}")
    found = settings.get("num_beams", 1)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise AdapterError(f"salmonn: settings.num_beams must be a whole number from 1 up; found {found!r}")
    return found


def _load_extractor(folder: Path) -> Any:
    from transformers import WhisperFeatureExtractor

    try:
        return WhisperFeatureExtractor.from_pretrained(folder)
    except Exception as error:
        raise unloadable(folder, "the feature extractor of Whisper", error) from error


def _load_tokenizer(folder: Path) -> Any:
    """Vicuna's tokenizer. Raises AdapterError."""
    from transformers import LlamaTokenizer

    # transformers would make do: with three words if there is no file, and with tiktoken if it cannot read one.
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        raise AdapterError(f"{folder}: has no tokenizer of a LLaMA (tokenizer.model or tokenizer.json)")
    packages = [] if (folder / "tokenizer.json").is_file() else ["sentencepiece", "google.protobuf"]
    if not all(map(_is_installed, packages)):
        raise AdapterError(
            f"{folder}: its tokenizer needs the packages sentencepiece and protobuf: pip install 'serxbench[lora]'"
        )
    try:
        tokenizer = LlamaTokenizer.from_pretrained(folder)
    except Exception as error:
        raise unloadable(folder, "the tokenizer of Vicuna", error) from error
    if tokenizer.bos_token_id is None:
        raise AdapterError(f"{folder}: its tokenizer names no token that begins a text (bos_token)")
    return tokenizer


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # the package that it lies in
        return False
