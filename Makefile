PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2

.PHONY: run test check bench clean

run: .venv/stamp
	$(BIN)/edufog run experiments/scenarios/campus.yaml

test: .venv/stamp-dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

check: .venv/stamp-dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/stamp
	$(BIN)/python -m experiments.benchmarks

.venv/stamp: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/stamp-dev: .venv/stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,dev,hf,cluster]'
	touch $@

clean:
	rm -rf .venv build *.egg-info results
