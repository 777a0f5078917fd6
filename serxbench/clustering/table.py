"""The word table: which class an emotion word belongs to."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from serxbench.emotions import EMOTIONS, OTHER
from serxbench.errors import DefinitionError

#: Sources whose words count only where they are the whole answer: `con` or `sur` in prose are not emotions.
WHOLE_ANSWER_SOURCES = frozenset({"code", "exact"})

_SHIPPED = "emotion_words.tsv"
_VERSION = re.compile(r"#\s*version:\s*(\d+)\s*")
_SPACES = re.compile(r"[\s_\u2010-\u2015-]+")
_SOURCE = re.compile(r"[a-z][a-z-]*")
_LABELS = (*EMOTIONS, OTHER)

_NOUNS = "emotion|feeling|tone|mood|state|voice|expression|sentiment|manner|demeanou?r|attitude|affect|vibe|sounding"
_HEAD = re.compile(rf" (?:emotion(?:al)? )?(?:{_NOUNS})s?$| emotional$")
_OF = rf"(?:(?:{_NOUNS}|sense|hint|note|touch|air|expression|mixture|mix|combination)s? of)"
_INTENSITY = (
    "very|really|quite|rather|extremely|slightly|somewhat|fairly|pretty|so|too|deeply|highly|mildly|a little|a bit"
    "|kind of|sort of|mostly|mainly|primarily|clearly|obviously|probably|likely|perhaps|maybe|strong|deep|slight|mild"
    "|intense|great|pure|genuine|overall|emotionally"
)
_BEFORE = re.compile(rf"(?:{_OF}|{_INTENSITY}|an?|the|some|feeling|sounding) ")


def normalized(word: str) -> str:
    """`word` as the table spells it: NFKC, casefolded, hyphens as spaces, no punctuation around it.

    >>> normalized(' "Matter-of-Fact." '), normalized("Ａｎｇｒｙ")
    ('matter of fact', 'angry')
    """
    folded = unicodedata.normalize("NFKC", word).casefold()
    spaced = _SPACES.sub(" ", folded.replace("\u2019", "'"))
    start, end = 0, len(spaced)
    while start < end and _is_edge(spaced[start]):
        start += 1
    while end > start and _is_edge(spaced[end - 1]):
        end -= 1
    return spaced[start:end]


def _is_edge(character: str) -> bool:
    if character.isalnum():
        return False
    return character.isspace() or unicodedata.category(character)[0] == "P" or character in "`~|<>=+*^$"


@dataclass(frozen=True, kw_only=True)
class WordTable:
    """A versioned list of emotion words, each with its class and the reason why it is listed.

    sha256: hash of the bytes of the file that it was read from.
    """

    version: int
    sha256: str
    labels: Mapping[str, str]
    sources: Mapping[str, str]

    def lookup(self, word: str) -> str | None:
        """The class of `word`, or None if it is not listed.

        The spelling as given decides; only then articles, intensifiers and nouns such as "tone" are peeled off.

        >>> table = load_table()
        >>> table.lookup("Very sad."), table.lookup("a feeling of joy"), table.lookup("angry tone")
        ('Sad', 'Happy', 'Angry')
        >>> table.lookup("purple") is None
        True
        """
        key = self.key_of(word)
        return None if key is None else self.labels[key]

    def key_of(self, word: str) -> str | None:
        """The row that `lookup` finds for `word`, or None."""
        return next((key for key in _peelings(word) if key in self.labels), None)

    def extended(self, other: WordTable) -> WordTable:
        """This table with the rows of another, which decides where both list a word."""
        return WordTable(
            version=self.version,
            sha256=hashlib.sha256(f"{self.sha256}{other.sha256}".encode()).hexdigest(),
            labels={**self.labels, **other.labels},
            sources={**self.sources, **other.sources},
        )

    def words(self) -> tuple[str, ...]:
        """The words that may be looked for inside prose: every word but corpus codes and whole-answer phrases."""
        return tuple(word for word, source in self.sources.items() if source not in WHOLE_ANSWER_SOURCES)


def core_of(word: str) -> str:
    """What is left of `word` when all that tables need not list is peeled off; "" if there is nothing to it.

    >>> core_of("A very zorgled tone"), core_of("...")
    ('zorgled', '')
    """
    return next(reversed(list(_peelings(word))), "")


def _peelings(word: str) -> Iterator[str]:
    """The normalized word, then with article, intensifier or noun such as "tone" taken off, one at a time."""
    key = normalized(word)
    while key:
        yield key
        if before := _BEFORE.match(key):
            key = key[before.end() :]
        elif after := _HEAD.search(key):
            key = key[: after.start()]
        else:
            return


def load_table(path: Path | None = None) -> WordTable:
    """The word table in `path`, by default the one that the package ships.

    Raises DefinitionError, naming file and line, for anything but: comment lines first, `# version: N` among them,
    then rows of word, label, source, sorted by word, each word once and in its normalized spelling.

    >>> table = load_table()
    >>> table.version, table.labels["frustrated"], table.sources["frustrated"]
    (2, 'Angry', 'msp-secondary')
    """
    if path is None:
        name = f"{__package__}/{_SHIPPED}"
        content = resources.files(__package__).joinpath(_SHIPPED).read_bytes()
    else:
        name = str(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DefinitionError(
                f"{name}: cannot read the word table ({error.strerror}); is the path right?"
            ) from error
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DefinitionError(f"{name}: not UTF-8 at byte {error.start}; save the word table as UTF-8") from error
    rows = dict(_rows(name, lines))
    return WordTable(
        version=_version(name, lines),
        sha256=hashlib.sha256(content).hexdigest(),
        labels={word: label for word, (label, _) in rows.items()},
        sources={word: source for word, (_, source) in rows.items()},
    )


def _version(name: str, lines: Iterable[str]) -> int:
    found = [match[1] for line in lines if (match := _VERSION.fullmatch(line))]
    if len(found) != 1:
        raise DefinitionError(f"{name}: {len(found)} version lines; write one '# version: N' in the header")
    return int(found[0])


def _rows(name: str, lines: Iterable[str]) -> Iterable[tuple[str, tuple[str, str]]]:
    previous = ""
    for number, line in enumerate(lines, start=1):
        if line.startswith("#") and not previous:
            continue
        word, label, source = _cells(f"{name}:{number}", line)
        if word <= previous:
            problem = "is there twice" if word == previous else f"comes after {previous!r}"
            raise DefinitionError(f"{name}:{number}: word {word!r} {problem}; sort the rows, each word once")
        previous = word
        yield word, (label, source)
    if not previous:
        raise DefinitionError(f"{name}: no words; wanted rows of word, label and source separated by tabs")


def _cells(where: str, line: str) -> tuple[str, str, str]:
    cells = line.split("\t")
    if len(cells) != 3:
        raise DefinitionError(f"{where}: found {len(cells)} columns, wanted word, label and source separated by tabs")
    word, label, source = cells
    if not word or normalized(word) not in (word, ""):
        raise DefinitionError(f"{where}: word {word!r} is not in its normalized spelling; write {normalized(word)!r}")
    if label not in _LABELS:
        raise DefinitionError(f"{where}: label {label!r} of {word!r} is no class; wanted one of {', '.join(_LABELS)}")
    if not _SOURCE.fullmatch(source):
        raise DefinitionError(f"{where}: source {source!r} of {word!r}; wanted a lower-case code from the header")
    return word, label, source
