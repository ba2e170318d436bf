# `make demo` and `make test` are all a newcomer needs; both install first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ../shared/data

.PHONY: install demo test lint real trial-grid trial-modes trial-engines trial-ensembles bench-mapping bench-evaluation bench-inference bench-training bench-gpu bench-grid bench-earthengine live-earthengine clean help

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort

$(BIN)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	@touch $@

install: $(BIN)/.installed ## a virtual environment with everything

demo: install ## the whole pipeline on a small simulated world, into demo/
	$(BIN)/landslide demo --out demo

lint: install ## style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint ## lint and all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

real: install ## trials on real scenes; DATA=folder of them
	$(BIN)/python -m tests.trials.real --data $(DATA) --out runs/real

trial-grid: install ## 90 members of each of four band sets, unattended; an hour
	$(BIN)/python -m tests.trials.whole_grid

trial-modes: install ## what each departure from the reference protocol costs and saves; an hour
	$(BIN)/python -m tests.trials.modes

trial-engines: install ## workers and clusters, and what is killed under them
	$(BIN)/python -m pytest -v tests/trials/engines.py

trial-ensembles: install ## ways of choosing beside the published one, on events held out; half an hour
	$(BIN)/python -m tests.trials.ensembles

bench-mapping: install ## memory and speed of mapping a whole Sentinel-2 tile
	$(BIN)/python -m tests.benchmarks.mapping

bench-training: install ## one member's training beside a plain loop, nine architectures; half an hour
	$(BIN)/python -m pip install --quiet -e ".[bench]"
	$(BIN)/python -m tests.benchmarks.training

bench-gpu: install ## members on a GPU: beside a plain loop, against what the card can do, packed
	$(BIN)/python -m pip install --quiet -e ".[bench]"
	$(BIN)/python -m tests.benchmarks.gpu

bench-grid: install ## what the grid adds to its members' training, and what a second run costs
	$(BIN)/python -m tests.benchmarks.grid

bench-evaluation: install ## every size, selection and score from stored predictions, beside the published way
	$(BIN)/python -m tests.benchmarks.evaluation

bench-inference: install ## windows beside a plain pass over the whole scene, nine architectures
	$(BIN)/python -m tests.benchmarks.inference

bench-earthengine: install ## our tiler beside xee and geedim, against a simulated Earth Engine
	$(BIN)/python -m pip install --quiet -e ".[bench]"
	$(BIN)/python -m tests.benchmarks.earthengine

live-earthengine: install ## what only Google can answer, with the credentials of this machine
	$(BIN)/python -m pytest -v -s tests/live/test_earthengine.py

clean: ## remove what was made, but not the environment
	rm -rf demo runs build .pytest_cache .mypy_cache .ruff_cache .hypothesis
