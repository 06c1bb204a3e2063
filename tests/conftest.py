import os
import shutil
import uuid

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: sums in one order give the same numbers
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the tests are of the CPU path, also on a machine with a GPU

import hypothesis
import pytest
from helpers import load_tiny

from lib.report import intervals
from lib.study import store

# no test depends on how fast the machine is, and a failure must come back when it is run again
hypothesis.settings.register_profile(
    "study", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("study")


@pytest.fixture
def study():
    """The name of an empty study, whose folder is removed afterwards."""
    name = f"my-test-{uuid.uuid4().hex[:8]}"
    yield name
    shutil.rmtree(store.study_dir(name), ignore_errors=True)


@pytest.fixture
def few_resamples(monkeypatch):
    """Bootstraps of a tenth of their size: enough where the truth is planted."""
    monkeypatch.setattr(intervals, "RESAMPLES", 400)


@pytest.fixture(scope="session")
def tiny():
    """The tiny model, untrained, and its tokenizer. Tests must not train it: use `load_tiny`."""
    return load_tiny()


@pytest.fixture(scope="session")
def smollm2():
    """SmolLM2-135M in float32, untrained, and its tokenizer. Tests must not train it."""
    from lib.train import models

    loaded, tokenizer = models.load("smollm2-135m")
    return loaded.float().eval(), tokenizer
