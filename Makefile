# Everything works on a fresh machine whose only network is its package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q -c constraints.txt
# Two test processes of one thread each: on two cores faster than one process of two threads.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-all test-versions lint format bench house tensorboard clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cnnkit needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.installed

quickstart: $(VENV)/.installed  ## install, train on the bundled sample, test, and say how to look at it
	$(BIN)/python -m cnnkit fit --config configs/quickstart.yaml
	$(BIN)/python -m cnnkit test --run runs/quickstart
	@echo
	@echo "Look at the run:  make tensorboard   (or $(BIN)/tensorboard --logdir runs)"

test: $(VENV)/.installed-dev  ## the tests, but for those marked slow
	$(PYTEST) -m 'not slow'

test-all: $(VENV)/.installed-dev  ## all tests; the real data's need CNNKIT_DATA_DIR
	$(PYTEST)

# Before a release: its outcome is noted in docs/design.md. Not part of .ci/run, so that a release elsewhere never stops us.
test-versions:  ## the tests with the lowest and with the newest versions that are allowed, each in build/
	rm -rf build/lowest build/newest
	$(PYTHON) -m venv build/lowest && build/lowest/bin/python -m pip install -q -c constraints-lowest.txt -e '.[dev]'
	OMP_NUM_THREADS=1 build/lowest/bin/python -m pytest -q -n 2 -m 'not slow'
	$(PYTHON) -m venv build/newest && build/newest/bin/python -m pip install -q --upgrade -e '.[dev]'
	OMP_NUM_THREADS=1 build/newest/bin/python -m pytest -q -n 2 -m 'not slow'

lint: $(VENV)/.installed-dev  ## ruff, format check, mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev  ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed  ## the benchmarks of docs/benchmarks.md; the real data's need CNNKIT_DATA_DIR
	$(BIN)/python -m benchmarks

house: $(VENV)/.installed  ## measures of the code; with BEFORE=REV beside those of a revision
	$(BIN)/python -m benchmarks.house $(if $(BEFORE),--before $(BEFORE)) --picture docs/images/house.png

tensorboard: $(VENV)/.installed  ## show all runs at http://localhost:6006
	$(BIN)/tensorboard --logdir runs

clean:  ## remove the environment and caches; runs and data stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find cnnkit tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
