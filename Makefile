# Every target sets up what it needs in .venv; repeated calls are instant.  `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
CONSTRAINTS := $(wildcard constraints.txt)
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench clean

help:  ## show this list
	@sed -n 's/^\([a-z.]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: .venv/demo.stamp  ## teach the embedded model to reason: 5 to 9 minutes on two cores
	$(BIN)/trivium fetch smollm2
	$(BIN)/trivium learn

test: .venv/dev.stamp  ## run all tests
	$(BIN)/trivium fetch smollm2
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4

lint: .venv/dev.stamp  ## style, types and the import contract
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/bench.stamp  ## measure against other libraries, side by side
	$(BIN)/python -m benchmarks

clean:  ## remove .venv and caches; runs are kept
	rm -rf .venv build dist src/*.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Trivium needs Python 3.11 or newer, and '$(PYTHON)' is not. Name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "This Python cannot make virtual environments. Install that part with:" >&2; \
	  echo "  sudo apt-get install -y $$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" >&2; \
	  exit 1; }
	$(PYTHON) -m venv .venv

.venv/demo.stamp: pyproject.toml $(CONSTRAINTS) | .venv/bin/python
	@echo "Setting up .venv (once; some minutes, most of them for torch)"
	$(PIP) -e . $(CONSTRAINTS:%=-c %)
	@touch $@

.venv/dev.stamp: pyproject.toml $(CONSTRAINTS) | .venv/bin/python
	@echo "Setting up .venv for tests (once; some minutes, most of them for torch)"
	$(PIP) -e '.[dev]' $(CONSTRAINTS:%=-c %)
	@touch $@ .venv/demo.stamp

# llm-reasoners asks for every maker's client and GPU kernels; its search needs nothing that is not here already.
.venv/bench.stamp: pyproject.toml $(CONSTRAINTS) | .venv/bin/python
	@echo "Setting up .venv for benchmarks (once)"
	$(PIP) -e '.[dev,bench]' $(CONSTRAINTS:%=-c %)
	$(PIP) --no-deps llm-reasoners $(CONSTRAINTS:%=-c %)
	@touch $@ .venv/demo.stamp
