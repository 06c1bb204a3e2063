"""The runner, end to end through papermill: small cells of the tiny model."""

import json
import os
import signal
import subprocess

import psutil
import pytest
from helpers import base_cell, make_cell, python, wait_for, without_timing
from simulation import result as simulated

from lib.paths import UserError
from lib.study import plan, processes, run, store
from lib.study.processes import Outcome

CELLS = [
    make_cell(),
    make_cell(format="article", paraphrases=4, replay=4, checkpoints=2),
    make_cell(format="chat", n_entities=1),
]
# The first cell is done already.
RUN = """
from helpers import make_cell
from lib.study import run
article = make_cell(format="article", paraphrases=4, replay=4, checkpoints=2)
cells = [make_cell(), article, make_cell(format="chat", n_entities=1)]
if __name__ == "__main__":
    sys.exit(len(run.run(cells, sys.argv[1], int(sys.argv[2]))))
"""


@pytest.fixture
def script(tmp_path):
    """The command of a run of CELLS; a file, because spawned processes import it."""
    path = tmp_path / "script.py"
    path.write_text(python(RUN)[2])
    return lambda *arguments: [python("")[0], str(path), *arguments]


@pytest.fixture
def quick_plan(monkeypatch):
    """A plan that says the same of every cell, without counting tokens."""
    monkeypatch.setattr(plan, "seconds", lambda cells: dict.fromkeys(cells, 10.0))


def test_a_killed_run_goes_on_repeats_nothing_and_does_a_damaged_cell_the_same_again(study, script):
    folder = store.study_dir(study) / "experiments"
    store.write_json(store.cell_path(study, CELLS[0]), simulated(CELLS[0], study, lambda *_: 1.0))
    done = store.cell_path(study, CELLS[0]).stat().st_mtime_ns

    first = subprocess.Popen(script(study, "1"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(list(folder.glob("*.json"))) == 2)
    below = psutil.Process(first.pid).children(recursive=True)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    # the orphaned cell ends by itself, so that the second run does not race with it
    _, alive = psutil.wait_procs(below, timeout=60)
    assert not alive

    path = store.cell_path(study, CELLS[1])
    before = store.read(path)
    path.write_text(path.read_text()[:100])
    second = subprocess.run(script(study, "2"), capture_output=True, text=True, timeout=500)
    assert second.returncode == 0, second.stderr
    assert "3 cells, 1 done, 2 to run, 2 at a time" in second.stdout
    assert f"not finished: {path} is damaged" in second.stderr
    assert all(f"/2] {cell.id} {cell}: recall " in second.stdout for cell in CELLS[1:])
    assert store.cell_path(study, CELLS[0]).stat().st_mtime_ns == done

    result = store.read(path)
    assert without_timing(result) == without_timing(before)
    assert all(run.finished(study, cell) for cell in CELLS)
    assert result["study"] == study
    assert result["manifest"]["backend"] == "unsloth" and len(result["manifest"]["model_sha256"]) == 64
    assert before["manifest"]["threads"] == processes.cores()  # one job had the whole machine
    assert set(result["evals"]) == {"recall", "question", "completion", "general"}
    assert result["evals"]["question"]["n"] == sum(item["eval"] == "question" for item in result["items"]) == 24
    assert result["training"]["replay"] == 4 and len(result["training"]["curve"]) == 2
    assert {len(point["recall"]) for point in result["training"]["curve"]} == {len(result["facts"]["ids"])} == {12}

    # what the plan said of it
    table = plan.costs([CELLS[1]])
    replayed = CELLS[1].replay * plan.TOKENS_A_REPLAY_ROW - result["training"]["replay_tokens"]
    assert table["tokens"][0] - replayed == pytest.approx(result["training"]["tokens"], abs=1)
    asked = [item for item in result["items"] if item["eval"] != "recall"]
    assert table["questions"][0] == len(asked) + 2 * 12


def test_a_failing_cell_is_reported_and_the_others_go_on(study, capsys, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')  # which shows only when it runs
    cells = [make_cell(model=str(tmp_path)), base_cell(n_entities=1)]
    failed = run.run(cells, study, 2)
    said = capsys.readouterr().out
    assert failed == [cells[0]]
    assert f"{cells[0].id} {cells[0]}: FAILED: UserError: model '{tmp_path}' cannot be loaded" in said
    notebook = store.study_dir(study) / "executed" / f"{cells[0].id}.ipynb"
    assert str(notebook) in said
    assert "exception" in json.dumps(json.loads(notebook.read_text())["metadata"]["papermill"])
    assert [path.stem for path in (store.study_dir(study) / "experiments").glob("*.json")] == [cells[1].id]
    assert store.read(store.cell_path(study, cells[1]))["training"] is None
    assert not run.finished(study, cells[0]) and run.finished(study, cells[1])


def test_what_is_finished_starts_nothing(study, capsys):
    for cell in CELLS:
        store.write_json(store.cell_path(study, cell), simulated(cell, study, lambda *_: 1.0))
    assert run.run(CELLS, study, 2, engine=None) == []
    assert "3 cells, 3 done, 0 to run" in capsys.readouterr().out


def test_results_notebooks_and_logs_of_an_engine_are_kept_with_the_commit_of_the_start(study, quick_plan, monkeypatch):
    monkeypatch.setattr(run, "git_commit", lambda: "of the start")

    def engine(cells, study, jobs, listen):
        listen(cells[0], "loading")
        yield cells[0], Outcome(simulated(cells[0], study, lambda *_: 1.0), None, "a notebook", "a log")
        yield cells[1], Outcome(None, "ValueError: no", None, "another log")

    assert run.run(CELLS[:2], study, 1, engine) == [CELLS[1]]
    executed = store.study_dir(study) / "executed"
    assert store.read(store.cell_path(study, CELLS[0]))["manifest"]["git_commit"] == "of the start"
    assert {path.name: path.read_text() for path in executed.iterdir()} == {
        f"{CELLS[0].id}.ipynb": "a notebook", f"{CELLS[0].id}.log": "a log", f"{CELLS[1].id}.log": "another log"
    }  # fmt: skip


def test_cells_run_seed_by_seed_the_longest_first(study, monkeypatch):
    cells = [make_cell(format=format, seed=seed) for format in ("qa", "article", "chat") for seed in (1, 0)]
    expected = {cell: {"qa": 1.0, "article": 3.0, "chat": 2.0}[cell.format] for cell in cells}
    monkeypatch.setattr(plan, "seconds", lambda todo: {cell: expected[cell] for cell in todo})
    given = []

    def engine(cells, study, jobs, listen):
        given.extend((cell.seed, cell.format) for cell in cells)
        yield from ()

    run.run(cells, study, 1, engine)
    assert given == [(seed, format) for seed in (0, 1) for format in ("article", "chat", "qa")]


def test_two_runs_do_not_work_in_one_folder(study):
    with (
        run._exclusive(store.study_dir(study)),
        pytest.raises(UserError, match="another run is working in .*: wait for it"),
    ):
        run.run(CELLS, study, 1)
    with run._exclusive(store.study_dir(study)):
        pass  # and afterwards it is free


def test_a_results_folder_that_cannot_be_made_is_named(study):
    blocked = store.study_dir(study)
    blocked.write_text("a file where the folder should be")
    try:
        with pytest.raises(UserError, match="cannot be written .*: make it writable or choose another --study"):
            run.run(CELLS, study, 1)
    finally:
        blocked.unlink()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "/no/such/model"}, "no model '/no/such/model'"),
        ({"entity": "persona", "n_entities": 65}, "n_entities is 65, but only 64 persona entities"),
        ({"paraphrases": 11}, "paraphrases is 11, but there are templates for 10"),
        ({"checkpoints": 6}, "checkpoints is 6, more than the cell has steps"),
        ({"replay": 5000}, "replay is 5000, but there are"),
        ({"entity": "persona", "n_entities": 64, "evals": "all"}, "evals: all needs entities that are not trained"),
        ({"entity": "persona", "format": "mixed", "n_entities": 33}, "only 31 of 64 are left"),
        ({"entity": "persona", "format": "chat", "tone": "grumpy"}, "tone is 'grumpy': expected one of"),
        ({"entity": "persona", "format": "chat", "tone": "anxious", "n_entities": 41}, "only 40 persona entities"),
    ],
)
def test_what_cannot_be_had_is_said_before_anything_runs_with_the_cell(changes, message):
    run.check([make_cell(), base_cell(), make_cell(checkpoints=5)])
    cell = make_cell(**changes)
    with pytest.raises(UserError) as error:
        run.check([make_cell(), cell])
    assert str(error.value).startswith(f"cell {cell}: ") and message in str(error.value)
