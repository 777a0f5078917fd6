"""The error tree. Every message says what was found, what was wanted and what to do.

SerxbenchError            exit code 1; the base of everything the harness raises on purpose
├── UsageError            exit code 2; the command line or the configuration asks for something that is not there
│   ├── UnknownName       no card, prompt, corpus, ... of that name (with the nearest right one)
│   └── SettingsError     serxbench.toml or an environment variable is malformed
├── DefinitionError       a model card, prompt or word table is malformed
├── CorpusError           a corpus cannot be read, or has not what the task needs
├── AudioError            one clip cannot be read (becomes that item's record, never ends a run)
├── AdapterError          a model cannot be loaded, or its inputs are not what they should be
├── BudgetSpent           an LLM may not be asked any more; what it has told is kept
├── RunError              a run folder cannot be used
│   ├── RunLocked         another process is writing it
│   ├── ManifestMismatch  it holds another run
│   └── MissingStage      the file that a stage needs has not been made yet
└── MetricError           arrays or votes that do not fit together
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SerxbenchError(Exception):
    """Base class; `exit_code` is what the command line exits with."""

    exit_code = 1


class UsageError(SerxbenchError):
    """The command line or the configuration asks for something that is not there."""

    exit_code = 2


class SettingsError(UsageError):
    """`serxbench.toml` or an environment variable is malformed."""


class UnknownName(UsageError):
    """No `kind` is called `name`; the message names the nearest of `known` and how to list them.

    >>> print(UnknownName("model card", "q2b", ["q2a", "nano"], "serxbench models"))
    no model card 'q2b'; did you mean 'q2a'? List them: serxbench models
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], listing: str | None = None) -> None:
        known = sorted(known)
        near = nearest(name, known)
        hint = f"; did you mean '{near}'?" if near else f"; there are: {', '.join(known) or 'none'}."
        super().__init__(f"no {kind} '{name}'{hint}" + (f" List them: {listing}" if listing else ""))


class DefinitionError(SerxbenchError):
    """A model card, prompt or word table is malformed."""


class CorpusError(SerxbenchError):
    """A corpus cannot be read, or has not what the task needs."""


class AudioError(SerxbenchError):
    """One clip cannot be read. A run writes it into that item's record and goes on."""


class AdapterError(SerxbenchError):
    """A model cannot be loaded, or its inputs are not what they should be."""


class BudgetSpent(SerxbenchError):
    """An LLM may not be asked any more. What it has told is kept; the same command goes on with a larger budget."""


class RunError(SerxbenchError):
    """A run folder cannot be used."""


class RunLocked(RunError):
    """Another process is writing this run."""


class ManifestMismatch(RunError):
    """The folder holds another run than the one asked for."""


class MissingStage(RunError):
    """The file that a stage needs has not been made yet, or is stale."""


class MetricError(SerxbenchError):
    """Arrays or votes that do not fit together."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The member of `known` that `name` most likely means, or None.

    Contained and containing names count too: `qwen2audio` has no small edit distance to `q2a`, but its letters do.

    >>> nearest("clsoed", ["open", "closed"]), nearest("qwen2audio", ["q2a", "nano"]), nearest("xyz", ["open"])
    ('closed', 'q2a', None)
    """
    lowered = {candidate.lower(): candidate for candidate in sorted(known)}
    found = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.55)
    if found:
        return lowered[found[0]]
    abbreviated = [c for c in lowered if len(c) > 1 and (_is_subsequence(c, name.lower()) or name.lower() in c)]
    return lowered[max(abbreviated, key=len)] if abbreviated else None


def _is_subsequence(short: str, long: str) -> bool:
    letters = iter(long)
    return short[0] == long[:1] and all(letter in letters for letter in short)
