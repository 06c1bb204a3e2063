import pandas as pd
import pytest
from conftest import base_cell, make_cell
from simulation import simulated_result, write_study

from lib import plan, results
from lib.cell import load_grid


def test_tokens_and_questions_of_a_plan_are_those_of_the_run():
    table = plan.costs(load_grid("quick")).reset_index(drop=True)
    for i, cell in enumerate(load_grid("quick")):
        result = results.read(results.cell_path("quick", cell))
        assert table.loc[i, "tokens"] == pytest.approx(
            result["training"]["tokens"], rel=0.02
        )  # known facts are dropped
        assert table.loc[i, "questions"] == len(result["items"])
        assert 0.3 < table.loc[i, "seconds"] / result["manifest"]["seconds"] < 3


def test_a_speed_comes_from_earlier_results_of_the_model(study):
    made = []
    for seed in range(6):
        cell = make_cell(model="measured", seed=seed, n_facts=2 + seed)
        result = simulated_result(cell, {"qa": 1.0})
        result["training"] |= {"seconds": 5.0, "tokens_per_second": 20.0 + seed}
        made.append({**result, "manifest": {**result["manifest"], "seconds": 5 + 10 + 0.5 * len(result["items"])}})
    write_study(study, made)
    speed = plan.measured("measured")
    assert (speed.fixed, speed.per_question) == pytest.approx((10, 0.5), abs=1e-6)
    assert speed.tokens_per_second == {"qa": 22.5}
    assert speed.seconds("article", tokens=225, questions=4) == pytest.approx(10 + 2 + 10)


def test_without_earlier_results_the_hours_are_not_known():
    assert plan.measured("never run") is None
    never = "never/run-1B"
    said = plan.describe([make_cell(model=never), base_cell(model=never)], jobs=2)
    assert "hours not known: no earlier result of this model" in said
    assert "2 cells" in said
    assert "GPU-hours at 5% of 989 TFLOP/s and 60 s a cell; disk: 2 GiB of weights" in said


def test_gpu_hours_count_the_tokens_and_the_cells():
    cell = make_cell(model="never/run-2B", n_facts=8, epochs=40)
    table = plan.costs([cell])
    flops = 2e9 * (4 * table["tokens"][0] + 200 * table["questions"][0])
    hours = 1000 * (flops / (989e12 * 0.05) + 60) / 3600
    assert f"about {hours:.0f} GPU-hours" in plan.gpu_hours(pd.concat([table] * 1000))
    assert "no number of parameters in the name of never/run" in plan.gpu_hours(
        plan.costs([make_cell(model="never/run")])
    )
