# The commands of this repository, for people and CI. `make help` lists them.

VENV := .venv
BIN := $(VENV)/bin

# Additional arguments of a command, as in: make test ARGS="-k checkout"
ARGS :=

# Duration of `make soak`.
MINUTES := 60

# Not empty where a wheel provides redis-server; elsewhere redis-server must be on PATH.
EMBEDDED := $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m))
NO_REDIS := On this kind of machine redis-server, 6.2 or newer, must be on PATH.

FITS := import ensurepip, sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))
NO_PYTHON := Python 3.11 or 3.12 with its venv module must be on PATH (Debian: apt-get install python3-venv).

.DEFAULT_GOAL := help
.PHONY: help run test check cases prove soak ci-long test-deps bench screenshots clean

help:  ## show this
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / { printf "make %-11s  %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.has-embedded  ## start the service on simulated pools; ARGS="--port 4568" for another port
	@$(if $(EMBEDDED),,echo "$(NO_REDIS)";) exec $(BIN)/twistd -n --pidfile= vmpooler --demo $(ARGS)

test: $(VENV)/.has-embedded $(VENV)/.has-test  ## run every test whose parts are there; ARGS="-k checkout" for some
	@$(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.has-embedded $(VENV)/.has-test $(VENV)/.has-check  ## style, types, imports, and whether the documents are true
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/docs

prove: $(VENV)/.has-embedded $(VENV)/.has-test  ## hold the service to its invariants for a few minutes: mutants, model, simulation, chaos (needs make test-deps); ARGS=--keep writes docs/proof.md
	@$(BIN)/python -m tests.verification.proof $(ARGS)

cases: $(VENV)/.has-embedded $(VENV)/.has-test  ## play each fault that took a VM from its client, against real processes (needs make test-deps); ARGS="--only 1a"
	@$(BIN)/python -m tests.cases $(ARGS)

ci-long: cases prove  ## what is too long for every change: all cases, and the whole proof

soak: $(VENV)/.has-embedded $(VENV)/.has-test  ## simulation and chaos side by side for an hour, and write docs/proof.md; MINUTES=600 for longer
	@$(BIN)/python -m tests.verification.proof --soak $(MINUTES) $(ARGS)

test-deps: $(VENV)/.has-test  ## install the Debian packages that some tests need
	@packages=$$($(BIN)/python -m tests.parts); \
	if [ -n "$$packages" ]; then \
	    [ "$$(id -u)" = 0 ] || sudo=sudo; \
	    $$sudo apt-get update --quiet && \
	    $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends $$packages; \
	fi

bench: $(VENV)/.has-embedded $(VENV)/.has-bench  ## measure what the service costs, into docs/performance.md (needs wrk: make test-deps); ARGS="checkout status" for some
	@$(BIN)/python -m benchmarks $(ARGS)

screenshots: $(VENV)/.has-embedded $(VENV)/.has-test  ## make the pictures of the dashboard in docs/images anew (needs Chromium: make test-deps)
	@$(BIN)/python -m tests.dashboard.screenshots

clean:  ## remove the virtual environment and what tools left; the data of services stays
	rm -rf $(VENV) build dist *.egg-info .*_cache .hypothesis twisted/plugins/dropin.cache
	find tests twisted vmpooler -name __pycache__ -prune -exec rm -rf {} +

# Installs an extra of pyproject.toml together with vmpooler, and again after a change of pyproject.toml.
$(VENV)/.has-%: pyproject.toml | $(BIN)/python
	@echo "Installing vmpooler[$*] into $(VENV)"
	@GRAPHITE_NO_PREFIX=1 $(BIN)/pip install -qq --disable-pip-version-check --editable '.[$(if $(EMBEDDED),$*,$(filter-out embedded,$*))]'
	@touch $@

$(BIN)/python:
	@for python in python3.12 python3.11 python3 python; do \
	    if $$python -c '$(FITS)' 2>/dev/null; then exec $$python -m venv --clear $(VENV); fi; \
	done; \
	echo "$(NO_PYTHON)" >&2; exit 1
