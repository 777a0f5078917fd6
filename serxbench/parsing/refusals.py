"""Answers in which the model declines to answer."""

from __future__ import annotations

import re

_REFUSAL = re.compile(
    r"\bi(?:'m| am) (?:so |very |really )?(?:sorry(?! to hear| about| for)|unable|not able|incapable"
    r"|afraid (?:i|that i))|\bi apologi[sz]e\b"
    r"|^\W*(?:sorry|unfortunately|my apologies|apologies)\b|\bas an? (?:\w+ ){0,4}(?:ai|language model"
    r"|assistant|model)\b"
    r"|\b(?:i|we) (?:can ?not|can't|could ?n't|could not|do not|don't|am not|won't|will not|must decline"
    r"|decline|refuse)"
    r"(?: \w+){0,3} (?:determine|identify|help|hear|listen|process|assist|provide|answer|access"
    r"|analy[sz]e|tell|recogni[sz]e"
    r"|detect|infer|have|perceive|able|comply|discern|judge|assess|say|comment)\b"
    r"|\b(?:can ?not|can't|could not|couldn't) (?:be|reliably|accurately|confidently)?\s?(?:determined?"
    r"|inferred|identified"
    r"|perceived|detected|assessed|ascertained|established|discerned|recogni[sz]ed|concluded|interpreted|analy[sz]ed)\b"
    r"|\b(?:not possible|impossible|difficult|hard) to (?:determine|tell|identify|say|infer|know)\b"
    r"|\b(?:no|not|n't|lack of|insufficient) (?:\w+ ){0,3}(?:enough |sufficient )?(?:information|context"
    r"|audio|recording)\b"
    r"|\bplease (?:provide|upload|share|attach|give)\b"
    r"|\b(?:tut mir leid|entschuldigung|ich kann (?:\w+ )*nicht|je suis désolée?|je ne (?:peux|suis) pas"
    r"|lo siento|no puedo"
    r"|desculpe|não (?:posso|consigo)|mi dispiace|non posso)\b"
    r"|\b(?:не могу|невозможно|извините|nie mogę|ik kan (?:\w+ )?niet|xin lỗi|không thể)\b|لا أستطيع|لا يمكن|खेद है"
    r"|抱歉|对不起|對不起|无法|無法|不能判断|申し訳|できません|わかりません|죄송|수 없습니다"
)


_OUTRIGHT = re.compile(r"sorry|apolog|unable|cannot|can['’]t|\bas an")


def declines(sentence: str) -> bool:
    """True for a sentence that refuses in so many words: sorry, unable, cannot, as an AI.

    >>> declines("I am sorry, but I cannot hear it."), declines("I don't hear anger.")
    (True, False)
    """
    return _OUTRIGHT.search(sentence.lower()) is not None and refuses(sentence)


def refuses(text: str) -> bool:
    """True if the text declines to answer, or says that it cannot be answered. Only asked where nothing is committed.

    >>> refuses("I'm sorry, I can't help with that."), refuses("As an AI, I cannot hear."), refuses("Hi!")
    (True, True, False)
    """
    return _REFUSAL.search(text.replace("’", "'").lower()) is not None
