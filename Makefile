PYTHON ?= python3
PORT ?= 5000
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup setup-dask repro studies readme page listings test test-quick check lint ui register resync bench bench-peers bench-growth calibrate lock

help:  ## list what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/installed  ## create .venv with every package at the version in requirements.lock

setup-dask: setup  ## add Dask, which STUDY_ENGINE=dask needs
	python -m pip install --quiet --disable-pip-version-check --requirement requirements-dask.lock

repro: setup  ## run the pipeline: what has changed, and what depends on it
	dvc repro

studies: setup  ## run the studies that are missing; writes docs/studies.md and what belongs to it; some: STUDIES=rows
	python -m studies.run $(STUDIES)
	python -m studies.report $(STUDIES)
	python -m docs.readme

readme: setup  ## write into README.md what results/metrics.json, the studies and `make bench` found
	python -m docs.readme

listings: setup  ## run the commands of the pages in fresh clones, and write what they print into them; one: PAGES=README.md
	python -m docs.listings $(PAGES)

page: setup  ## copy the report of the default run to docs/index.html, where it can be served; take its picture
	dvc repro
	cp results/report.html docs/index.html
	python -m docs.picture

test: setup  ## run the tests, one process per core
	pytest --numprocesses logical --dist loadfile --no-loadscope-reorder

test-quick: setup  ## run the tests that need no DVC in a clone, no server and no browser
	pytest --numprocesses logical --dist loadfile --no-loadscope-reorder -m "not whole"

check: lint test  ## run the lint and the tests

lint: setup  ## check format, style and types
	ruff format --check .
	ruff check .
	mypy

ui: setup  ## serve the MLflow UI at http://127.0.0.1:5000; elsewhere: make ui PORT=5001
	@python -m stages.tracking.ui $(PORT)

register: setup  ## register both networks in MLflow, as batchnorm-study@baseline and batchnorm-study@bn
	@python -m stages.tracking.register

resync: setup  ## log to MLflow what it did not take while the stages ran
	python -m stages.tracking.resync

bench: setup  ## time the stacked training against a DataLoader loop, faster training in seconds, and the whole run
	python -m benchmarks.stacked
	python -m benchmarks.seconds
	python -m benchmarks.whole
	python -m docs.readme

bench-peers: .venv-peers/installed  ## time other libraries at the same training; writes benchmarks/peers.md
	.venv-peers/bin/python -m benchmarks.peers

bench-growth: setup  ## time up to 65,536 networks; writes benchmarks/growth.csv and growth.png
	python -m benchmarks.growth

calibrate: setup  ## test the statistics where the answer is known; writes benchmarks/calibration.md
	python -m benchmarks.calibrate

lock: setup  ## write requirements.lock and requirements-dask.lock anew from pyproject.toml
	python -m venv --clear .venv/lock
	python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb")); print(*project["project"]["dependencies"], *project["dependency-groups"]["dev"], sep="\n")' > .venv/lock/wanted.txt
	.venv/lock/bin/python -m pip install --quiet --disable-pip-version-check --requirement .venv/lock/wanted.txt
	.venv/lock/bin/python -m pip freeze > .venv/lock/frozen.txt
	sed 's/^\(torch==[0-9.]*\)+.*/\1/' .venv/lock/frozen.txt > requirements.lock
	python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["dask"], sep="\n")' > .venv/lock/dask.txt
	.venv/lock/bin/python -m pip install --quiet --disable-pip-version-check --requirement .venv/lock/dask.txt
	.venv/lock/bin/python -m pip freeze | grep --fixed-strings --line-regexp --invert-match --file=.venv/lock/frozen.txt > requirements-dask.lock

.venv/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "this needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@echo 'Installing the packages of requirements.lock into .venv: once, some minutes, 2 GB or more'
	$(PYTHON) -m venv .venv
	python -m pip install --disable-pip-version-check --requirement requirements.lock
	@touch $@

.venv-peers/installed: benchmarks/peers.txt requirements.lock
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock \
		filelock numpy pandas psutil pyarrow pydantic pyyaml ruamel.yaml scikit-learn scipy torch
	while read -r package; do .venv-peers/bin/python -m pip install --quiet --disable-pip-version-check \
		"$$package" || echo "$$package cannot be installed here"; done < benchmarks/peers.txt
	@touch $@
