# One line of `python -m benchmark` per target; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help

$(READY): requirements-dev.txt requirements-bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11")'
	@echo "Setting up $(VENV): downloads about 3 GB and takes 5.7 GB of disk, once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements-dev.txt
	@touch $@

PY := $(BIN)/python
B := $(PY) -m benchmark

.PHONY: help setup test test-slow test-slurm test-latex check lint format lock list plan clean docs decode results noise claims calibrate instrument mutants large

help: ## this list
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20
	@echo
	@echo "table-%, plan-% and the like take a table id (bqn-3b) or a paper (bqn): make table-bqn-3b"

setup: $(READY) ## make .venv

table-%: $(READY) ## train what is missing, count, time, render and print a table
	@$(B) run --time $*

plan-%: $(READY) ## the runs that a table needs, and the time they take
	@$(B) plan $*

cost-%: $(READY) ## the cost audit of a table
	@$(B) cost $*

decode: $(READY) ## reading clips against torchcodec, decord and OpenCV: a quarter of an hour on a quiet machine
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements-decode.txt
	@PYTHONPATH=. $(PY) tools/compare_decoders.py

docs: $(READY) ## docs/costs.md from the cost audit; counts first what is not counted yet
	@$(PY) -m tools.costs_page

submit-%: $(READY) ## send a table to a cluster: make submit-bqn-3b CLUSTER=dev
	@$(B) submit $* --cluster $(or $(CLUSTER),$(error give CLUSTER=name, a profile of slurm/clusters/))

results: $(READY) ## every committed table, plot, page of claims and of findings, from results/records alone: a minute
	@$(B) records render
	@$(PY) -m tools.findings_page

noise: $(READY) ## results/noise/embedded.csv from the runs here: SD between seeds by family of networks
	@$(B) noise --write

claims: $(READY) ## results/claims.csv and claims.md: every claim of the papers, the printed numbers on trial
	@$(B) claims --write

calibrate: $(READY) ## how often verdicts are wrong, on simulated tables: docs/statistics.md, a quarter of an hour
	@PYTHONPATH=. $(PY) tools/calibrate.py

instrument: $(READY) ## what motionpairs-2 tells of nine networks, five seeds each, on clips for searches: an hour or two
	@$(PY) -m tools.instrument && $(PY) -m tools.instrument --accept

large: $(READY) ## data sets of 240,000 clips, made of links: time and memory to index, open and load them
	@$(PY) -m tools.large_data_sets

mutants: $(READY) ## plausible mistakes (tools/mutants.yaml), each of which a test must notice
	@$(PY) tools/mutants.py
	@$(PY) tools/mutants.py --verify

status-%: $(READY) ## the state of a table's runs
	@$(B) status $*

render-%: $(READY) ## a table from the runs as they are now
	@$(B) render $*

list: $(READY) ## every table
	@$(B) list

plan: $(READY) ## the runs of all tables, and how many are shared
	@$(B) plan --all

test: $(READY) ## the default tests: under 5 minutes on two cores
	@OMP_NUM_THREADS=1 $(PY) -m pytest -q -n $(or $(JOBS),2) -m "not slow and not slurm and not latex"

test-slow: $(READY) ## a table from a clean machine's start, killed and resumed runs, README commands
	@OMP_NUM_THREADS=1 $(PY) -m pytest -q -m slow

test-slurm: $(READY) ## a small table on a real single-machine SLURM (root; installs Debian's packages)
	@slurm/devcluster start
	@$(PY) -m pytest -q -m slurm; status=$$?; slurm/devcluster stop; exit $$status

LATEX := texlive-latex-recommended

test-latex: $(READY) ## every table.tex through a real pdflatex (root installs it: Debian's, 150 MB)
	@command -v pdflatex > /dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && apt-get update -q && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -qy --no-install-recommends $(LATEX); } > /dev/null || \
	  { echo "pdflatex is missing; as root: apt-get install --no-install-recommends $(LATEX)" >&2; exit 1; }
	@OMP_NUM_THREADS=1 $(PY) -m pytest -q -m latex

lint: $(READY) ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(READY) ## let ruff rewrite the layout
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

check: lint test test-slow test-slurm test-latex ## everything that CI runs

lock: $(READY) ## pin requirements*.in again, with hashes
	@for name in requirements requirements-dev requirements-decode requirements-bootstrap; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-emit-index-url $$name.in -o $$name.txt || exit 1; done

clean: ## remove the environment and caches; runs, data and results stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
