"""Near-duplicates among rationales: exact Jaccard similarity of word trigrams, whatever the order of the file.

All rows are gone through in the order of a hash of their content, and a row stays if none that stayed before is like
it. So which row of a group stays depends on the rows and not on where they stand. Two sets can only be as similar as
asked if they share one of the rarest elements of each (prefix filter), which spares most comparisons and misses none.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence

from serxbench.rationales.prose import words_of

#: Two rationales with so large a share of their trigrams in common say the same of different clips.
DEFAULT_SIMILARITY = 0.8

#: What a product of a share and a count may be off by.
_ROUNDING = 1e-9

Shingles = frozenset[tuple[str, ...]]


def shingles(text: str) -> Shingles:
    """The word trigrams of a text; of a shorter one, all its words as one."""
    words = words_of(text)
    return frozenset(tuple(words[n : n + 3]) for n in range(max(1, len(words) - 2)))


def similarity(one: Shingles, other: Shingles) -> float:
    """Jaccard: shared elements over all elements.

    >>> similarity(shingles("a low and slow voice"), shingles("a low and slow pace"))
    0.5
    """
    return len(one & other) / len(one | other)


def near_duplicates(rows: Sequence[tuple[str, str]], threshold: float = DEFAULT_SIMILARITY) -> dict[int, int]:
    """Position of a row → position of the row that stays in its place. rows: (id, text).

    >>> near_duplicates([("b", "A low and slow voice."), ("a", "a low and slow voice"), ("c", "A loud voice.")])
    {1: 0}
    """
    sets = [shingles(text) for _, text in rows]
    rarity = Counter(element for elements in sets for element in elements)
    order = sorted(range(len(rows)), key=lambda n: (_place(*rows[n]), n))
    staying: dict[Hashable, list[int]] = defaultdict(list)
    found: dict[int, int] = {}
    for n in order:
        prefix = _prefix(sets[n], rarity, threshold)
        candidates = {other for element in prefix for other in staying[element]}
        alike = [other for other in candidates if similarity(sets[n], sets[other]) >= threshold]
        if alike:
            found[n] = min(alike, key=lambda other: (_place(*rows[other]), other))
        else:
            for element in prefix:
                staying[element].append(n)
    return dict(sorted(found.items()))


def _place(id: str, text: str) -> str:
    return hashlib.sha256(f"{id}\0{text}".encode()).hexdigest()


def _prefix(elements: Shingles, rarity: Mapping[tuple[str, ...], int], threshold: float) -> list[tuple[str, ...]]:
    """The rarest elements, one of which any set as similar as `threshold` must share."""
    ordered = sorted(elements, key=lambda element: (rarity[element], element))
    # A set with J >= t shares at least t * |elements| of them, so it cannot miss all of these.
    return ordered[: len(ordered) - math.ceil(threshold * len(ordered) - _ROUNDING) + 1]
