"""Which emotion words do not count: negated, hypothetical, asked about, somebody else's, the listener's own.

Every guard looks at the sentence around one mention: `before` is the text from the sentence start to the mention,
`after` the text from its end to the sentence end, both in lower case.
"""

from __future__ import annotations

import re

_NOT_NEGATING = re.compile(
    r"\b(?:is|are|feels?|sounds?|seems?) more than\s*$|\b(?:no doubt|not without|without (?:an?y? )?doubt"
    r"|no question|not (?:only|just|merely|simply)|can(?:not|'t) help but"
    r"|not (?:hard|difficult) to|nothing (?:but|other than|except)|not to mention|no wonder|no less|doubtless"
    r"|not (?:entirely |completely |totally |quite |100% )?(?:sure|certain)[^,;.]*(?:, )?but"
    r"|(?:no|not|never|cannot|\w+n't) (?:\w+ ){0,4}(?:other than|except|besides|but|apart from)"
    r"|(?:could|can|would)(?: not|n't|not)(?: \w+){0,2} (?:be|feel|sound|seem|appear|have been|get) (?:any )?more"
    r"|(?:never|rarely|seldom) (?:\w+ ){0,6}(?:so|such|this|that|more|as)\b"
    r"|(?:nobody|no one|nothing) (?:could|can) (?:be|feel|sound|seem) (?:any )?more"
    r"|no (?:áudio|audio|tom|discurso|trecho|falante|orador|clipe|som|segmento))\b"
)
# "could not be happier" says the most, as "could not be more happy" does.
_SUPERLATIVE = re.compile(
    r"\b(?:(?:could|can|would)(?: not|n't|not)|(?:nobody|no one|nothing) (?:could|can))(?: \w+){0,2}"
    r" (?:be|feel|sound|seem|appear|look|get|have been) (?:any |even )?$"
)
_COMPARATIVE = re.compile(r"[^\W\d_]{2,}(?:er|ier)")
_SO_MUCH_AS = re.compile(r"\bso much\b.*\bas\b")
_NEGATION = re.compile(
    r"\b(?:not|never|neither|nor|cannot|hardly|barely|scarcely|rather than|instead of|other than|as opposed to"
    r"|unlike|anything but|opposite of|rul(?:es?|ed|ing) out|exclud(?:es?|ed|ing)|fail(?:s|ed|ing)? to|unable to"
    r"|impossible to|than|weder|noch|nicht|pas|jamais|nunca|não|nao|nem|non|né|ni|too \w+ to be|less|isnt"
    r"|doesnt|dont|cant"
    r"|(?P<noun>no|none|nothing|without|lack(?:s|ed|ing)?(?: of| in| any)?|absence of|absent of|devoid of|void of"
    r"|free (?:of|from)|far from|keine?[rnms]?|ohne|statt|anstatt|sans|sin|sem|senza|geen|zonder|bez|без))\b|n't\b"
    r"|\b(?:niet|nie|не|ни|không|ليس|ليست|غير)\b"
)
_NEW_CLAUSE = re.compile(
    r"[;:—–\x00]|\s-\s|\b(?:but|however|yet|although|though|because|since|sondern|aber|sino|pero|mais|mas|plutôt"
    r"|bensì|so much as|instead(?! of))\b|\band (?:is|are|was|sounds?|seems?|appears?|feels?|conveys?"
    r"|expresses?|shows?|has|it)\b"
)
_FINITE = re.compile(
    r"(?<!that )(?<!which )\b(?:suggests?|indicates?|implies|conveys?|points? to|signals?|reflects?|reveals?|means?"
    r"|makes?|is|are|sounds?|seems?|appears?|leads?)\b"
)
_LIST_ONLY = re.compile(r"[\w\s,'/-]*\b(?:or|nor|oder|ou|o|ni|noch|y|and)\b[\w\s'/-]*")
_RELEASED = re.compile(
    r",\s*(?:just|only|simply|merely|it|they|he|she|the|this|there|so|which|suggesting|indicating|more|eher|mais|ma|ce"
    r"|es|est|está|esta|parece|suena|é|è|soa|sembra|suona|ist|sondern|klingt|wirkt|het|maar|eerder|ale|lecz|raczej"
    r"|а|но|скорее|mà)\b"
)
_NEGATED_AFTER = re.compile(
    r"""["'\s)]*\b(?:(?:is|are|was|were|do(?:es)?|did|ca|could|would|has|have|seem|appear)"""
    r"""(?:n't|\s+not)\b(?! only| just)"""
    r"""|cannot\b|ist nicht\b|n'est pas\b|no es\b|não é\b|non è\b"""
    r"""|(?:(?:is|are|was|were|seems?|appears?|can|could|may|would|be)\s+)*(?:ruled out"""
    r"""|out of the question|off the table|unlikely|less likely|absent"""
    r"""|excluded|missing|lacking|implausible)\b)"""
)
_NEGATED_BEFORE_NARROW = re.compile(
    r"(?:不是|没有|沒有|并非|並非|并不|並不|而非|毫无|不会|不像|不|没|无|無)[^，。；！？、,.]{0,8}$"
)
_RELEASE_NARROW = re.compile(r"而是|但|却|卻|是(?!不)")
_NEGATED_AFTER_NARROW = re.compile(
    r"[^。、，,.\n]{0,8}?(?:では?な[いく]|じゃな|はな[いく]|がな[いく]|くな[いく]|ません|いない|せず|ない)"
    r"|(?:이|가|은|는|하지|하지는|지|지는|한 것은|함이|의 감정은|의 징후는|의 징후가)?\s*(?:않|아니|아닌|없)"
    r"|\s*(?:것|게|건)(?:이|은|는)?\s*아니"
    r"|\s+(?:değil|नहीं)"
)

_HYPOTHETICAL = re.compile(
    r"(?<!as )\bif\b(?! (?:i|we) (?:had|have|must|were (?:to|forced)|am forced|was)\b| (?:forced|pressed"
    r"|anything|any)\b"
    r"| not\b| i'm\b)"
)
_UNREAL = re.compile(
    r"\b(?:unless|suppose|imagine|had the speaker|were the speaker|(?:would|might|could"
    r"|may) (?:typically |normally |usually )?"
    r"(?:expect|think|assume|believe|mistake)|expected to|supposed to|wish(?:es|ed)? (?:to|that|he|she"
    r"|they|it)|hopes? to|wants? to (?:be|feel)|(?:could|would|should|might) have been"
    r"|wenn)\b(?:(?!\bbut\b)[^,;])*$"
    r"|^\W*(?:were|had|should) (?:he|she|they|it|this|there|the (?:speaker|voice|tone|person|man|woman))\b[^,;]*$"
    r"|\b(?:anyone|anybody|everyone|everybody|(?:most |many )?people|one|you|who)(?: else)? would(?:n't| not)?"
    r" (?:be|feel|sound|get|become|have been|have felt)\b[^,;]*$"
)
_EXPECTED_AFTER = re.compile(r" (?:that |which )?(?:you|one|we|i|people)(?:'d| would| might) (?:\w+ )?expect")
_WOULD = re.compile(r"\b(?:would|could|might|'d)\b")
_WHETHER = re.compile(r"\b(?:whether|ob|si c'est|是否|かどうか|인지)\b")

_FIRST_PERSON = re.compile(
    r"\b(?:i|we)(?:'m| am|'d be| would be|'ll be| will be|'ve been| was| were| are|'re| feel| felt|'d feel| get)"
    r"(?: \w+){0,2}\s+$"
)
_IN_THE_VOICE = re.compile(r"\s+(?:\w+ ){0,4}?(?:in|from) (?:the|his|her|their|this|your)\b")
_TO_SERVE = re.compile(r"\s+to (?:help|assist|hear|provide|analy|do so|try|answer|discuss|chat)|\s+(?:day|birthday)\b")
_EFFECT = re.compile(
    r"\b(?:mak(?:es?|ing)|made|leav(?:es?|ing)|left|evok\w+ in|invok\w+ in|caus(?:es?|ing))"
    r" (?:me|us|you|one|people|others|the (?:listener|audience|hearer|reader|viewer|other)s?)\b[^,;]*$"
)
_RELATION = (
    r"(?:mother|mom|mum|father|dad|parents?|sister|brother|son|daughter|child|children|kids?|baby|wife|husband|spouse"
    r"|partner|friends?|girlfriend|boyfriend|boss|manager|colleagues?|coworkers?|co-workers?|neighbou?rs?|teacher"
    r"|students?|doctor|patients?|clients?|fans?|team|dog|cat|uncle|aunt|grandmother|grandfather|crowd|ex)"
)
_OTHERS = re.compile(
    rf"(?<!to )(?<!at )(?<!with )(?<!for )(?<!from )(?<!by )(?<!about )(?<!towards )(?<!toward )"
    rf"\b(?:(?:the |an? |any |most |other )?(?:listeners?|hearers?|audiences?|readers?|viewers?"
    rf"|interlocutors?|bystanders?)"
    rf"|(?:the |an? )?other (?:person|people|speaker|party|man|woman|character|guy|side)|someone else"
    rf"|somebody else|others"
    rf"|(?:his|her|their|my|your|\w+'s|the) (?:\w+ )?{_RELATION})\b(?! of\b)"
)
_SPEAKER_AGAIN = re.compile(
    r"\b(?:speaker|voice|tone|sounds|speech|audio|emotion|himself|herself|themselves|and|so|while|whereas|but|yet)\b"
    r"|[,;]"
)
_OBJECT_AFTER = re.compile(
    rf"(?: and \w+| or \w+)?(?:-looking|-sounding)?\s+(?:\w+ )?(?:{_RELATION}|birthday|ending|endings|news"
    rf"|story|stories"
    r"|songs?|movies?|films?|music|melody|soundtrack|books?|hour|customers|people|listeners?|audience"
    r"|new year|anniversary|holidays?)\b"
)
_TOPIC = re.compile(
    r"\b(?:about|regarding|concerning|discuss(?:es|ing|ed)?|describ(?:es?|ing)|mention(?:s|ing|ed)?|topics? of"
    r"|story of|the (?:actual )?(?:words?|phrases?|terms?|line))(?: (?:a|an|the|being|how|feeling|their"
    r"|his|her|very|some"
    r"|something|someone|that|is|so|\w+ly)){0,4}\s+$"
)


def is_negated(before: str, after: str, word: str = "") -> bool:
    """True if the mention is denied: "not angry", "no sign of anger", "anger is not", "n'est pas triste".

    word: the mention itself, since a comparative turns a denial round ("could not be happier").

    >>> is_negated("not ", ""), is_negated("", " isn't"), is_negated("not angry, just ", "")
    (True, True, False)
    >>> is_negated("she couldn't be ", "", "happier"), is_negated("she couldn't be ", "", "happy")
    (False, True)
    """
    if _COMPARATIVE.fullmatch(word) and _SUPERLATIVE.search(before):
        return False
    if _NEGATED_AFTER.match(after) or (not after.isascii() and _NEGATED_AFTER_NARROW.match(after)):
        return True
    if not before.isascii() and (match := _NEGATED_BEFORE_NARROW.search(before)):
        return not _RELEASE_NARROW.search(match[0].removeprefix("不是"))
    if not _NEGATION.search(before):
        return False
    cleared = _NOT_NEGATING.sub(lambda m: "+" * len(m[0]), before)
    clause = cleared[max((m.end() for m in _NEW_CLAUSE.finditer(cleared)), default=0) :]
    return any(_reaches(match, clause[match.end() :]) for match in _NEGATION.finditer(clause))


def _reaches(cue: re.Match[str], between: str) -> bool:
    """True if nothing between the negation and the mention ends its scope."""
    if len(between) > 120 or _RELEASED.search(between) or _SO_MUCH_AS.search(between):
        return False
    if (cue["noun"] or "").startswith(("lack", "abs", "with")) and _FINITE.search(between):
        return False
    if cue[0] in ("than", "less"):
        less_than = cue[0] == "than" and re.search(r"\bless\b", cue.string[: cue.start()])
        return not less_than and len(between.split()) <= (1 if cue[0] == "less" else 3) and "," not in between
    if "," not in between:
        return True
    listed = cue["noun"] in ("no", "without") or cue[0] in ("neither", "nor") or _LIST_ONLY.fullmatch(between)
    return bool(listed) and len(between.split()) <= 12


def is_hypothetical(before: str, after: str) -> bool:
    """True inside "if ..." and what would follow from it, "one would expect ...", "whether ...".

    >>> is_hypothetical("if the speaker were ", ", we would hear it"), is_hypothetical("sounds as if they are ", "")
    (True, False)
    """
    if condition := _HYPOTHETICAL.search(before):
        rest = before[condition.end() :]
        if "," not in rest or _WOULD.search(rest) or _WOULD.search(after):
            return True
    elif (condition := _HYPOTHETICAL.search(after)) and _WOULD.search(before):
        return not re.search(r"\bi(?:'d| would)\b", before)
    if _EXPECTED_AFTER.match(after):
        return True
    return bool(_UNREAL.search(before) or (_WHETHER.search(before) and "," not in before[-60:]))


def is_someone_elses(before: str, after: str) -> bool:
    """True for the answering model's own feelings, the listener's, another person's, and what is merely talked about.

    >>> is_someone_elses("i'd be ", " to help"), is_someone_elses("it makes the listener ", "")
    (True, True)
    >>> is_someone_elses("the speaker is talking to her boss and sounds ", "")
    False
    """
    if _TO_SERVE.match(after) or _EFFECT.search(before) or _TOPIC.search(before):
        return True
    if _FIRST_PERSON.search(before) and not _IN_THE_VOICE.match(after):
        return True
    if _OBJECT_AFTER.match(after) and not before.rstrip().endswith(("like a", "like an", "as a", "as an")):
        return True
    ends = [match.end() for match in _OTHERS.finditer(before)]
    return bool(ends) and not _SPEAKER_AGAIN.search(before, ends[-1])
