"""These tests need vLLM, which lives in an environment of its own: `make test-vllm` makes it and runs them."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

_found = importlib.util.find_spec("vllm")
if _found is None or _found.origin is None:  # this folder itself is called vllm, and has no origin
    collect_ignore_glob = ["*"]

sys.path.insert(0, str(Path(__file__).parent))

# Two threads that wait for each other on two busy cores take five times as long as one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
