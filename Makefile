# Every target builds .venv by itself when it is missing or stale; nothing has to be installed by hand before.
#   make PYTHON=python3.12 test    builds the environment with that interpreter
#   make EXTRAS=train,dev test     installs less (the tests of what is left out then fail on the missing package)
#   make JOBS=8 test               runs the tests in so many processes, a file in each

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

EXTRAS ?= all
OUT ?= runs/demo
JOBS ?= 2
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help demo test test-all lint format bench clean

help:
	@echo "make demo      SGD, SAM, ASAM, GSAM and OBF on digits with 40 % wrong labels; report in $(OUT)"
	@echo "make test      the tests of every change"
	@echo "make test-all  those and the slow ones"
	@echo "make lint      ruff and mypy"
	@echo "make format    let ruff put imports and layout right"
	@echo "make bench     cost of a step per method, against its passes and against peers: benchmarks/README.md"
	@echo "make clean     remove environment, caches and runs"

# Written last, so that an interrupted installation is repeated.
$(STAMP): pyproject.toml constraints.txt scripts/setup-environment
	PYTHON="$(PYTHON)" scripts/setup-environment "$(EXTRAS)"
	@touch $@

demo: $(STAMP)
	$(BIN)/samnesia demo --out $(OUT)

test: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not slow and not gpu" $(ARGS)

test-all: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not gpu" $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	$(BIN)/python benchmarks/step_cost.py $(ARGS)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage htmlcov build dist runs site src/*.egg-info
