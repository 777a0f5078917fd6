"""What a corpus module says and returns; re-exported by serxbench.corpora."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from serxbench.emotions import EMOTIONS, NO_AGREEMENT
from serxbench.records import Utterance


@dataclass(frozen=True, kw_only=True)
class CorpusOption:
    """A choice that a corpus leaves to its user. choices: value → what it means; the first is the default."""

    name: str
    choices: Mapping[str, str]

    @property
    def default(self) -> str:
        """The value that holds when none is given."""
        return next(iter(self.choices))


@dataclass(frozen=True, kw_only=True)
class CorpusInfo:
    """What is known of a corpus before it is read.

    labels: its classes, a subset of the eight in their order. splits: empty if it has none of its own.
    individual_votes: it releases what each annotator said; without them, annotator-aware scores are n/a.
    consensus_is_plurality: the released consensus is the plurality of the released votes, so any other one is a fault.
    needs_root: `--data-root` must name its folder. upload_allowed: the licence lets its audio go to a third party.
    """

    name: str
    description: str
    licence: str
    labels: tuple[str, ...] = EMOTIONS
    splits: tuple[str, ...] = ()
    default_split: str | None = None
    options: tuple[CorpusOption, ...] = ()
    individual_votes: bool = True
    consensus_is_plurality: bool = False
    needs_root: bool = False
    upload_allowed: bool = False
    takes_path: bool = False


@dataclass(frozen=True, kw_only=True)
class CorpusRequest:
    """What `--data` and `--data-root` ask for.

    argument: the text after the colon, for corpora that take a path. options: a value for each of INFO.options.
    """

    split: str | None
    root: Path | None
    argument: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing in a corpus that is not what it should be.

    kind: one word for all of its sort (`missing_audio`, `malformed_row`, `unknown_label`, …).
    where: file and line, or the id. what: what was found, what was wanted and what became of it.
    """

    kind: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How often the plurality of the released votes is the released consensus, over the items that have both."""

    n_agree: int
    differing: tuple[str, ...] = ()

    @property
    def n_total(self) -> int:
        """The items compared."""
        return self.n_agree + len(self.differing)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a module read.

    utterances: all of the split; `audio` is None where the clip is not there. remarks: what a user should see before
    a run. faults: in the order found. labels: the classes under the options given, if not INFO.labels.
    agreement: of votes and consensus in the corpus's own labels, where mapping them to classes would change it.
    n_left_out: utterances that an option leaves out on purpose.
    """

    utterances: Sequence[Utterance]
    remarks: tuple[str, ...] = ()
    faults: Sequence[Fault] = ()
    labels: tuple[str, ...] | None = None
    agreement: Agreement | None = None
    n_left_out: int = 0


def plurality(labels: Iterable[str]) -> str:
    """The single most frequent label, or `X` where several are (or there is none): never one of several by order.

    >>> plurality(["Sad", "Happy", "Sad"]), plurality(["Sad", "Happy"]), plurality([])
    ('Sad', 'X', 'X')
    """
    first_two = Counter(labels).most_common(2)
    if not first_two or (len(first_two) == 2 and first_two[0][1] == first_two[1][1]):
        return NO_AGREEMENT
    return first_two[0][0]


def compare_pluralities(pairs: Iterable[tuple[str, Iterable[str], str]]) -> Agreement:
    """The agreement over (id, labels of the votes, released consensus)."""
    n_agree, differing = 0, []
    for id, labels, consensus in pairs:
        if plurality(labels) == consensus:
            n_agree += 1
        else:
            differing.append(id)
    return Agreement(n_agree=n_agree, differing=tuple(differing))
