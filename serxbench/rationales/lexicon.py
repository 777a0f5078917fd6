"""The phrases that the rules look for, from `lexicon.tsv`."""

from __future__ import annotations

import functools
import re
from importlib import resources

from serxbench.errors import DefinitionError

_FILE = "lexicon.tsv"


def patterns(name: str) -> str:
    """The patterns of one list as alternatives, without word boundaries. Raises KeyError.

    >>> re.search(patterns("name Sad"), "a sadder voice")[0]
    'sadder'
    """
    return _lists()[name]


def has_list(name: str) -> bool:
    """Whether there is such a list."""
    return name in _lists()


def compiled(*names: str) -> re.Pattern[str]:
    """What matches any pattern of these lists at word boundaries."""
    return re.compile(rf"\b(?:{'|'.join(map(patterns, names))})(?!\w)")


@functools.cache
def _lists() -> dict[str, str]:
    """List → its patterns as alternatives. Raises DefinitionError naming the line."""
    found: dict[str, list[str]] = {}
    text = resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#"):
            continue
        name, tab, pattern = line.partition("\t")
        try:
            re.compile(pattern)
        except re.error as error:
            raise DefinitionError(f"{_FILE}:{number}: is no regular expression ({error})") from error
        if not (name and tab and pattern):
            raise DefinitionError(f"{_FILE}:{number}: wanted a list and a pattern with a tab between them")
        found.setdefault(name, []).append(pattern)
    return {name: "|".join(parts) for name, parts in found.items()}
