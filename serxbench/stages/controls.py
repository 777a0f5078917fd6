"""Control runs: the same questions with the sound taken away, exchanged, or replaced by the words that were spoken.

A system's score means something only beside these: what it scores on silence it owes to the prompt and its priors, on
shuffled sound to the corpus's shares, on the transcript to the words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np

from serxbench.adapters import Adapter
from serxbench.audio import Clip
from serxbench.errors import AdapterError, CorpusError, UnknownName
from serxbench.records import Decoding, Prompt, Response, Utterance

Control = Literal["silence", "shuffle", "transcript"]

CONTROLS: tuple[Control, ...] = get_args(Control)


def as_control(name: str | None) -> Control | None:
    """`name` as a control, None for a run that is none. Raises UnknownName."""
    if name is None or name in CONTROLS:
        return name
    raise UnknownName("control", name, CONTROLS)


def control_id(control: Control | None) -> str | None:
    """What the manifest says of a control: its name, for transcripts that of the wording they are asked with."""
    from serxbench.adapters._cascade import TRANSCRIPT_STYLE

    return TRANSCRIPT_STYLE if control == "transcript" else control


def shuffle_sound(utterances: Sequence[Utterance]) -> tuple[Utterance, ...]:
    """Each utterance with another one's clip. Raises CorpusError with fewer than two clips.

    Utterances stand in a ring in the order of the hashes of their ids, and each takes the clip of the next: none keeps
    its own, and neither the corpus's order nor chance has a part in it.
    """
    ring = sorted((n for n, u in enumerate(utterances) if u.audio is not None), key=lambda n: _place(utterances[n].id))
    if len(ring) < 2:
        raise CorpusError("--control shuffle needs at least two utterances with audio")
    donors = dict(zip(ring, [*ring[1:], ring[0]], strict=True))
    return tuple(
        replace(utterance, audio=utterances[donors[n]].audio) if n in donors else utterance
        for n, utterance in enumerate(utterances)
    )


def _place(id: str) -> str:
    return hashlib.sha256(id.encode()).hexdigest()


class SilentAdapter:
    """An adapter that gives its model silence of every clip's length; see serxbench.adapters.Adapter."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter: Any = adapter
        self.max_seconds = adapter.max_seconds
        self.min_seconds = adapter.min_seconds
        self.prepares_ahead = getattr(adapter, "prepares_ahead", False)
        if hasattr(adapter, "tune"):
            self.tune = adapter.tune

    def prepare(self, clips: Sequence[Clip], prompt: Prompt) -> Any:
        """What the model's adapter makes of silence."""
        return self._adapter.prepare(_silenced(clips), prompt)

    def generate(
        self, ids: Sequence[str], clips: Sequence[Clip], prompt: Prompt, decoding: Decoding, **prepared: Any
    ) -> list[Response]:
        """The responses to silence; their audio hash is that of silence."""
        responses: list[Response] = self._adapter.generate(ids, _silenced(clips), prompt, decoding, **prepared)
        return responses

    def weigh(self, ids: Sequence[str], clips: Sequence[Clip], prompt: Prompt, **prepared: Any) -> Any:
        """What the options' letters get with silence."""
        return self._adapter.weigh(ids, _silenced(clips), prompt, **prepared)

    def hear(self, clips: Sequence[Clip], prompt: Prompt) -> None:
        """None: there is nothing to hear."""


def _silenced(clips: Sequence[Clip]) -> list[Clip]:
    return [replace(clip, waveform=np.zeros_like(clip.waveform)) for clip in clips]


class ReadingAdapter:
    """An adapter that gives its model the reference transcript in place of the clip; see serxbench.adapters.Adapter.

    transcripts: id → what was said. An utterance without one has no answer.
    """

    def __init__(self, adapter: Adapter, transcripts: Mapping[str, str]) -> None:
        read = getattr(adapter, "read", None)
        if read is None:
            raise AdapterError(
                "--control transcript: this model takes no question without audio; run a text model on the transcripts"
            )
        self._read = read
        if hasattr(adapter, "tune"):
            self.tune = adapter.tune
        self._transcripts = transcripts
        self.max_seconds = float("inf")
        self.min_seconds = 0.0

    def generate(self, ids: Sequence[str], clips: Sequence[Clip], prompt: Prompt, decoding: Decoding) -> list[Response]:
        """The responses to the words alone."""
        known = [id for id in ids if self._transcripts.get(id)]
        texts = [self._transcripts[id] for id in known]
        answered = {response.id: response for response in (self._read(known, texts, prompt, decoding) if known else ())}
        missing = "the corpus has no transcript of it, which --control transcript needs"
        return [answered.get(id) or Response(id=id, stop="error", error=missing) for id in ids]

    def hear(self, clips: Sequence[Clip], prompt: Prompt) -> None:
        """None: there is nothing to hear."""
