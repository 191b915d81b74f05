# make demo | test | bench | bench-peers | bench-scale | planted | soak | lint | dashboards | kubernetes | lock      ARGS="..." is passed on to the program that runs
# A plain checkout needs only Python 3.11 or 3.12; `make test` also installs what .ci/services lists.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup services sbom audit demo test bench bench-peers bench-scale planted soak lint lock dashboards kubernetes

VENV := .venv
STAMP := $(VENV)/.installed
UV := $(VENV)/bin/uv

help:
	@echo "make demo    the whole pipeline on this machine, without Docker"
	@echo "make test    every test, with a real Kafka and a real Redis (installs what is missing; needs root for that)"
	@echo "make bench   the benchmarks"
	@echo "make bench-peers   the same accounts and ticks through what else one might pick (fetches it; not in CI)"
	@echo "make bench-scale   what 1, 2 and 4 workers carry, and what 100,000 accounts take (some 10 minutes; not in CI)"
	@echo "make planted bugs planted in a copy of the source, each caught by a named test (about 10 minutes)"
	@echo "make sbom    what all of it is made of: dist/sbom.cdx.json (CycloneDX), from requirements.lock"
	@echo "make audit   ask of known vulnerabilities in it; waivers with an end are in .ci/audit-waivers.toml"
	@echo "make soak    half an hour of load and faults, and a report (not in CI); longer: ARGS=\"--minutes 600\""
	@echo "make lint    ruff, mypy and the import rules"
	@echo "make dashboards   write deploy/grafana/dashboards anew from the panels beside them"
	@echo "make kubernetes   write the rules of Prometheus as the operator of a cluster reads them"
	@echo "make lock    write requirements.lock anew from pyproject.toml"

setup: $(STAMP)
	@:

$(STAMP): requirements.lock pyproject.toml
	@.ci/setup $(VENV)
	@touch $@

services: setup
	@.ci/services

demo: setup
	@$(VENV)/bin/unimargin demo $(ARGS)

test: services
	@.ci/test $(ARGS)

bench: services
	@$(VENV)/bin/python -m tests.benchmarks $(ARGS)

bench-peers: services
	@$(VENV)/bin/python -m tests.benchmarks.peers $(ARGS)

bench-scale: services
	@$(VENV)/bin/python -m tests.benchmarks.bench_scale $(ARGS)

planted: services
	@$(VENV)/bin/python -m tests.planted $(ARGS)

soak: services
	@$(VENV)/bin/python -m tests.soak $(ARGS)

lint: setup
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

dashboards: setup
	@$(VENV)/bin/python -m deploy.grafana.write_dashboards

kubernetes: setup
	@$(VENV)/bin/python -m deploy.kubernetes.write_prometheus_rule $(ARGS)

sbom: setup
	@mkdir -p dist
	@PYTHONWARNINGS=ignore $(UV) tool run --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py requirements --pyproject pyproject.toml \
		--output-reproducible -o dist/sbom.cdx.json requirements.lock
	@echo "dist/sbom.cdx.json"

audit: setup
	@.ci/audit

lock: setup
	@$(UV) pip compile -q pyproject.toml --extra demo --extra desk --extra traces --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links -o requirements.lock
