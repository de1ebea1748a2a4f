# Every target works on a fresh machine that can reach only a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q -c constraints.txt
# On two cores, two test processes of one thread each are faster than one process of two threads. Worksteal keeps the
# tests of a file together, so that one process makes what they share.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-all test-versions wheel-check lint format bench house tensorboard clean

help:  ## list the targets
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

quickstart: $(VENV)/.installed  ## install, train on the bundled sample, and test the net
	$(BIN)/cnnkit fit --config quickstart
	$(BIN)/cnnkit test --run runs/quickstart
	@echo
	@echo "To see the run: make tensorboard   (or $(BIN)/tensorboard --logdir runs)"

test: $(VENV)/.installed-dev  ## run the tests, without the slow ones
	$(PYTEST) -m 'not slow'

test-all: $(VENV)/.installed-dev  ## run all tests; those of the real data need CNNKIT_DATA_DIR
	$(PYTEST)

# Run it before a release and note the result in docs/design.md. It is not part of .ci/run, so that a release of another
# library never blocks us.
test-versions:  ## run the tests with the lowest and with the newest allowed versions, each in build/
	rm -rf build/lowest build/newest
	$(PYTHON) -m venv build/lowest && build/lowest/bin/python -m pip install -q -c constraints-lowest.txt -e '.[dev]'
	OMP_NUM_THREADS=1 build/lowest/bin/python -m pytest -q -n 2 --dist worksteal -m 'not slow'
	$(PYTHON) -m venv build/newest && build/newest/bin/python -m pip install -q --upgrade -e '.[dev]'
	OMP_NUM_THREADS=1 build/newest/bin/python -m pytest -q -n 2 --dist worksteal -m 'not slow'

# The second environment has the wheel alone; a .pth file shows it the dependencies in $(VENV), but not its editable cnnkit.
BUILT := $(CURDIR)/build/wheel-check
wheel-check: $(VENV)/.installed-dev  ## build sdist and wheel; run the installed wheel in an empty folder
	rm -rf $(BUILT) && mkdir -p $(BUILT)/empty
	$(BIN)/python -m hatchling build -t sdist -d $(BUILT)
	$(BIN)/python -m pip wheel -q --no-deps --no-build-isolation -w $(BUILT) $(BUILT)/cnnkit-*.tar.gz
	$(BIN)/python -m venv --without-pip $(BUILT)/venv
	$(BIN)/python -m pip --python $(BUILT)/venv install -q --no-deps $(BUILT)/cnnkit-*.whl
	$(BIN)/python -c 'import numpy, pathlib; print(pathlib.Path(numpy.__file__).parents[1])' \
		> $$(echo $(BUILT)/venv/lib/python*/site-packages)/dependencies.pth
	cd $(BUILT)/empty && PATH=$(BUILT)/venv/bin:$$PATH && cnnkit configs \
		&& cnnkit fit --config quickstart --trainer.max_epochs 1 --trainer.limit_train_batches 4 \
		&& cnnkit test --run quickstart

lint: $(VENV)/.installed-dev  ## run ruff, the format check and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed  ## run the benchmarks of docs/benchmarks.md; those of the real data need CNNKIT_DATA_DIR
	$(BIN)/python -m benchmarks

house: $(VENV)/.installed  ## measure the code; BEFORE=REV compares it with a revision
	$(BIN)/python -m benchmarks.house --start $(if $(BEFORE),--before $(BEFORE)) --picture docs/images/floors.png

tensorboard: $(VENV)/.installed  ## show all runs at http://localhost:6006
	$(BIN)/tensorboard --logdir runs

clean:  ## remove the environment and caches; keep runs and data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find cnnkit tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
