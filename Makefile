# Two commands: `make run` trains and tests the speech recogniser, `make test` proves the parts.
# Each builds .venv when it is missing; a second call starts at once.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH := torch==2.13.0
WORKERS ?= 2

.PHONY: run test check bench cases faults pages clean

run: $(STAMP)
	$(BIN)/locution train speech $(ARGS)

test: $(STAMP)
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m "not long" $(ARGS)

# what takes longer than a test may: hundreds of kills, power cuts, damaged files
faults: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m long $(ARGS)

# the pages of the vocabulary, made from the code
pages: $(STAMP)
	$(BIN)/python -m locution.vocabulary.pages docs/vocabulary

# the case of each row of the vocabulary, as a user runs it: its figure, its bar, its time, its pictures
cases: $(STAMP)
	$(BIN)/python -m benchmarks.cases --pictures docs/vocabulary/pictures $(ARGS)

# side by side with the loop people write and with other engines, which live in an environment of their own
bench: $(STAMP) .venv-peers/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.engine --peers .venv-peers/bin/python $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.logmel $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.wer --peers .venv-peers/bin/python $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.methods --peers .venv-peers/bin/python $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.maml --peers .venv-peers/bin/python $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.som --peers .venv-peers/bin/python $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.wasserstein --peers .venv-peers/bin/python $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.spiking --peers .venv-peers/bin/python $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.flow --peers .venv-peers/bin/python $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.contrastive --peers .venv-peers/bin/python $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.tangent_kernel $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.cartpole --peers .venv-peers/bin/python $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.bayesian --peers .venv-peers/bin/python $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.pretraining $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.generators $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.cached_epochs $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.projector_training --peers .venv-peers/bin/python $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.transcription $(ARGS)

.venv-peers/.installed: benchmarks/requirements-peers.txt benchmarks/requirements-peers-nodeps.txt
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements-peers.txt
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r benchmarks/requirements-peers-nodeps.txt
	touch $@

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy

# torch comes first and pinned: otherwise pip may fetch gigabytes of CUDA
$(STAMP): pyproject.toml
	command -v $(PYTHON) >/dev/null || { echo "no $(PYTHON) here: install Python 3.11 or newer, or say PYTHON=python3.12" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[speech,dev]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) .venv-peers build dist
