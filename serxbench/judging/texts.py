"""What is done to the texts before a judge sees them, so that it judges reasons and not their dress.

Markup, the emotion word and length tell a judge which system it reads, or sway it by themselves.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from serxbench.clustering import WordTable, load_table
from serxbench.errors import UsageError

#: Stands where the emotion was named.
MASK = "[emotion]"

#: Longer texts are cut, whatever else is done: nobody's loop should fill a judge's context.
MAX_CHARACTERS = 6000

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_TAG = re.compile(r"</?[A-Za-z][\w-]{0,20}(?:\s[^<>]{0,200})?/?>|<\|[^|<>]{0,40}\|>")
_FENCE = re.compile(r"^\s*(?:```|~~~).*$", re.MULTILINE)
_LINE_START = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+|>[ \t]?|[-*+•][ \t]+|\d{1,2}[.)][ \t]+)", re.MULTILINE)
_RULE = re.compile(r"^[ \t]*(?:[-*_][ \t]*){3,}$", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)")
_STRESS = re.compile(r"(\*{1,3}|(?<!\w)_{1,3}|`{1,3}|~~)(?=\S)(.+?)(?<=\S)\1(?!(?<=_)\w)", re.DOTALL)
_SPACES = re.compile(r"\s+")
_INFLECTIONS = "(?:s|es|ed|ing|er|est|ly|ness)?"
#: Endings are added to ordinary words only: `sad` has its own rows, and "calling" is no form of "call it calm".
_SHORTEST_INFLECTED = 4
#: From here on scripts (Thai, Chinese, Japanese, Korean) write words without a space or with endings grown on.
_FIRST_WITHOUT_SPACES = 0x0E00


@dataclass(frozen=True, kw_only=True)
class Dress:
    """What is taken off the texts: markup, the words of the label's class, and what one is longer than the other."""

    markup: bool = False
    label: bool = False
    length: bool = False

    @classmethod
    def of(cls, names: tuple[str, ...]) -> Dress:
        """The dress of `markup`, `label`, `length`. Raises UsageError for another name."""
        if odd := sorted(set(names) - {"markup", "label", "length"}):
            raise UsageError(f"cannot normalise '{odd[0]}'; there are: markup, label, length")
        return cls(markup="markup" in names, label="label" in names, length="length" in names)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that `of` understands."""
        return tuple(name for name in ("markup", "label", "length") if getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """One system's text on one item, with the class and the word that it commits to, if any."""

    text: str
    label: str | None = None
    word: str | None = None


def undress(pair: tuple[Labelled, Labelled], dress: Dress) -> tuple[str, str]:
    """The two texts as a judge sees them.

    Control and invisible characters go in any case, and what exceeds MAX_CHARACTERS. Cutting comes last, so that both
    texts are equally long as they are shown.

    >>> long = Labelled(text="**The voice is calm**, so it is neutral.", label="Neutral", word="neutral")
    >>> undress((long, Labelled(text="A flat voice.", label="Neutral")), Dress(markup=True, label=True, length=True))
    ('The voice is', 'A [emotion] voice.')
    """
    texts = [_readable(each.text) for each in pair]
    if dress.markup:
        texts = [strip_markup(text) for text in texts]
    if dress.label:
        texts = [mask_label(text, each.label, each.word) for text, each in zip(texts, pair, strict=True)]
    longest = min(len(text) for text in texts) if dress.length else MAX_CHARACTERS
    first, second = (cut(text, min(longest, MAX_CHARACTERS)) for text in texts)
    return first, second


def _readable(text: str) -> str:
    return _CONTROLS.sub("", text).strip()


def strip_markup(text: str) -> str:
    """`text` as one line of prose: no tags, code fences, headings, bullets, emphasis or links.

    >>> strip_markup("# Reasons\\n\\n- a **loud** voice\\n- `fast` [speech](http://x)\\n<b>so</b>")
    'Reasons a loud voice fast speech so'
    """
    for pattern, by in ((_FENCE, " "), (_TAG, " "), (_RULE, " "), (_LINE_START, ""), (_LINK, r"\1")):
        text = pattern.sub(by, text)
    for _ in range(3):  # emphasis inside emphasis
        text = _STRESS.sub(r"\2", text)
    return _SPACES.sub(" ", text).strip()


def mask_label(text: str, label: str | None, word: str | None, table: WordTable | None = None) -> str:
    """`text` with every word of the label's class, and `word`, replaced by MASK.

    The class's words are those of the word table that may be looked for in prose. Of a text without a class only `word`
    is masked.

    >>> mask_label("Angry, angrier; furious and loud.", "Angry", None)
    '[emotion], [emotion]; [emotion] and loud.'
    >>> mask_label("Bewilderedly bewildered", "Other", "bewildered")
    '[emotion] [emotion]'
    """
    pattern = _class_pattern(label, word) if table is None else _pattern(table, label, word)
    return text if pattern is None else pattern.sub(MASK, text)


@functools.lru_cache(maxsize=256)
def _class_pattern(label: str | None, word: str | None) -> re.Pattern[str] | None:
    return _pattern(_shipped(), label, word)


@functools.cache
def _shipped() -> WordTable:
    return load_table()


def _pattern(table: WordTable, label: str | None, word: str | None) -> re.Pattern[str] | None:
    words = (
        {found for found in table.words() if table.labels[found] == label} if label not in (None, "Other") else set()
    )
    words |= {each.casefold() for each in (label, word) if each and each != "Other"}
    if not words:
        return None
    # The longest first, or "matter of fact" would be left half.
    each = "|".join(_inflected(found) for found in sorted(words, key=lambda found: (-len(found), found)))
    return re.compile(each, re.IGNORECASE)


def _inflected(word: str) -> str:
    spelled = re.escape(word).replace(r"\ ", r"[\s_-]+")
    if ord(word[0]) >= _FIRST_WITHOUT_SPACES:
        return spelled
    ordinary = word.isascii() and word.isalpha() and len(word) >= _SHORTEST_INFLECTED
    return rf"(?<!\w){spelled}{_INFLECTIONS if ordinary else ''}(?!\w)"


def cut(text: str, n_characters: int) -> str:
    """The beginning of `text`, at most so long, ending at a word's end where there is one in its last fifth.

    >>> cut("one two three", 9), cut("一二三四五", 3), cut("short", 9)
    ('one two', '一二三', 'short')
    """
    if len(text) <= n_characters:
        return text
    head = text[:n_characters]
    if not text[n_characters].isspace():
        space = max(head.rfind(" "), head.rfind("\n"))
        head = head[:space] if space >= 0.6 * n_characters else head
    return head.rstrip()
