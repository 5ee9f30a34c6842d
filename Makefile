# Everything starts from `make demo` or `make test`; both set up what they need first.
# `make test ONLY="tests/spec -k lost"` runs a part of the tests.
.DEFAULT_GOAL := help
.PHONY: help demo demo-lab test test-lab lab terraform lint bench simulate search mutants setup lock clean

PYTHON := .venv/bin/python
SEEDS ?= 2000

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 \t/p' $(MAKEFILE_LIST)

demo: setup ## Two nodes and an arbiter; the active one is killed, cut off, parted from the other; about a minute
	$(PYTHON) -m tests.demo

demo-lab: lab ## The same nodes as virtual machines, with their data on a mirror (as root; Debian); some minutes
	$(PYTHON) -m tests.demo lab

# Clusters of real agents share the processors with each other alone, and so do virtual machines; where agents are in
# those, or come after Terraform, they have them to themselves.
ALONE := tests/lab/test_quickstart.py tests/lab/test_replicated.py tests/terraform/test_lab.py
LONG := $(patsubst %,tests/lab/test_%.py,gray trio behind_trio fileserver left_alone)
APART := tests/cluster tests/lab $(ALONE)
SHARED := --numprocesses logical --dist

test: lint lab ## Format, lint, types, and the tests, those with real agents included; not those of test-long
ifdef ONLY
	$(PYTHON) -m pytest $(ONLY)
else
	@status=0; \
	$(PYTHON) -m pytest $(SHARED) worksteal $(APART:%=--ignore=%) || status=1; \
	$(PYTHON) -m pytest $(SHARED) loadfile tests/cluster || status=1; \
	$(PYTHON) -m pytest $(SHARED) loadfile tests/lab $(patsubst %,--ignore=%,$(ALONE) $(LONG)) || status=1; \
	$(PYTHON) -m pytest $(ALONE) || status=1; \
	exit $$status
endif

test-lab: lab ## The tests in virtual machines alone
	$(PYTHON) -m pytest tests/lab

test-long: lab ## What is too long for each change: 50 power cuts, 20 killed targets, bad disks, three nodes, a file server, who goes on alone; two to three hours
	KAGE_KILLS=50 KAGE_TARGET_KILLS=20 $(PYTHON) -m pytest -s $(LONG) tests/lab/test_mirror.py tests/lab/test_replicated.py

lab: setup ## What virtual machines of the tests boot, under build/lab (as root; Debian)
	$(PYTHON) -m tests.lab.image
	$(PYTHON) -m tests.lab.debian

terraform: setup ## Terraform's modules and the lab (needs terraform, and its AWS provider), with checkov
	KAGE_CHECKOV=1 $(PYTHON) -m pytest tests/terraform

lint: setup ## Format, lint, types and bandit alone
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	$(PYTHON) -m bandit --quiet --configfile pyproject.toml --recursive agent recovery_kits packages

bench: setup ## Outages, cost and route flips against the budgets
	$(PYTHON) -m tests.bench

simulate: setup ## Whole clusters with everything going wrong, SEEDS=2000 of them; a failure is shrunk and kept
	$(PYTHON) -m tests.simulation.compiled --seeds $(SEEDS) --scale 100 $(ARGS)

search: setup ## Every order of events in a small cluster, up to a bound
	$(PYTHON) -m tests.simulation.search

mutants: setup ## Break the protocol in every known way and see that the simulator notices
	$(PYTHON) -m tests.simulation.mutants

.PHONY: docs reference
docs: setup ## The documentation as a site, build/docs/site; a link that leads nowhere is an error
	$(PYTHON) -m tests.docs.site

reference: setup ## Write docs/reference anew from the code
	$(PYTHON) -m tests.docs.reference

.PHONY: packages
packages: setup ## The wheel, the Debian package and the RPM into dist/ (ARGS="--machine aarch64")
	$(PYTHON) -m packages $(ARGS)

.PHONY: audit release
audit: setup ## Known vulnerabilities in what a node gets; fails where PyPI's advisories can't be reached
	$(PYTHON) -m packages.audit $(ARGS)

release: setup ## Audit; all packages, the sdist, an SBOM and checksums into dist/ (docs/releasing.md)
	$(PYTHON) -m packages --release $(ARGS)

setup: ## Debian packages (as root) and .venv from the lock files
	@requirements/bootstrap.sh

lock: setup ## Write the lock files anew from pyproject.toml (ARGS=--upgrade for newer versions)
	requirements/lock.sh $(ARGS)

clean: ## Remove what was built; .venv stays
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find agent recovery_kits tests -name __pycache__ -type d -prune -exec rm -rf {} +
