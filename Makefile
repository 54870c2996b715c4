# Auricle: make demo, make test. Python 3.11 or newer is all that is needed.

PYTHON ?= python3
VENV ?= .venv
# What `make test` installs beside the core; test,reference adds the AGPL peer that parity tests compare with.
EXTRAS ?= test
BIN := $(VENV)/bin
# Whom `auricle bench peers` compares with; AGPL, and never part of the environment above.
PEERS ?= .venv-peers

.PHONY: help demo test lint types schema peers clean

help:
	@echo "make demo    play the bundled clip and see its tags arrive over ZeroMQ"
	@echo "make test    run the tests"
	@echo "make lint    check the style"
	@echo "make types   check the types"
	@echo "make peers   install what 'auricle bench peers' compares with (about 600 MB)"
	@echo "make clean   remove the virtual environment"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Python's venv module is missing; on Debian: apt install python3-venv" >&2; exit 1; }

# The stamps say which set of packages is installed, so a second run needs no network.
$(VENV)/.core: setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.$(EXTRAS): setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@ $(VENV)/.core

demo: $(VENV)/.core
	@$(BIN)/auricle run graphs/demo.yaml --listen

test: $(VENV)/.$(EXTRAS)
	$(BIN)/python -m pytest

lint: $(VENV)/.$(EXTRAS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.$(EXTRAS)
	$(BIN)/mypy

schema: $(VENV)/.core
	$(BIN)/auricle graph schema > graphs/graph.schema.json

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
	rm -rf $(VENV)
