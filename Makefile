# make help lists what there is. Everything installs into .venv; data and runs stay in demo/.
PYTHON ?= python3
BIN = .venv/bin
DEMO = demo

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-full lint clean-demo

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: .venv/ready  ## make .venv and install what the scripts need

demo: $(DEMO)/results/demo/metrics.json  ## phantoms, training, evaluation and a prediction in minutes
	@$(BIN)/python predict.py $(DEMO)/phantom.png --model $(DEMO)/results/demo --sex F
	@echo
	@$(BIN)/python -m util.demo $(DEMO)/results/demo

test: .venv/dev-ready  ## run the tests
	$(BIN)/python -m pytest -m "not full"

test-full: .venv/dev-ready  ## run the slow tests as well
	$(BIN)/python -m pytest

lint: .venv/dev-ready  ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean-demo:  ## remove the demo's data and runs
	rm -rf $(DEMO)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "error: Python 3.10 or newer is needed ($(PYTHON)). Name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@$(PYTHON) -m venv .venv || \
	  { echo "error: $(PYTHON) can't make a virtual environment. On Debian or Ubuntu: apt install python3-venv"; exit 2; }

.venv/ready: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/dev-ready: requirements-dev.txt .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
