"""What the adapters of classifiers share: logits → class and probabilities, under a policy that the card states.

Settings that every classifier's card may have:

    labels: {hap: Happy, …}    the model's own label → class or Other; obvious names need no entry
    extra: other | drop        labels that are none of the eight: kept as Other (default), or left out
    restrict: true | false     whether a closed question limits the choice to its options (default true)
    one_by_one: true | false   whether clips never share a batch, whatever the backbone allows (default false)

A choice that is left out takes no part in the softmax, so the rest is renormalised. `extra: other` is the default,
because a model that hears "none of these" has not said Neutral. `restrict: true` is, because a closed question puts the
same limit on every model; the open form has none. Classes of a corpus that a model does not know are not left out of
anything: it never answers them, and every item of theirs counts as wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from serxbench.adapters._generative import describe_clip
from serxbench.audio import SAMPLE_RATE, Clip
from serxbench.emotions import EMOTIONS, OTHER
from serxbench.errors import AdapterError, UnknownName
from serxbench.records import Decoding, Prompt, Response

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The settings that every classifier has.
SETTINGS = ("labels", "extra", "restrict", "one_by_one")

_CLASSES = (*EMOTIONS, OTHER)

#: Names that leave no doubt; a label such as `excited` is for the card to map.
_OBVIOUS = {
    "Angry": ("angry", "anger", "ang"),
    "Sad": ("sad", "sadness"),
    "Happy": ("happy", "happiness", "hap", "joy"),
    "Surprise": ("surprise", "surprised", "sur"),
    "Fear": ("fear", "fearful", "fea"),
    "Disgust": ("disgust", "disgusted", "dis"),
    "Contempt": ("contempt",),
    "Neutral": ("neutral", "neutrality", "neu"),
    OTHER: ("other", "others", "unknown", "<unk>"),
}
_CLASS_OF_NAME = {name: label for label, names in _OBVIOUS.items() for name in names}


@dataclass(frozen=True, kw_only=True)
class LabelPolicy:
    """What a classifier's outputs mean. classes: the class of each output, in the order of the logits."""

    classes: tuple[str, ...]
    drop_extra: bool = False
    restrict: bool = True

    def probabilities(self, logits: NDArray[np.float64], options: Sequence[tuple[str, str]] | None) -> dict[str, float]:
        """Class → probability over the classes that may be chosen, in the order of the eight and then Other.

        logits: (outputs,). options: of the closed prompt, None in the open form. Several outputs of one class are
        added. Raises AdapterError if no class is left to choose.
        """
        offered = {label for _, label in options or ()}
        allowed = np.array([self._may_choose(label, offered) for label in self.classes])
        if not allowed.any():
            known, wanted = ", ".join(dict.fromkeys(self.classes)), ", ".join(sorted(offered)) or "any"
            raise AdapterError(f"the model knows {known}, and none of them may be chosen (on offer: {wanted})")
        shares = np.zeros(len(self.classes))
        shares[allowed] = np.exp(logits[allowed] - logits[allowed].max())
        shares /= shares.sum()
        return {
            label: float(sum(share for share, own in zip(shares, self.classes, strict=True) if own == label))
            for label in _CLASSES
            if label in {own for own, may in zip(self.classes, allowed, strict=True) if may}
        }

    def _may_choose(self, label: str, offered: set[str]) -> bool:
        if self.drop_extra and label == OTHER:
            return False
        return not (self.restrict and offered) or label in offered


def read_policy(names: Sequence[str], settings: Mapping[str, Any]) -> LabelPolicy:
    """The policy for a model with the labels `names`, in the order of its logits.

    Raises AdapterError naming a label whose class nobody said, or a setting that is not what it may be.
    """
    given = settings.get("labels") or {}
    if not isinstance(given, Mapping):
        raise AdapterError(f"settings.labels must map the model's labels to classes; found {given!r}")
    for name, label in given.items():
        if name not in names:
            raise AdapterError(f"settings.labels: {UnknownName('label of the model', str(name), names)}")
        if label not in _CLASSES:
            raise AdapterError(f"settings.labels: {UnknownName('emotion class', str(label), _CLASSES)}")
    extra = settings.get("extra", "other")
    if extra not in ("other", "drop"):
        raise AdapterError(f"settings.extra must be 'other' or 'drop'; found {extra!r}")
    classes = tuple(given.get(name) or _obvious(name) for name in names)
    return LabelPolicy(classes=classes, drop_extra=extra == "drop", restrict=read_flag(settings, "restrict", True))


def _obvious(name: str) -> str:
    # Labels may be bilingual, with the English name last (emotion2vec).
    label = _CLASS_OF_NAME.get(name.rpartition("/")[2].strip().lower())
    if label is None:
        raise AdapterError(
            f"the model has a label '{name}'; say in the card which class it is: settings: {{labels: {{{name}: …}}}} "
            f"with one of {', '.join(_CLASSES)}"
        )
    return label


def read_flag(settings: Mapping[str, Any], name: str, default: bool) -> bool:
    """A setting that is true or false. Raises AdapterError."""
    value = settings.get(name, default)
    if not isinstance(value, bool):
        raise AdapterError(f"settings.{name} must be true or false; found {value!r}")
    return value


def check_settings(family: str, settings: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raises AdapterError for a setting that the family does not have."""
    for name in settings:
        if name not in known:
            raise AdapterError(f"{family}: {UnknownName('setting', str(name), known)}")


def read_id2label(found: object, where: str) -> tuple[str, ...]:
    """The labels in the order of the logits, from an `id2label` mapping. Raises AdapterError naming `where`."""
    if not isinstance(found, Mapping) or not found:
        raise AdapterError(f"{where}: id2label wanted, which says what each output means; found {found!r}")
    try:
        by_position = {int(position): str(name) for position, name in found.items()}
    except (TypeError, ValueError):
        raise AdapterError(f"{where}: the keys of id2label must be positions (0, 1, …); found {found!r}") from None
    if sorted(by_position) != list(range(len(found))):
        raise AdapterError(
            f"{where}: id2label must name the positions 0 … {len(found) - 1}; found {sorted(by_position)}"
        )
    return tuple(by_position[position] for position in range(len(by_position)))


class Classifier:
    """A loaded classifier; a family adds `logits`. See serxbench.adapters.Adapter.

    min_samples: the shortest clip of which anything reaches the classifier.
    """

    def __init__(self, policy: LabelPolicy, min_samples: int, max_seconds: float) -> None:
        self._policy = policy
        self._min_samples = min_samples
        self.min_seconds = min_samples / SAMPLE_RATE
        self.max_seconds = max_seconds

    def logits(self, waveforms: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """(clips, outputs); a clip's row does not depend on the other clips."""
        raise NotImplementedError

    def generate(self, ids: Sequence[str], clips: Sequence[Clip], prompt: Prompt, decoding: Decoding) -> list[Response]:
        """One response a clip, in the order given: the most probable class. The prompt counts only by its options."""
        fitting = [n for n, clip in enumerate(clips) if len(clip.waveform) >= self._min_samples]
        rows = self.logits([self._cut(clips[n]) for n in fitting]) if fitting else ()
        heard = dict(zip(fitting, rows, strict=True))
        return [self._response(ids[n], clip, heard.get(n), prompt) for n, clip in enumerate(clips)]

    def hear(self, clips: Sequence[Clip], prompt: Prompt) -> NDArray[np.float32]:
        """The logits of the model's own labels, shape (clips, labels)."""
        return np.asarray(self.logits([self._cut(clip) for clip in clips]), dtype=np.float32)

    def _cut(self, clip: Clip) -> NDArray[np.float32]:
        return clip.waveform[: int(self.max_seconds * SAMPLE_RATE)]

    def _response(self, id: str, clip: Clip, logits: NDArray[np.float64] | None, prompt: Prompt) -> Response:
        known = describe_clip(clip, self.max_seconds)
        if logits is None:
            wanted = f"the model needs at least {self.min_seconds:g} s"
            return Response(id=id, stop="error", error=f"clip of {clip.seconds:.3f} s is too short; {wanted}", **known)
        if not np.isfinite(logits).all():
            return Response(id=id, stop="error", error="the model's logits are not finite numbers", **known)
        probabilities = self._policy.probabilities(logits, prompt.options)
        answer = max(probabilities, key=lambda label: probabilities[label])
        return Response(id=id, text=answer, stop="end", probabilities=probabilities, **known)
