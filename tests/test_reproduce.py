"""notebooks/reproduce.ipynb: what it runs again, and what it says of it."""

import contextlib
import copy

import pytest
import simulation
from helpers import base_cell, ended, make_cell, run_notebook

from lib.study import run, store

CELLS = [make_cell(n_entities=8, checkpoints=2), base_cell()]


def other_answer(result):
    result["items"][0]["answer"] = "another"


def other_curve(result):
    recalled = result["training"]["curve"][0]["recall"]
    result["training"]["curve"][0]["recall"] = recalled.translate(str.maketrans("01", "10"))


def other_scores(result):
    result["manifest"] |= {"device_name": "another", "threads": 2}
    for item in result["items"]:
        if item["eval"] == "question":
            item["strict"] = False


@pytest.mark.parametrize(
    ("change", "compared"),
    [
        (lambda result: result["manifest"].update(seconds=1.0), "the same to the letter"),
        (other_answer, "not to the letter, every share within its published interval"),
        (other_curve, "not to the letter, every share within its published interval"),
        (other_scores, "DIFFERS in question (other device_name, threads)"),
        (None, "FAILED: it broke"),
    ],
)
def test_an_experiment_that_is_run_again_is_compared(study, monkeypatch, capsys, change, compared):
    published = {result["cell"]["format"]: result
                 for result in simulation.study(study, dict.fromkeys(CELLS, "main"), lambda *_: 0.5)}  # fmt: skip
    again = copy.deepcopy(published)
    if change:
        change(again["qa"])

    outcomes = {cell: run.Outcome(again[cell.format]) for cell in CELLS}
    outcomes |= {} if change else {CELLS[0]: run.Outcome(None, "it broke")}
    kept = []
    monkeypatch.setattr(store, "write_json", lambda path, result: kept.append(path.stem))
    monkeypatch.setattr(run, "local", lambda *_: contextlib.nullcontext(ended(outcomes)))
    agrees = not compared.startswith(("FAILED", "DIFFERS"))
    raised = contextlib.nullcontext() if agrees else pytest.raises(AssertionError, match="not every experiment agrees")
    with raised:
        run_notebook("reproduce", study=study, n=2)
    said = capsys.readouterr().out
    assert set(kept) == {cell.id for cell in CELLS if change or cell.format != "qa"}
    assert compared in said and f"{1 + agrees} of 2 experiments of results/{study} reproduced" in said


def test_no_more_experiments_than_there_are_can_be_asked_for(study):
    simulation.study(study, {CELLS[1]: "main"}, lambda *_: 0.5)
    with pytest.raises(AssertionError, match="expected 1 to 1, the experiments of"):
        run_notebook("reproduce", study=study, n=2)
