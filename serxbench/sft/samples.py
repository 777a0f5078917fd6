"""The samples of a training: what is heard, what is asked, and what is to be answered."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The samples, shuffled, and how they came to be. left_out: corpus → reason → count."""

    samples: tuple[Sample, ...]
    left_out: Mapping[str, Mapping[str, int]]
    n_held_out: int
    n_unknown_speakers: int

    def part(self, name: Part) -> list[Sample]:
        """The samples of one part."""
        return [sample for sample in self.samples if sample.part == name]

    def sha256(self) -> str:
        """The hash of the samples, wherever their clips lie."""
        digest = hashlib.sha256()
        for sample in self.samples:
            digest.update((replace(sample, audio="").to_json() + "\n").encode())
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """What the model's card says of its data."""
        return {
            "samples_sha256": self.sha256(),
            "n_train": len(self.part("train")),
            "n_validation": len(self.part("validation")),
            "n_held_out_clips": self.n_held_out,
            "n_unknown_speakers": self.n_unknown_speakers,
            "emotions": dict(sorted(Counter(sample.emotion for sample in self.part("train")).items())),
            "hours": round(sum(sample.n_samples for sample in self.part("train")) / SAMPLE_RATE / 3600, 3),
            "left_out": {name: dict(reasons) for name, reasons in self.left_out.items()},
        }


def draw(choices: tuple[float, ...], *why: object) -> float:
    """One of `choices`, which the words `why` decide: the same ones draw the same, in any process and any order."""
    digest = hashlib.sha256("\0".join(map(str, why)).encode()).digest()
    return choices[int.from_bytes(digest[:8], "big") % len(choices)]


def write_samples(pool: Pool) -> str:
    """The text of samples.jsonl: a header line with the counts, then one line a sample."""
    header = {
        "left_out": {name: dict(reasons) for name, reasons in pool.left_out.items()},
        "n_held_out": pool.n_held_out,
        "n_unknown_speakers": pool.n_unknown_speakers,
    }
    return json.dumps(header) + "\n" + "".join(sample.to_json() + "\n" for sample in pool.samples)


def read_samples(text: str) -> Pool:
    """The pool that write_samples wrote."""
    header, *lines = text.splitlines()
    return Pool(samples=tuple(Sample.from_dict(json.loads(line)) for line in lines), **json.loads(header))
