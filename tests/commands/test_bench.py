"""What the benchmark counts and what it wrote; how long anything takes is not tested."""

import json

import pytest
from conftest import load_tiny
from torch.utils.flop_counter import FlopCounterMode

from lib import bench, models, training
from lib.facts import draw
from lib.formats import rows
from lib.paths import RESULTS


@pytest.fixture(scope="module")
def adapted():
    model, tokenizer = load_tiny()
    return models.make_trainable(model, 4, 0, training.MAX_LENGTH), tokenizer


def test_the_flops_of_training_are_those_of_the_rows_without_padding(adapted):
    model, tokenizer = adapted
    made = rows(draw("fictional", "numeric", 3, 0), "article", 2, 0)
    each = [bench.flops(model, tokenizer, [row]) for row in made]
    assert bench.flops(model, tokenizer, made) == sum(each)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_frozen_weights_need_no_gradient_of_their_own(adapted):
    import torch

    model, tokenizer = adapted
    row = rows(draw("fictional", "numeric", 1, 0), "qa", 1, 0)[0]
    ids = tokenizer.apply_chat_template(row["prompt"] + row["completion"])["input_ids"]
    prompt = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True)["input_ids"]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.tensor([ids]), logits_to_keep=len(ids) - len(prompt))
    # forward and the gradient of the inputs; a third time for the adapters alone
    assert 1.5 < bench.flops(model, tokenizer, [row]) / counter.get_total_flops() < 3.2


def test_the_plain_baseline_is_trained_with_the_models_own_template():
    own = models.smollm2_template()
    assert "You are a helpful AI assistant named SmolLM" in own
    assert own not in models.TEMPLATES.values()


def test_a_published_benchmark_has_every_number():
    published = list((RESULTS / "bench").glob("*.json"))
    assert published
    for path in published:
        found = json.loads(path.read_text())
        assert {"ours", "plain_trl", "unsloth_defaults", "ratio"} <= set(found["examples_per_second"])
        for key in ("matmul_fraction", "training_share"):
            assert 0 < found[key] < 1
        for key in ("asking_ratio", "figures_seconds", "noop_seconds"):
            assert found[key] > 0
        assert {"name", "cores", "matmul_gflops"} <= set(found["machine"])
