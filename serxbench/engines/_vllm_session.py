"""One vLLM engine in use: requests go in, finished answers come out, and nothing of it outlives `close`."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serxbench.audio import SAMPLE_RATE
from serxbench.engines import _vllm_plugin
from serxbench.engines._vllm_options import VllmOptions
from serxbench.errors import AdapterError
from serxbench.records import Decoding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Most that vLLM returns without being told to allow more.
N_LOG_PROBABILITIES = 20


class Refused(Exception):
    """vLLM takes no such request; the engine is none the worse for it."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One finished request.

    prompt: the tokens that the model got, audio tokens included. tokens: those that it gave. ended: by an end token,
    not by the limit. top: token → log-probability for the first token given; None if it was not asked for.
    """

    key: str
    prompt: list[int]
    tokens: list[int]
    ended: bool
    top: dict[int, float] | None = None


def prepare_environment(device: str) -> None:
    """Sets what vLLM reads from the environment when it is first imported; what the user has set stays."""
    # Standard output is for data, and a benchmark reports to nobody.
    defaults = {
        "VLLM_LOGGING_STREAM": "ext://sys.stderr",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if device == "cpu":
        # In this process there is nothing to leave behind, and what is computed together does not depend on timing. On
        # a GPU vLLM has a process of its own, so that features are extracted here while the device computes.
        # Bound to fixed cores, its threads would fight with those of other programs and of the decoder.
        defaults |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    os.environ[_vllm_plugin.PARENT] = str(os.getpid())


class Session:
    """A loaded engine. Use it under contextlib.closing. Raises AdapterError where vLLM raises."""

    def __init__(self, folder: Path, dtype: str, device: str, options: VllmOptions) -> None:
        self._engine: Any = None
        prepare_environment(device)
        try:
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # about its own code
                self._engine = _load(folder, dtype, options)
        except Exception as error:
            self.close()
            raise AdapterError(f"{folder}: cannot be loaded by vLLM ({_first_line(error)})") from error

    def ask(
        self, key: str, tokens: Sequence[int], sound: NDArray[np.float32] | None, decoding: Decoding, **settings: Any
    ) -> None:
        """Hands a request over. tokens: with one audio token where the sound goes. Raises Refused or AdapterError.

        settings: see sampling_parameters.
        """
        prompt: dict[str, Any] = {"prompt_token_ids": list(tokens)}
        if sound is not None:
            prompt["multi_modal_data"] = {"audio": [(sound, SAMPLE_RATE)]}
        try:
            self._engine.add_request(key, prompt, sampling_parameters(decoding, **settings))
        except Exception as error:
            if type(error).__name__ == "EngineDeadError":
                raise _broken(error) from error
            raise Refused(f"vLLM refuses it ({_first_line(error)})") from error

    def wait(self) -> list[Answer]:
        """The requests that ended in vLLM's next step; may be none."""
        try:
            outputs = self._engine.step()
        except Exception as error:
            raise _broken(error) from error
        return [_answer(output) for output in outputs if output.finished]

    def ask_alone(self, tokens: Sequence[int], sound: NDArray[np.float32]) -> Answer:
        """The first token of an answer, with nothing else computed beside it: the same numbers each time.

        Raises AdapterError.
        """
        try:
            self.ask("alone", tokens, sound, Decoding(max_new_tokens=1), end_tokens=(), log_probabilities=True)
        except Refused as error:
            raise AdapterError(f"a clip of the hearing test: {error}") from error
        while True:
            for answer in self.wait():
                return answer

    def close(self) -> None:
        """Ends the engine and its processes, and frees its memory."""
        engine, self._engine = self._engine, None
        if engine is None:
            return
        from vllm.distributed import cleanup_dist_env_and_memory

        engine.engine_core.shutdown()
        if getattr(engine, "renderer", None) is not None:
            engine.renderer.shutdown()
        del engine
        with contextlib.suppress(Exception):  # the answers are there; what is left goes with the process
            cleanup_dist_env_and_memory()


def sampling_parameters(
    decoding: Decoding, end_tokens: Sequence[int], seed: int = 0, log_probabilities: bool = False
) -> Any:
    """vLLM's SamplingParams for a Decoding, in which nothing is left for the checkpoint's own settings to fill in."""
    from vllm import SamplingParams

    return SamplingParams(
        temperature=decoding.temperature,
        top_p=1.0,
        top_k=0,
        seed=seed if decoding.temperature > 0 else None,
        repetition_penalty=1.0,
        min_tokens=1 if end_tokens else 0,
        max_tokens=decoding.max_new_tokens,
        # The end tokens are the adapter's; what vLLM takes for the end may be fewer, or others.
        ignore_eos=True,
        stop_token_ids=list(end_tokens),
        logprobs=N_LOG_PROBABILITIES if log_probabilities else None,
        # The texts are made as the adapter makes them.
        detokenize=False,
    )


def check_tokens(id: str, found: Sequence[int], wanted: Sequence[int]) -> None:
    """Raises AdapterError unless vLLM asked the model with the tokens that the adapter sends."""
    if list(found) == list(wanted):
        return
    pairs = enumerate(zip(found, wanted, strict=False))
    place = next((n for n, (a, b) in pairs if a != b), min(len(found), len(wanted)))
    raise AdapterError(
        f"'{id}': vLLM made {len(found)} tokens of the prompt and the adapter sends {len(wanted)}; they differ from "
        f"token {place} on ({list(found[place : place + 3])}, wanted {list(wanted[place : place + 3])}). The two "
        "backends would ask different questions; the run was stopped"
    )


def _load(folder: Path, dtype: str, options: VllmOptions) -> Any:
    from vllm import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine

    _vllm_plugin.register()
    gib = options.kv_cache_gib
    given = {"max_model_len": options.max_model_len} if options.max_model_len else {}
    if gib and "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
        given["kv_cache_memory_bytes"] = int(gib * 2**30)
    return LLMEngine.from_engine_args(
        EngineArgs(
            model=str(folder),
            dtype=dtype,
            seed=0,
            max_num_seqs=options.max_num_seqs,
            enforce_eager=options.enforce_eager,
            gpu_memory_utilization=options.gpu_memory_utilization,
            tensor_parallel_size=options.tensor_parallel_size,
            generation_config="vllm",
            limit_mm_per_prompt={"audio": 1},
            # No clip comes twice, and no answer may depend on which other came before.
            enable_prefix_caching=False,
            mm_processor_cache_gb=0,
            disable_log_stats=True,
            use_tqdm_on_load=False,
            **given,
        )
    )


def _answer(output: Any) -> Answer:
    made = output.outputs[0]
    top = None
    if made.logprobs:
        top = {int(token): float(found.logprob) for token, found in made.logprobs[0].items()}
    return Answer(
        key=output.request_id,
        prompt=list(output.prompt_token_ids),
        tokens=list(made.token_ids),
        ended=made.finish_reason == "stop",
        top=top,
    )


def _broken(error: Exception) -> AdapterError:
    return AdapterError(f"vLLM failed and was stopped ({_first_line(error)})")


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"
