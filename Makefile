# make help lists what there is. Everything installs into .venv; data and runs stay in demo/.
PYTHON ?= python3
BIN = .venv/bin
# two files of tests at once; more would need more memory than a laptop has
PARALLEL = -n 2 --dist loadfile --no-loadscope-reorder
DEMO = demo
FILM = $(DEMO)/Data/test/200001.png
# memory in huge pages (docs/SPEED.md)
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-full lint clean-demo

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: .venv/ready  ## make .venv and install what the scripts need

demo: $(DEMO)/evaluation/metrics.json  ## phantoms, training, evaluation and a prediction in minutes
	@echo; echo "One film, $(FILM):"; echo
	@$(BIN)/python predict.py $(FILM) --model $(DEMO)/results/demo --csv $(DEMO)/Data/df_test.csv
	@echo
	@$(BIN)/python -m util.demo $(DEMO)/results/demo

$(DEMO)/Data/df_test.csv: | .venv/ready
	@$(BIN)/python make_phantoms.py --data_dir $(DEMO)/Data --train 3000 --height 192

$(DEMO)/results/demo/metrics.json: | $(DEMO)/Data/df_test.csv
	@$(BIN)/python train_advanced_streamlined.py --data_dir $(DEMO)/Data \
	  --results_dir $(DEMO)/results --run_name demo --preset demo \
	  $(if $(wildcard $(DEMO)/results/demo/config.json),--resume)

$(DEMO)/evaluation/metrics.json: | $(DEMO)/results/demo/metrics.json
	@rm -rf $(DEMO)/evaluation
	@$(BIN)/python evaluate.py $(DEMO)/results/demo --out $(DEMO)/evaluation

test: .venv/dev-ready  ## run the tests
	$(BIN)/python -m pytest -m "not full" $(PARALLEL)

test-full: .venv/dev-ready  ## run the slow tests as well
	$(BIN)/python -m pytest $(PARALLEL)

lint: .venv/dev-ready  ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean-demo:  ## remove the demo's data and runs
	rm -rf $(DEMO)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || \
	  { echo "error: Python 3.10 to 3.13 is needed ($(PYTHON)). Name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@$(PYTHON) -m venv .venv || \
	  { rm -rf .venv; echo "error: $(PYTHON) can't make a virtual environment. On Debian or Ubuntu: apt install python3-venv"; exit 2; }

.venv/ready: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/dev-ready: requirements-dev.txt requirements-optional.txt .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
