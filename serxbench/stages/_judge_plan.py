"""What a judge is asked: which pairs, in which form and order, and which canaries beside them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from serxbench import runs
from serxbench.catalog import Template, load_template
from serxbench.corpora import Corpus
from serxbench.errors import CorpusError, UsageError
from serxbench.judging.canaries import AGAIN, ORDERS, Canary, make_canaries
from serxbench.judging.pairs import Item, Orders, Pairs, Selecting, orders_of, rank, select
from serxbench.judging.questions import PROMPTS, REPAIR_PROMPT, Question, ask_about
from serxbench.judging.texts import Dress, undress
from serxbench.progress import Progress
from serxbench.records import Prediction
from serxbench.stages._judge_numbers import WeightsName
from serxbench.stages._judge_sources import Source, open_corpus_of, plurality_of
from serxbench.stages.llms import LlmRequest

#: What of the recording the judge gets.
Sees = Literal["none", "transcript", "audio"]

SEES: tuple[Sees, ...] = get_args(Sees)

AS_WRITTEN = "as written"


@dataclass(frozen=True, kw_only=True)
class JudgeRequest:
    """Who judges what, and how.

    sees: what of the recording the judge gets. selecting.labels is filled in from the corpus. dress: what is taken off
    the texts; beside: judge them as they are written too. n_canaries: of each kind. votes: people's, see
    serxbench.stages._judge_people. may_upload: the user has the right to send what the corpus's licence does not give.
    """

    llm: LlmRequest
    sees: Sees = "none"
    selecting: Selecting = field(default_factory=Selecting)
    orders: Orders = "both"
    dress: Dress = field(default_factory=Dress)
    beside: bool = False
    n_canaries: int = 10
    weights: WeightsName = "emotions"
    level: float = 0.95
    votes: Path | None = None
    max_new_tokens: int = 512
    prompts: tuple[Path, ...] = ()
    may_upload: bool = False
    figure: bool = True


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked. forms: name → what is taken off the texts. shown: form → (pair, id) → both texts as shown."""

    sources: Sequence[Source]
    corpus: Corpus | None
    pairs: Pairs
    forms: Mapping[str, Dress]
    shown: Mapping[str, Mapping[tuple[str, str], tuple[str, str]]]
    orders: Mapping[tuple[str, str], tuple[str, ...]]
    canaries: Sequence[Canary]
    again: Sequence[Item]
    template: Template
    repair: Template


#: What a question is about: (kind, form, pair, order, utterance).
Key = tuple[str, str, str, str, str]


def make_plan(sources: Sequence[Source], request: JudgeRequest, progress: Progress) -> Plan:
    """What is asked about these systems. Tells of emotions that fall short. Raises UsageError or CorpusError."""
    needs_corpus = request.sees != "none" or request.selecting.rule != "same-label"
    corpus = open_corpus_of(sources[0]) if needs_corpus else None
    labels = tuple(sources[0].run.manifest.corpus["labels"])
    ids = [each.id for each in sources[0].run.read_records(runs.PREDICTIONS, Prediction)]
    selecting = dataclasses.replace(request.selecting, labels=labels)
    plurality = plurality_of(corpus) if corpus is not None and selecting.rule != "same-label" else {}
    pairs = select([source.system for source in sources], ids, selecting, plurality)
    for stratum in pairs.strata:
        if stratum.shortfall:
            progress.say(f"{stratum.pair}: {stratum.emotion} has {stratum.n_taken} of {stratum.n_wanted} pairs wanted")
    forms = _forms(request)
    shown = {
        form: {(item.pair, item.id): undress(item.texts, dress) for item in pairs.items}
        for form, dress in forms.items()
    }
    first_form = next(iter(forms))
    seed, n = request.selecting.seed, request.n_canaries
    return Plan(
        sources=sources,
        corpus=corpus,
        pairs=pairs,
        forms=forms,
        shown=shown,
        orders=orders_of(pairs.items, request.orders, seed),
        canaries=make_canaries(pairs.items, shown[first_form], n, seed),
        again=sorted(pairs.items, key=lambda item: rank(seed, AGAIN, item.pair, item.id))[:n],
        template=load_template(PROMPTS[request.sees], request.prompts),
        repair=load_template(REPAIR_PROMPT, request.prompts),
    )


def _forms(request: JudgeRequest) -> dict[str, Dress]:
    """Form → what is taken off; the one that is reported first comes first."""
    dressed = "+".join(request.dress.names)
    if not dressed:
        if request.beside:
            raise UsageError("--with-and-without compares normalised texts with the others: add --normalise")
        return {AS_WRITTEN: Dress()}
    return {dressed: request.dress, **({AS_WRITTEN: Dress()} if request.beside else {})}


def wanted(plan: Plan) -> list[tuple[Item, str, str]]:
    """Every question of the comparison: item, form and order, in the order of the result file."""
    return [(item, form, order) for form in plan.forms for item in plan.pairs.items for order in orders_for(plan, item)]


def orders_for(plan: Plan, item: Item) -> tuple[str, ...]:
    """The orders in which an item is shown."""
    return plan.orders[item.pair, item.id]


def make_questions(plan: Plan) -> dict[Key, Question]:
    """All questions of the comparison and of the canaries."""
    transcripts = _transcripts(plan)
    found: dict[Key, Question] = {}
    for item, form, order in wanted(plan):
        texts = in_order(plan.shown[form][item.pair, item.id], order, item.pair)
        key = ("pair", form, item.pair, order, item.id)
        found[key] = ask_about(plan.template, texts, transcripts.get(item.id))
    form = next(iter(plan.forms))
    for canary, order in itertools.product(plan.canaries, ORDERS):
        key = (canary.kind, form, canary.pair, order, canary.id)
        found[key] = ask_about(plan.template, canary.shown(order), transcripts.get(canary.id))
    for item in plan.again:
        for order in orders_for(plan, item):
            texts = in_order(plan.shown[form][item.pair, item.id], order, item.pair)
            key = (AGAIN, form, item.pair, order, item.id)
            found[key] = ask_about(plan.template, texts, transcripts.get(item.id), salt=AGAIN)
    return found


def in_order(texts: tuple[str, str], order: str, pair: str) -> tuple[str, str]:
    """Two texts of `pair` as `order` shows them, or back again."""
    return texts if order == pair else (texts[1], texts[0])


def _transcripts(plan: Plan) -> dict[str, str]:
    """Id → transcript where the prompt shows one; an utterance without one shows that it has none."""
    if "{{transcript}}" not in plan.template.text.replace(" ", "") or plan.corpus is None:
        return {}
    if not any(utterance.transcript for utterance in plan.corpus.utterances):
        raise CorpusError(f"{plan.corpus.info.name}: has no transcripts; leave out --judge-transcript")
    return {utterance.id: utterance.transcript or "(no transcript)" for utterance in plan.corpus.utterances}
