"""One sample of the training: what is heard, what is asked, and what is to be answered."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from serxbench.audio import SAMPLE_RATE, read_audio
from serxbench.errors import CorpusError
from serxbench.records import JsonRecord
from serxbench.sft.targets import Variant, target_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Part = Literal["train", "validation"]


@dataclass(frozen=True, kw_only=True)
class Sample(JsonRecord):
    """One sample. id: the corpus's name, a slash, and the utterance's id. audio: where the clip lies on this machine.

    prompt, question: the prompt's name and text. n_samples: of the waveform at 16 kHz, before any change of speed.
    """

    id: str
    part: Part
    audio: str
    audio_sha256: str
    n_samples: int
    prompt: str
    question: str
    emotion: str
    transcript: str
    rationale: str | None = None

    def target(self, variant: Variant) -> str:
        """The answer that is taught, in the composed form (NFC) that tokenizers bring text to."""
        reason = self.rationale if variant == "with-reason" else None
        return unicodedata.normalize("NFC", target_text(self.transcript, self.emotion, reason))

    def waveform(self, speed: float = 1.0) -> NDArray[np.float32]:
        """Mono float32 at 16 kHz, played at `speed`. Raises CorpusError if the clip is another by now."""
        import numpy as np

        clip = read_audio(Path(self.audio))
        if clip.sha256() != self.audio_sha256:
            raise CorpusError(
                f"{self.id}: its clip changed since the samples were built; start in another --out folder"
            )
        if speed == 1:
            return clip.waveform
        import soxr

        played = soxr.resample(clip.waveform, SAMPLE_RATE * speed, SAMPLE_RATE)
        return np.ascontiguousarray(played, dtype=np.float32)


def draw(choices: tuple[float, ...], *why: object) -> float:
    """One of `choices`, which the words `why` decide: the same ones draw the same, in any process and any order."""
    digest = hashlib.sha256("\0".join(map(str, why)).encode()).digest()
    return choices[int.from_bytes(digest[:8], "big") % len(choices)]
