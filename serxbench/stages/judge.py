"""Two runs or more → which system explains itself better, as a judge sees it, and what the judge is worth."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serxbench import __version__, runs
from serxbench.corpora import Corpus, find_corpus
from serxbench.errors import AudioError, UsageError
from serxbench.judging.canaries import CanaryVerdict, sum_up
from serxbench.judging.identity import code_sha256
from serxbench.judging.texts import MAX_CHARACTERS
from serxbench.judging.warnings import family_of, family_warnings
from serxbench.llm import Llm
from serxbench.progress import Progress
from serxbench.records import Decoding, JsonRecord, Judgment
from serxbench.runs import Run
from serxbench.stages._judge_asking import decide
from serxbench.stages._judge_figure import check_figures, draw_figure
from serxbench.stages._judge_folder import CANARIES, JUDGMENTS, JudgeFolder, JudgeManifest
from serxbench.stages._judge_numbers import canary_rows, compare_pair, judge_warnings, plain, strengths
from serxbench.stages._judge_people import Votes, read_votes
from serxbench.stages._judge_plan import JudgeRequest, Plan, make_plan, make_questions
from serxbench.stages._judge_records import canary_verdicts_of, judgments_of
from serxbench.stages._judge_sources import TEXTS_RULE, known_families, read_sources, relatives_of
from serxbench.stages.llms import estimate, open_llm


@dataclass(frozen=True, kw_only=True)
class Judging:
    """A finished judging: its folder, what win_rates.json holds, and how many questions ended in an error."""

    folder: Path
    numbers: Mapping[str, Any]
    n_failed: int


@dataclass(frozen=True, kw_only=True)
class JudgeForecast(JsonRecord):
    """What a judging would take at most: replies that are kept already, and questions asked once more, left aside.

    pairs: pair of systems → emotion → utterances. n_questions: different ones. prompt_tokens: reckoned at four
    characters each, sound left out. usd: with replies as long as they may be; None if no price is known or sound is
    sent.
    """

    judge: str
    pairs: Mapping[str, Mapping[str, int]]
    n_pair_questions: int
    n_canary_questions: int
    n_questions: int
    prompt_tokens: int
    usd: float | None


def forecast(run_list: Sequence[Run], request: JudgeRequest, progress: Progress) -> JudgeForecast:
    """What `judge` would ask; no server is spoken to and nothing is written. Raises UsageError or CorpusError."""
    plan = make_plan(read_sources(run_list), request, progress)
    questions = make_questions(plan)
    cost = estimate(request.llm, {question.text for question in questions.values()}, request.max_new_tokens)
    pairs: dict[str, dict[str, int]] = {}
    for stratum in plan.pairs.strata:
        pairs.setdefault(stratum.pair, {})[stratum.emotion] = stratum.n_taken
    n_pair_questions = sum(key[0] == "pair" for key in questions)
    return JudgeForecast(
        judge=request.llm.model,
        pairs=pairs,
        n_pair_questions=n_pair_questions,
        n_canary_questions=len(questions) - n_pair_questions,
        n_questions=cost.n_questions,
        prompt_tokens=cost.prompt_tokens,
        usd=None if request.sees == "audio" else cost.usd,
    )


def judge(run_list: Sequence[Run], request: JudgeRequest, out: Path, progress: Progress) -> Judging:
    """The judging in `out`, complete; replies that an earlier process got are not asked for again.

    A finished one is only counted anew; questions that ended in an error are asked again. Raises UsageError,
    CorpusError, ManifestMismatch if `out` holds another judging, BudgetSpent, AdapterError.
    """
    if request.figure:
        check_figures()
    sources = read_sources(run_list)
    plan = make_plan(sources, request, progress)
    names = sorted({item.pair for item in plan.pairs.items})
    votes = None if request.votes is None else read_votes(request.votes, names)
    decoding = Decoding(max_new_tokens=request.max_new_tokens, seed=request.selecting.seed)
    folder = JudgeFolder(out)
    llm = open_llm(request.llm, decoding, lambda event: folder.note_timing(**event))
    warnings = _warn(llm, plan, request)
    manifest = _manifest(llm, plan, request)
    for warning in warnings:
        progress.say(f"warning: {warning}")
    with runs.lock_folder(out):
        folder.start(manifest)
        judgments, canaries = _answers(folder, llm, plan, request, progress)
        numbers = _count(plan, request, (judgments, canaries), warnings, votes, llm)
        numbers = folder.write_numbers(numbers, [JUDGMENTS, CANARIES])
        if request.figure:
            draw_figure(numbers, out)
    n_failed = _n_failed(judgments, canaries)
    return Judging(folder=out, numbers=numbers, n_failed=n_failed)


def _warn(llm: Llm, plan: Plan, request: JudgeRequest) -> list[str]:
    """What speaks against this judge. Raises UsageError if it may not get the audio or the transcripts."""
    family = family_of(llm.name, llm.family, known_families())
    found = family_warnings(llm.name, family, relatives_of(plan.sources, request.llm.cards))
    corpus = plan.sources[0].run.manifest.corpus
    host, name, licence = llm.third_party, corpus["name"], corpus["licence"]
    if host is None or find_corpus(name).INFO.upload_allowed:
        return found
    if request.sees != "none" and not request.may_upload:
        what = "audio" if request.sees == "audio" else "transcripts"
        raise UsageError(
            f"the judge '{llm.name}' is at {host}, somebody else's machine, and the licence of {name} ({licence}) does "
            f"not allow its {what} to be uploaded. If yours does, say so with --i-have-the-right-to-upload"
        )
    return [
        *found,
        f"the explanations go to {host} and may quote the transcripts of {name}, whose licence ({licence}) does not "
        "allow uploading",
    ]


def _manifest(llm: Llm, plan: Plan, request: JudgeRequest) -> JudgeManifest:
    prompts = {
        role: {"name": each.name, "version": each.version, "sha256": each.sha256}
        for role, each in (("judge", plan.template), ("repair", plan.repair))
    }
    corpus = plan.sources[0].run.manifest.corpus
    selecting = request.selecting
    return JudgeManifest(
        serxbench=__version__,
        judge={"name": llm.name, "family": llm.family, "sha256": llm.sha256, **llm.describe()},
        code=code_sha256(),
        prompts=prompts,
        systems={source.system.letter: source.describe() for source in plan.sources},
        corpus={key: corpus.get(key) for key in ("name", "split", "revision", "n", "labels", "licence")},
        pairs={
            "rule": selecting.rule,
            "per_emotion": selecting.per_emotion,
            "seed": selecting.seed,
            "orders": request.orders,
            "n": len(plan.pairs.items),
        },
        texts={"rule": TEXTS_RULE, "forms": list(plan.forms), "sees": request.sees, "most_characters": MAX_CHARACTERS},
        canaries={"n": request.n_canaries},
    )


def _answers(
    folder: JudgeFolder, llm: Llm, plan: Plan, request: JudgeRequest, progress: Progress
) -> tuple[list[Judgment], list[CanaryVerdict]]:
    judgments, canaries = folder.read(JUDGMENTS, Judgment), folder.read(CANARIES, CanaryVerdict)
    if judgments is not None and canaries is not None:
        failed = _n_failed(judgments, canaries)
        if not failed:
            progress.say(f"{folder.path}: the judgments are there already; nothing is asked again")
            return judgments, canaries
        progress.say(f"{folder.path}: {failed} questions without an answer are asked again")
    questions = make_questions(plan)
    at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    folder.note_timing(event="start", at=at, n=len(questions))
    names = {"\0".join(key): question for key, question in questions.items()}
    sounds = _Sounds(plan.corpus if request.sees == "audio" else None)
    found = decide(llm, names, plan.repair, progress, lambda name: sounds.find(name.split("\0")[-1]))
    folder.note_timing(event="asked", **llm.counts)
    decided = {key: found["\0".join(key)] for key in questions}
    judgments, canaries = judgments_of(plan, decided), canary_verdicts_of(plan, decided)
    folder.write(CANARIES, canaries)
    folder.write(JUDGMENTS, judgments)
    return judgments, canaries


def _n_failed(judgments: Sequence[Judgment], canaries: Sequence[CanaryVerdict]) -> int:
    return sum(each.status == "error" for each in judgments) + sum(each.status == "error" for each in canaries)


class _Sounds:
    """The clips of a corpus as a server gets them. An utterance is asked about several times in a row."""

    def __init__(self, corpus: Corpus | None) -> None:
        self._paths = None if corpus is None else {each.id: each.audio for each in corpus.utterances}
        self._read = functools.lru_cache(maxsize=64)(_read_sound)

    def find(self, id: str) -> bytes | str | None:
        """The WAV file; None if the judge hears nothing; a text if the clip cannot be had, saying why."""
        if self._paths is None:
            return None
        path = self._paths.get(id)
        return "the corpus has no audio of it here" if path is None else self._read(path)


def _read_sound(path: Path) -> bytes | str:
    from serxbench.audio import read_audio
    from serxbench.llm._wav import encode_wav

    try:
        return encode_wav(read_audio(path).waveform)
    except AudioError as error:
        return str(error)


def _count(
    plan: Plan,
    request: JudgeRequest,
    answers: tuple[Sequence[Judgment], Sequence[CanaryVerdict]],
    warnings: Sequence[str],
    votes: Votes | None,
    llm: Llm,
) -> dict[str, Any]:
    judgments, canaries = answers
    pairs = sorted({item.pair for item in plan.pairs.items})
    counted, ranked = [], []
    for form in plan.forms:
        of_form = [each for each in judgments if each.form == form]
        for pair in pairs:
            strata = [stratum for stratum in plan.pairs.strata if stratum.pair == pair]
            of_pair = [each for each in of_form if each.pair == pair]
            counted.append(compare_pair(of_pair, strata, request.weights, request.level, votes))
        letters = [source.system.letter for source in plan.sources]
        if (found := strengths(of_form, letters, request.level)) is not None:
            ranked.append(found)
    rows = canary_rows(sum_up(canaries), request.level)
    return {
        "judge": {"name": llm.name, "family": llm.family, "sees": request.sees, **llm.describe()},
        "prompt": {"name": plan.template.name, "version": plan.template.version, "sha256": plan.template.sha256},
        "systems": _systems(plan),
        "rule": request.selecting.rule,
        "orders": request.orders,
        "seed": request.selecting.seed,
        "strata": [{**plain(stratum), "shortfall": stratum.shortfall} for stratum in plan.pairs.strata],
        "left_out": plan.pairs.left_out,
        "pairs": counted,
        "strengths": ranked,
        "canaries": rows,
        "warnings": [*warnings, *judge_warnings(counted, rows)],
    }


def _systems(plan: Plan) -> dict[str, Any]:
    """Letter → what is said of the system; its name is its model and form, or its folder where two have the same."""
    found = {source.system.letter: source.sum_up() for source in plan.sources}
    names = {letter: f"{each['model']} {each['mode']}{'+CoT' if each['cot'] else ''}" for letter, each in found.items()}
    unique = len(set(names.values())) == len(names)
    return {letter: {"name": names[letter] if unique else each["run"], **each} for letter, each in found.items()}
