"""What the benchmark counts and what it wrote; how long anything takes is not tested."""

import json

import pytest
import torch
from helpers import load_tiny, profiles, script
from torch.utils.flop_counter import FlopCounterMode

from lib.data import encode
from lib.data.formats import Row, rows
from lib.paths import RESULTS
from lib.train import models


@pytest.fixture(scope="module")
def speed():
    """benchmarks/speed.py with the tiny model."""
    module = script("benchmarks/speed.py")
    module.ARTICLE = module.ARTICLE.model_copy(update={"model": "tiny"})
    return module


def test_the_flops_of_training_are_those_of_the_rows_without_padding_or_gradients_of_frozen_weights(speed):
    model, tokenizer = load_tiny()
    model = models.make_trainable(model, 4, 0)
    trained = rows(profiles("fictional", 2), "article", 2, 0)
    alone = [speed.flops(model, tokenizer, [row]) for row in trained]
    assert speed.flops(model, tokenizer, trained) == sum(alone)
    assert all(parameter.grad is None for parameter in model.parameters())
    ids, labels = encode.row_ids(tokenizer, trained[0]).values()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.tensor([ids]), logits_to_keep=sum(label != -100 for label in labels))
    # forward and the gradient of the inputs; a third time for the adapters alone
    assert 1.5 < alone[0] / counter.get_total_flops() < 3.2


def test_the_profile_of_a_training_says_where_all_of_its_time_goes_and_either_loss_is_the_same(speed, monkeypatch):
    monkeypatch.setattr(speed, "PROFILED_STEPS", 4)
    monkeypatch.setattr(speed, "LOSS_BATCHES", 3)
    monkeypatch.setattr(speed, "sample", lambda n: [Row(("q", "a" * i)) for i in range(1, n + 1)])
    shares = speed.profile()
    assert {*speed.OPERATORS} - {*shares} == {"compiled layers between the products"}  # tiny is not compiled
    assert sum(shares.values()) == pytest.approx(1)
    measured = speed.loss()  # asserts that the losses of the same batches agree
    assert all(len(ratios) == 3 and min(ratios) > 0 for ratios in measured["by_batch"].values())


def test_a_benchmark_has_the_fields_of_the_published_one(speed, monkeypatch):
    part = {"examples_per_second": 2.0, "flops_per_second": 1.0, "seconds": 2.0, "training": 1.0, "ratio": 3.0}
    monkeypatch.setattr(speed, "run", lambda *parts, threads=1: [part] * len(parts))
    monkeypatch.setattr(speed, "timed", lambda command, study: 4.0)
    measured = speed.measure()
    published = json.loads((RESULTS / "bench" / "two-cores.json").read_text())
    assert set(measured) == {*published, "loss"} and measured["training_share"] == 0.5
    assert set(measured["examples_per_second"]) == set(published["examples_per_second"])
