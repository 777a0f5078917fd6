# make demo   the embedded model on the embedded corpus, from nothing to a leaderboard
# make test   all tests, the type checker, the linters and the import contracts
# make lint   only the checks that run no code
# Each makes its own virtual environment in .venv; nothing but Python and a package registry is needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev

.PHONY: demo test lint format clean

demo: $(READY)
	$(BIN)/serxbench run --model nano --mode open
	$(BIN)/serxbench run --model nano --mode closed
	$(BIN)/serxbench leaderboard runs/nano_open_demo-test runs/nano_closed_demo-test --out leaderboards/demo.md
	cat leaderboards/demo.md

test: $(READY_DEV) lint
	$(BIN)/python -m pytest

lint: $(READY_DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY_DEV)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) runs build dist

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("serxbench needs Python 3.11 or newer; try: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# torch first: without a GPU its CPU build, a tenth of the download, from the registry in use or from PyTorch's own.
CPU_TORCH := torch==2.13.0+cpu
$(VENV)/.torch: | $(BIN)/python
	if nvidia-smi -L 2>/dev/null | grep -q GPU; then $(BIN)/python -m pip install --quiet 'torch>=2.6,<3'; else \
	  $(BIN)/python -m pip install --quiet '$(CPU_TORCH)' 2>/dev/null \
	  || $(BIN)/python -m pip install --quiet '$(CPU_TORCH)' --index-url https://download.pytorch.org/whl/cpu \
	  || $(BIN)/python -m pip install --quiet 'torch>=2.6,<3'; fi
	touch $@

$(READY): pyproject.toml $(VENV)/.torch
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(READY_DEV): pyproject.toml $(VENV)/.torch
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(READY)
