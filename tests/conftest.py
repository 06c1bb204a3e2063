import contextlib
import os
import shutil
import time
import uuid

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: sums in one order give the same numbers

import hypothesis
import psutil
import pytest

from lib import results
from lib.cell import Cell

# no test depends on how fast the machine is, and a failure must come back when it is run again
hypothesis.settings.register_profile("study", deadline=None, derandomize=True)
hypothesis.settings.load_profile("study")


@pytest.fixture
def study():
    """The name of an empty study, whose folder is removed afterwards."""
    name = f"my-test-{uuid.uuid4().hex[:8]}"
    yield name
    shutil.rmtree(results.study_dir(name), ignore_errors=True)


@pytest.fixture(scope="session")
def tiny():
    """The tiny model, untrained, and its tokenizer. Tests must not train it: use `load_tiny`."""
    return load_tiny()


def load_tiny():
    from lib import models
    from lib.training import MAX_LENGTH

    model, tokenizer = models.load("tiny", MAX_LENGTH)
    return model.eval(), tokenizer


def make_cell(**changes) -> Cell:
    """A small cell on the tiny model."""
    parameters = {
        "model": "tiny",
        "entity": "fictional",
        "info": "categorical",
        "format": "qa",
        "n_facts": 3,
        "seed": 0,
        "paraphrases": 2,
        "epochs": 1,
        "learning_rate": 1e-3,
        "lora_rank": 4,
        "batch_size": 4,
    }
    return Cell(**{**parameters, **changes})


def base_cell(**changes) -> Cell:
    """A small cell of the untrained tiny model."""
    return make_cell(
        **{"format": "none", "paraphrases": 0, "epochs": 0, "learning_rate": 0.0, "lora_rank": 0, "batch_size": 0},
        **changes,
    )


def without_timing(result):
    """What of a result does not depend on when and how fast it was made."""
    training = {key: result["training"][key] for key in ("rows", "tokens", "trained_tokens", "steps", "losses")}
    return {key: result[key] for key in ("id", "cell", "facts", "evals", "items")} | {"training": training}


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "gave up waiting"
        time.sleep(0.1)


def kernels(pid):
    """The processes that train below this one: forks of forks of a server, all of which carry the server's name."""
    forked, parents = [], {}
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # the server's runs of the compiler end while one looks
            if "forkserver" in " ".join(child.cmdline()):
                parents[child.pid] = child.ppid()
                forked.append(child)
    return [child for child in forked if parents.get(parents[child.pid]) in parents]
