"""make reproduce: what it runs again and what it says of it."""

import copy

import pytest
from conftest import base_cell, make_cell
from simulation import simulated_result, write_study

from lib import process, reproduce


@pytest.fixture
def published():
    return simulated_result(make_cell(n_facts=20), {"recall": 1.0, "qa": 0.5})


def test_the_same_items_are_the_same(published):
    assert reproduce.verdict(published, copy.deepcopy(published)) == reproduce.SAME


def test_other_answers_with_like_scores_are_within(published):
    again = copy.deepcopy(published)
    again["items"][0]["answer"] = "another"
    assert reproduce.verdict(published, again) == reproduce.WITHIN


def test_a_score_outside_is_named_with_what_differed(published):
    again = copy.deepcopy(published)
    again["items"][0]["answer"] = "another"
    again["evals"]["qa"]["strict"] = 0.0
    assert reproduce.verdict(published, again) == "DIFFERS in qa (on the same machine type)"
    again["manifest"] |= {"device_name": "another", "threads": 2}
    assert reproduce.verdict(published, again) == "DIFFERS in qa (other device_name, threads)"


def test_drawn_cells_are_run_again_and_compared(study, capsys):
    cells = [base_cell(n_facts=2), base_cell(n_facts=3), base_cell(n_facts=4)]
    made = [process.run_cell(cell, study, 1).result for cell in cells]
    made[2]["items"][0]["answer"] = "never said"
    made[2]["evals"]["qa"]["strict"] = 1.0
    for item in made[2]["items"]:
        item["strict"] = True
    write_study(study, made)
    assert reproduce.main(["--study", study, "--n", "3", "--seed", "1"]) == 1
    said = capsys.readouterr().out
    assert said.count(reproduce.SAME) == 2
    assert f"{cells[2].id} {cells[2]}: DIFFERS in" in said
    assert f"2 of 3 cells of results/{study} reproduced" in said


@pytest.mark.parametrize("n", ["0", "2"])
def test_as_many_cells_as_there_are_can_be_asked_for(n, study, capsys):
    write_study(study, [simulated_result(make_cell(), {"qa": 1.0})])
    assert reproduce.main(["--study", study, "--n", n]) == 2
    assert "expected 1 to 1, the cells of" in capsys.readouterr().err


def test_a_study_without_results_is_the_users_mistake(study, capsys):
    assert reproduce.main(["--study", study]) == 2
    assert "no results in" in capsys.readouterr().err
