# Every target makes the virtual environment it needs; nothing but Python 3.11+ and make is assumed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Test processes; each starts a broker of its own.
JOBS := 2
TESTS := tests/unit tests/contract tests/delivery tests/e2e
# Files stay whole: the tests of some share a deployment, and each relies on what those before it have left there.
# A worker that dies is not replaced, so that a hanging test ends. Each takes a core, which threads of BLAS would contend
# for: they wait by spinning, and what fits models would take three times as long.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --max-worker-restart 0 --dist loadfile
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
# A lock names every package, so nothing is left to resolve. With dependencies pip would look at the index's newest
# release of each package that is asked for with an extra, and refuse it for not being the one that is pinned.
LOCKED := --require-hashes --no-deps -r

# Hundreds of processes are started; what one of them compiles is for all others.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo up down unit test test-slow coverage check format grafana bench lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/.runtime: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tierstream needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ...")'
	@echo "Installing tierstream into $(VENV) (about a minute the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) $(LOCKED) requirements.lock
	@$(PIP) --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "Installing the development tools into $(VENV)"
	@$(PIP) $(LOCKED) requirements-dev.lock
	@touch $@

demo: $(VENV)/.runtime ## route 500 requests through the embedded stack and show what it saved
	@$(BIN)/tierstream demo

up: $(VENV)/.runtime ## start the embedded stack (Ctrl-C stops it)
	@$(BIN)/tierstream up

down: $(VENV)/.runtime ## stop a stack that runs in the background
	@$(BIN)/tierstream down

unit: $(VENV)/.dev ## run the unit tests, with a tenth of the examples of properties
	@$(PYTEST) --hypothesis-profile quick tests/unit

test: $(VENV)/.dev ## run the tests on a real broker and the real ClickHouse engine
	@$(PYTEST) --durations 15 -m "not slow" $(TESTS)

test-slow: $(VENV)/.dev ## run the tests that wait for crashes, outages and rebalances
	@$(PYTEST) --dist load --durations 15 -m slow $(TESTS)

coverage: $(VENV)/.dev ## run the tests that need no broker, and show which lines and branches they miss
	@$(PYTEST) --cov --cov-report term:skip-covered -m "not slow" tests/unit tests/contract

check: $(VENV)/.dev ## lint, types and layers
	@$(BIN)/pip check --disable-pip-version-check
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(VENV)/.dev ## rewrite the sources as the linter wants them
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

grafana: $(VENV)/.dev ## write the dashboard for Grafana and docs/sql.md anew from the queries of the reports
	@cd tests && ../$(BIN)/python -m support.shown_queries

bench: $(VENV)/.dev ## measure speed and print it
	@$(BIN)/pytest tests/bench -s

lock: $(VENV)/.dev ## resolve the dependencies anew
	@$(PIP) uv
	@$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra embedded pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile -q --constraint requirements.lock --universal --python-version 3.11 --generate-hashes --no-header --no-annotate pyproject.toml -o requirements-worker.lock
	@$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra embedded --extra dev pyproject.toml -o requirements-dev.lock

clean: ## remove the virtual environment and the caches, keep the data
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
