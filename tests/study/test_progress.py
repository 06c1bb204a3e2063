import time

import pytest
from helpers import base_cell, make_cell
from simulation import result as simulated

from lib.study import progress
from lib.study.progress import Watch
from lib.study.run import Outcome

CELLS = [make_cell(seed=seed) for seed in range(4)]


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def outcome(cell, seconds):
    return Outcome(simulated(cell, "made", lambda *_: 1.0, seconds))


def test_what_is_left_follows_the_plan_the_pace_so_far_and_what_runs(clock, tmp_path):
    def left(watch):
        minutes, seconds = watch.clocks().split()[-2].split(":")
        return 60 * int(minutes) + int(seconds)

    for n, seconds in ((4, 200), (1, 100), (0, 0)):  # one experiment is not shared by two cores
        assert left(Watch(dict.fromkeys(CELLS[:n], 100.0), 2)) == seconds
    watch = Watch(dict.fromkeys(CELLS, 100.0), 1)
    watch.ended(CELLS[0], outcome(CELLS[0], seconds=200), tmp_path)
    assert left(watch) == 3 * 200
    watch.ended(CELLS[1], Outcome(None, "no reason"), tmp_path)
    assert left(watch) == 2 * 200, "a failed one says nothing of the pace"
    watch.show({CELLS[2]: "loading"})
    clock[0] += 30
    watch.show({CELLS[2]: "step 1 of 2"})
    assert left(watch) == 170 + 200
    clock[0] += 500  # it takes longer than planned
    assert left(watch) == 200


def test_an_ended_experiment_is_told_with_its_scores_and_the_time_that_is_left(clock, capsys, tmp_path):
    cells = [*CELLS[:3], base_cell()]
    watch = Watch(dict.fromkeys(cells, 60.0), 2)
    clock[0] += 60
    watch.ended(CELLS[0], outcome(CELLS[0], seconds=60), tmp_path)
    watch.ended(cells[3], outcome(cells[3], seconds=60), tmp_path)
    watch.ended(CELLS[1], Outcome(None, "KeyError: 'x' [bold]", {".ipynb": ""}), tmp_path)
    one, base, failed = capsys.readouterr().out.splitlines()
    assert one.startswith(f"[1/4] {CELLS[0].id} qa fictional n=2 seed=0: recall 1.00 question 1.00 completion 1.00")
    assert one.endswith("(60 s, 200 tokens/s); 1:00 gone, about 1:30 left")
    assert "(60 s); " in base, "the untrained model has no tokens a second"
    assert f"{CELLS[1]}: FAILED: KeyError: 'x' [bold]; see {tmp_path}/{CELLS[1].id}.ipynb; 1:00 gone" in failed


def test_without_a_terminal_running_experiments_are_told_every_minute(clock, capsys):
    watch = Watch(dict.fromkeys(CELLS, 60.0), 2)
    with watch.bar:
        for _ in range(3 * progress.EVERY - 1):
            clock[0] += 1
            watch.show({CELLS[0]: "step 3 of 9"})
    first, _ = capsys.readouterr().out.splitlines()
    assert first == "  running: qa fictional n=2 seed=0: step 3 of 9; 1:00 gone, about 1:30 left"


def test_at_a_terminal_the_stages_stand_below_the_bar(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    watch = Watch(dict.fromkeys(CELLS, 60.0), 2)
    with watch.bar:
        watch.show({CELLS[1]: "step 3 of 9"})
        watch.ended(CELLS[0], outcome(CELLS[0], seconds=60), tmp_path)
    printed = capsys.readouterr().out
    assert f"[1/4] {CELLS[0].id}" in printed and f"{CELLS[1]}: step 3 of 9" in printed
    assert watch.bar.tasks[0].completed == 60
