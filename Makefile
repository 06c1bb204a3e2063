# The commands of the project. `make` lists them.
PYTHON ?= python3
GRID ?= quick
# A reader's own run goes beside the published one, into results/my-<grid>, and never over it.
STUDY ?= my-$(basename $(notdir $(GRID)))
JOBS ?=
ENGINE ?= local
LABEL ?= my-machine
export PIP_DISABLE_PIP_VERSION_CHECK = 1

BIN := .venv/bin
READY := .venv/.ready

.PHONY: help env study figures test bench gpu-check lab clean
help:
	@echo "make study    run the $(GRID) grid into results/$(STUDY), draw its figures, print what they say"
	@echo "make test     test"
	@echo "make figures  redraw the figures of results/$(GRID), or of STUDY, from the results"
	@echo "make bench    measure the speed beside plain TRL and Unsloth, into results/bench/$(LABEL).json (15 minutes)"
	@echo "make gpu-check  run one published cell on a GPU and compare it with the CPU's result"
	@echo "make lab      open JupyterLab on notebooks/"
	@echo "make env      only create the environment; make clean removes it"
	@echo "settings: GRID=quick  STUDY=my-quick  JOBS=<cells at once>  ENGINE=local|ray"

env: $(READY)

$(READY): requirements.txt requirements-nodeps.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -r requirements.txt
	$(BIN)/pip install --quiet --no-deps -r requirements-nodeps.txt -e .
	touch $(READY)

study: $(READY)
	$(BIN)/python -m lib run $(GRID) --study $(STUDY) --engine $(ENGINE) $(if $(JOBS),--jobs $(JOBS))

figures: $(READY)
	$(BIN)/python -m lib figures $(GRID) $(if $(filter command environment,$(firstword $(origin STUDY))),--study $(STUDY))

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/pytest

bench: $(READY)
	$(BIN)/python -m lib.bench $(LABEL)

gpu-check: $(READY)
	$(BIN)/python -m lib.gpucheck

lab: $(READY)
	$(BIN)/jupyter lab --notebook-dir=notebooks

clean:
	rm -rf .venv
