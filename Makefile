# Serving Lab. `make` alone lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# uv reads its own variables only: hand it what the user told pip.
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
ifdef PIP_CERT
export SSL_CERT_FILE ?= $(PIP_CERT)
endif

PYTHON ?= python3
PY_RANGE := >=3.11,<3.14
UV := $(shell command -v uv || echo .lab/tools/uv/bin/uv)
BIN := .venv/bin

.PHONY: help uv lab install test check dashboard notebooks bench grafana down clean format requirements

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

uv: $(UV) ## only uv, which builds all environments (from PyPI if it is not on PATH)

lab: .venv/.lab ## the main job: launch vLLM and Triton, load both, compare, open the dashboard
	@$(BIN)/lab tour

install: .venv/.lab ## only the `lab` command, Locust and the dashboard; starts nothing

test: .venv/.dev ## every test, the real engines included (TESTS=path, ARGS=... narrow it)
	@$(BIN)/pytest --numprocesses 2 --dist loadscope --durations 30 --durations-min 5 $(ARGS) $(TESTS)

check: .venv/.dev ## formatting, lint, types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

dashboard: .venv/.lab ## the dashboard, over the runs in ./runs and the Prometheus of the lab
	@$(BIN)/lab up dashboard

notebooks: .venv/.dev ## execute every notebook and renew the reading copies in notebooks/executed
	@$(BIN)/python -m notebooks.runner

bench: .venv/.lab ## ours and the other load generators at known times (BENCH="--levels 64 --peers ours,vllm")
	@$(BIN)/python -m benchmarks $(BENCH)

grafana: .venv/.dev ## write deploy/grafana and deploy/prometheus anew from the catalogues
	@$(BIN)/python -m lab.deploy_files

down: ## stop everything the lab started
	@if [ -x $(BIN)/lab ]; then $(BIN)/lab down; else echo "nothing is installed, so nothing runs"; fi

clean: down ## stop everything, then remove environments, models and state (runs are kept)
	@rm -rf .venv .lab .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@echo "removed .venv and .lab; your runs are still in ./runs"

format: .venv/.dev ## rewrite the code in the project's format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

requirements: $(UV) ## compile requirements*.in anew (hashed, for Python 3.11-3.13)
	@for name in requirements requirements-dev; do \
	  echo "compiling $$name.txt"; \
	  $(UV) pip compile $$name.in --universal --python-version 3.11 --generate-hashes --no-header \
	    --upgrade --quiet --output-file $$name.txt; \
	done

.lab/tools/uv/bin/uv:
	@echo "uv is not on PATH: installing it from PyPI into .lab/tools/uv"
	@mkdir -p .lab/tools
	@$(PYTHON) -m venv .lab/tools/uv || { echo "error: $(PYTHON) cannot make a virtual environment;\
	 install python3-venv, or name another interpreter: make PYTHON=/path/to/python" >&2; exit 1; }
	@.lab/tools/uv/bin/pip install --quiet --disable-pip-version-check uv

.venv/bin/python: | $(UV)
	@echo "making .venv (Python $(PY_RANGE))"
	@$(UV) venv --quiet --allow-existing --python '$(PY_RANGE)' .venv

.venv/.lab: requirements.txt pyproject.toml | $(UV) .venv/bin/python
	@echo "installing the light lab into .venv"
	@$(UV) pip install --python $(BIN)/python --require-hashes --requirement requirements.txt
	@$(UV) pip install --python $(BIN)/python --quiet --no-deps --editable .
	@touch $@

.venv/.dev: requirements-dev.txt .venv/.lab
	@echo "installing the test tools into .venv"
	@$(UV) pip install --python $(BIN)/python --require-hashes --requirement requirements-dev.txt
	@touch $@
