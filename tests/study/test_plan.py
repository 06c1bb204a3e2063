import os

import pytest
from helpers import base_cell, make_cell, profiles, tokenizer
from simulation import result as simulated

from lib.data import encode, of_cell
from lib.paths import UserError
from lib.study import plan, store


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No results but those of the test."""
    for module in (plan, store):
        monkeypatch.setattr(module, "RESULTS", tmp_path)


def write(study, cells_and_seconds):
    """Results of a model, with the seconds of each."""
    for cell, seconds in cells_and_seconds:
        made = simulated(cell, study, lambda *_: 1.0)
        made["training"] |= {"seconds": 5.0, "tokens_per_second": 20.0 + cell.seed, "curve": []}
        made["manifest"] |= {"seconds": seconds(made), "dtype": "bfloat16" if cell.seed == 9 else "float32"}
        store.write_json(store.cell_path(study, cell), made)


def test_a_speed_is_the_median_of_earlier_results_of_the_model_and_of_bfloat16_where_there_are_any(study):
    cells = [make_cell(model="measured/model", seed=seed, n_entities=2 + seed) for seed in range(5)]
    factor = {cell.id: part for cell, part in zip(cells, (0.1, 0.2, 0.5, 0.6, 9.0), strict=True)}
    write(study, [(cell, lambda made: 5 + factor[made["id"]] * len(made["items"])) for cell in cells])
    speed = plan.measured()["measured/model"]
    assert speed == {"per_question": pytest.approx(0.5), "tokens_per_second": 22.0, "dtype": "float32"}
    costs = plan.costs([cells[0]])
    assert costs["measured"].tolist() == [True]
    expected = costs["tokens"][0] / 22 + 0.5 * costs["questions"][0]
    assert costs["seconds"][0] == pytest.approx(expected, rel=0.01)
    write(study, [(make_cell(model="measured/model", seed=9), lambda made: 30.0)])
    speed = plan.measured()["measured/model"]
    assert (speed["tokens_per_second"], speed["dtype"]) == (29.0, "bfloat16")


def test_a_damaged_result_does_not_keep_from_planning(study):
    write(study, [(make_cell(model="measured/model"), lambda made: 30.0)])
    folder = store.study_dir(study) / "experiments"
    for name, text in (("a", "{"), ("b", "[]"), ("c", '{"training": 3}'), ("d", "[" * 100_000)):
        (folder / f"{name}.json").write_text(text)
    os.mkfifo(folder / "e.json")
    assert "measured/model" in plan.measured()


def test_tokens_and_questions_follow_from_the_rows_what_is_seen_once_and_the_evaluations():
    changes = ({}, {"epochs": 3}, {"replay": 100, "replay_times": 2}, {"format": "unsure", "unsure": 10})
    cells = [make_cell(**change) for change in changes]
    one, three, replayed, unsure, none = plan.costs([*cells, base_cell()])["tokens"]
    assert three == 3 * one and replayed == one + 200 * plan.TOKENS_A_REPLAY_ROW and none == 0
    asked = of_cell.unsure_rows(cells[-1], profiles("fictional", 2))
    assert unsure == one + encode.count_tokens(tokenizer(), asked) > one
    cells = [make_cell(n_entities=4, evals=evals) for evals in ("core", "untaught", "reasoning")]
    core, untaught, reasoning = plan.costs(cells)["questions"]
    assert untaught == core + 3 * 24 + 24 and reasoning == core + 3 * 4
    assert plan.costs([make_cell(checkpoints=3)])["questions"][0] == plan.costs([make_cell()])["questions"][0] + 3 * 36


def test_hours_are_told_by_part_and_format_in_order_where_there_are_earlier_results(study):
    cells = {make_cell(model="measured/model", seed=seed): "main" for seed in range(2)}
    cells |= {make_cell(model="measured/model", format="article"): "replay"}
    assert "hours expected with 2" in plan.describe({make_cell(model="smollm2-135m"): "main"}, 2), "as of a usual cpu"
    without = plan.describe(cells, jobs=2)
    assert "3 experiments, " in without and "hours expected" not in without
    assert "hours not known: no earlier result of measured/model; docs/internals/scaling.md helps to" in without
    write(study, [(cell, lambda made: 3600.0) for cell in cells])
    text = plan.describe(cells, jobs=2)
    assert "3 experiments, " in text and "hours expected with 2 experiments at once, in float32" in text
    assert [line.split()[-7:-4] for line in text.splitlines()[2:4]] == [["main", "qa", "2"], ["replay", "article", "1"]]
    assert plan.costs(cells)["seed"].tolist() == [cell.seed for cell in cells]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "/no/such/model"}, "no model '/no/such/model'"),
        ({"entity": "persona", "n_entities": 65}, "n_entities is 65, but only 64 persona entities"),
        ({"paraphrases": 11}, "paraphrases is 11, but there are templates for 10"),
        ({"checkpoints": 6}, "checkpoints is 6, more than the experiment has steps"),
        ({"replay": 5000}, "replay is 5000, but there are"),
        ({"entity": "real", "n_entities": 56, "evals": "untaught"}, "untaught needs entities that are not trained"),
        ({"format": "unsure", "unsure": 5000}, "unsure is 5000, but"),
        ({"entity": "persona", "format": "chat", "tone": "grumpy"}, "tone is 'grumpy': expected one of"),
        ({"entity": "persona", "format": "chat", "tone": "anxious", "n_entities": 41}, "only 40 persona entities"),
    ],
)
def test_what_cannot_be_had_is_said_before_anything_runs_with_the_cell(changes, message):
    plan.check([make_cell(), base_cell(), make_cell(checkpoints=5)])
    cell = make_cell(**changes)
    with pytest.raises(UserError) as error:
        plan.check([make_cell(), cell])
    assert str(error.value).startswith(f"experiment {cell}: ") and message in str(error.value)
