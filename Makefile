# Auricle: make demo, make test. Python 3.11 or newer is all that is needed.

PYTHON ?= python3
VENV ?= .venv
# What `make test` installs beside the core; test,train,reference adds torch, and the AGPL peer that parity
# tests compare with.
EXTRAS ?= test
# Tests to run, as pytest takes them: make test TESTS="tests/wire -k heartbeat"
TESTS ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# What `auricle bench peers` compares with; AGPL, and never part of the environment above.
PEERS ?= .venv-peers

.PHONY: help demo test lint types docs hooks schema peers clean

help:
	@echo "make demo    play the bundled clip and see its tags arrive over ZeroMQ"
	@echo "make test    run the tests (a quarter of an hour on two cores)"
	@echo "make lint    check the style and the import contracts"
	@echo "make types   check the types"
	@echo "make docs    build the pages into docs/_build/html"
	@echo "make hooks   check style and types at every commit"
	@echo "make schema  write what is generated: the schemas of graph files and messages"
	@echo "make peers   install what 'auricle bench peers' compares with (about 600 MB)"
	@echo "make clean   remove the virtual environment and what was built"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Python's venv module is missing; on Debian: apt install python3-venv" >&2; exit 1; }

# The stamps say which sets of packages are installed, so a second run needs no network.
$(VENV)/.core: setup.py pyproject.toml | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/.$(EXTRAS): setup.py pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[$(EXTRAS)]'
	@touch $@ $(VENV)/.core

$(VENV)/.lint: setup.py pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[test,lint]'
	@touch $@ $(VENV)/.core

$(VENV)/.docs: setup.py pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[docs]'
	@touch $@ $(VENV)/.core

demo: $(VENV)/.core
	@$(BIN)/auricle run graphs/demo.yaml --listen

test: $(VENV)/.$(EXTRAS)
	$(BIN)/python -m pytest $(TESTS)

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.lint
	$(BIN)/mypy

docs: $(VENV)/.docs
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo "docs/_build/html/index.html"

hooks: $(VENV)/.lint
	$(BIN)/pre-commit install

schema: $(VENV)/.core
	$(BIN)/auricle graph schema > graphs/graph.schema.json
	$(BIN)/python -m auricle.wire.schema

peers: $(PEERS)/graphs/musicnn-mtt.pb

# Essentia brings its own TensorFlow, which cannot read the checkpoints: they are frozen by another one, in an
# environment that is gone afterwards. The graphs come last, and at once, so an interrupted run is made good.
$(PEERS)/graphs/musicnn-mtt.pb: tests/data/freeze_graphs.py
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check \
		essentia-tensorflow==2.1b6.dev1389 librosa==0.11.0 soundfile onnxruntime
	scratch=$$(mktemp -d $(PEERS)/scratch.XXXXXX) && trap 'rm -rf "$$scratch"' EXIT && \
		$(PYTHON) -m venv "$$scratch/tensorflow" && \
		pip="$$scratch/tensorflow/bin/python -m pip --quiet --disable-pip-version-check" && \
		$$pip install tensorflow-cpu==2.21.0 && \
		$$pip download --no-deps --dest "$$scratch" musicnn==0.1.0 && \
		"$$scratch/tensorflow/bin/python" tests/data/freeze_graphs.py \
			"$$scratch/musicnn-0.1.0-py3-none-any.whl" "$$scratch/graphs" && \
		rm -rf $(PEERS)/graphs && mv "$$scratch/graphs" $(PEERS)/graphs

clean:
	rm -rf $(VENV) build dist docs/_build src/*.egg-info
