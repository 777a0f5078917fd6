"""A rationale made ready for the rules: formatting gone, speech that it quotes told apart, cut into sentences."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from serxbench.parsing.passages import MASK, passage_of
from serxbench.parsing.vocabulary import Token, tokens_of, word_set

_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u2064\ufeff]")
_BLOCK_TAGS = re.compile(r"</?(?:reason|rationale|explanation|asr|answer|p|br)\s*/?>", re.IGNORECASE)
_INLINE_TAGS = re.compile(r"</?(?:b|i|em|strong)>", re.IGNORECASE)
_MARKUP = re.compile(r"\*\*|__|`+|(?m:^\s*(?:#{1,6}|[-*•]|\d{1,2}[.)])\s+)|(?<!\w)[*_](?=\w)|(?<=[\w.,!?])[*_](?!\w)")
_OUTER_QUOTES = re.compile(r'"([^"]*)"|“([^“”]*)”')
_QUOTES = re.compile(
    r'"[^"]{1,400}"|“[^”]{1,400}”|«[^»]{1,400}»|„[^“”]{1,400}[“”]|「[^」]{1,400}」'
    r"|(?<!\w)['‘](?=\S)[^\n]{1,400}?(?<=\S)['’](?!\w)"
)

#: A quotation is speech if so large a share of its words is in the transcript; recognisers differ in the rest.
_SPOKEN_SHARE = 0.6

#: promoted and promotion, announce and announcement: letters in common, and letters that are only one's own.
_FEWEST_COMMON, _MOST_OWN = 5, 4

#: Words without content of their own; what is left of a transcript without them is what it is about.
STOPWORDS = word_set(
    """
    a about above after again against all almost along already also although always am among an and another any
    anyone anything are aren't around as at away back be because been before being below between both but by
    came can can't cannot come comes coming could couldn't did didn't do does doesn't doing don't done down
    during each either else enough even ever every everyone for from further gave get gets getting give go goes
    going gone gonna got had hadn't has hasn't have haven't having he he's her here hers herself him himself his
    how however i i'd i'll i'm i've if in into is isn't it it's its itself just know let let's like made make
    makes many may maybe me might mine more most much must my myself neither never no none nor not now of off oh
    okay ok on once one only onto or other others ought our ours out over own per perhaps please put quite
    rather really right said same saw say says see seem seems seen shall she she's should shouldn't since so
    some someone something still such take than that that's the their theirs them themselves then there there's
    these they they're they've thing things think this those though through thus to too toward towards under
    until up upon us use used uh um very was wasn't way we we're we've well went were weren't what what's
    whatever when where whether which while who whom whose why will with within without won't would wouldn't
    yeah yes yet you you'd you'll you're you've your yours yourself hmm mm huh ah
    """
)

#: Irregular forms and everyday names of the same thing, by their stem.
_FORMS = """
    lose: lost losing loses loss; leave: left leaving leaves; tell: told telling; buy: bought buying; bring: brought
    bringing; die: died dying dead death dies; feel: felt feeling; find: found finding; keep: kept; mean: meant
    meaning; meet: met meeting; read: reading; run: ran running; sell: sold; send: sent; speak: spoke spoken; teach:
    taught; win: won winning wins; write: wrote written writing; child: children; man: men; woman: women; person:
    people; eat: ate eaten eating; break: broke broken; steal: stole stolen; forget: forgot forgotten; fall: fell
    fallen; wear: wore worn; think: thought; sleep: slept; lie: lying lied lies; mother: mom mum mommy; father: dad
    daddy; kill: killed killing; begin: began begun
"""
_IRREGULAR = {
    form: base
    for base, forms in (entry.strip().split(":") for entry in " ".join(_FORMS.split()).split(";"))
    for form in forms.split()
}


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """One sentence of the text. start, end: offsets. lower: in lower case, with quoted speech masked."""

    start: int
    end: int
    lower: str

    @property
    def tokens(self) -> list[Token]:
        """Its words, with offsets in `lower`."""
        return tokens_of(self.lower)


@dataclass(frozen=True, kw_only=True)
class Prose:
    """A rationale beside what was said. text: without formatting. spoken: the quotations that are speech.

    transcript: the words of the transcript in lower case.
    """

    text: str
    sentences: tuple[Sentence, ...]
    spoken: tuple[str, ...]
    transcript: tuple[str, ...]

    @property
    def lower(self) -> str:
        """The text in lower case with quoted speech masked; every character at its old offset."""
        return "".join(sentence.lower for sentence in self.sentences)

    def says(self, words: Sequence[str]) -> bool:
        """Whether the transcript has these words in a row."""
        return _has_run(self.transcript, words)


def clean(text: str) -> str:
    """`text` without markup, tags, invisible characters, quotes around the whole and runs of blanks.

    >>> clean("**Tone:** the   voice\\u200b is <b>low</b>.")
    'Tone: the voice is low.'
    """
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    plain = " ".join(_MARKUP.sub("", _BLOCK_TAGS.sub(" ", _INLINE_TAGS.sub("", plain))).split())
    whole = _OUTER_QUOTES.fullmatch(plain)
    return (whole[1] or whole[2] or "").strip() if whole else plain


def read_prose(text: str, transcript: str) -> Prose:
    """The prose of a cleaned rationale.

    >>> prose = read_prose('She says "so much." The pitch is "low".', "I miss her so much.")
    >>> [text[1:-1] for text in prose.spoken], len(prose.sentences), "low" in prose.lower
    (['so much.'], 2, True)
    """
    words = words_of(transcript)
    spoken: list[str] = []

    def mask(match: re.Match[str]) -> str:
        quoted = match[0]
        if not _is_spoken(words_of(quoted), words):
            return " " + quoted[1:-1] + " "
        spoken.append(quoted)
        # A sentence may end within the quotation marks.
        ends = quoted[-2] in ".!?" and re.match(r"\s+[A-Z\"“]|\s*$", match.string[match.end() :])
        return MASK * (len(quoted) - 1) + ("." if ends else MASK)

    passage = passage_of(_QUOTES.sub(mask, text), _never)
    sentences = (passage.sentence(number) for number in range(len(passage.bounds) - 1))
    return Prose(
        text=text,
        sentences=tuple(Sentence(start=a, end=b, lower=passage.lower[a:b]) for a, b in sentences),
        spoken=tuple(spoken),
        transcript=tuple(words),
    )


def words_of(text: str) -> list[str]:
    """The words in lower case.

    >>> words_of("It’s Anna's café!")
    ["it's", "anna's", 'café']
    """
    return [token.text for token in tokens_of(text.replace("’", "'").lower())]


def stem(word: str) -> str:
    """What the common inflections of an English word share; never fewer than three letters.

    >>> [stem(word) for word in ("moving", "moves", "stories", "stopped", "lost", "losing", "boxes", "anna's")]
    ['mov', 'mov', 'story', 'stop', 'los', 'los', 'box', 'anna']
    """
    word = word.removesuffix("'s").removesuffix("n't")
    word = _IRREGULAR.get(word, word)
    for suffix, instead in (("ies", "y"), ("ied", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh")):
        if word.endswith(suffix) and len(word) > len(suffix) + 1:
            word = word.removesuffix(suffix) + instead
            break
    for suffix in ("ing", "ed", "ly"):
        base = word.removesuffix(suffix)
        if base != word and len(base) >= 3 and re.search(r"[aeiouy]", base):
            word = base[:-1] if base[-1] == base[-2] and base[-1] not in "lsz" else base
            break
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


def content_stems(words: Sequence[str]) -> frozenset[str]:
    """The stems of the words that are no stopwords."""
    return frozenset(stem(word) for word in words if word not in STOPWORDS and len(word) > 1)


def shared_stems(wanted: frozenset[str], said: frozenset[str]) -> frozenset[str]:
    """Those of `wanted` that are said, or whose derivation is: five letters in common and four at most of one's own.

    >>> sorted(shared_stems(frozenset({"promot", "room"}), frozenset({"promotion", "rooster"})))
    ['promot']
    """
    near = {word for word in wanted - said if any(_is_derived(word, other) for other in said)}
    return (wanted & said) | near


def _is_derived(one: str, other: str) -> bool:
    pairs = zip(one, other, strict=False)
    n_common = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
    return n_common >= _FEWEST_COMMON and max(len(one), len(other)) - n_common <= _MOST_OWN


def _is_spoken(quoted: Sequence[str], transcript: Sequence[str]) -> bool:
    if not quoted:
        return False
    known = set(transcript)
    return _has_run(transcript, quoted) or (
        len(quoted) > 1 and sum(word in known for word in quoted) >= _SPOKEN_SHARE * len(quoted)
    )


def _has_run(words: Sequence[str], run: Sequence[str]) -> bool:
    run = list(run)
    return bool(run) and any(list(words[n : n + len(run)]) == run for n in range(len(words) - len(run) + 1))


def _never(quoted: str) -> bool:
    return False
