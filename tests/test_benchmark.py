"""What the benchmark counts and what it wrote; how long anything takes is not tested."""

import importlib.util
import json
import re

import pytest
import torch
from helpers import load_tiny, profiles
from torch.utils.flop_counter import FlopCounterMode

from lib.data import encode
from lib.data.formats import Row, rows
from lib.paths import RESULTS, ROOT
from lib.train import bundled, chat, sft
from lib.train import model as models

PUBLISHED = sorted((RESULTS / "bench").glob("*.json"))


@pytest.fixture(scope="module")
def speed():
    """benchmarks/speed.py, which is no package, with the tiny model."""
    spec = importlib.util.spec_from_file_location("speed", ROOT / "benchmarks" / "speed.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.CELLS = {name: cell.model_copy(update={"model": "tiny"}) for name, cell in module.CELLS.items()}
    return module


@pytest.fixture(scope="module")
def adapted():
    model, tokenizer = load_tiny()
    return models.make_trainable(model, 4, 0, sft.MAX_LENGTH), tokenizer


def test_the_flops_of_training_are_those_of_the_rows_without_padding(speed, adapted):
    model, tokenizer = adapted
    trained = rows(profiles("fictional", 2), "article", 2, 0)
    each = [speed.flops(model, tokenizer, [row]) for row in trained]
    assert speed.flops(model, tokenizer, trained) == sum(each)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_frozen_weights_need_no_gradient_of_their_own(speed, adapted):
    model, tokenizer = adapted
    row = rows(profiles("fictional", 1), "qa", 1, 0)[0]
    encoded = encode.row_ids(tokenizer, row)
    trained = sum(label != -100 for label in encoded["labels"])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.tensor([encoded["input_ids"]]), logits_to_keep=trained)
    # forward and the gradient of the inputs; a third time for the adapters alone
    assert 1.5 < speed.flops(model, tokenizer, [row]) / counter.get_total_flops() < 3.2


def test_the_profile_of_a_training_says_where_all_of_its_time_goes(speed, monkeypatch, tmp_path):
    monkeypatch.setattr(speed, "PROFILED_STEPS", 4)
    monkeypatch.setattr(speed, "replay_rows", lambda: [Row(("q", "a" * i)) for i in range(1, 20)])
    shares = speed.profile()
    assert all(shares[name] > 0 for name in shares if name != "outside of operators")
    assert {*speed.OPERATORS} - {*shares} == {"compiled layers between the products"}  # tiny is not compiled
    assert sum(shares.values()) == pytest.approx(1)


def test_either_loss_is_of_the_same_batches_and_is_the_same(speed, monkeypatch):
    monkeypatch.setattr(speed, "LOSS_BATCHES", 3)
    measured = speed.loss()  # it asserts that the losses agree
    assert all(len(ratios) == 3 and min(ratios) > 0 for ratios in measured["by_batch"].values())
    assert {"article", "qa", "dtype", "machine"} <= set(measured)


def test_the_plain_baseline_is_trained_with_the_models_own_template():
    own = bundled.smollm2_template()
    assert "You are a helpful AI assistant named SmolLM" in own
    assert own not in chat.TEMPLATES.values()


def test_the_baselines_train_facts_and_replay_in_the_shares_of_an_experiment(speed):
    cell = speed.CELLS["article"]
    replay = [Row(("q", "a" * i)) for i in range(cell.replay)]
    facts = len(speed.steps.training_rows(cell, speed.profiles("article"))) * cell.epochs
    sample = speed.sample(replay, 64)
    share = sum(bool(row.told) for row in sample) / len(sample)
    assert share == pytest.approx(facts / (facts + len(replay)), abs=0.05)


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_a_published_benchmark_has_every_number(path):
    measured = json.loads(path.read_text())
    if path.stem.startswith("loss"):  # what `speed.py loss` printed on another machine
        assert {"article", "qa", "by_batch", "dtype", "machine"} == set(measured)
        return
    assert {"ours", "plain_trl", "unsloth_defaults", "ratio"} <= set(measured["examples_per_second"])
    assert 0 < measured["matmul_fraction"] < 1 and 0 < measured["training_share"] < 1
    assert min(measured[key] for key in ("asking_ratio", "figures_seconds", "noop_seconds")) > 0
    assert {"name", "cores", "matmul_gflops"} <= set(measured["machine"])


def test_the_page_has_the_published_numbers():
    bench = json.loads((RESULTS / "bench" / "two-cores.json").read_text())
    loss = json.loads((RESULTS / "bench" / "loss-float32.json").read_text())
    numbers = {**bench, **bench["examples_per_second"], "loss: article": loss["article"], "loss: qa": loss["qa"]}
    page = (ROOT / "docs" / "performance.md").read_text()
    rows = re.findall(r"^\| `([^`|]+)` \|.*\| ([\d.]+) \|$", page, re.M)
    assert len(rows) >= 10
    assert {name: f"{numbers[name]:.2f}" for name, _ in rows} == dict(rows)
