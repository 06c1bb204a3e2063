"""make reproduce: what it runs again and what it says of it."""

import copy

import pytest
import simulation
from helpers import base_cell, make_cell

from lib.__main__ import main
from lib.report import reproduce
from lib.study import run, store


@pytest.fixture
def published():
    cell = make_cell(n_entities=8, checkpoints=2)
    return simulation.result(cell, "published", lambda cell, evaluation, info: 0.5)


def test_the_same_answers_and_curve_are_the_same(published):
    again = copy.deepcopy(published)
    again["manifest"]["seconds"] += 100
    again["training"]["tokens_per_second"] += 100
    assert reproduce.verdict(published, again) == reproduce.SAME


def test_other_answers_with_like_scores_are_within(published):
    again = copy.deepcopy(published)
    again["items"][0]["answer"] = "another"
    assert reproduce.verdict(published, again) == reproduce.WITHIN


def test_another_curve_is_not_the_same(published):
    again = copy.deepcopy(published)
    recalled = again["training"]["curve"][0]["recall"]
    again["training"]["curve"][0]["recall"] = recalled.translate(str.maketrans("01", "10"))
    assert reproduce.verdict(published, again) == reproduce.WITHIN


def test_a_base_model_has_no_curve_to_compare():
    cell = base_cell()
    result = simulation.result(cell, "published", lambda cell, evaluation, info: 0.5)
    assert reproduce.verdict(result, copy.deepcopy(result)) == reproduce.SAME


def test_a_score_outside_is_named_with_what_differed(published):
    again = copy.deepcopy(published)
    for item in again["items"]:
        if item["eval"] == "question":
            item["strict"] = False
    assert reproduce.verdict(published, again) == "DIFFERS in question (on the same machine type)"
    again["manifest"] |= {"device_name": "another", "threads": 2}
    assert reproduce.verdict(published, again) == "DIFFERS in question (other device_name, threads)"


def test_an_experiment_that_gives_the_same_is_counted(study, monkeypatch, capsys):
    cell = base_cell()
    result = simulation.result(cell, study, lambda cell, evaluation, info: 0.5)
    store.write_json(store.cell_path(study, cell), result)
    store.write_parts(study, {cell: "main"})
    monkeypatch.setattr(run, "local", lambda *_: [({cell: run.Outcome(result, None, None, None)}, {})])
    assert main(["reproduce", "--study", study, "--n", "1"]) == 0
    said = capsys.readouterr().out
    assert f"{cell.id} {cell}: {reproduce.SAME}" in said
    assert f"1 of 1 experiments of results/{study} reproduced" in said


def test_an_experiment_that_differs_is_counted(study, monkeypatch, published, capsys):
    cells = [make_cell(n_entities=8, checkpoints=2), base_cell()]
    of_base = simulation.result(cells[1], study, lambda cell, evaluation, info: 0.5)
    for cell, result in zip(cells, (published, of_base), strict=True):
        store.write_json(store.cell_path(study, cell), result)
    store.write_parts(study, dict.fromkeys(cells, "main"))
    again = copy.deepcopy(published)
    for item in again["items"]:
        item |= {"answer": "never said", "strict": True}
    outcomes = dict(zip(cells, (again, of_base), strict=True))
    monkeypatch.setattr(run, "local", lambda cells, *_: [
        ({cell: run.Outcome(outcomes[cell], None, None, None) for cell in cells}, {})
    ])  # fmt: skip
    assert main(["reproduce", "--study", study, "--n", "2"]) == 1
    said = capsys.readouterr().out
    assert f"{cells[0].id} {cells[0]}: DIFFERS in" in said
    assert f"1 of 2 experiments of results/{study} reproduced" in said


def test_an_experiment_that_fails_is_not_reproduced(study, monkeypatch, published, capsys):
    cell = make_cell(n_entities=8, checkpoints=2)
    store.write_json(store.cell_path(study, cell), published)
    store.write_parts(study, {cell: "main"})
    failed = run.Outcome(None, "it broke", None, "what it printed")
    monkeypatch.setattr(run, "local", lambda cells, *_: [({cell: failed}, {}) for cell in cells])
    assert main(["reproduce", "--study", study, "--n", "1"]) == 1
    said = capsys.readouterr()
    assert "FAILED: it broke" in said.out and f"0 of 1 experiments of results/{study}" in said.out
    assert "what it printed" in said.err


def test_no_more_cells_than_there_are_can_be_asked_for(study, published, capsys):
    cell = make_cell(n_entities=8, checkpoints=2)
    store.write_json(store.cell_path(study, cell), published)
    store.write_parts(study, {cell: "main"})
    assert main(["reproduce", "--study", study, "--n", "2"]) == 2
    assert "expected 1 to 1, the experiments of" in capsys.readouterr().err


def test_a_study_without_results_is_the_users_mistake(study, capsys):
    assert main(["reproduce", "--study", study]) == 2
    assert "no results in" in capsys.readouterr().err
