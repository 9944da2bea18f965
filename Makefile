# `make run` and `make test` are all that a newcomer needs; both set up what they use.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CRATES := sidecar/relay tests/bench/load
lint_crate = (cd $(1) && cargo fmt --check && cargo clippy --quiet --all-targets -- -D warnings)

.PHONY: help setup run test lint lint-rust unit e2e bench programmed scale faults load soak autobahn fuzz fuzz-rust image fmt crd docs lock clean

help:  ## Show the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.built  ## Make .venv with wsroute-sidecar, wsroute-operator and kubectl-wsroute

$(VENV)/.ready: pyproject.toml requirements/dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --no-deps -r requirements/dev.txt
	@touch $@

$(VENV)/.built: $(VENV)/.ready sidecar/relay/Cargo.toml $(wildcard sidecar/relay/src/*.rs)
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

run: setup  ## Start the sidecar, a chat behind it, and print the address to open
	@exec $(BIN)/python charts/examples/chat/run.py

test: setup  ## Formatting, lint, types, import rules, unit, feature and cluster tests
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest

lint: setup  ## Formatting, lint, types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory lint-rust

lint-rust:
	@if command -v cargo >/dev/null; then $(foreach crate,$(CRATES),$(call lint_crate,$(crate)) &&) true; \
	else echo "no cargo here: the Rust crates are not looked at"; test -z "$$CI"; fi

unit: setup  ## The tests that need no cluster
	$(BIN)/python -m pytest -m "not cluster"

e2e: setup  ## The tests on a real Kubernetes node
	$(BIN)/python -m pytest -m cluster

bench: setup  ## Compare with the peers
	$(BIN)/python -m tests.bench

programmed: setup  ## Time from kubectl apply to Programmed, on the node
	$(BIN)/python -m tests.bench.programmed

scale: setup  ## How the operator bears 5,000 pods and 1,000 routes, about 3 minutes
	$(BIN)/python -m tests.bench.scale

faults: setup  ## The control plane's faults in full, one after the other, about 12 minutes
	WSROUTE_FAULTS=full $(BIN)/python -m pytest -s tests/operator/test_faults_*.py tests/cluster/test_faults.py

load: setup  ## The proofs under load with their full numbers, about 4 minutes
	WSROUTE_LOAD=full $(BIN)/python -m pytest -s tests/feature/test_load_*.py

soak: setup  ## Everything at once for 20 minutes: nothing may grow
	$(BIN)/python -m tests.bench.soak 20

autobahn: setup  ## All 517 of Autobahn's cases through the sidecar, also with pings
	$(BIN)/python -m tests.support.autobahn

fuzz: setup  ## Fuzz the frame trackers, the handshake, its request and its answer for a minute each
	$(BIN)/python -m tests.fuzz.tracker --seconds 60
	$(BIN)/python -m tests.fuzz.handshake --seconds 60
	$(BIN)/python -m tests.fuzz.request --seconds 60
	$(BIN)/python -m tests.fuzz.answer --seconds 60
	@$(MAKE) --no-print-directory fuzz-rust

fuzz-rust:
	@cd sidecar/relay && if cargo +nightly fuzz --version >/dev/null 2>&1; \
	then cargo +nightly fuzz run tracker -- -max_total_time=60; \
	elif command -v cargo >/dev/null; \
	then echo "no cargo-fuzz with nightly here: the native tracker gets its short test only"; \
	cargo test --quiet --no-default-features --test fuzz; \
	else echo "no cargo here: the native tracker is not fuzzed"; fi

image:  ## Build both images with docker
	docker build --target sidecar --tag wsroute/sidecar:dev .
	docker build --target operator --tag wsroute/operator:dev .

fmt: setup  ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

crd: setup  ## Write the chart's CRD from the types
	$(BIN)/python -m wsroute_api.crd charts/wsroute/templates/crd.yaml

docs: setup  ## Write the references of fields, metrics and values from the code
	$(BIN)/python -m tests.documents

lock:  ## Resolve requirements/*.txt anew
	requirements/lock

clean:  ## Remove what setup made
	rm -rf $(VENV)
