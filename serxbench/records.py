"""The data types that travel between the stages: frozen, one JSON line each, standard library only.

A field that does not apply is None. No number, empty string or class ever stands for "none".
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

#: Why generation ended: the model said so, the token limit, a provider's filter, or it never finished.
Stop = Literal["end", "length", "filtered", "error"]

#: What became of an answer. Only `ok` carries a label.
#: empty: nothing was said. refused: the model declined to answer. off_format: text that commits to no emotion.
#: truncated: cut by the token limit before it committed to one. error: there is no answer (the reason is kept).
Status = Literal["ok", "empty", "refused", "off_format", "truncated", "error"]

STATUSES: tuple[Status, ...] = get_args(Status)


class JsonRecord:
    """A dataclass that is one line of a JSONL file; fields that are None are left out of the line."""

    __slots__ = ()

    def to_json(self) -> str:
        """One line without the newline. Non-ASCII text is kept readable."""
        return _encode(_present(self))

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        """The record of a decoded line. Raises TypeError for missing or unknown fields."""
        return cls(**row)


@functools.cache
def _fields(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def _present(record: JsonRecord) -> dict[str, Any]:
    kind: Any = type(record)
    return {name: value for name in _fields(kind) if (value := getattr(record, name)) is not None}


def _plain(value: Any) -> Any:
    """What the json module asks for where it knows no type: records in records, and paths."""
    if isinstance(value, JsonRecord):
        return _present(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a record cannot hold a {type(value).__name__}")


# One encoder for all lines: making one takes as long as a short line. A record cannot hold itself.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, default=_plain).encode


# Slots: a corpus holds a million of them.
@dataclass(frozen=True, kw_only=True, slots=True)
class Vote(JsonRecord):
    """What one annotator said of one utterance. Labels are the eight classes or `Other`.

    annotator: None where the corpus releases counts without identities.
    primary_text: the corpus's own words where they say more than the class ("Other-curious").
    """

    primary: str
    annotator: str | None = None
    secondary: tuple[str, ...] = ()
    primary_text: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance(JsonRecord):
    """One item of a corpus.

    audio: path of the clip; None when the corpus is only there to score answers made elsewhere.
    group: the coarser unit that items share (show, dialogue, session), for clustered statistics.
    consensus: the label that the corpus itself released, `X` for no agreement, None if it released none.
    """

    id: str
    audio: Path | None = None
    transcript: str | None = None
    speaker: str | None = None
    group: str | None = None
    split: str | None = None
    votes: tuple[Vote, ...] = ()
    consensus: str | None = None


@dataclass(frozen=True, kw_only=True)
class Prompt(JsonRecord):
    """A rendered prompt: `text` is what every model is asked, `sha256` is the hash of exactly that text.

    options: the lettered options that the text offers, in order; None in the open form.
    """

    name: str
    text: str
    sha256: str
    options: tuple[tuple[str, str], ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Decoding(JsonRecord):
    """How text is generated. The default is greedy; a checkpoint's own sampling settings are always overridden."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Response(JsonRecord):
    """What one model answered to one utterance.

    text: verbatim, None if there is no answer. error: the reason then.
    audio_seconds: length of the clip as it is on disk. truncated: the model heard only its beginning.
    note: what was done to the clip that a reader should know (cut, channels averaged, resampled).
    audio_sha256: hash of the mono 16 kHz samples that the clip was decoded to, shortened to 16 hex digits.
    probabilities: class → probability, from a model that gives them; they sum to 1 over the classes it was let choose.
    """

    id: str
    text: str | None = None
    stop: Stop
    error: str | None = None
    audio_seconds: float | None = None
    truncated: bool = False
    note: str | None = None
    audio_sha256: str | None = None
    probabilities: Mapping[str, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Parsed(JsonRecord):
    """What one answer commits to.

    word: the emotion word in the answer's own terms (an option letter is resolved to its option), if status is ok.
    transcript, rationale: those parts of the answer where it has them.
    parser: name of the parser. route: the rule that decided. span: the stretch of the answer that it decided on.
    error: why there is nothing to parse, or why an LLM's reading of it is unusable.
    probabilities: the response's, if it is taken at its word.
    """

    id: str
    status: Status
    word: str | None = None
    transcript: str | None = None
    rationale: str | None = None
    parser: str
    route: str | None = None
    span: str | None = None
    error: str | None = None
    probabilities: Mapping[str, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Prediction(JsonRecord):
    """The class that one answer was mapped to. No label without status `ok`.

    via: `table` if the word table lists the word, `llm` if a row that an LLM wrote does, `near` if it is like listed
    words; `unlisted` or `far` if none of this holds (label is then `Other`).
    probabilities: class → probability, where the model gives them.
    """

    id: str
    status: Status
    label: str | None = None
    word: str | None = None
    via: str | None = None
    probabilities: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if (self.label is not None) != (self.status == "ok"):
            raise ValueError(f"prediction {self.id}: label {self.label!r} with status {self.status!r}")


@dataclass(frozen=True, kw_only=True)
class Judgment(JsonRecord):
    """What a judge decided of two systems' explanations of one utterance, shown in one order.

    pair: the systems' letters in the order of the command. order: the letters as they were shown, as A and as B.
    form: `as written`, or what was taken off the texts (`markup+label+length`). emotion: the stratum.
    verdict: the letter of the better system, or `tie`; None unless the status is ok. confidence: 1 to 5, if given.
    evidence: what the judge says of the texts, in the order of `pair`. characters: their lengths as shown, likewise.
    text, repair_text: the judge's replies, verbatim; the second where it was asked again. error: why there is no
    verdict. served: the model's name as the server gave it.
    """

    id: str
    pair: str
    order: str
    form: str
    emotion: str
    status: Status
    verdict: str | None = None
    confidence: int | None = None
    evidence: tuple[str, str] | None = None
    characters: tuple[int, int]
    text: str | None = None
    repair_text: str | None = None
    error: str | None = None
    served: str | None = None

    def __post_init__(self) -> None:
        if (self.verdict is not None) != (self.status == "ok"):
            raise ValueError(f"judgment {self.id}: verdict {self.verdict!r} with status {self.status!r}")
