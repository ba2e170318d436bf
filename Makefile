# `make demo` and `make test` install what they need first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ../shared/data

.PHONY: install demo test test-fast lint real trial-grid trial-modes trial-engines trial-ensembles bench-mapping \
	bench-evaluation bench-inference bench-training bench-gpu bench-grid bench-earthengine live-earthengine clean help

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort

# One stamp for each kind of installation; all are made again when pyproject.toml changes.
.DELETE_ON_ERROR:

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$@ -m pip install --quiet --upgrade pip

$(VENV)/.core: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	@touch $@ $(VENV)/.core

$(VENV)/.bench: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet -e ".[bench]"
	@touch $@

install: $(VENV)/.dev ## a virtual environment for development: the package, its extras, the tests' packages

demo: $(VENV)/.core ## the whole pipeline on a small simulated world, into demo/
	$(BIN)/landslide demo --out demo

lint: install ## style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint ## lint and all tests, with the branch coverage of landslide/: at least 90 %
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=

test-fast: install ## tests under two seconds each, without a browser or a GPU; a minute and a half
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not browser and not gpu and not live"

real: install ## trials on real scenes; DATA=folder of them
	$(BIN)/python -m tests.trials.real --data $(DATA) --out runs/real

trial-grid: install ## 90 members of each of four band sets, unattended; an hour
	$(BIN)/python -m tests.trials.whole_grid

trial-modes: install ## costs and gains of each departure from the reference protocol; an hour
	$(BIN)/python -m tests.trials.modes

trial-engines: install ## workers and clusters, some of them killed while they train
	$(BIN)/python -m pytest -v tests/trials/engines.py

trial-ensembles: install ## selections compared with the published one, on events held out; half an hour
	$(BIN)/python -m tests.trials.ensembles

bench-mapping: install ## memory and speed of mapping a whole Sentinel-2 tile
	$(BIN)/python -m tests.benchmarks.mapping

bench-training: $(VENV)/.bench ## one member's training compared with a plain loop, nine architectures; half an hour
	$(BIN)/python -m tests.benchmarks.training

bench-gpu: $(VENV)/.bench ## members on a GPU: compared with a plain loop and with the card's peak, alone and several at a time
	$(BIN)/python -m tests.benchmarks.gpu

bench-grid: install ## time that a grid adds to its members' training, and time of a second run
	$(BIN)/python -m tests.benchmarks.grid

bench-evaluation: install ## every size, selection and score from stored predictions, compared with the published way
	$(BIN)/python -m tests.benchmarks.evaluation

bench-inference: install ## windows compared with one pass over the whole scene, nine architectures
	$(BIN)/python -m tests.benchmarks.inference

bench-earthengine: $(VENV)/.bench ## our tiler compared with xee and geedim, on a simulated Earth Engine
	$(BIN)/python -m tests.benchmarks.earthengine

live-earthengine: install ## tests against Google's Earth Engine, with this machine's credentials
	$(BIN)/python -m pytest -v -s -m live tests/live

clean: ## remove all that was made, except the environment
	rm -rf demo runs build .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
