"""What the tests share besides fixtures: small cells, and functions that a spawned process can import."""

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from lib.cell import Cell, from_parameters
from lib.data.facts import Profile, build, take
from lib.paths import ROOT
from lib.study import notebook, processes, steps

ENTITIES = ("fictional", "real", "persona")
FORMATS = ("article", "qa", "chat", "blanks", "worked", "mixed")


def make_cell(**changes) -> Cell:
    """A small cell on the tiny model."""
    parameters = {
        "model": "tiny",
        "entity": "fictional",
        "format": "qa",
        "n_entities": 2,
        "seed": 0,
        "paraphrases": 2,
        "epochs": 1,
        "learning_rate": 1e-3,
        "lora_rank": 4,
        "batch_size": 4,
    }
    return from_parameters({**parameters, **changes})


def base_cell(**changes) -> Cell:
    """A small cell of the untrained tiny model."""
    return from_parameters(
        {"model": "tiny", "entity": "fictional", "format": "none", "n_entities": 2, "seed": 0, **changes}
    )


@functools.cache
def all_profiles(entity: str, seed: int = 0) -> list[Profile]:
    """Every profile of a kind of entity, built once for all tests."""
    return build(entity, seed)


def profiles(entity: str, n: int, seed: int = 0) -> list[Profile]:
    """The first n profiles of a kind of entity."""
    return take(all_profiles(entity, seed), n)


@functools.cache
def tokenizer():
    """SmolLM2's tokenizer alone, as training and asking have it, without torch."""
    from lib.train import weights

    return weights.tokenizer("smollm2-135m")


def load_tiny():
    """The tiny model, untrained, and its tokenizer."""
    from lib.data.encode import MAX_LENGTH
    from lib.train import models

    loaded, tokenizer = models.load("tiny", MAX_LENGTH)
    return loaded.eval(), tokenizer


def without_timing(result: dict) -> dict:
    """What of a result does not depend on when and how fast it was made."""
    timing = ("seconds", "evaluation_seconds", "tokens_per_second")
    training = result["training"] and {key: result["training"][key] for key in result["training"] if key not in timing}
    return {key: result[key] for key in ("id", "cell", "facts", "evals", "items")} | {"training": training}


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
    paths = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]\n"
    return [sys.executable, "-c", paths + code, *arguments]


# In place of processes._child, in a process that is spawned: they must be importable there.


def kill_myself(parameters, study, scratch, threads):
    """A cell whose process is killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def leave(parameters, study, scratch, threads):
    """A cell whose process ends without a word."""
    os._exit(3)


def sleep_unless_first(parameters, study, scratch, threads):
    """A cell of seed 0 is done at once, any other takes for ever."""
    if parameters["seed"]:
        time.sleep(3600)
    (scratch / "result.json").write_text(json.dumps({"seed": 0}))


def say_stages(parameters, study, scratch, threads):
    """A cell that tells its stage until somebody was told, and how many threads it may use."""
    steps.say("step 1 of 2", str(scratch / "result.json"))
    time.sleep(2.5)  # the runner looks every second
    (scratch / "log").write_text("what it printed")
    (scratch / "result.json").write_text(json.dumps({"threads": threads, "study": study}))


# How many page faults a buffer costs when one as large was freed before.
FAULTS_OF_A_SECOND_BUFFER = """
import resource
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(64 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def allocate(parameters, study, scratch, threads):
    """A cell whose kernel only allocates, and tells what that costs and which setting it has."""

    def execute(name, output, parameters):
        found = subprocess.run([sys.executable, "-c", FAULTS_OF_A_SECOND_BUFFER], capture_output=True, text=True)
        told = {"faults": int(found.stdout), "setting": os.environ["GLIBC_TUNABLES"]}
        (scratch / "result.json").write_text(json.dumps(told))

    notebook.execute = execute
    processes._child(parameters, study, scratch, threads)
