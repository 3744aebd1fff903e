PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPATH := $(CURDIR)

.DEFAULT_GOAL := help
.PHONY: help setup repro test check ui bench calibrate lock

help:  ## list what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/installed  ## create .venv with every package at the version in requirements.lock

repro: setup  ## run the pipeline: what has changed, and what depends on it
	dvc repro

test: setup  ## run the tests
	pytest

check: lint test  ## run the lint and the tests

lint: setup  ## check format and style
	ruff format --check .
	ruff check .

ui: setup  ## serve the MLflow UI at http://127.0.0.1:5000
	mlflow ui

bench: setup  ## time the stacked training against a DataLoader loop over one network
	python -m benchmarks.stacked

calibrate: setup  ## test the statistics where the answer is known; writes benchmarks/calibration.md
	python -m benchmarks.calibrate

lock: setup  ## write requirements.lock anew from pyproject.toml
	python -m venv .venv/lock
	.venv/lock/bin/python -m pip install --quiet --group dev .
	.venv/lock/bin/python -m pip freeze | sed 's/^\(torch==[0-9.]*\)+.*/\1/' > requirements.lock

.venv/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "this needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@touch $@
