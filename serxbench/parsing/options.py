"""Answers that name one of the lettered options that the prompt offered, by letter, by text or by both."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from serxbench.clustering.table import normalized
from serxbench.parsing.findings import Finding
from serxbench.parsing.weights import Item, weighings

Options = Sequence[tuple[str, str]]
LabelOf = Callable[[str], str | None]

_MARKUP = re.compile(r"[*_`#~]+")
_PHRASE_END = r"(?=\s*(?:$|[.,;:!?)\]\n]))"
_CLAUSE_END = (
    r"(?=\s*(?:$|[.,;:!?)\]\n。，、；]|[-–—(\"']|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
    r"|\b(?:because|since|as|based|due|which|given|for|with|it|and|or|is|seems?|fits?|best)\b))"
)
# What may stand right before a letter that answers; searched only in the characters before a possible letter.
_LEAD = re.compile(
    r"(?:(?:\b(?:answer|option|choice|label|emotion|prediction|selection|category|letter|response"
    r"|conclusion|decision|verdict|answer with|decide on|guess|pick|antwort"
    r"|réponse|respuesta|resposta|risposta|ans|selected|chosen|picked)|答案|选项|答え|正解|정답)(?: to (?:this"
    r"|the) question)?(?: expressed(?: \w+){0,4})?"
    r"(?: (?:would|should|could|must|may|might)(?: \w+)? be| is(?: most)?(?: likely)?| (?:es|est|ist|é|è)"
    r"|は|是|为|은|는)?"
    r"|选择|我选|選擇|我選|\b(?:choose|select|pick|go with|going with|chose|opt for|leaves?|leans? towards?|say|guess"
    r"|classify it as)"
    r"|\bit(?:'s| is| must be| would be)|\b(?:therefore|thus|hence|so|yes),?)"
    r"\s*(?:[:=：]\s*|->\s*|→\s*)?(?:option |choice |letter )?[\"']?$",
    re.IGNORECASE,
)
_PRAISED = re.compile(
    r"\s+(?:is|fits|seems)\s+(?:the\s+)?(?:\w+\s+)?(?:closest|best|correct|right|answer|appropriate|choice)\b"
)
_DENIED = re.compile(
    r"(?:\bnot|n't|rather than|instead of|than|neither|nor|rul\w+ out|considered)(?: \w+){0,2}\s*$", re.I
)
_LIST_GAP = re.compile(r"[\s,;.|/()\[\]-]*(?:\b(?:and|or)\b\s*)?[\s(\[-]*")
_JOINED = re.compile(r"[)\s]*,?\s*(?:and|or)\s*[(\s]*")
_BESIDE = re.compile(r"[\s.):\]\-–—=,\"'(]*(?:which is |meaning |i\.e\. )?([^\W\d_]+(?:[ /-][^\W\d_]+)?)")


@dataclass(frozen=True, kw_only=True)
class _Named:
    """A letter in the text: which, where it stands and where it ends, its brackets included."""

    letter: str
    start: int
    end: int


class OptionRules:
    """The option rules compiled for one set of options."""

    def __init__(self, options: Options) -> None:
        self.texts = {letter.upper(): text for letter, text in options}
        self._by_text = {normalized(text): text for text in self.texts.values()}
        self._longest = max(map(len, self.texts.values()), default=0) + 20
        upper = "".join(map(re.escape, sorted(self.texts)))
        both = upper + upper.lower()
        names = "|".join(re.escape(text) for text in sorted(self.texts.values(), key=len, reverse=True))
        self._alone = re.compile(rf"\W*(?i:option |choice |answer )?\W*([{both}])\W*")
        self._opening = re.compile(
            rf"[\s\"'>•-]*(?:option |choice )?(?:[(\[]([{both}])[)\]]|([{upper}])(?:[.):]|\s+-|\s+–|(?=\s*\n)))"
        )
        self._with_text = re.compile(
            rf"(?<!\w)[(\[]?([{upper}])(?:[.):\]]+|\s*[-–—=,]|\s+\(|\s)\s*[\"'(]?((?i:{names}))(?!\w)"
        )
        self._weighable = re.compile(rf"(?<!\w)[(\[]?([{upper}])(?!['\w])[.):\]]?(?:\s*(?:{names}))?(?!\w)", re.ASCII)
        # A bare lower-case letter must end its phrase: "option b." names one, "a sad voice" does not.
        self._letter = re.compile(
            rf"[(\[]([{both}])[)\]]|(?<![A-Za-z0-9_'])(?:([{upper}])(?!['A-Za-z0-9_]){_CLAUSE_END}|([{upper.lower()}])(?!['\w]){_PHRASE_END})"
        )
        self._or_letter = re.compile(rf"[)\]]?\s*(?:,\s*)?or\s+(?:option )?[(\[]?[{upper}](?!\w|')")

    def find(self, text: str, label_of: LabelOf) -> Finding | None:
        """The option that the text commits to; a Finding without a word for a contradiction or an undecided pair.

        label_of: the class of an emotion word, to tell if the words beside a letter contradict it.
        """
        plain = _MARKUP.sub("", text).replace("’", "'").strip()
        if len(plain) <= self._longest and (own := self._by_text.get(normalized(plain))):
            return Finding(word=own.lower(), route="option_text", span=plain)
        if len(plain) <= 40 and (match := self._alone.fullmatch(plain)):
            return self._chosen(_Named(letter=match[1], start=match.start(1), end=match.end()), plain, label_of)
        return self._heaviest(plain) or self._stated_letter(plain, label_of) or self._opening_letter(plain, label_of)

    def without_list(self, text: str) -> str:
        """`text` without the lists of options that it only repeats: three or more letters with their texts in a row."""
        plain = _MARKUP.sub("", text)
        lists: list[list[re.Match[str]]] = []
        for match in self._with_text.finditer(plain):
            if self.texts[match[1]].casefold() != match[2].casefold():
                continue
            # A letter that comes again is no longer the list but what is said after it.
            again = lists and match[1] in {listed[1] for listed in lists[-1]}
            if again or not (lists and _LIST_GAP.fullmatch(plain, lists[-1][-1].end(), match.start())):
                lists.append([])
            lists[-1].append(match)
        for listed in reversed(lists):
            if len({match[1] for match in listed}) >= min(3, max(2, len(self.texts))):
                plain = plain[: listed[0].start()] + " " + plain[listed[-1].end() :]
                text = plain
        return text

    def _heaviest(self, plain: str) -> Finding | None:
        """The option that is given most where every line or so gives one a number, a tick, or yes or no."""
        items = [Item(match.start(), match.end(), self.texts[match[1]]) for match in self._weighable.finditer(plain)]
        winners = [winner for _, winner in weighings(plain, items)] if len(items) > 1 else []
        if not winners:
            return None
        chosen = items[winners[-1]]
        span = plain[max(0, chosen.start - 60) : chosen.end + 60].strip()
        return Finding(word=chosen.label.lower(), route="option_weight", span=span)

    def _stated_letter(self, plain: str, label_of: LabelOf) -> Finding | None:
        for match in reversed(list(self._letter.finditer(plain))):
            before = plain[max(0, match.start() - 80) : match.start()]
            lead = _LEAD.search(before)
            if not (lead or _PRAISED.match(plain, match.end())) or plain[match.end() :].startswith("?"):
                continue
            if _DENIED.search(before[: lead.start()] if lead else before):
                continue
            if self._or_letter.match(plain[match.end() :]):
                return Finding(word=None, route="ambiguous", span=plain[match.start() : match.end() + 12])
            letter = match[1] or match[2] or match[3]
            return self._chosen(_Named(letter=letter, start=match.start(), end=match.end()), plain, label_of)
        return None

    def _opening_letter(self, plain: str, label_of: LabelOf) -> Finding | None:
        if match := self._opening.match(plain):
            named = _Named(letter=match[1] or match[2], start=match.start(), end=match.end())
            return self._chosen(named, plain, label_of)
        # "A sad voice": an article before an option's text is not a letter; "A Sad" is one, and so is "A. sad".
        listed = [
            match
            for match in self._with_text.finditer(plain)
            if (match[2][0].isupper() or not plain[match.end(1) : match.start(2)].isspace() or match[1] not in "AI")
            and not _DENIED.search(plain[max(0, match.start() - 40) : match.start()])
        ]
        if not listed:
            return None
        chosen = listed[-1]
        if len(listed) > 1 and _JOINED.fullmatch(plain, listed[-2].end(), chosen.start()):
            chosen = listed[-2]
        return self._chosen(_Named(letter=chosen[1], start=chosen.start(), end=chosen.end(1)), plain, label_of)

    def _chosen(self, named: _Named, plain: str, label_of: LabelOf) -> Finding:
        own = self.texts[named.letter.upper()]
        beside = _BESIDE.match(plain, named.end)
        span = plain[max(0, named.start - 60) : named.end + 60].strip()
        if beside and self._contradicts(own, beside[1], label_of):
            return Finding(word=None, route="contradiction", span=span)
        return Finding(word=own.lower(), route="option_letter", span=span)

    def _contradicts(self, own: str, beside: str, label_of: LabelOf) -> bool:
        """True if the words right beside the letter are another option, or an emotion of another class."""
        for words in (beside, re.split(r"[ /-]", beside)[0]):
            if normalized(words) == normalized(own):
                return False
            if normalized(words) in self._by_text:
                return True
            if (label := label_of(words)) is not None and (expected := label_of(own)) is not None:
                return label != expected and expected != "Other"
        return False


@lru_cache(maxsize=64)
def option_rules(options: tuple[tuple[str, str], ...]) -> OptionRules:
    """The rules for these options, compiled once."""
    return OptionRules(options)
