# Two commands for a newcomer: `make run` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/uv pip install --quiet --require-hashes --python $(BIN)/python
export UV_LINK_MODE ?= copy

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run test check-day conformance lint type imports soak bench proto mcpb docs lock clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-11s %s\n", $$1, $$2}'

$(BIN)/uv: requirements-setup.lock
	@echo "setting up $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-setup.lock
	@touch $@

$(VENV)/.run: requirements.lock pyproject.toml $(BIN)/uv
	@echo "installing the locked dependencies (about 2 GB; one to three minutes the first time)"
	@$(INSTALL) -r requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python -e .
	@echo "compiling"
	@$(BIN)/relentless setup
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	@echo "installing what the checks need"
	@$(INSTALL) -r requirements-dev.lock
	@touch $@

setup: $(VENV)/.run  ## Set up what running needs
setup-dev: $(VENV)/.dev  ## Set up what the checks need

run: setup  ## Set up and run everything on this machine: no key, no network
	@# On a terminal the run is a job of its own, so that Ctrl-C reaches it and not make: exit code 0.
	@bash -c 'if [ -t 0 ]; then set -m; fi; $(BIN)/relentless up $(ARGS); exit $$?'

test: setup-dev lint type imports  ## Set up and run every check
	@$(BIN)/pytest -q $(ARGS)

lint: setup-dev
	@$(BIN)/ruff format --check --quiet . || { echo "run: $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/ruff check --quiet .

type: setup-dev
	@$(BIN)/mypy --no-error-summary

imports: setup-dev
	@$(BIN)/lint-imports --no-cache > .imports.log 2>&1 || { cat .imports.log; rm -f .imports.log; exit 1; }
	@rm -f .imports.log

check-day: setup-dev  ## Run the recorded day headless and check its contexts and bars
	@$(BIN)/python tests/golden/run_day.py
	@$(BIN)/pytest -q -rs tests/sandbox/test_alpaca.py::test_replayed_trades_make_the_official_minute_bars

conformance: setup-dev  ## Run the protocol's official conformance suite, both revisions, on Node from npm
	@$(BIN)/python tests/conformance/run.py

soak: setup-dev  ## Every promise at its full counts (hours)
	@RELENTLESS_SOAK=1 $(BIN)/pytest -q --timeout=7200 $(ARGS)

bench: setup-dev  ## Measure against references; writes bench/results
	@$(BIN)/python -m bench $(ARGS)

proto: setup-dev  ## Generate the protobuf modules
	@$(BIN)/python -m grpc_tools.protoc -Irelentless/proto/gen=proto --python_out=src --pyi_out=src \
	  --grpc_python_out=src $(patsubst %,relentless/proto/gen/%.proto,context market model_server profiler)

mcpb: setup  ## Build the MCP bundle of the stdio proxy: dist/relentless.mcpb
	@$(BIN)/python -m bundle.mcpb

docs: setup-dev  ## Check that the documents' commands and links hold
	@$(BIN)/pytest -q tests/docs

lock: $(BIN)/uv  ## Renew the lock files (versions and hashes, no addresses)
	@for out in "requirements.lock" "requirements-dev.lock --extra train --extra bench --extra dev -c requirements.lock"; do \
	  $(BIN)/uv pip compile --quiet --no-annotate --no-header --generate-hashes --no-emit-index-url \
	    --no-emit-find-links pyproject.toml -o $$out; done
	@echo "uv" | $(BIN)/uv pip compile --quiet --no-annotate --no-header --generate-hashes \
	  --no-emit-index-url --no-emit-find-links - -o requirements-setup.lock

clean:  ## Remove the virtual environment and what runs left behind
	rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache .hypothesis
