# Auricle: make demo, make test. Python 3.11 or newer is all that is needed.

PYTHON ?= python3
VENV ?= .venv
# What `make test` installs beside the core; test,reference adds the AGPL peer that parity tests compare with.
EXTRAS ?= test
BIN := $(VENV)/bin

.PHONY: help demo test lint types schema clean

help:
	@echo "make demo    play the bundled clip and see its tags arrive over ZeroMQ"
	@echo "make test    run the tests"
	@echo "make lint    check the style"
	@echo "make types   check the types"
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
	@$(BIN)/auricle models pull musicnn-mtt
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

clean:
	rm -rf $(VENV)
