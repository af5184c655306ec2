# Each target runs `setup` first, which takes a blink when nothing changed.
SHELL := /bin/bash
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
# Two workers: the smallest machine we promise to run on has two cores. Tests of one xdist group share a worker.
WORKERS ?= 2

.PHONY: setup demo test lint soak faults contract economy lock

setup:
	@scripts/setup

demo: setup
	@$(BIN)/stroomwacht demo $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(PYTEST) -n $(WORKERS) --dist loadgroup $(ARGS)

soak: setup
	$(PYTEST) -m soak $(ARGS)

# Runs every test of a row of the fault catalogue and writes what they measured to docs/fault-matrix.md.
faults: setup
	$(BIN)/python -m tests.closed_loop.matrix

# Writes docs/wire from the types of the messages between site and cloud.
contract: setup
	$(BIN)/python -m interfaces.wire_documents

# What the optimizer is worth: 14 days of three sites under five strategies, an hour on two cores.
# `make economy ARGS="--data DIR"` takes measured sessions, prices, load and sun.
economy: setup
	$(BIN)/stroomwacht bench economy $(ARGS)

lock: setup
	scripts/lock
