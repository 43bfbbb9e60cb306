# nephroscale. `make` alone lists what there is.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
LOCKS := envs/requirements.lock envs/dev.lock
CRATE := .venv-crate
CORES ?= all
TINY := --configfile config/tiny.yaml

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-check demo-slurm tiny test test-slurm lint format types bench docs lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## make the virtual environment .venv from envs/

$(STAMP): $(LOCKS) pyproject.toml
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "nephroscale needs Python 3.11 or newer with venv: on Debian and Ubuntu 'sudo apt install python3 python3-venv', then make again (or make PYTHON=/path/to/python3.11)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade-strategy only-if-needed "$$(grep '^torch==' envs/requirements.lock)" || \
	  { echo "torch could not be installed: check the network or pip's index, then make setup again"; exit 1; }
	$(BIN)/python -m pip install --quiet $(LOCKS:%=-r %) || \
	  { echo "the packages of envs/*.lock could not be installed: check the network or pip's index, then make setup again"; exit 1; }
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# The validator of crates wants an older networkx than the workflow, hence an environment of its own.
$(CRATE)/.ready: envs/crate.lock
	$(PYTHON) -m venv $(CRATE)
	$(CRATE)/bin/python -m pip install --quiet -r envs/crate.lock || \
	  { echo "the packages of envs/crate.lock could not be installed: check the network or pip's index, then make again"; exit 1; }
	@touch $@

demo: setup ## the main job: the whole workflow on the demo cohort, to its report (about ten minutes)
	$(BIN)/python resources/demo/generate.py demo --out demo/demo --jobs 2
	$(BIN)/snakemake --cores $(CORES) all

demo-check: demo ## hold the demo against what it claims, label permutations included
	for k in 1 2 3; do \
	  $(BIN)/snakemake --cores $(CORES) --config results=results/permuted$$k "task={permute_labels: $$k}" -- \
	    $$(for fold in 0 1 2 3 4; do echo results/permuted$$k/evaluate/cmusnet/fold$$fold-seed1.json; done) || exit 1; \
	done
	$(BIN)/python resources/demo/check.py --permuted results/permuted1 results/permuted2 results/permuted3

tiny: setup ## the same on the smallest cohort (about a minute)
	$(BIN)/python resources/demo/generate.py tiny --out demo/tiny --jobs 2
	$(BIN)/snakemake $(TINY) --cores $(CORES) all

test: setup $(CRATE)/.ready ## run the tests
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations=25 -m "not cluster"

# `timeout -k`: an executor that waits for a job that is no more waits for ever, and is deaf to SIGTERM.
test-slurm: setup ## run the tests on a Slurm of three nodes, brought up here for them (needs slurm-wlm and munge)
	timeout -k 30 2400 $(BIN)/python -m pytest -n 0 -m cluster --durations=15 tests/cluster

demo-slurm: setup ## the smallest cohort by `snakemake --profile slurm all` on such a Slurm, to be watched
	$(BIN)/python resources/demo/generate.py tiny --out demo/tiny --jobs 2
	timeout -k 30 1500 $(BIN)/python tests/support/slurm.py run $(BIN)/snakemake --profile slurm $(TINY) \
	  --config results=build/slurm/results "store={path: build/slurm/store}" -- all

lint: setup ## check formatting, style, types and the workflow
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check workflow
	$(BIN)/python resources/demo/generate.py tiny --out demo/tiny --jobs 2
	$(BIN)/snakemake $(TINY) --lint

format: setup ## format Python and Snakemake files
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .
	$(BIN)/snakefmt workflow

bench: setup ## run the benchmarks; each prints ratios against a peer measured in the same run
	$(BIN)/python benchmarks/run_all.py

docs: setup ## make config/README.md from the schemas
	$(BIN)/python -m nephroscale.cohort.document

lock: ## resolve envs/*.in anew into envs/*.lock
	sh envs/lock.sh

clean: ## remove the environment, the demo cohort and its results (never a store outside)
	rm -rf .venv .venv-crate build demo .snakemake .pytest_cache .mypy_cache .ruff_cache .hypothesis
	if [ -d results ]; then rm -rf results; fi
	if [ -d store ]; then chmod -R u+w store && rm -rf store; fi
