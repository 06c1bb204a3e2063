import pandas as pd
import pytest
from helpers import base_cell, make_cell
from simulation import result as simulated

from lib.study import plan, store
from lib.study.grid import load_grid


def write(study, cells_and_seconds):
    """Results of a model, with the seconds of each."""
    for cell, seconds in cells_and_seconds:
        made = simulated(cell, study, lambda *_: 1.0)
        made["training"] |= {"seconds": 5.0, "tokens_per_second": 20.0 + cell.seed, "curve": []}
        made["manifest"]["seconds"] = seconds(made)
        store.write_json(store.cell_path(study, cell), made)


def test_a_speed_comes_from_earlier_results_of_the_model(study):
    cells = [make_cell(model="measured/model", seed=seed, n_entities=2 + seed) for seed in range(6)]
    write(study, [(cell, lambda made: 5 + 10 + 0.5 * len(made["items"])) for cell in cells])
    speed = plan.measured("measured/model")
    assert (speed.fixed, speed.per_question) == pytest.approx((10, 0.5), abs=1e-6)
    assert speed.tokens_per_second == 22.5
    assert speed.seconds(tokens=225, questions=4) == pytest.approx(10 + 2 + 10)
    costs = plan.costs([cells[0]])
    assert costs["on_gpu"].tolist() == [False]
    assert plan.seconds([cells[0]])[cells[0]] == pytest.approx(
        speed.seconds(costs["tokens"][0], costs["questions"][0]), rel=0.01
    )


def test_results_in_bfloat16_tell_the_speed_where_there_are_any(study):
    cells = [make_cell(model="measured/model", seed=seed) for seed in range(3)]
    write(study, [(cell, lambda made: 30.0) for cell in cells])
    assert plan.measured("measured/model").dtype == "float32"
    path = store.cell_path(study, cells[2])
    made = store.read(path)
    made["manifest"]["dtype"] = "bfloat16"
    store.write_json(path, made)
    speed = plan.measured("measured/model")
    assert (speed.tokens_per_second, speed.dtype) == (22.0, "bfloat16")


def test_a_damaged_result_does_not_keep_from_planning(study):
    cell = make_cell(model="measured/model")
    write(study, [(cell, lambda made: 30.0)])
    path = store.cell_path(study, cell)
    path.with_name("0123456789ab.json").write_text("{")
    assert plan.measured("measured/model") is not None


def test_tokens_follow_from_the_rows_the_replay_and_the_budget():
    article, tokens = make_cell(format="article"), make_cell(budget="tokens")
    table = plan.costs(
        [article, make_cell(format="article", epochs=3), make_cell(format="article", replay=100), tokens, base_cell()]
    )
    one, three, replayed, same, none = table["tokens"]
    assert three == 3 * one and replayed == one + 100 * plan.TOKENS_A_REPLAY_ROW
    assert same == pytest.approx(one, abs=1) and none == 0
    core, every = plan.costs([make_cell(n_entities=4), make_cell(n_entities=4, evals="all")])["questions"]
    assert every > core
    assert plan.costs([make_cell(checkpoints=3)])["questions"][0] == plan.costs([make_cell()])["questions"][0] + 3 * 12


def test_the_order_of_the_cells_is_kept():
    cells = [make_cell(seed=seed, format=format) for seed in (3, 1) for format in ("qa", "article")]
    assert list(plan.seconds(cells)) == cells and plan.costs(cells)["cell"].tolist() == cells


def test_without_earlier_results_the_hours_are_those_of_a_gpu_if_the_name_tells_the_size():
    assert plan.measured("never run") is None
    never = "never/run-1B"
    said = plan.describe({make_cell(model=never): "main", base_cell(model=never): "main"}, jobs=2)
    assert "2 cells" in said and "hours expected" not in said
    assert "GPU-hours: 60 TFLOP/s, and 60 s a cell, 0.15 s a step, 0.02 s a question; disk: 2 GiB of weights" in said
    unknown = plan.describe({make_cell(model="never/run"): "main"}, jobs=2)
    assert "no number of parameters in the name, of never/run" in unknown and "GPU-hours" not in unknown


def test_with_earlier_results_the_hours_are_told_by_part_and_format(study):
    cells = {make_cell(model="measured/model", seed=seed): "main" for seed in range(2)}
    cells |= {make_cell(model="measured/model", format="article"): "amount"}
    write(study, [(cell, lambda made: 3600.0) for cell in cells])
    said = plan.describe(cells, jobs=2)
    assert "3 cells, " in said and "hours expected with 2 cells at once, in float32" in said
    assert [line.split()[:3] for line in said.splitlines()[2:4]] == [["main", "qa", "2"], ["amount", "article", "1"]]


def test_the_time_of_a_gpu_counts_tokens_steps_questions_and_the_cell():
    cell = make_cell(model="never/run-2B", n_entities=8, epochs=40, replay=100)
    row = plan.costs([cell]).iloc[0]
    assert row["steps"] == -(-(8 * 6 * 2 * 40 + 100) // 4)
    flops = 2e9 * (4 * row["tokens"] + 2 * plan.TOKENS_A_QUESTION * row["questions"])
    expected = flops / 60e12 + 60 + 0.15 * row["steps"] + 0.02 * row["questions"]
    assert row["seconds"] == pytest.approx(expected, rel=1e-3)
    assert f"about {1000 * expected / 3600:.1f} GPU-hours" in plan.gpu_hours(pd.concat([plan.costs([cell])] * 1000))
    whole = plan.costs([make_cell(model="never/run-2B", n_entities=8, epochs=40, replay=100, lora_rank=0)])
    assert whole["seconds"][0] - row["seconds"] == pytest.approx(2e9 * 2 * row["tokens"] / 60e12, rel=1e-2)


@pytest.mark.parametrize(
    ("model", "size"),
    [("Qwen/Qwen3-0.6B", 0.6e9), ("unsloth/Llama-3.2-1B-Instruct", 1e9), ("smollm2-135m", 135e6), ("a/b-4b@9b1c", 4e9),
     ("tiny", None), ("owner/model", None)],
)  # fmt: skip
def test_the_size_of_a_model_is_read_from_its_name(model, size):
    assert plan.parameters(model) == size


def test_the_quick_grid_of_a_gpu_takes_half_an_hour_at_most():
    assert plan.costs(list(load_grid("gpu-quick")))["seconds"].sum() < 1800


def test_a_bundled_model_without_results_is_planned_for_a_cpu(monkeypatch, tmp_path):
    monkeypatch.setattr(plan, "RESULTS", tmp_path)
    said = plan.describe({make_cell(model="smollm2-135m"): "main"}, 2)
    assert "hours expected with 2 cells at once" in said and "GPU" not in said
