"""What the benchmark counts and what it wrote; how long anything takes is not tested."""

import importlib.util
import json
import re

import torch
from helpers import load_tiny, profiles
from torch.utils.flop_counter import FlopCounterMode

from lib.data import encode
from lib.data.formats import rows
from lib.paths import RESULTS, ROOT
from lib.train import models


def test_the_flops_of_training_are_those_of_the_rows_without_padding_or_gradients_of_frozen_weights():
    spec = importlib.util.spec_from_file_location("speed", ROOT / "benchmarks" / "speed.py")  # it is no package
    speed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(speed)
    model, tokenizer = load_tiny()
    model = models.make_trainable(model, 4, 0, encode.MAX_LENGTH)
    trained = rows(profiles("fictional", 2), "article", 2, 0)
    alone = [speed.flops(model, tokenizer, [row]) for row in trained]
    assert speed.flops(model, tokenizer, trained) == sum(alone)
    assert all(parameter.grad is None for parameter in model.parameters())
    ids, labels = encode.row_ids(tokenizer, trained[0]).values()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.tensor([ids]), logits_to_keep=sum(label != -100 for label in labels))
    # forward and the gradient of the inputs; a third time for the adapters alone
    assert 1.5 < alone[0] / counter.get_total_flops() < 3.2


def test_the_page_has_the_published_numbers():
    names = ("two-cores", "loss-float32")
    bench, loss = (json.loads((RESULTS / "bench" / f"{name}.json").read_text()) for name in names)
    numbers = {**bench, **bench["examples_per_second"], "loss of articles": loss["article"], "loss of qa": loss["qa"]}
    page = (ROOT / "docs" / "performance.md").read_text()
    shown = dict(re.findall(r"^\| `([^`|]+)` \|.*\| ([\d.]+) \|$", page, re.M))
    assert shown == {name: f"{number:.2f}" for name, number in numbers.items() if isinstance(number, float)}
