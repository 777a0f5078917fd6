"""The processor of an omni-modal checkpoint without its eyes: tokenizer, feature extractor and chat template.

The processor classes of these families insist on an image and a video processor, hence on torchvision; a benchmark on
speech shows its models neither.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serxbench.adapters._generative import check_audio_tokens, unloadable
from serxbench.errors import AdapterError


@dataclass(frozen=True, kw_only=True)
class SpeechProcessor:
    """What turns text and sound into a model's inputs. chat_template: a Jinja template, None if there is none."""

    tokenizer: Any
    feature_extractor: Any
    chat_template: str | None = None

    def render(self, content: list[dict[str, str]]) -> str:
        """The checkpoint's own template around one user turn, up to where the answer begins."""
        rendered: str = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=self.chat_template,
            add_generation_prompt=True,
            tokenize=False,
        )
        return rendered

    def placeholder(self, audio_token: int) -> str:
        """The text of the token that stands for sound. Raises AdapterError if the tokenizer has no such token."""
        token = self.tokenizer.convert_ids_to_tokens(audio_token)
        if token is None:
            raise AdapterError(f"the model's token for sound is {audio_token}; the tokenizer has {len(self.tokenizer)}")
        return str(token)

    def tokenize(self, text: str, audio_token: int, wanted: Any) -> dict[str, Any]:
        """Token ids and mask of a batch, padded on the left, of `text` with each clip's audio tokens in it.

        wanted: how many the encoder gives for each clip, integer tensor of shape (clips,). Raises AdapterError unless
        the tokens hold exactly as many: else the sound would not reach the model.
        """
        placeholder = self.placeholder(audio_token)
        if (places := text.count(placeholder)) != 1:
            raise AdapterError(f"the prompt has {places} places for the sound ({placeholder}); wanted one")
        texts = [text.replace(placeholder, placeholder * n) for n in wanted.tolist()]
        tokens = self.tokenizer(texts, padding=True, return_tensors="pt")
        check_audio_tokens((tokens["input_ids"] == audio_token).sum(-1), wanted)
        return {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}


def load_speech_processor(folder: Path, family: str, extractor: str) -> SpeechProcessor:
    """The processor in `folder`; `extractor` is the class of its feature extractor. Raises AdapterError."""
    import transformers

    try:
        return SpeechProcessor(
            tokenizer=transformers.AutoTokenizer.from_pretrained(folder),
            feature_extractor=getattr(transformers, extractor).from_pretrained(folder),
            chat_template=_read_template(folder),
        )
    except Exception as error:
        raise unloadable(folder, family, error) from error


def _read_template(folder: Path) -> str | None:
    """The processor's template. The tokenizer's own, which knows nothing of sound, only if there is no other."""
    newer, older = folder / "chat_template.jinja", folder / "chat_template.json"
    if newer.is_file():
        return newer.read_text(encoding="utf-8")
    return str(json.loads(older.read_text(encoding="utf-8"))["chat_template"]) if older.is_file() else None
