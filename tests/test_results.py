import json

import pytest
from conftest import base_cell, make_cell
from simulation import simulated_grid, simulated_result, write_study

from lib import results
from lib.errors import UserError


@pytest.fixture
def written(study):
    result = simulated_result(make_cell(), {"recall": 1.0, "qa": 0.5}, study)
    write_study(study, [result])
    return results.cell_path(study, make_cell()), result


def test_a_result_comes_back_as_it_was_written(written, study):
    path, result = written
    assert results.read(path) == result
    assert [r["id"] for r in results.load(study)] == [result["id"]]


def test_a_write_that_fails_leaves_the_old_file_and_no_scraps(written):
    path, result = written
    with pytest.raises(ValueError, match="Out of range float"):
        results.write_json(path, {**result, "schema": float("nan")})
    assert results.read(path) == result
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text[: len(text) // 2], "is damaged"),
        (lambda text: "", "is damaged"),
        (lambda text: "[]", "no schema"),
        (lambda text: json.dumps({**json.loads(text), "schema": 99}), "schema 99"),
        (lambda text: json.dumps({**json.loads(text), "items": []}), "no items"),
        (lambda text: json.dumps({**json.loads(text), "cell": []}), "no cell"),
        (lambda text: json.dumps({**json.loads(text), "manifest": None}), "no manifest"),
        (lambda text: text.replace('"seed": 0', '"seed": 1'), "holds the parameters of cell"),
        (lambda text: text.replace('"seed": 0', '"sead": 0'), "unknown parameter 'sead'"),
    ],
)
def test_damage_is_named_with_the_file_and_the_remedy(written, damage, reason):
    path, _ = written
    path.write_text(damage(path.read_text()))
    with pytest.raises(UserError) as error:
        results.read(path)
    assert reason in str(error.value)
    assert str(path) in str(error.value)
    assert "delete it and run the study again" in str(error.value)


def test_a_study_without_results_says_how_to_get_some(study):
    with pytest.raises(UserError, match="python -m lib run"):
        results.load(study)


@pytest.mark.parametrize("name", ["", "..", "a/b", "/tmp", ".hidden"])
def test_a_study_is_a_folder_of_results_and_nothing_else(name):
    with pytest.raises(UserError, match="expected the name of a folder"):
        results.study_dir(name)


def test_tables_have_a_row_an_item_and_a_row_a_cell(written):
    _, result = written
    items = results.items([result])
    assert len(items) == len(result["items"])
    assert set(items["format"]) == {"qa"}
    assert list(results.cells([result])["used"]) == [3]


def test_closed_set_scores_are_corrected_for_chance(study):
    write_study(study, [simulated_result(make_cell(), {"qa": 1.0})])
    items = results.items(results.load(study))
    assert items["chance"].tolist() == [1 / 16] * 3
    assert items["corrected"].tolist() == [1.0] * 3
    wrong = simulated_result(make_cell(), {"qa": 0.0})
    assert results.items([wrong])["corrected"].tolist() == pytest.approx([-1 / 15] * 3)


def test_a_curve_ends_with_the_finished_model():
    made = simulated_grid([make_cell(checkpoints=5, epochs=6), make_cell()])
    points = results.along_training(made)
    assert points["id"].nunique() == 1
    assert set(points["exposures"]) == {4, 8, 12, 16, 20}  # the finished model at 2 x 6
    assert (points["exposures"] == 12).sum() == 2 * (3 * 2 + 3 * 2 + 3 * 2)
    assert results.curves([made[1]]).empty


def test_what_a_training_cost_is_one_row_a_model():
    cells = [make_cell(n_facts=2, evals="all"), base_cell(n_facts=2, evals="all"), make_cell()]
    costs = results.costs(simulated_grid(cells))
    assert len(costs) == 2
    assert costs["perplexity"].tolist() == [40, 30]
    assert costs["asserted"].between(0, 1).all()
