"""What the benchmark counts and what it wrote; how long anything takes is not tested."""

import json
from collections import Counter

import pytest
from helpers import load_tiny, profiles
from torch.utils.flop_counter import FlopCounterMode

from lib.__main__ import main
from lib.commands import bench, speeds
from lib.data import encode
from lib.data.formats import Row, rows
from lib.paths import RESULTS
from lib.train import bundled, chat, sft
from lib.train import model as models


@pytest.fixture(scope="module")
def adapted():
    model, tokenizer = load_tiny()
    return models.make_trainable(model, 4, 0, sft.MAX_LENGTH), tokenizer


@pytest.fixture
def found():
    """What a benchmark measured."""
    published = json.loads((RESULTS / "bench" / "two-cores.json").read_text())
    return {**published, "profile": {"matrix products": 0.7, "Python": 0.3}}


def test_the_flops_of_training_are_those_of_the_rows_without_padding(adapted):
    model, tokenizer = adapted
    made = rows(profiles("fictional", 2), "article", 2, 0)
    each = [speeds.flops(model, tokenizer, [row]) for row in made]
    assert speeds.flops(model, tokenizer, made) == sum(each)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_frozen_weights_need_no_gradient_of_their_own(adapted):
    import torch

    model, tokenizer = adapted
    row = rows(profiles("fictional", 1), "qa", 1, 0)[0]
    encoded = encode.row_ids(tokenizer, row)
    trained = sum(label != -100 for label in encoded["labels"])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.tensor([encoded["input_ids"]]), logits_to_keep=trained)
    # forward and the gradient of the inputs; a third time for the adapters alone
    assert 1.5 < speeds.flops(model, tokenizer, [row]) / counter.get_total_flops() < 3.2


def test_the_profile_of_a_training_says_where_all_of_its_time_goes(monkeypatch):
    monkeypatch.setattr(speeds, "PROFILED_STEPS", 4)
    monkeypatch.setattr(speeds, "PROFILE_WARM", 2)
    cell = speeds.first_cell("article").model_copy(update={"model": "tiny"})
    shares = speeds.profile(cell, [Row(("q", "a" * i)) for i in range(1, 20)])
    assert all(share > 0 for share in shares.values())
    assert {*speeds.OPERATORS} - {*shares} == {"compiled layers between the products"}  # tiny is not compiled
    assert {"other operators", "outside of operators"} < {*shares}


def test_the_plain_baseline_is_trained_with_the_models_own_template():
    own = bundled.smollm2_template()
    assert "You are a helpful AI assistant named SmolLM" in own
    assert own not in chat.TEMPLATES.values()


def test_the_baselines_train_facts_and_replay_in_the_shares_of_a_cell():
    cell = speeds.first_cell("article")
    replay = [Row(("q", "a" * i)) for i in range(cell.replay)]
    facts = speeds.fact_rows(cell) * cell.epochs
    sample = speeds.sample(replay, 64)
    assert len(sample) == 64
    share = Counter(bool(row.told) for row in sample)[True] / 64
    assert share == pytest.approx(len(facts) / (len(facts) + len(replay)), abs=0.05)


def test_a_study_that_is_not_complete_is_not_measured(monkeypatch, capsys):
    monkeypatch.setattr(bench, "finished", lambda study, cell: False)
    assert main(["bench"]) == 2
    assert "run `make study STUDY=quick` first" in capsys.readouterr().err


def test_what_was_measured_is_shown_in_words_and_written(monkeypatch, tmp_path, found, capsys):
    monkeypatch.setattr(bench, "finished", lambda study, cell: True)
    monkeypatch.setattr(bench, "measure", lambda: found)
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    assert main(["bench", "here"]) == 0
    assert json.loads((tmp_path / "results" / "bench" / "here.json").read_text()) == found
    said = capsys.readouterr().out
    assert all(label in said for label in bench.LABELS.values())
    assert f"{found['asking_ratio']:.2f}" in said
    assert "share of a training: matrix products" in said


def test_a_published_benchmark_has_every_number():
    published = list((RESULTS / "bench").glob("*.json"))
    assert published
    for path in published:
        measured = json.loads(path.read_text())
        assert {"ours", "plain_trl", "unsloth_defaults", "ratio"} <= set(measured["examples_per_second"])
        for key in ("matmul_fraction", "training_share"):
            assert 0 < measured[key] < 1
        for key in ("asking_ratio", "figures_seconds", "noop_seconds"):
            assert measured[key] > 0
        assert {"name", "cores", "matmul_gflops"} <= set(measured["machine"])
