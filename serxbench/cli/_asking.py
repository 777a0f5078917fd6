"""What `run` and `respond` share: the options that say who is asked what about which corpus."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from serxbench.cli import _options as options

if TYPE_CHECKING:
    from serxbench.progress import Progress
    from serxbench.stages.backends import RespondRequest


def _number_or_auto(context: click.Context, parameter: click.Parameter, value: str) -> int | None:
    """The number; None for `auto`."""
    if value == "auto":
        return None
    try:
        return int(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a number nor auto", context, parameter) from None


def only_typed(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """The value of an option that a settings file, which may have come with somebody's folder, must not give."""
    from click.core import ParameterSource

    typed = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    if value and not typed:
        raise click.UsageError(f"{parameter.opts[0]} is given on the command line each time; no setting can give it")
    return value


backend_option = options.option(
    "--backend-option",
    "backend_options",
    multiple=True,
    metavar="NAME=VALUE",
    envvar=None,
    callback=only_typed,
    help="What only this backend understands, see docs/backends.md; repeatable.",
)

upload_option = options.option(
    "--i-have-the-right-to-upload",
    "may_upload",
    is_flag=True,
    envvar=None,
    callback=only_typed,
    help="Send audio to a hosted model although the licence of the corpus does not allow it.",
)
remote_code_option = options.option(
    "--trust-remote-code",
    is_flag=True,
    envvar=None,
    callback=only_typed,
    help="Let a model in an environment of its own run the code that comes with its weights.",
)

_OPTIONS = (
    options.model,
    options.mode,
    options.cot,
    options.data,
    options.data_root,
    options.limit,
    options.option(
        "--batch-size",
        callback=_number_or_auto,
        metavar="N|auto",
        default="auto",
        help="Utterances computed together; auto: as many as fit on the GPU, 8 without one.",
    ),
    options.option("--max-new-tokens", type=int, default=256, help="The longest answer, in tokens."),
    options.option("--temperature", type=float, default=0.0, help="0 is greedy decoding."),
    options.option("--seed", type=int, default=0, help="Of sampling; greedy decoding uses none."),
    options.option(
        "--backend",
        metavar="transformers|vllm|http|gemini",
        help="How it is computed.  [default: what the card says, else transformers]",
    ),
    options.option(
        "--endpoint", "endpoints", multiple=True, metavar="URL", help="A server for --backend http; repeatable."
    ),
    options.option("--concurrency", type=int, help="Requests in flight at each endpoint.  [default: 8]"),
    options.option(
        "--decode",
        metavar="text|loglik",
        help="loglik: no text, but the probability of each option of a closed prompt, where the backend can.",
    ),
    backend_option,
    options.option("--ray", metavar="local|ADDRESS", help="Compute on replicas that Ray places, here or on a cluster."),
    options.option("--workers", type=int, default=1, help="Replicas of the model, with --ray."),
    options.option(
        "--gpus-per-worker", type=float, help="GPUs of each replica; 0.5 puts two on one.  [default: 1 on a GPU]"
    ),
    options.option("--device", default="auto", metavar="auto|cpu|cuda", help="Where the model computes."),
    options.option("--dtype", default="auto", metavar="auto|float32|bfloat16|float16", help="The number format."),
    options.option(
        "--control",
        metavar="silence|shuffle|transcript",
        envvar=None,
        help="A control run: silence, other utterances' sound or the reference transcript in place of the sound.",
    ),
    upload_option,
    remote_code_option,
    options.option(
        "--verify-batch",
        type=int,
        metavar="N",
        envvar=None,
        help="Afterwards ask N utterances again, one at a time, and report answers that differ.",
    ),
    options.option(
        "--dry-run", is_flag=True, envvar=None, help="Say what would be asked and what it would cost; ask nothing."
    ),
    options.option("--out", type=options.FOLDER, help="The run folder.  [default: runs/MODEL_PROMPT_CORPUS]"),
    options.cards,
    options.prompts,
    options.quiet,
)


def asking_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options to a command, which receives them as one dict `asked`."""

    @functools.wraps(function)
    def command(**given: Any) -> Any:
        names = {"model", "mode", "cot", "data", "data_root", "limit", "batch_size", "max_new_tokens", "temperature"}
        names |= {"seed", "device", "dtype", "out", "cards", "prompts", "may_upload", "control", "trust_remote_code"}
        names |= {"backend", "endpoints", "concurrency", "decode", "backend_options"}
        names |= {"ray", "workers", "gpus_per_worker", "verify_batch", "dry_run"}
        asked = {name: given.pop(name) for name in names}
        return function(asked=asked, **given)

    for decorate in reversed(_OPTIONS):
        command = decorate(command)
    return command


def make_request(asked: dict[str, Any], progress: Progress, *, scored: bool) -> tuple[RespondRequest, Path]:
    """What the options mean, and the run folder. scored: refuse a corpus that has nothing to score against."""
    from serxbench.catalog import as_mode, load_prompt, prompt_name, resolve_card
    from serxbench.errors import CorpusError, UsageError
    from serxbench.records import Decoding
    from serxbench.stages.backends import RespondRequest, choose_backend
    from serxbench.stages.controls import as_control

    if asked["max_new_tokens"] < 1 or asked["temperature"] < 0:
        raise UsageError("--max-new-tokens must be at least 1 and --temperature at least 0")
    mode = as_mode(asked["mode"])
    card = resolve_card(asked["model"], asked["cards"])
    name = prompt_name(mode, asked["cot"])
    corpus = options.open_corpus(asked["data"], asked["data_root"], asked["limit"])
    for remark in corpus.remarks:
        progress.say(remark)
    if scored and not corpus.scorable:
        raise CorpusError(
            f"{asked['data']}: no utterance has votes or a consensus, so there is nothing to score against. "
            "Add a 'votes' or 'consensus' column, or use `serxbench respond` to collect answers only"
        )
    request = RespondRequest(
        card=card,
        mode=mode,
        cot=asked["cot"],
        prompt=load_prompt(name, corpus.labels, asked["prompts"]),
        corpus=corpus,
        decoding=Decoding(max_new_tokens=asked["max_new_tokens"], temperature=asked["temperature"], seed=asked["seed"]),
        batch_size=asked["batch_size"],
        backend=choose_backend(asked["backend"], card),
        backend_options=read_backend_options(asked),
        device=asked["device"],
        dtype=asked["dtype"],
        may_upload=asked["may_upload"],
        control=as_control(asked["control"]),
        trust_remote_code=asked["trust_remote_code"],
        cards=asked["cards"],
        ray=asked["ray"],
        workers=asked["workers"],
        gpus_per_worker=asked["gpus_per_worker"],
    )
    return request, asked["out"] or Path("runs") / folder_name(request)


def read_backend_options(asked: dict[str, Any]) -> dict[str, Any]:
    """What was given of --endpoint, --concurrency, --decode and --backend-option. Raises UsageError."""
    import yaml
    from click.core import ParameterSource

    from serxbench.errors import UsageError

    given: dict[str, Any] = {}
    for text in asked["backend_options"]:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UsageError(f"--backend-option {text}: NAME=VALUE was wanted")
        try:
            given[name.replace("-", "_")] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"--backend-option {name}: {value!r} is no value ({error.__class__.__name__})") from error
    if asked["endpoints"]:
        context = click.get_current_context(silent=True)
        from_file = context and context.get_parameter_source("endpoints") is ParameterSource.DEFAULT_MAP
        # What a settings file names is treated as what a card names: it gets no key.
        given["endpoint" if from_file else "endpoints"] = tuple(asked["endpoints"])
    given.update({name: asked[name] for name in ("concurrency", "decode") if asked[name] is not None})
    return given


def folder_name(request: RespondRequest) -> str:
    """How a run's folder is called if nobody says otherwise: by model, prompt and corpus."""
    from serxbench.catalog import prompt_name

    corpus = request.corpus
    first = f"first{corpus.limit}" if corpus.limit else None
    parts = [corpus.info.name, corpus.split, *corpus.options.values(), first]
    if corpus.info.takes_path:
        parts[0] = Path(corpus.data.partition(":")[2].partition("#")[0]).stem
    where = "-".join(part for part in parts if part)
    name = f"{request.card.name}_{prompt_name(request.mode, request.cot)}_{where}"
    return f"{name}_{request.control}" if request.control else name
