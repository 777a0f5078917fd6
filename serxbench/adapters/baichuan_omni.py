"""Baichuan-Omni-1.5: what the registry knows of a family whose model is never loaded in this process.

Its code comes with its weights, is for transformers 4.45 and needs flash-attn; it runs in an environment of its own,
where serxbench/workers/models/baichuan_omni.py loads it.
"""

from __future__ import annotations

from typing import NoReturn

from serxbench.adapters import Loading
from serxbench.errors import AdapterError

MODEL_TYPES = ("omni",)
PROMPT_STYLES = ("chat",)


def load(loading: Loading) -> NoReturn:
    """Raises AdapterError: there is nothing here that could load it."""
    raise AdapterError(
        f"{loading.folder}: Baichuan-Omni runs only in an environment of its own. Build it with `serxbench env build "
        "baichuan-omni-1.5` and give --model baichuan-omni-1.5; for weights in a folder copy that card, with its "
        "`environment`, and change `repository`"
    )
