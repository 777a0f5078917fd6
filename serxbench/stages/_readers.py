"""What reads the answers of a run: a parser of rules, each text once, or an LLM, each question once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from serxbench.catalog import list_cards, load_template, read_card
from serxbench.errors import UnknownName
from serxbench.llm import Ask, Llm, Told
from serxbench.parsing import PARSERS, Parser, get_parser
from serxbench.parsing.extraction import SCHEMA, Extractor, Options, Question, Reply
from serxbench.progress import Progress
from serxbench.records import Decoding, JsonRecord, Parsed, Response
from serxbench.stages.llms import OPENAI, LlmRequest, estimate, llm_card, open_llm

#: `rules+NAME` asks an LLM only about the answers in which the rules find no commitment.
RESIDUE = "rules+"

#: Room for what a reasoning model thinks before its reply, which itself is short.
DECODING = Decoding(max_new_tokens=1024)

#: Of such a reply, for a forecast.
_ANSWER_TOKENS = 100

#: An LLM's name → how it is asked; a stage is told by whoever knows the endpoints.
RequestOf = Callable[[str], LlmRequest]


def slug(name: str) -> str:
    """The name of a parser as a file may be called.

    >>> slug("openai:org/model")
    'openai-org-model'
    """
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)


def usual_request(model: str) -> LlmRequest:
    """An LLM asked where its card or the environment says, without a limit."""
    return LlmRequest(model=model)


@dataclass(frozen=True, kw_only=True)
class Forecast(JsonRecord):
    """What reading a run would take at most, replies that are kept already left aside.

    n_questions: different ones, asked once each; some are asked a second time. prompt_tokens: reckoned at four
    characters each. usd: with replies of 100 tokens; None if no price is known.
    """

    parser: str
    n_answers: int
    n_questions: int = 0
    prompt_tokens: int = 0
    usd: float | None = None


class Reader(Protocol):
    """Makes one record of each response. `made_by`: what derived.json remembers of it once it has read everything."""

    @property
    def name(self) -> str: ...

    def made_by(self, records: Sequence[Parsed] = ()) -> dict[str, Any]: ...

    def read(self, responses: Sequence[Response], options: Options, progress: Progress) -> list[Parsed]: ...

    def forecast(self, responses: Sequence[Response], options: Options) -> Forecast: ...


def open_reader(name: str, request_of: RequestOf) -> Reader:
    """The reader called `name`: a parser, an LLM (a card's name or `openai:MODEL`), or `rules+` and an LLM.

    Raises UnknownName, and what open_llm raises.
    """
    return RulesReader(get_parser(name)) if name in PARSERS else LlmReader(name, request_of)


def check_reader(name: str, request_of: RequestOf) -> None:
    """Raises UnknownName if nothing that reads is called `name`; nothing is opened."""
    if name not in PARSERS:
        _card_name(name, request_of)


class RulesReader:
    """A parser without a model. Equal answers are read once."""

    def __init__(self, parser: Parser) -> None:
        self.name = parser.name
        self._parser = parser

    def made_by(self, records: Sequence[Parsed] = ()) -> dict[str, Any]:
        """Name and hash."""
        return {"parser": self.name, "sha256": self._parser.sha256}

    def read(self, responses: Sequence[Response], options: Options, progress: Progress) -> list[Parsed]:
        """One record of each response, in their order."""
        known: dict[tuple[str, str], Parsed] = {}
        return [self._read(response, options, known) for response in responses]

    def forecast(self, responses: Sequence[Response], options: Options) -> Forecast:
        """Nothing is asked."""
        return Forecast(parser=self.name, n_answers=len(responses), usd=0.0)

    def _read(self, response: Response, options: Options, known: dict[tuple[str, str], Parsed]) -> Parsed:
        if response.text is None or response.error is not None or response.probabilities is not None:
            return self._parser.parse(response, options)
        key = (response.text, response.stop)
        if key not in known:
            known[key] = self._parser.parse(response, options)
        return replace(known[key], id=response.id)


class LlmReader:
    """An LLM, asked through its cache, so that a killed run repeats no call."""

    def __init__(self, name: str, request_of: RequestOf) -> None:
        self.residue = name.startswith(RESIDUE)
        self.name = f"{RESIDUE if self.residue else ''}{_card_name(name, request_of)}"
        self.extractor = Extractor(self.name, load_template("extract"), load_template("repair"), residue=self.residue)
        self._request = request_of(name.removeprefix(RESIDUE))
        self._llm: Llm | None = None

    @property
    def llm(self) -> Llm:
        """The LLM, opened when it is first needed."""
        if self._llm is None:
            self._llm = open_llm(self._request, DECODING)
        return self._llm

    def made_by(self, records: Sequence[Parsed] = ()) -> dict[str, Any]:
        """Name, hashes, what the LLM is, and how many answers it left without a reply, which asking again may mend."""
        llm = self.llm
        whole = hashlib.sha256(f"{self.extractor.sha256}{llm.sha256}".encode()).hexdigest()
        return {
            "parser": self.name,
            "sha256": whole,
            "extraction": self.extractor.sha256,
            "llm": llm.sha256,
            "asked_as": llm.describe(),
            "n_unanswered": sum(record.route == "llm/unanswered" for record in records),
        }

    def forecast(self, responses: Sequence[Response], options: Options) -> Forecast:
        """How much would be asked; no server is spoken to."""
        first = {_key(response): response for response in responses}
        steps = [self.extractor.first(response, options) for response in first.values()]
        texts = {step.text for step in steps if isinstance(step, Question)}
        cost = estimate(self._request, texts, _ANSWER_TOKENS)
        return Forecast(
            parser=self.name,
            n_answers=len(responses),
            n_questions=cost.n_questions,
            prompt_tokens=cost.prompt_tokens,
            usd=cost.usd,
        )

    def read(self, responses: Sequence[Response], options: Options, progress: Progress) -> list[Parsed]:
        """One record of each response, in their order. Raises BudgetSpent, with all replies kept."""
        first = {_key(response): response for response in responses}
        steps = {key: self.extractor.first(response, options) for key, response in first.items()}
        progress.start(f"asking {self.llm.name}", sum(isinstance(step, Question) for step in steps.values()), 0)
        try:
            while asked := {key: step for key, step in steps.items() if isinstance(step, Question)}:
                asks = (Ask(id=key, text=step.text, schema=SCHEMA) for key, step in asked.items())
                for told in self.llm.ask(asks):
                    steps[told.id] = self.extractor.read(asked[told.id], _reply(told))
                    record = steps[told.id]
                    if isinstance(record, Parsed):
                        progress.advance(1, int(record.route == "llm/unanswered"))
        finally:
            progress.finish()
            progress.say(_costs(self.llm))
        records = {key: step for key, step in steps.items() if isinstance(step, Parsed)}
        return [replace(records[_key(response)], id=response.id) for response in responses]


def _key(response: Response) -> str:
    """The same for answers that are read the same way."""
    parts = [response.text, response.stop, response.error]
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _reply(told: Told) -> Reply:
    withheld = told.stop == "filtered"
    error = (told.error or "no reason given") if told.stop in ("error", "filtered") else None
    return Reply(text=told.text, cut=told.stop == "length", withheld=withheld, error=error)


def _costs(llm: Llm) -> str:
    counts = llm.counts
    tokens = f"{counts['prompt_tokens']} prompt and {counts['answer_tokens']} reply tokens"
    return f"{llm.name}: {counts['requests']} requests ({tokens}); {counts['cached']} replies were there already"


def _card_name(name: str, request_of: RequestOf) -> str:
    """What records call the LLM: its card's name, whose file may lie anywhere, or `openai:MODEL`."""
    model = name.removeprefix(RESIDUE)
    request = request_of(model)
    try:
        card = llm_card(request)
    except UnknownName:
        llms = [each for each, path in list_cards(request.cards).items() if read_card(path).adapter == "hosted"]
        known = [*PARSERS, *llms, *(f"{RESIDUE}{each}" for each in llms), f"{OPENAI}MODEL"]
        raise UnknownName("parser", name, known, "serxbench parse --help") from None
    return model if card is None else card.name
