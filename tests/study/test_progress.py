import re
import time

import pytest
from helpers import base_cell, make_cell
from simulation import result as simulated

from lib.study import progress as module
from lib.study.progress import Progress

CELLS = [make_cell(seed=seed) for seed in range(4)]


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def ended(cell, seconds):
    return simulated(cell, "made", lambda *_: 1.0, seconds)


def test_at_first_the_rest_takes_what_the_plan_says(clock):
    assert Progress(dict.fromkeys(CELLS, 100.0), 2).left() == 200
    assert Progress(dict.fromkeys(CELLS[:1], 100.0), 2).left() == 100, "one cell is not shared by two cores"
    assert Progress({}, 2).left() == 0


def test_what_is_left_follows_the_pace_of_the_ended_cells(clock):
    progress = Progress(dict.fromkeys(CELLS, 100.0), 1)
    progress.ended(CELLS[0], ended(CELLS[0], seconds=200))
    assert progress.left() == 3 * 200
    progress.ended(CELLS[1], ended(CELLS[1], seconds=100))
    assert progress.left() == 2 * 150


def test_a_running_cell_has_its_time_behind_it(clock):
    progress = Progress(dict.fromkeys(CELLS[:2], 100.0), 1)
    progress.stage(CELLS[0], "loading")
    clock[0] += 30
    progress.stage(CELLS[0], "step 1 of 2")
    assert progress.left() == 70 + 100
    clock[0] += 500  # it takes longer than planned
    assert progress.left() == 100


def test_failed_cells_leave_the_pace_as_it_is(clock):
    progress = Progress(dict.fromkeys(CELLS, 100.0), 1)
    progress.failed(CELLS[0], "no reason", None)
    assert progress.left() == 300


def test_an_ended_cell_is_told_with_its_scores_and_the_time_that_is_left(clock, capsys):
    progress = Progress(dict.fromkeys(CELLS, 60.0), 2)
    clock[0] += 60
    progress.ended(CELLS[0], ended(CELLS[0], seconds=60))
    said = capsys.readouterr().out
    assert said.startswith(f"[1/4] {CELLS[0].id} qa fictional n=2 seed=0: recall 1.00 question 1.00 completion 1.00")
    assert said.endswith("(60 s, 200 tokens/s); 1:00 gone, about 1:30 left\n")
    assert len(said.splitlines()) == 1


def test_the_untrained_model_has_no_tokens_a_second(capsys):
    cell = base_cell()
    Progress({cell: 60.0}, 2).ended(cell, ended(cell, seconds=60))
    assert "(60 s);" in capsys.readouterr().out


def test_a_failed_cell_is_told_with_its_reason_and_where_to_look(capsys, tmp_path):
    progress = Progress(dict.fromkeys(CELLS, 60.0), 2)
    progress.failed(CELLS[0], "KeyError: 'x' [bold]", tmp_path / "out.ipynb")
    progress.failed(CELLS[1], "killed", None)
    first, where, second = capsys.readouterr().out.splitlines()
    assert first == f"[1/4] {CELLS[0].id} {CELLS[0]}: FAILED: KeyError: 'x' [bold]", "what looks like markup is kept"
    assert where.startswith(f"  its notebook: {tmp_path}/out.ipynb")
    assert f"[2/4] {CELLS[1].id} {CELLS[1]}: FAILED: killed; " in second


def test_without_a_terminal_running_cells_are_told_from_time_to_time(monkeypatch, capsys):
    monkeypatch.setattr(module, "EVERY", 0.01)
    said = ""
    with Progress(dict.fromkeys(CELLS, 60.0), 2) as progress:
        while "starting" not in said:
            said += capsys.readouterr().out
        progress.stage(CELLS[0], "step 3 of 9")
        while "step 3 of 9" not in said:
            said += capsys.readouterr().out
    progress.speaker.join()
    assert re.search(r"  running: qa fictional n=2 seed=0: step 3 of 9; 0:\d\d gone, about \d+:\d\d left", said)


def test_at_a_terminal_the_stages_stand_below_the_ended_cells(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with Progress(dict.fromkeys(CELLS, 60.0), 2) as progress:
        assert progress.live
        progress.stage(CELLS[1], "step 3 of 9")
        progress.ended(CELLS[0], ended(CELLS[0], seconds=60))
        shown = [str(line) for line in progress._running().renderables]
    assert shown[0] == f"  {CELLS[1]}: step 3 of 9" and shown[1].startswith("1 of 4 cells, ")
    assert f"[1/4] {CELLS[0].id}" in capsys.readouterr().out
