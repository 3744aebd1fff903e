PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup repro studies test check lint ui register resync bench calibrate lock

help:  ## list what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/installed  ## create .venv with every package at the version in requirements.lock

repro: setup  ## run the pipeline: what has changed, and what depends on it
	dvc repro

studies: setup  ## run the studies that are missing; writes docs/studies.md and what belongs to it
	python -m studies.run
	python -m studies.report

test: setup  ## run the tests
	pytest

check: lint test  ## run the lint and the tests

lint: setup  ## check format and style
	ruff format --check .
	ruff check .

ui: setup  ## serve the MLflow UI at http://127.0.0.1:5000
	mlflow ui

register: setup  ## register both networks in MLflow, as batchnorm-study@baseline and batchnorm-study@bn
	python -m stages.register

resync: setup  ## log to MLflow what it did not take while the stages ran
	python -m stages.resync

bench: setup  ## time the stacked training against a DataLoader loop over one network
	python -m benchmarks.stacked

calibrate: setup  ## test the statistics where the answer is known; writes benchmarks/calibration.md
	python -m benchmarks.calibrate

lock: setup  ## write requirements.lock anew from pyproject.toml
	python -m venv --clear .venv/lock
	python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb")); print(*project["project"]["dependencies"], *project["dependency-groups"]["dev"], sep="\n")' > .venv/lock/wanted.txt
	.venv/lock/bin/python -m pip install --quiet --disable-pip-version-check --requirement .venv/lock/wanted.txt
	.venv/lock/bin/python -m pip freeze > .venv/lock/frozen.txt
	sed 's/^\(torch==[0-9.]*\)+.*/\1/' .venv/lock/frozen.txt > requirements.lock

.venv/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "this needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@touch $@
