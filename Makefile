# SPDX-License-Identifier: Apache-2.0
# Everything a developer can do. `make help` lists it.

SHELL := /bin/bash
STATE ?= state
PORT_OFFSET ?= 0
COMPUTES ?= 4
ROUNDS ?= 2
LISTEN ?=
NETWORK_ENDPOINT ?= yes
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$p; break; }; done)
PYTEST ?= $(BIN)/python -m pytest
# Tests that share nothing run in as many processes as there are cores.
SIDE_BY_SIDE := -n auto --dist worksteal
TWO_CLOUDS := -n 2 --dist loadfile
# These have libvirtds of their own; all other tests of real guests share one.
OWN_LIBVIRT := $(addprefix tests/host/,test_two_hosts.py test_guest_moves.py)

.DEFAULT_GOAL := help
.PHONY: help run test test-unit test-api test-services cluster cluster-test bench-cluster test-host bench-host test-kvm test-xen test-container test-network lint types borders bench bench-scheduler docs docs-generate clean system-parts

help: ## List what there is
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  make run STATE=DIR PORT_OFFSET=N   keeps its state in DIR and adds N to every port"
	@echo "  make run NETWORK_ENDPOINT=no       without the network API, as older clients need it"

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; install python3.11 and its venv module" >&2; exit 1; }
	@echo "creating the virtual environment with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(VENV)/bin/python
	@echo "installing Nova"
	@$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	@echo "installing Nova with what its tests use"
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test,lint,network,external,mysql,postgresql,rabbit]'
	@touch $@ $(VENV)/.run

# Built against the machine's libvirt; where there is none the tests of real guests say so.
$(VENV)/.libvirt: pyproject.toml | $(VENV)/.test
	@if pkg-config --exists libvirt 2>/dev/null; then \
		echo "installing libvirt's binding" && \
		$(BIN)/pip install --quiet --disable-pip-version-check -e '.[libvirt]' && touch $@; \
	else echo "libvirt's headers are not installed: real guests are left out"; fi

# The public clients live apart: their dependencies must not decide ours.
.clients/.installed: pyproject.toml Makefile
	@echo "installing the public clients"
	@$(PYTHON) -m venv .clients
	@.clients/bin/pip install --quiet --disable-pip-version-check \
		'python-openstackclient>=7' 'openstacksdk>=4' 'python-novaclient>=18' 'python-keystoneclient>=5' \
		'schemathesis>=4' 'ansible-core>=2.16'
	@# The last one with commands for networks that Nova keeps; six is all that it needs beyond the newest.
	@.clients/bin/pip install --quiet --disable-pip-version-check --no-deps --upgrade \
		--target .clients/novaclient-7 'python-novaclient==7.1.2' 'six>=1.16'
	@touch $@

# The real Keystone and Glance, for the tests of clouds that use them in place of the built-in services.
.services/.installed: Makefile
	@echo "installing Keystone and Glance"
	@$(PYTHON) -m venv .services
	@.services/bin/pip install --quiet --disable-pip-version-check 'keystone>=27' 'glance>=30' 'waitress>=3'
	@touch $@

run: $(VENV)/.run ## Run the whole cloud in the foreground (Ctrl-C stops it)
	@exec $(BIN)/nova-all-in-one --state "$(STATE)" --port-offset "$(PORT_OFFSET)" $(if $(LISTEN),--listen $(LISTEN)) $(if $(filter no,$(NETWORK_ENDPOINT)),--no-network-endpoint)

system-parts: ## Install the system packages that the tests use (root only; names them otherwise)
	@tools/system-parts.sh

# A cluster waits more than it works: networks, which are in namespaces of their own, are tried meanwhile.
# An emulated guest keeps one processor busy: guests of other hosts are tried meanwhile.
test: system-parts $(VENV)/.test $(VENV)/.libvirt .clients/.installed .services/.installed ## Run all tests, with everything they need
	@failed=0; \
	$(PYTEST) tests/unit $(SIDE_BY_SIDE) || failed=1; \
	$(PYTEST) tests/api tests/docs $(TWO_CLOUDS) || failed=1; \
	$(PYTEST) tests/services $(TWO_CLOUDS) || failed=1; \
	network=$$(mktemp); \
	env --default-signal=INT $(PYTEST) tests/network -p no:cacheprovider >$$network 2>&1 & \
	$(PYTEST) tests/cluster || failed=1; \
	wait $$! || failed=1; cat $$network; rm -f $$network; \
	moves=$$(mktemp); \
	env --default-signal=INT $(PYTEST) $(OWN_LIBVIRT) -p no:cacheprovider >$$moves 2>&1 & \
	$(PYTEST) tests $(addprefix --ignore tests/,unit api docs services cluster network) \
		$(addprefix --ignore ,$(OWN_LIBVIRT)) || failed=1; \
	wait $$! || failed=1; cat $$moves; rm -f $$moves; \
	exit $$failed

test-unit: $(VENV)/.test ## Run the fast tests
	$(PYTEST) tests/unit $(SIDE_BY_SIDE)

test-api: $(VENV)/.test .clients/.installed ## Run the tests that drive a whole cloud through HTTP
	$(PYTEST) tests/api $(TWO_CLOUDS)

test-services: system-parts $(VENV)/.test .services/.installed ## Run the tests against real MariaDB and PostgreSQL
	$(PYTEST) tests/services $(TWO_CLOUDS)

cluster: system-parts $(VENV)/.test ## Run MariaDB, RabbitMQ and all daemons with COMPUTES=4 hosts on this machine
	@exec $(BIN)/python tools/cluster.py --state "$(STATE)-cluster" --computes $(COMPUTES) --port-offset "$(PORT_OFFSET)"

cluster-test: system-parts $(VENV)/.test ## Faults of a cluster as long as in operation, in ROUNDS=2 rounds each
	CLUSTER_ROUNDS=$(ROUNDS) $(PYTEST) -s tests/cluster tests/services/test_transport.py \
		tests/services/test_broker_cluster.py tests/services/test_connections.py tests/services/test_conductor_race.py

bench-cluster: system-parts $(VENV)/.test ## Measure a cluster: boots, memory, and 1,000 idle hosts
	@$(BIN)/python benchmarks/cluster.py boots 500
	@$(BIN)/python benchmarks/cluster.py idle 1000 60
	@if [ "$$(id -u)" = 0 ]; then $(BIN)/python benchmarks/network_host.py daemon; \
		else echo "the memory of nova-network is left out: it needs root"; fi

test-host: system-parts $(VENV)/.test $(VENV)/.libvirt ## Boot real guests with libvirt and QEMU (root); LONG=1: dead hosts too
	$(PYTEST) tests/host $(if $(LONG),tests/host/dead_hosts.py)

bench-host: system-parts $(VENV)/.test $(VENV)/.libvirt ## Measure the libvirt driver with real guests (root)
	@$(BIN)/python benchmarks/host.py

test-kvm: system-parts $(VENV)/.test $(VENV)/.libvirt ## Start a real KVM guest with vhost in a nested machine (root)
	$(PYTEST) tests/host/nested_kvm.py -s --timeout 900

test-xen: $(VENV)/.test $(VENV)/.libvirt ## Start a real Xen guest in a nested machine (root, Debian; minutes)
	@tools/system-parts.sh && tools/system-parts.sh xen
	$(PYTEST) tests/host/nested_xen.py -s --timeout 1800

test-container: $(VENV)/.test $(VENV)/.libvirt ## Run nova-compute from its container image with a real guest (root; minutes)
	@tools/system-parts.sh && tools/system-parts.sh container
	$(PYTEST) tests/host/contained_compute.py -s --timeout 1800

test-network: system-parts $(VENV)/.test ## Networks of a host, in network namespaces (root)
	$(PYTEST) tests/network

lint: $(VENV)/.test ## Check style
	$(BIN)/ruff check nova tests benchmarks tools

types: $(VENV)/.test ## Check types strictly
	$(BIN)/mypy nova

borders: $(VENV)/.test ## Check which room imports which
	$(BIN)/lint-imports

bench: $(VENV)/.run ## Measure; prints lines `figure NAME VALUE UNIT`
	@$(BIN)/python benchmarks/cloud.py
	@$(BIN)/python benchmarks/network_api.py
	@$(BIN)/python benchmarks/metadata.py

bench-scheduler: $(VENV)/.run ## Measure the scheduler alone
	@$(BIN)/python benchmarks/scheduler.py

docs: $(VENV)/.test .clients/.installed ## Check the documents, and run the commands in them
	$(PYTEST) tests/docs

docs-generate: $(VENV)/.run ## Write the documents that are made from tables of the code
	@$(BIN)/python tools/generate_docs.py

clean: ## Remove what was installed and built; state directories stay
	rm -rf $(VENV) .clients .services build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
