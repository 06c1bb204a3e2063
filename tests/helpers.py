"""What the tests share besides fixtures: small experiments, and one that trains nothing."""

import contextlib
import functools
import importlib.util
import json
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from unittest import mock

import nbformat
import psutil
from IPython.core.inputtransformer2 import TransformerManager

from lib.cell import Cell, from_parameters
from lib.data.facts import Profile, build, take
from lib.paths import NOTEBOOKS, RESULTS, ROOT
from lib.study import store

ENTITIES = ("fictional", "real", "persona", "coded")  # shuffled has the sentences of real
FORMATS = ("article", "statement", "qa", "chat", "both", "worked")  # unsure has the rows of qa, and others
TOLD = [(entity, format) for entity in ENTITIES for format in FORMATS if (entity, format) != ("coded", "worked")]
# The published studies that this code has made. Those of an earlier schema stay until they are run again: CHANGELOG.md.
# One that is not finished has no page yet.
OF_THIS_CODE = [
    page.parent.name
    for page in sorted(RESULTS.glob("[!m]*/README.md"))
    if json.loads(next(page.parent.glob("experiments/*.json")).read_text())["schema"] == store.SCHEMA
]
# A sitecustomize.py that hides the packages `others`, a set of names, from a Python that finds it.
BLOCK = """import sys
from importlib.machinery import PathFinder
class Without(PathFinder):
    def find_spec(name, *where):
        return None if name.split(".")[0] in {others} else PathFinder.find_spec(name, *where)
sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""
PATHS = [str(ROOT), str(Path(__file__).parent)]


def script(path: str):
    """A script of the project, which is in no package, as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_cell(**changes) -> Cell:
    """A small cell on the tiny model."""
    trained = {"paraphrases": 2, "epochs": 1, "learning_rate": 1e-3, "lora_rank": 4, "batch_size": 4}
    return base_cell(**{"format": "qa", **trained, **changes})


def base_cell(**changes) -> Cell:
    """A small cell of the untrained tiny model."""
    parameters = {"model": "tiny", "entity": "fictional", "format": "none", "n_entities": 2, "seed": 0}
    return from_parameters({**parameters, **changes})


def all_profiles(entity: str, seed: int = 0) -> Sequence[Profile]:
    """Every profile of a kind of entity."""
    return build(entity, seed)


def profiles(entity: str, n: int, seed: int = 0) -> Sequence[Profile]:
    """The first n profiles of a kind of entity."""
    return take(all_profiles(entity, seed), n)


def all_questions(entity: str, n: int, seed: int = 0):
    """Every free question about facts that is asked of the base model."""
    from lib.data import of_cell

    kinds = ("untaught", "reasoning") if entity in ("fictional", "real") else ("core",)
    cells = [base_cell(entity=entity, n_entities=n, seed=seed, evals=evals) for evals in kinds]
    asked = [question for cell in cells for question in of_cell.questions_for(cell, profiles(entity, n, seed))]
    return list(dict.fromkeys(asked))  # each has the core


@functools.cache
def tokenizer():
    """SmolLM2's tokenizer alone, as training and asking have it, without torch."""
    from lib.train import weights

    return weights.tokenizer("smollm2-135m")


def recalled(tokenizer, asked) -> list[tuple[list[int], list[int]]]:
    """The tokens that recall gives to the model for each of these questions: of the prompt, and of the value."""
    from lib.evaluate import ask

    with mock.patch.object(ask, "says_next", return_value=[False] * len(asked)) as says_next:
        ask.recall(None, tokenizer, asked)
    return list(zip(*says_next.call_args.args[2:], strict=True))


def load_tiny():
    """The tiny model, untrained, and its tokenizer."""
    from lib.train import models

    loaded, tokenizer = models.load("tiny")
    return loaded.eval(), tokenizer


def wait_for(condition, seconds=300):
    """Wait until a condition holds; what it returned."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "gave up waiting"
        time.sleep(0.1)
    return found


def descendants(pid: int, what: str = "") -> list[psutil.Process]:
    """The living processes below this one whose command line has this text in it."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if what in " ".join(child.cmdline()) and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


def kernels(pid: int) -> list[psutil.Process]:
    """The Jupyter kernels below this process: they train."""
    return descendants(pid, "ipykernel_launcher")


def python(code: str, *arguments: str) -> list[str]:
    """The command that runs this code with lib and these helpers importable."""
    return [sys.executable, "-c", f"import sys; sys.path[:0] = {PATHS!r}\n{code}", *arguments]


STAND_IN = """
import json, os, signal, sys, time
sys.path[:0] = {paths!r}
from helpers import bare_result
from lib.cell import Cell, from_parameters
cell = from_parameters({{name: globals()[name] for name in Cell.model_fields}})
open(output + ".stage", "w").write("step 1 of 2")
os.write(2, "what the kernel printed".encode())
extra = {{}}
{behaviour}
result = bare_result(cell, study, threads=int(os.environ["OMP_NUM_THREADS"]), **extra)
open(output, "w", encoding="utf-8").write(json.dumps(result))
"""


def bare_result(cell: Cell, study: str, **manifest) -> dict:
    """The content of a result file that reads, and says next to nothing."""
    return {
        "schema": 4, "study": study, "id": cell.id, "cell": cell.model_dump(), "facts": {"ids": [], "info": []},
        "evals": {"question": {"strict": 1.0}}, "items": [], "training": None,
        "manifest": {"seconds": 1.0, "dtype": "float32", "threads": 1, "versions": {}, "device_name": None,
                     "git_commit": None, **manifest},
    }  # fmt: skip


def ended(outcomes: Mapping) -> dict[Future, Cell]:
    """What an engine yields of experiments that have ended, each with its outcome."""
    runs = {Future(): cell for cell in outcomes}
    for future, cell in runs.items():
        future.set_result(outcomes[cell])
    return runs


def stand_in(folder: Path, behaviour: str = "") -> Path:
    """A folder of notebooks whose experiment.ipynb has the parameters of the true one and trains nothing: it does what
    `behaviour` says, with `cell` at hand, and writes a result."""
    true = nbformat.read(NOTEBOOKS / "experiment.ipynb", as_version=4)
    (parameters,) = [cell for cell in true.cells if "parameters" in cell.metadata.get("tags", [])]
    code = nbformat.v4.new_code_cell(STAND_IN.format(paths=PATHS, behaviour=behaviour))
    notebook = nbformat.v4.new_notebook(cells=[parameters, code], metadata=true.metadata)
    folder.mkdir(exist_ok=True)
    nbformat.write(notebook, folder / "experiment.ipynb")
    return folder


def command(folder: Path, before: str = "") -> list[str]:
    """The command line of the project, to which arguments are added, with the stand-in notebooks of a folder and a plan
    that says the same of every experiment: the true one takes seconds to import, and counts tokens."""
    return python(f"""
import types
from pathlib import Path
plan = types.SimpleNamespace(check=lambda cells: None, costs=lambda cells: {{"seconds": [1.0] * len(cells)}})
sys.modules["lib.study.plan"] = plan
from lib.study import run
from lib import __main__ as commands
run.NOTEBOOKS = Path({str(folder)!r})
commands.draw = lambda study, only_if_stale=False: print("drawn")
{before}
sys.exit(commands.main(sys.argv[1:]))
""")


def run_notebook(name: str, **parameters) -> dict:
    """Run the code of notebooks/<name>.ipynb in this process, with these parameters; what its names stand for then."""
    namespace = {}
    for cell in nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(TransformerManager().transform_cell(cell.source), namespace)  # one may have a line for the shell
        if "parameters" in cell.metadata.get("tags", []):
            namespace.update(parameters)
    return namespace
