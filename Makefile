# nephroscale. `make` alone lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
LOCKS := envs/requirements.lock envs/dev.lock
CRATE := .venv-crate
SITE := .venv-docs
EXTRAS := .venv-extras
CORES ?= all
TINY := --configfile config/tiny.yaml
PERMUTED := results/permuted1 results/permuted2 results/permuted3

# Where it is set, each of some hundred processes compiles the package again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo permuted demo-check demo-docs demo-slurm tiny test test-quick test-emulated test-install test-extras test-long test-slurm lint format types bench docs lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## make the virtual environment .venv from envs/

$(STAMP): $(LOCKS) pyproject.toml
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "nephroscale needs Python 3.11 or newer with venv: on Debian and Ubuntu 'sudo apt install python3 python3-venv', then run make again (or make PYTHON=/path/to/python3.11)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade-strategy only-if-needed "$$(grep '^torch==' envs/requirements.lock)" || \
	  { echo "torch could not be installed: check the network or pip's index, then run make setup again"; exit 1; }
	$(BIN)/python -m pip install --quiet $(LOCKS:%=-r %) || \
	  { echo "the packages of envs/*.lock could not be installed: check the network or pip's index, then run make setup again"; exit 1; }
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m nephroscale weights prepare >/dev/null
	@touch $@

# The RO-Crate validator needs an older networkx than the workflow, so it has its own environment.
$(CRATE)/.ready: envs/crate.lock
	$(PYTHON) -m venv $(CRATE)
	$(CRATE)/bin/python -m pip install --quiet -r envs/crate.lock || \
	  { echo "the packages of envs/crate.lock could not be installed: check the network or pip's index, then run make again"; exit 1; }
	@touch $@

# The tools of the documentation site are not needed by the workflow or its tests.
$(SITE)/.ready: envs/docs.lock
	$(PYTHON) -m venv $(SITE)
	$(SITE)/bin/python -m pip install --quiet -r envs/docs.lock || \
	  { echo "the packages of envs/docs.lock could not be installed: check the network or pip's index, then run make again"; exit 1; }
	@touch $@

# The readers of optional packages. They share the packages of .venv, which stays without them.
$(EXTRAS)/.ready: $(STAMP)
	$(PYTHON) -m venv $(EXTRAS)
	folder='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	  $(BIN)/python -c "$$folder" >"$$($(EXTRAS)/bin/python -c "$$folder")/shared.pth"
	$(EXTRAS)/bin/python -m pip install --quiet oiffile $$($(BIN)/python -c 'import tomllib; \
	  extras = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]; \
	  print(*extras["im-formats"], *extras["tem-formats"], *extras["ocr"])') || \
	  { echo "the packages of the extras could not be installed: check the network or pip's index, then run make again"; exit 1; }
	@touch $@

demo: setup ## run the whole workflow on the demo cohort, up to the report (about 5 minutes on two cores, after the installation)
	$(BIN)/python resources/demo/generate.py demo --out demo/demo --jobs 2
	$(BIN)/snakemake --cores $(CORES) all

permuted: demo # three label permutations of the demo's headline model
	for k in 1 2 3; do \
	  $(BIN)/snakemake --cores $(CORES) --config results=results/permuted$$k "task={permute_labels: $$k}" -- \
	    $$(for fold in 0 1 2 3 4; do echo results/permuted$$k/evaluate/cmusnet/fold$$fold-seed1.json; done) || exit 1; \
	done

demo-check: permuted ## run the demo and three label permutations, and check the demo's claims and documented figures
	$(BIN)/python resources/demo/check.py --permuted $(PERMUTED)

demo-docs: permuted ## run the same, and write the figures and pictures of the demo into the documents (needs chromium)
	$(BIN)/python resources/demo/document.py --permuted $(PERMUTED)

tiny: setup ## run the whole workflow on the smallest cohort (about one minute)
	$(BIN)/python resources/demo/generate.py tiny --out demo/tiny --jobs 2
	$(BIN)/snakemake $(TINY) --cores $(CORES) all

test: setup $(CRATE)/.ready ## run all tests except the long ones and those of test-slurm, test-emulated, test-install and test-extras
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations=25 -m "not cluster and not emulated and not installed and not long"

test-quick: setup ## run the fast tests, without Snakemake runs
	$(BIN)/python -m pytest -q -n 2 -m "not workflow and not slow and not cluster and not long"

test-emulated: setup ## compare the artifacts of a small study with those of an emulated processor (needs qemu-user)
	$(BIN)/python -m pytest -n 0 -m "emulated and not long" --durations=2 tests/test_portable.py

test-install: setup ## build and install the wheel, and run the whole workflow from it in another folder
	$(BIN)/python -m pytest -n 0 -m installed --durations=5 tests/workflow/test_wheel.py

test-extras: setup $(EXTRAS)/.ready ## test what needs the extras im-formats, tem-formats and ocr
	PYTHONPATH=scripts:tests $(EXTRAS)/bin/python -m pytest -n 0 -m "not long" tests/slides/test_samples.py tests/slides/test_scale_bar.py \
	  tests/slides/readers/test_czi_reader.py tests/slides/readers/test_lif_reader.py tests/slides/readers/test_nd2_reader.py \
	  tests/slides/readers/test_oib_reader.py tests/slides/readers/test_stated_exposure.py

test-long: setup ## run the long tests: shell blocks of the documents, 199 permutations, a report of 2,000 cases, a large slide, every benchmark
	$(BIN)/python -m pytest -n 0 -m long --durations=5

# `timeout -k`: an executor that waits for a vanished job never returns and ignores SIGTERM.
test-slurm: setup ## run the Slurm tests on three nodes started on this machine (needs slurm-wlm and munge)
	timeout -k 30 3000 $(BIN)/python -m pytest -n 0 -m cluster --durations=15 tests/cluster

demo-slurm: setup ## run the smallest cohort with `snakemake --profile slurm all` on such a Slurm
	$(BIN)/python resources/demo/generate.py tiny --out demo/tiny --jobs 2
	timeout -k 30 1500 $(BIN)/python tests/support/slurm.py run $(BIN)/snakemake --profile slurm $(TINY) \
	  --config results=build/slurm/results "store={path: build/slurm/store}" -- all

lint: setup ## check formatting, style, types and the workflow
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file benchmarks/mypy.ini
	$(BIN)/snakefmt --check workflow
	$(BIN)/python resources/demo/generate.py tiny --out demo/tiny --jobs 2
	$(BIN)/snakemake $(TINY) --lint

format: setup ## format Python and Snakemake files
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .
	$(BIN)/snakefmt workflow

bench: setup ## run the benchmarks; each prints ratios to a reference measured in the same run
	$(BIN)/python benchmarks/run_all.py

docs: setup $(SITE)/.ready ## make schema and config/README.md from the settings, and the site in build/site
	$(BIN)/python -m nephroscale.engine.config_schema
	$(BIN)/python -m nephroscale.engine.config_document
	NO_MKDOCS_2_WARNING=1 $(SITE)/bin/mkdocs build --strict

lock: ## resolve envs/*.in into envs/*.lock
	sh envs/lock.sh

clean: ## remove the environment, the demo cohort and its results (never a store elsewhere)
	rm -rf .venv .venv-crate .venv-docs .venv-extras build demo .snakemake .pytest_cache .mypy_cache .ruff_cache .hypothesis
	if [ -d results ]; then rm -rf results; fi
	if [ -d store ]; then chmod -R u+w store && rm -rf store; fi
