# Everything here sets itself up. `make serve` and `make test` are all that a newcomer needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
S3 := .venv-s3
# Of the tests: many wait for processes more than they work; each worker has a service of its own. 0 is for a debugger.
WORKERS ?= 2
PIP := $(BIN)/pip -qq --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help serve test check fast format bench torture torture-faults lock clean

help: ## Show this.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A stamp for each set of pinned packages; it is made anew when the pins change.
$(VENV)/serve.stamp: requirements/serve.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up (once) ..."
	@$(PIP) install --require-hashes -r requirements/serve.txt
	@$(BIN)/python -m app.worker.warm
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up (once) ..."
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m app.worker.warm
	@touch $@

serve: $(VENV)/serve.stamp ## Start API, worker and page on this machine.
	@exec $(BIN)/python -m app

# A server that speaks S3, apart from our own packages: it wants others of them. The tests of the store start it.
$(S3)/s3.stamp: requirements/s3.txt
	@test -x $(S3)/bin/python || $(PYTHON) -m venv $(S3)
	@echo "Setting up the S3 server of the tests (once) ..."
	@$(S3)/bin/pip -qq --disable-pip-version-check install --require-hashes -r requirements/s3.txt
	@touch $@

test: $(VENV)/dev.stamp $(S3)/s3.stamp ## Run the whole test suite.
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: $(VENV)/dev.stamp ## Format, lint, types, import rules, tests without a service: under a minute.
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache | tail -n 3
	@$(BIN)/python -m pytest -q -n $(WORKERS) -m "not slow" tests/engine tests/app

# The peers, apart from our own packages. torch comes from where pip is set to look: its build, and so its hash, differs.
$(BENCH)/bench.stamp: requirements/bench.txt
	@test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	@echo "Setting up the peers (once) ..."
	@$(BENCH)/bin/pip -qq --disable-pip-version-check install --require-hashes -r requirements/bench.txt
	@$(BENCH)/bin/pip -qq --disable-pip-version-check install torch==2.13.0
	@touch $@

bench: $(VENV)/serve.stamp $(BENCH)/bench.stamp ## Measure engine and service beside their peers (ARGS="engine --quick").
	@$(BIN)/python -m benchmarks $(ARGS)

torture: $(VENV)/dev.stamp ## Kill, stop and race all parts at random (ARGS="--seed 1 --count 2000").
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.torture $(ARGS)

# Needs strace. COUNT bounds the faults at system calls, CUTS the power cuts; SEED chooses which. With
# TEST_POSTGRES, that database's restarts and cut connections, too.
torture-faults: $(VENV)/dev.stamp
	@$(BIN)/python -m tests.crash.injected $(if $(COUNT),--count $(COUNT)) --seed $(or $(SEED),1)
	@$(BIN)/python -m tests.crash.powercut --count $(or $(CUTS),1000) --seed $(or $(SEED),1)
	@TEST_RESTARTS=10 TEST_CUTS=60 $(BIN)/python -m pytest -q -k "restarted or cut or clock" \
		tests/crash/test_outside.py tests/crash/test_clock_and_connections.py

format: $(VENV)/dev.stamp ## Put the code into its format.
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

PINS := $(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
lock: $(VENV)/dev.stamp ## Pin the newest packages that pyproject.toml allows; no index is named in the pins.
	@$(PIP) install uv
	@$(PINS) pyproject.toml --extra fast -o requirements/serve.txt
	@$(PINS) pyproject.toml --extra fast --group dev -o requirements/dev.txt
	@$(PINS) -c requirements/dev.txt --group browser -o requirements/browser.txt
	@$(PINS) --group s3 -o requirements/s3.txt
	@$(PINS) --group bench -o requirements/bench.txt

clean: ## Remove what was set up; data are kept.
	@rm -rf $(VENV) $(BENCH) $(S3) .mypy_cache .ruff_cache .pytest_cache .hypothesis
