"""What vLLM has to be told in each of its processes; the entry point `vllm.general_plugins` of this package names it.

vLLM checks that Qwen2-Audio's features have the 3,000 frames of 30 s, whatever window the checkpoint was trained with.
Its encoder is transformers' own and makes that check itself, against the checkpoint, so nothing is lost by leaving out
vLLM's. Checkpoints with the usual window are checked as before.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Annotated, Any

#: The process that started an engine; those that it started end with it. Not set in a server of vLLM's own.
PARENT = "SERXBENCH_VLLM_PARENT"

_FRAMES = 3000
_PR_SET_PDEATHSIG = 1


def register() -> None:
    """Prepares vLLM in this process; may be called twice, and never stops a vLLM that has nothing to do with us."""
    _die_with_parent()
    _allow_other_windows()


def _die_with_parent() -> None:
    """Ends this process when the one that asked for the engine is killed, however that happens.

    vLLM's engine process waits for work for ever otherwise, and keeps the GPU's memory from whoever resumes the run.
    """
    parent = os.environ.get(PARENT)
    if parent is None or not sys.platform.startswith("linux") or os.getpid() == int(parent):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:  # it died before it could be watched
        os.kill(os.getpid(), signal.SIGKILL)


def _allow_other_windows() -> None:
    """Lets vLLM load Qwen2-Audio checkpoints with a window other than 30 s."""
    try:
        from vllm.model_executor.models.qwen2_audio import Qwen2AudioFeatureInputs
        from vllm.utils.tensor_schema import TensorShape
    except ImportError:  # a vLLM that checks in another way, or not at all
        return
    schema: Any = Qwen2AudioFeatureInputs
    for name, hint in dict(schema.__annotations__).items():
        shapes = [each for each in getattr(hint, "__metadata__", ()) if isinstance(each, TensorShape)]
        if shapes and _FRAMES in shapes[0].dims:
            dims = tuple("frames" if dim == _FRAMES else dim for dim in shapes[0].dims)
            schema.__annotations__[name] = Annotated[hint.__origin__, TensorShape(*dims)]
