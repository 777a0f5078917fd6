"""Questions → what a judge decided: every one has a verdict or the reason why it has none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from serxbench.catalog import Template
from serxbench.judging.questions import Question, ask_again
from serxbench.judging.verdicts import SCHEMA, Unread, Verdict, read_verdict
from serxbench.llm import Ask, Llm, Told
from serxbench.progress import Progress
from serxbench.records import Status


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What became of one question. reply, repair: verbatim; the second if the judge was asked again."""

    status: Status
    verdict: Verdict | None = None
    reply: str | None = None
    repair: str | None = None
    error: str | None = None
    served: str | None = None


#: The sound that goes with a question, by its name; None if there is none. A text instead says why it cannot be had.
FindSound = Callable[[str], bytes | str | None]


def decide(
    llm: Llm, questions: Mapping[str, Question], repair: Template, progress: Progress, find_sound: FindSound
) -> dict[str, Decided]:
    """What the judge decided of each question, by its name.

    A reply that cannot be read is answered with one more question. Raises BudgetSpent, AdapterError; all replies that
    were given by then are in the LLM's cache.
    """
    found: dict[str, Decided] = {}

    def asks() -> Iterator[Ask]:
        for name, question in questions.items():
            sound = find_sound(name)
            if isinstance(sound, str):
                found[name] = Decided(status="error", error=sound)
            else:
                yield Ask(id=name, text=question.text, wav=sound, schema=SCHEMA)

    unread: dict[str, Told] = {}
    progress.start("asking the judge", total=len(questions), done=0)
    try:
        for told in llm.ask(asks()):
            decided = _read(told, questions[told.id])
            if decided.verdict is None and told.stop in ("end", "length"):
                unread[told.id] = told
            found[told.id] = decided
            progress.advance(1, int(decided.status == "error"))
    finally:
        progress.finish()
    if unread:
        progress.say(f"{len(unread)} replies had no readable verdict; each is asked for once more")
        again = {name: ask_again(repair, questions[name], told.text or "") for name, told in sorted(unread.items())}
        for told in llm.ask(_repeated(again, find_sound)):
            found[told.id] = _repaired(found[told.id], told, questions[told.id])
    return {name: found[name] for name in questions}


def _repeated(again: Mapping[str, Question], find_sound: FindSound) -> Iterator[Ask]:
    for name, question in again.items():
        sound = find_sound(name)
        if not isinstance(sound, str):
            yield Ask(id=name, text=question.text, wav=sound, schema=SCHEMA)


def _read(told: Told, question: Question) -> Decided:
    if told.stop == "error":
        return Decided(status="error", error=told.error or "no answer", served=told.served)
    if told.stop == "filtered":
        return Decided(status="refused", reply=told.text, error=told.error, served=told.served)
    reply = told.text or ""
    verdict = read_verdict(reply, question.shown)
    if isinstance(verdict, Unread):
        status: Status = "truncated" if told.stop == "length" else "off_format" if reply.strip() else "empty"
        return Decided(status=status, reply=reply, error=verdict.reason, served=told.served)
    return Decided(status="ok", verdict=verdict, reply=reply, served=told.served)


def _repaired(first: Decided, told: Told, question: Question) -> Decided:
    second = _read(told, question)
    return Decided(
        status=second.status,
        verdict=second.verdict,
        reply=first.reply,
        repair=second.reply,
        error=second.error,
        served=second.served or first.served,
    )
