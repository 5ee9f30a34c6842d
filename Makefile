# Everything starts from `make demo` or `make test`; both set up what they need first.
# `make test ONLY="tests/spec -k lost"` runs a part of the tests.
.DEFAULT_GOAL := help
.PHONY: help demo test test-lab lab lint bench simulate search mutants setup lock clean

PYTHON := .venv/bin/python
ONLY ?=
SEEDS ?= 2000

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 \t/p' $(MAKEFILE_LIST)

demo: setup ## Two nodes and an arbiter; the active one is killed, cut off, parted from the other; about a minute
	$(PYTHON) -m tests.demo

test: lint lab ## Format, lint, types, and all tests, those with real agents included
	$(PYTHON) -m pytest $(ONLY)

test-lab: lab ## The tests in virtual machines alone
	$(PYTHON) -m pytest tests/lab

lab: setup ## What virtual machines of the tests boot, under build/lab (as root; Debian)
	$(PYTHON) -m tests.lab.image

lint: setup ## Format, lint and types alone
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

bench: setup ## Outages, cost and route flips against the budgets
	$(PYTHON) -m tests.bench

simulate: setup ## Whole clusters with everything going wrong, SEEDS=2000 of them; a failure is shrunk and kept
	$(PYTHON) -m tests.simulation.compiled --seeds $(SEEDS) --scale 100

search: setup ## Every order of events in a small cluster, up to a bound
	$(PYTHON) -m tests.simulation.search

mutants: setup ## Break the protocol in every known way and see that the simulator notices
	$(PYTHON) -m tests.simulation.mutants

setup: ## Debian packages (as root) and .venv from the lock files
	@requirements/bootstrap.sh

lock: setup ## Write the lock files anew from pyproject.toml (ARGS=--upgrade for newer versions)
	requirements/lock.sh $(ARGS)

clean: ## Remove what was built; .venv stays
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find agent recovery_kits tests -name __pycache__ -type d -prune -exec rm -rf {} +
