"""How much one emotion word says about what the answer commits to."""

from __future__ import annotations

import re
from enum import IntEnum

from serxbench.parsing.passages import Passage
from serxbench.parsing.vocabulary import Mention, Token, word_set


class Rank(IntEnum):
    """Strength of a mention. WEAK counts only if there is nothing better; among equals the first one counts."""

    WEAK = 1
    PLAIN = 2
    ATTRIBUTED = 3
    VERDICT = 4
    MAIN = 5
    CORRECTED = 6


_ATTRIBUTING = word_set(
    """
    is are was were be being been isn't sounds sound sounding sounded seems seem seeming appears appear appearing
    appeared
    feels feel feeling felt looks remains stays becomes become becoming gets getting grows turns turning conveys convey
    conveying conveyed expresses express expressing expressed shows show showing reflects reflect reflecting indicates
    indicate indicating suggests suggest suggesting displays displaying exhibits exhibiting exhibit reveals revealing
    demonstrates demonstrating communicates communicating projects portrays carries hints signals implies implying
    detect detected detects sense senses hear hears perceive perceived perceives identified identify classified classify
    labeled labelled categorized interpreted described describe as like emotion emotions feelings state mood tone likely
    probably possibly perhaps maybe guess say choose answer pick toward towards with experiencing speaks spoken speaking
    talks talking best emanates betrays denotes characterized marked tinged filled it's he's she's they're you're that's
    there's leans manifests delivered expressive called termed considered deemed
    ist klingt wirkt scheint fühlt zeigt vermittelt drückt est semble paraît exprime suona es está suena parece expresa
    transmite siente é soa expressa transmite sente è sembra esprime suona emoción emoção emozione émotion gefühl
    stimmung sonne als comme como come
    """
)
_FILLERS = word_set(
    """
    a an the very quite rather really so too bit little lot more most of some somewhat sense feeling feelings hint touch
    note tone air level degree amount strong deep clear genuine mild slight great intense overall general certain kind
    sort to be in and or but not just both either being their his her its this that both also even still pretty fairly
    heavily kinda mixture mix combination blend state emotion emotions emotional display expression form what one
    deal speaker's sehr ein eine einen einer etwas un une une très assez uno una muy bastante um uma muito bem molto un
    le la les l'émotion der die das el il lo de di von
    """
)
_HEADS = word_set(
    """
    tone tones voice emotion emotions emotional mood state feeling feelings expression expressions attitude affect
    manner
    demeanor demeanour delivery sounding inflection speech way sentiment vibe energy quality speaker undertone
    undertones
    intonation style disposition outburst reaction response note mindset
    """
)
_PERSONS = word_set("person man woman male female individual boy girl guy lady")
_FOLLOWERS = word_set(
    """
    and or but with in about as because at toward towards throughout while when for due since rather than overall here
    that by over from during yet though although nor based given not however who which is are was to though mixed then
    tbh imo honestly now right today indeed enough actually perhaps maybe i he she they it this
    even despite especially without on of speaking until after before if
    """
)

_MAIN = re.compile(
    r"\b(?:main(?:ly)?|primar(?:y|ily)|predominant(?:ly)?|dominant(?:ly)?|mostly|most (?:\w+ )?(?:likely"
    r"|probabl[ey]|prominent"
    r"|dominant|evident|strongly|closely|apparent|fitting|appropriate)|chiefly|above all|largely|strongest|prevailing"
    r"|lean(?:s|ing)? (?:more )?(?:strongly )?towards?|closer to|closest to|more (?:like|of an?)|principal|core|best"
    r"|hauptsächlich|vor allem|überwiegend|principale(?:ment)?|surtout|principal(?:mente)?|sobre todo|soprattutto"
    r"|sobretudo)\b|主要|主に|주로|주된"
)
_MAIN_AFTER = re.compile(
    r"[^\w,.;]*(?:is|being|seems|as)? ?(?:the |most )*(?:main|primary|dominant|predominant|predominates|dominates"
    r"|strongest|prevails|stronger)\b"
)
_CORRECTION = re.compile(
    r"\b(?:actually|in fact|in reality|really|truly|in truth|genuinely|true (?:emotion|feeling)s?|deep down|beneath"
    r"|underneath|instead|eigentlich|tatsächlich|en réalité|en fait|en realidad|na verdade|na realidade|in realtà)\b"
    r"|实际上|其实|實際上|其實|実際|実は|사실"
)
_TURN = re.compile(r"[;\x00]|\bbut\b|但")
_RECONSIDERED = re.compile(
    r"\b(?:(?:on|upon) (?:second thoughts?|(?:closer |further |a second )?(?:reflection|listening|listen|inspection))"
    r"|(?:listening|having listened|listened) (?:again|more closely|closely)|i (?:stand corrected|take that back))\b"
)
_CONTRAST = re.compile(
    r"\b(?:but|however|yet|although|though|while|whereas|despite|not|isn't|doesn't|first|initially|aber|sondern|mais|pero"
    r"|mas|ma)\b|但|虽|しかし|が、|지만|seem"
)
_HINT = re.compile(
    r"\b(?:hints?|touch|tinge[sd]?|traces?|undertones?|notes?|bit|dash|elements?|slight(?:ly)?|mild(?:ly)?|subtl[ey]"
    r"|secondar(?:y|ily)|lesser|occasional(?:ly)?|a little|somewhat|underlying|flashes|moments?"
    r"|degree)\b(?: \w+){0,3}\s+$"
)
_ADDED = re.compile(
    r"\b(?:(?<!go )(?<!going )with|some|also|possibl[ey]|perhaps|maybe|mixed|along with|followed by|plus"
    r"|as well as|besides|even|potential(?:ly)?"
    r"|mit|avec|con|com)\b(?: \w+){0,4}\s+$"
)
_MANNER = re.compile(r"\b(?:in|with|using|uses?|adopts?|has|through) (?:an? |the |his |her |their )?(?:\w+ ){0,3}$")
_CONCEDED = re.compile(
    r"(?:\b(?:although|though|even though|while|whereas|despite|in spite of|notwithstanding|obwohl|trotz"
    r"|bien que|malgré"
    r"|aunque|a pesar de|embora|apesar d[eoa]|sebbene|nonostante)\b[^,;\x00]*|(?:虽然|尽管|雖然|儘管)[^，。]*)$"
)
_SURFACE = re.compile(
    r"\b(?:on the surface|seemingly|claim(?:s|ed|ing)? (?:to|that|he|she|they)\b|says? (?:that )?(?:he"
    r"|she|they)\b|insists?|superficially|pretend\w*|tr(?:ies|ying) to|attempt\w* to|mask\w*|hid(?:es|ing)"
    r"|conceal\w*|forced|feign\w*|fak(?:e|ing)|at first(?: glance| listen)?|initially)\b[^,;]*$"
)
_REASON = re.compile(
    r"\b(?:because|since|as (?:they|he|she|it|the|there|if|though|indicated|evidenced|shown|suggested|reflected|seen)"
    r"|due to|given|evidenced by|indicated by|implying|which|such as|weil|da|car|parce que|porque|perché)\b"
)
# "the emotion expressed is X" says more than "she sounds X", and "it could be X, but" less.
_VERDICT = re.compile(
    r"\bemotion(?:al state)?\b[^,;.\x00]{0,50}\b(?:is|are|was|seems to be|appears to be|would be|as) (?:\w+ ){0,3}$"
)
_TENTATIVE = re.compile(r"\b(?:could|might|may)\b[^,;]*$")
_ANSWERED = re.compile(r"^[^.;]*\b(?:but|however|yet)\b")
# "No emotion other than X" commits to X.
_ONLY = re.compile(
    r"\b(?:no|not|nothing|none|never|cannot|\w+n't)(?: \w+){0,5} (?:other than|except|besides|but|apart from)"
    r"(?: \w+){0,3}\s+$"
)
_MAIN_CLAUSE = re.compile(r", (?:the|it|i|my|this|he|she|they|we|there)\b")
_INFERENCE = re.compile(
    r"[^,;.]{0,60}\b(?:suggest|indicat|convey|express|reflect|impl(?:y|ies)|signal|points? to|reveal|hint)\w*"
)
_CONTENT = re.compile(
    r"\b(?:words|lyrics|content|text|topic|message|transcript|subject matter|story|news|situation|event|wording)\b"
    r"(?: (?:itself|themselves|here))?(?: \w+){0,3} (?:is|are|sounds?|seems?|appears?|suggests?|may|might"
    r"|could)\b[^,;]*$"
)


# "The pitch is low and flat" describes the sound.
_OF_SOUND = re.compile(
    r"\b(?:pitch|volume|loudness|amplitude|intensity|energy|pace|tempo|speed|frequency|register|rate|rhythm|timbre)\b"
    r"(?: \w+){0,3} (?:is|are|was|were|being|remains?|stays?|sounds?|seems?|appears?|becomes?)(?: [\w,]+){0,4} $"
)

#: How many words an emotion word may be away from what attributes it.
_REACH = 25


def is_attributed(passage: Passage, tokens: list[Token], mention: Mention, members: dict[int, Mention]) -> bool:
    """True if the mention is said of somebody: "sounds X", "a sense of X", "an X tone", or X opens the answer.

    members: token index → mention, of all mentions that ordinary words may be coordinated with.
    """
    if mention.last < mention.first:
        return True
    if mention.ordinary and _OF_SOUND.search(passage.lower, max(0, mention.start - 80), mention.start):
        return False
    if mention.ordinary and not _may_end_here(passage, tokens, mention, members):
        return False
    return _has_head(passage, tokens, mention, members) or _walks_to_verb(passage, tokens, mention, members)


def _may_end_here(passage: Passage, tokens: list[Token], mention: Mention, members: dict[int, Mention]) -> bool:
    end, following = mention.end, mention.last + 1
    while following < len(tokens):
        if passage.lower[end : tokens[following].start].strip(" -"):
            return True
        text = tokens[following].text
        # "a cold and blue day": what follows the coordinated word decides for both.
        if not (text in ("and", "or") and following + 1 in members):
            return text in _FOLLOWERS or text in _HEADS
        end, following = tokens[following + 1].end, following + 2
    return True


def _has_head(passage: Passage, tokens: list[Token], mention: Mention, members: dict[int, Mention]) -> bool:
    """True for "X tone", "X and Y tone", "X-sounding voice"."""
    index, end = mention.last + 1, mention.end
    while (
        index < min(len(tokens), mention.last + _REACH) and passage.lower[end : tokens[index].start].strip(" -,/") == ""
    ):
        text = tokens[index].text
        if text in _HEADS or (text in _PERSONS and not mention.ordinary):
            return True
        if not (text in ("and", "or", "slightly", "somewhat", "very", "but") or index in members):
            return False
        end, index = tokens[index].end, index + 1
    return False


def _walks_to_verb(passage: Passage, tokens: list[Token], mention: Mention, members: dict[int, Mention]) -> bool:
    """Walk left over adverbs, articles and coordinated emotion words until a verb of attribution or something else."""
    start, index = mention.start, mention.first - 1
    while index >= max(0, mention.first - _REACH):
        token = tokens[index]
        gap = passage.lower[token.end : start]
        if not _passable(gap, joined=index in members):
            return not passage.lower[passage.sentence(passage.sentence_at(mention.start))[0] : start].strip(
                " -•>\n\"'("
            )
        if mention.ordinary and token.text == "the":
            return False
        if token.text in _ATTRIBUTING or token.text.endswith("'re"):
            return True
        if not (token.text in _FILLERS or token.text.endswith("ly") or index in members):
            return False
        start, index = token.start, index - 1
    # "Her laugh is nervous" opens with a subject, "Calm, with ..." with an answer.
    following = mention.last + 1
    if mention.ordinary and following < len(tokens) and tokens[following].text in ("is", "are", "was"):
        return False
    return index < 0 and not passage.lower[:start].strip(" -•>\n\"'([:.,")


def _passable(gap: str, *, joined: bool) -> bool:
    return not gap.strip(" -/&\"'()" + ("," if joined else "")) or gap.strip() in (":", "：", "=", "->", "→")


def rank_of(before: str, after: str, *, attributed: bool, earlier: bool, manner_matters: bool) -> Rank:
    """The rank of a mention that counts.

    earlier: another counting mention stands before it in the same sentence.
    manner_matters: it only describes a tone ("in a calm tone"), which a statement about the speaker outweighs.
    """
    if _is_correction(before):
        return Rank.CORRECTED
    clause = before[max((m.end() for m in _TURN.finditer(before)), default=0) :]
    if _SURFACE.search(clause) or _CONCEDED.search(before) or _HINT.search(clause) or _CONTENT.search(clause):
        return Rank.WEAK
    if _MAIN_AFTER.match(after):
        return Rank.MAIN
    if earlier and (_ADDED.search(clause) or _gives_reason(before)):
        return Rank.WEAK
    if _MAIN.search(clause) and not (earlier and "," in clause and not _MAIN.search(clause.rsplit(",", 1)[1])):
        return Rank.MAIN
    if manner_matters and (_MANNER.search(clause) or _INFERENCE.match(after)):
        return Rank.PLAIN
    if _VERDICT.search(clause):
        return Rank.VERDICT
    if _TENTATIVE.search(clause) and _ANSWERED.search(after):
        return Rank.PLAIN
    return Rank.ATTRIBUTED if attributed or _ONLY.search(clause) else Rank.PLAIN


def _gives_reason(before: str) -> bool:
    """True inside "because ...", which a new main clause ends."""
    ends = [match.end() for match in _REASON.finditer(before)]
    return bool(ends) and not _MAIN_CLAUSE.search(before, ends[-1])


def _is_correction(before: str) -> bool:
    if _RECONSIDERED.search(before):
        return True
    corrections = list(_CORRECTION.finditer(before))
    return bool(corrections) and bool(_CONTRAST.search(before, 0, corrections[-1].start()))
