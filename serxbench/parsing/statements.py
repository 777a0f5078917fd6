"""The emotion that prose states: every emotion word is found, guarded, ranked, and the best one is taken.

Order of precedence: a labelled slot ("Emotion: sad", a line that is nothing but the word; the last one wins), then an
explicit conclusion ("therefore", "overall"; the last one wins), then the strongest mention, then the first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from serxbench.parsing.evidence import Rank, is_attributed, rank_of
from serxbench.parsing.findings import Finding
from serxbench.parsing.guards import is_hypothetical, is_negated, is_someone_elses
from serxbench.parsing.passages import Passage, passage_of
from serxbench.parsing.vocabulary import Mention, Token, Vocabulary, committed_word, tokens_of
from serxbench.parsing.weights import Item, weighings

_SLOT = re.compile(
    r"(?:^|[\s.;(|])(?:answer|emotion(?:al (?:state|tone))?|label|prediction|classification|category"
    r"|choice|verdict|result"
    r"|conclusion|emotion (?:label|category|class)|stimmung|gefühl|antwort|émotion|réponse|emoción"
    r"|respuesta|emoção|resposta"
    r"|emozione|risposta|эмоция|ответ|emocja|odpowiedź|emotie"
    r"|antwoord|duygu|cevap|cảm xúc|trả lời"
    r"|العاطفة|المشاعر|الإجابة|भावना|उत्तर|情感|情绪|情緒|答案|感情|答え|감정|정답"
    r"|답변?)(?: \([^)]*\))?\s*(?::|：|=|->|→)\s*[^\n]*$"
)
_SLOT_SIGN = re.compile(r"[:=：→]|->")
_SHORT_SENTENCE = 80
_NO_SLOT = re.compile(r"\b(?:secondary|other|possible|underlying|excluded|alternative)\s+\w+\s*[:=：]")
_CONCLUSION_START = re.compile(
    r"[\W\d]*(?:so|thus|therefore|hence|overall|in conclusion|to conclude|in (?:summary|short|sum)|to sum(?:marize| up)"
    r"|all in all|ultimately|consequently|as a result|taken together|in the end|accordingly|altogether"
    r"|(?:considering|given|based on|taking|weighing|putting|combining) (?:all|everything|these|this"
    r"|the above|both|it all)"
    r"|after (?:weighing|considering)|decision|insgesamt|zusammenfassend|daher|deshalb|folglich|somit"
    r"|donc|en (?:conclusion"
    r"|résumé)|globalement|ainsi|por (?:lo )?tanto|en (?:general|conclusión|resumen)|portanto|em (?:geral|resumo)"
    r"|concluindo|quindi|pertanto|in (?:sintesi|conclusione)|nel complesso)\b"
    r"|\W*(?:总的来说|总之|综上|因此|所以|总体|综合|總之|したがって|よって|総合|従って|結論|따라서|결론|종합|그러므로)"
)
_CONCLUSION_ANYWHERE = re.compile(
    r"(?:\b|(?=,))(?:therefore|in conclusion|my final|final (?:answer|decision|choice|verdict)|i(?: would"
    r"| will|'d|'ll)? (?:conclude|settle"
    r"|decide|choose|pick|select|go with|lean)|my (?:best )?(?:guess|answer|choice|pick)|the (?:correct"
    r"|best|right) (?:answer"
    r"|option|choice|match|fit)|best (?:described|captured|classified)|the answer is"
    r"|, so (?:the|it|they|he|she|i|this|that|my)|which leads (?:me )?to)\b"
)
_UNDECIDED = re.compile(
    r"\b(?:either|whether|torn between|somewhere between|between|hard to (?:say|tell)|difficult to (?:say"
    r"|tell|determine)"
    r"|unclear|not (?:sure|certain)|unsure|entweder|soit|ora|ya sea)\b"
)
_INTERROGATIVE = re.compile(
    r"[\W\d]*(?:(?:so|and|or|but|well|then|hmm|question)[\s,:]+)*(?:is|are|was|were|does|do|did|can|could|would|will|should"
    r"|has|have|what|which|how|why|who|whom|whose|where|when|isn't|aren't|doesn't|don't|ist|klingt|est-ce|suena|parece)\b"
)
_UNDECIDED_END = re.compile(r"[;\x00]|\bbut\b|, (?!or\b|and\b)")
_ECHO_CUE = re.compile(
    r"\b(?:options?|choices?|choose|select|categories|labels|candidates|following|among|possib(?:le"
    r"|ilities)|emotions (?:like"
    r"|such as|including)|such as|from|which (?:emotion|one|of)|scale|spectrum)\b|选项|選択肢|선택"
)
# Behind a look ahead: tried at every letter, the alternatives would take longer than the weighing itself.
_WEIGHABLE = re.compile(
    r"(?=[\d.,:=：|→(（?~≈–—✓✔✅☑✗✘❌☐\[-])(?:\d\s*(?:%|％|per|/\s*\d)|[.,:=：|→(（?~≈–—-]\s*\d|[✓✔✅☑✗✘❌☐\[]"
    r"|[:=：|→?–—-]\s*(?:yes|no|present|absent|true|false|likely|unlikely|not|none|ja|nein|oui|non|s[íì]|sim|não"
    r"|да|нет|是|否|有|无|無|はい|いいえ|예|네|아니))"
    r"|\bis (?:yes|no|not present|present|absent|true|false|likely|unlikely|none)\b"
)
_ROUTES = {Rank.ATTRIBUTED: "statement", Rank.VERDICT: "statement", Rank.MAIN: "main", Rank.CORRECTED: "correction"}
_MANNER_NOUN = re.compile(
    r"[\w\s,-]{0,25}?\b(?:tone|voice|manner|way|delivery|pace|pitch|intonation|prosody|rhythm|speech|style)\b"
)
_LIST_GAP = re.compile(
    r"[\s,/|()\[\]\"'•\-;:、，]*(?:(?:\b(?:and|or|und|oder|et|ou|y|o|e|a|an|the)\b|和|或|[a-i][.)])[\s,]*)*"
)


@dataclass(frozen=True, kw_only=True)
class _Claim:
    mention: Mention
    sentence: int
    rank: Rank


def stated_emotion(text: str, vocabulary: Vocabulary) -> Finding | None:
    """What the prose commits to, or None if it names no emotion at all.

    A Finding without a word says that it names emotions, but leaves them undecided (route `ambiguous`), or denies them
    or speaks of somebody else's (route `excluded`).
    """
    passage = passage_of(text, lambda quoted: committed_word(vocabulary.table, quoted) is not None)
    tokens = tokens_of(passage.lower)
    mentions = vocabulary.mentions(passage.lower, tokens)
    mentions, heaviest = _weighed(passage, mentions)
    mentions = _without_echoes(passage, mentions)
    if not mentions:
        return None
    attributed = _attributions(passage, tokens, mentions)
    mentions = [m for m in mentions if not m.ordinary or attributed[m.start] or m.start in heaviest]
    by_sentence: dict[int, list[Mention]] = {}
    for mention in mentions:
        by_sentence.setdefault(passage.sentence_at(mention.start), []).append(mention)
    undecided: list[Mention] = []

    known: dict[int, list[_Claim]] = {}

    # Most long answers end in a conclusion: then the sentences before it are never weighed.
    def claims_in(number: int) -> list[_Claim]:
        if number not in known:
            known[number] = _claims(passage, by_sentence[number], attributed, undecided, heaviest)
        return known[number]

    decision = _decide(passage, list(by_sentence), claims_in)
    if decision:
        return _finding(passage, *decision)
    if undecided:
        return Finding(word=None, route="ambiguous", span=_stretch(passage, undecided[0], undecided[0]))
    if mentions:
        return Finding(word=None, route="excluded", span=_stretch(passage, mentions[0], mentions[0]))
    return None


def _attributions(passage: Passage, tokens: list[Token], mentions: Sequence[Mention]) -> dict[int, bool]:
    members = {index: mention for mention in mentions for index in range(mention.first, mention.last + 1)}
    return {mention.start: is_attributed(passage, tokens, mention, members) for mention in mentions}


def _weighed(passage: Passage, mentions: list[Mention]) -> tuple[list[Mention], frozenset[int]]:
    """The mentions without those that a weighing gives less, and where those that it gives most begin."""
    if len(mentions) < 2 or not _WEIGHABLE.search(passage.lower):
        return mentions, frozenset()
    items = [Item(mention.start, mention.end, mention.label) for mention in mentions]
    found = list(weighings(passage.lower, items))
    best = {winner for _, winner in found}
    lighter = {index for indices, _ in found for index in indices} - best
    kept = [mention for index, mention in enumerate(mentions) if index not in lighter]
    return kept, frozenset(mentions[index].start for index in best)


def _without_echoes(passage: Passage, mentions: list[Mention]) -> list[Mention]:
    """The mentions less those in a list of options: three classes after "options", "such as", ..., or five anywhere."""
    kept: list[Mention] = []
    run: list[Mention] = []
    for mention in mentions:
        if run and not _LIST_GAP.fullmatch(passage.lower, run[-1].end, mention.start):
            kept.extend([] if _is_echo(passage, run) else run)
            run = []
        run.append(mention)
    return kept + ([] if _is_echo(passage, run) else run)


def _is_echo(passage: Passage, run: list[Mention]) -> bool:
    labels = {mention.label for mention in run}
    if len(labels) >= 5:
        return True
    start = passage.sentence(passage.sentence_at(run[0].start))[0] if run else 0
    return len(labels) >= 3 and bool(_ECHO_CUE.search(passage.lower, start, run[0].start))


def _claims(
    passage: Passage,
    mentions: Sequence[Mention],
    attributed: dict[int, bool],
    undecided: list[Mention],
    heaviest: frozenset[int],
) -> list[_Claim]:
    """The mentions of one sentence that count, ranked; those between which it does not decide go to `undecided`."""
    number = passage.sentence_at(mentions[0].start)
    start, end = passage.sentence(number)
    asked = _is_question(passage.lower[start:end])
    claims: list[_Claim] = []
    for mention in mentions:
        before, after = passage.lower[start : mention.start], passage.lower[mention.end : end]
        if mention.start in heaviest:
            claims.append(_Claim(mention=mention, sentence=number, rank=Rank.MAIN))
            continue
        if (asked and before.strip()) or is_negated(before, after, passage.lower[mention.start : mention.end]):
            continue
        if _is_undecided(passage, mention, mentions, start, end):
            undecided.append(mention)
            continue
        if is_hypothetical(before, after) or is_someone_elses(before, after):
            continue
        manner = _MANNER_NOUN.match(after) is not None
        rank = rank_of(before, after, attributed=attributed[mention.start], earlier=bool(claims), manner_matters=manner)
        claims.append(_Claim(mention=mention, sentence=number, rank=rank))
    return claims


def _is_question(sentence: str) -> bool:
    """True for a question that asks; a doubtful statement with a question mark ("Perhaps sad?") is a hedge."""
    asked = sentence.rstrip(" \"')\x00").endswith(("?", "？"))
    return asked and (not sentence.isascii() or _INTERROGATIVE.match(sentence) is not None)


def _is_undecided(passage: Passage, mention: Mention, mentions: Sequence[Mention], start: int, end: int) -> bool:
    """True for X and Y in "either X or Y", "hard to say whether X or Y", if they are of different classes."""
    cue = _UNDECIDED.search(passage.lower, start, mention.start)
    if not cue:
        return False
    stop = _UNDECIDED_END.search(passage.lower, cue.end(), end)
    limit = stop.start() if stop else end
    if mention.start >= limit or not re.search(r"\b(?:or|and|oder|ou|o)\b", passage.lower[cue.end() : limit]):
        return False
    return len({other.label for other in mentions if cue.end() <= other.start < limit}) > 1


def _decide(
    passage: Passage, numbers: Sequence[int], claims_in: Callable[[int], list[_Claim]]
) -> tuple[_Claim, str] | None:
    for number in reversed(numbers):
        start, end = passage.sentence(number)
        if end - start < _SHORT_SENTENCE or _SLOT_SIGN.search(passage.lower, start, end):
            claims = claims_in(number)
            if any(_fills_slot(passage, claim) for claim in claims):
                return _best(claims), "slot"
    for number in reversed(numbers):
        start, end = passage.sentence(number)
        if _CONCLUSION_ANYWHERE.search(passage.lower, start, end) or _CONCLUSION_START.match(passage.lower, start, end):
            concluding = [claim for claim in claims_in(number) if _concludes(passage, claim)]
            if concluding and _best(concluding).rank > Rank.WEAK:
                return _best(concluding), "conclusion"
    claims = [claim for number in numbers for claim in claims_in(number)]
    if not claims:
        return None
    best = _best(claims)
    return best, _ROUTES.get(best.rank, "mention")


def _best(claims: list[_Claim]) -> _Claim:
    return max(claims, key=lambda claim: (claim.rank, -claim.mention.start))


def _fills_slot(passage: Passage, claim: _Claim) -> bool:
    start, end = passage.sentence(claim.sentence)
    before = passage.lower[start : claim.mention.start]
    if _SLOT.search(before) and not _NO_SLOT.search(before):
        return True
    alone = not passage.lower[start : claim.mention.start].strip(" -•>#\"'(:\x00\n") and not passage.lower[
        claim.mention.end : end
    ].strip(" .!。！\"')\n\x00")
    return alone and (claim.sentence == 0 or not passage.lower[end:].strip())


def _concludes(passage: Passage, claim: _Claim) -> bool:
    start, end = passage.sentence(claim.sentence)
    begins = _CONCLUSION_START.match(passage.lower, start, end)
    if begins and begins.end() <= claim.mention.start:
        return True
    return _CONCLUSION_ANYWHERE.search(passage.lower, start, claim.mention.start) is not None


def _finding(passage: Passage, claim: _Claim, route: str) -> Finding:
    return Finding(word=claim.mention.word, route=route, span=_stretch(passage, claim.mention, claim.mention))


def _stretch(passage: Passage, first: Mention, last: Mention) -> str:
    """The verbatim sentence around the mentions, or 120 characters of it."""
    start = passage.sentence(passage.sentence_at(first.start))[0]
    end = max(passage.sentence(passage.sentence_at(last.start))[1], last.end)
    if end - start > 240:
        start, end = max(start, first.start - 120), min(end, last.end + 120)
    return passage.text[start:end].strip()
