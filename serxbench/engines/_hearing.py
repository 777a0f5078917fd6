"""Proof that the sound reaches a model: the same clips, then silence, then other utterances' sound in their place.

A model that gives the same numbers for all three answers from the prompt alone; its scores would look normal. Lengths
are kept, so that a prompt with the right number of audio tokens and no sound behind them is caught too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from serxbench.adapters import Adapter
from serxbench.audio import SAMPLE_RATE, Clip, read_ahead
from serxbench.engines import UNREADABLE, Asked
from serxbench.errors import AdapterError
from serxbench.records import Prompt

#: Clips on which a model has to show that it hears.
PROBE_CLIPS = 4

#: A change below this share of the spread of a clip's own numbers is none. A deaf model computes the same numbers from
#: the same inputs, to the last bit on most machines.
_ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True)
class Hearing:
    """What was found, for the run's record.

    moved_by_silence, moved_by_another: the least change over the clips, as a share of the spread (largest minus
    smallest number) of the clip's own logits.
    """

    n_clips: int
    moved_by_silence: float
    moved_by_another: float


def check_hearing(adapter: Adapter, clips: Sequence[Clip], prompt: Prompt) -> Hearing | None:
    """What silence and another's sound do to the numbers of a model; None if it shows none, or there is no sound.

    clips: a few of the run's own. Silent ones and those too short for the model are passed over.
    Raises AdapterError if the numbers of a clip do not move: the model does not hear it.
    """
    long_enough = [clip for clip in clips if len(clip.waveform) >= adapter.min_seconds * SAMPLE_RATE]
    audible = [clip for clip in long_enough if float(np.abs(clip.waveform).max(initial=0.0)) > 0.001]
    if not audible:
        return None
    as_it_is = adapter.hear(audible, prompt)
    if as_it_is is None:
        return None
    silence = adapter.hear([replace(clip, waveform=np.zeros_like(clip.waveform)) for clip in audible], prompt)
    moved_by_silence = _moved(as_it_is, silence)
    moved_by_another = _moved(as_it_is, adapter.hear(_exchanged(audible), prompt))
    found = Hearing(
        n_clips=len(audible),
        moved_by_silence=round(float(moved_by_silence.min()), 6),
        moved_by_another=round(float(moved_by_another.min()), 6),
    )
    for what, moved in (("silence", moved_by_silence), ("another utterance's sound", moved_by_another)):
        if (n_deaf := int((moved < _ROUNDING).sum())) > 0:
            raise AdapterError(
                f"the model does not hear: with {what} in place of {n_deaf} of {len(audible)} clips, what it is about "
                "to answer stays the same. The audio is lost between the processor and the model (a wrong keyword, a "
                "mask, a placeholder), so no answer of this run would be about the sound; the run was stopped"
            )
    return found


def prove_hearing(adapter: Adapter, asked: Asked, n_clips: int) -> None:
    """check_hearing on a few clips of the run, spread over their lengths; what was found is noted with the timings.

    n_clips: as many as the model takes at once, four at most. Raises AdapterError if the model is deaf.
    """
    plan = asked.plan
    planned = [n for number, batch in plan.batches.items() if number != UNREADABLE for n in batch]
    by_length = sorted(planned, key=lambda n: (plan.seconds[n], n))
    n_clips = min(n_clips, PROBE_CLIPS)
    chosen = [by_length[n * len(by_length) // n_clips] for n in range(n_clips)] if by_length else []
    paths = [path for n in dict.fromkeys(chosen) if (path := asked.utterances[n].audio)]
    clips = [clip for clip in read_ahead(paths) if isinstance(clip, Clip)]
    found = check_hearing(adapter, clips, asked.prompt)
    if found is not None:
        asked.note({"event": "heard", **asdict(found)})


def _exchanged(clips: Sequence[Clip]) -> list[Clip]:
    """Each clip with the sound of the next one that sounds different, repeated or cut to its own length.

    A clip that no other differs from runs backwards.
    """
    exchanged = []
    for n, clip in enumerate(clips):
        others = (np.resize(other.waveform, len(clip.waveform)) for other in (*clips[n + 1 :], *clips[:n]))
        different = (waveform for waveform in others if not np.array_equal(waveform, clip.waveform))
        backwards = np.ascontiguousarray(clip.waveform[::-1])
        exchanged.append(replace(clip, waveform=next(different, backwards)))
    return exchanged


def _moved(numbers: NDArray[np.float32], others: NDArray[np.float32] | None) -> NDArray[np.float64]:
    """The largest change of each clip's numbers, as a share of their spread."""
    assert others is not None
    finite = np.isfinite(numbers) & np.isfinite(others)
    change = np.abs(np.where(finite, numbers, 0.0) - np.where(finite, others, 0.0)).max(axis=1)
    spread = np.where(finite, numbers, -np.inf).max(axis=1) - np.where(finite, numbers, np.inf).min(axis=1)
    return np.asarray(change / np.maximum(spread, 1e-12))
