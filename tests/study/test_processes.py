"""One cell in a process of its own. What runs in it stands in tests/helpers.py, because it is spawned."""

import multiprocessing
import os
import platform
from pathlib import Path

import helpers
import psutil
import pytest
from helpers import descendants, make_cell, wait_for

from lib.study import processes


def test_a_cell_that_is_killed_is_told_by_its_signal(monkeypatch):
    monkeypatch.setattr(processes, "_child", helpers.kill_myself)
    outcome = processes.run_cell(make_cell(), "made", 1)
    assert outcome == processes.Outcome(None, "killed by signal SIGKILL", None, None)


def test_a_cell_that_ends_without_a_result_is_told_by_its_exit_code(monkeypatch):
    monkeypatch.setattr(processes, "_child", helpers.leave)
    assert processes.run_cell(make_cell(), "made", 1).error == "ended with exit code 3 and no result"


def test_a_running_cell_tells_its_stage_and_an_ended_one_its_result_and_log(monkeypatch):
    monkeypatch.setattr(processes, "_child", helpers.say_stages)
    heard = []
    outcome = processes.run_cell(make_cell(), "made", 3, lambda cell, stage: heard.append((cell, stage)))
    assert set(heard) == {(make_cell(), "step 1 of 2")}
    assert outcome.result == {"threads": 3, "study": "made"} and outcome.error is None
    assert outcome.log == "what it printed" and outcome.notebook is None


def test_an_interrupted_engine_stops_its_other_cells(monkeypatch):
    monkeypatch.setattr(processes, "_child", helpers.sleep_unless_first)
    engine = processes.run_local([make_cell(seed=seed) for seed in range(4)], "made", 2, lambda *_: None)
    cell, outcome = next(engine)
    assert (cell.seed, outcome.result) == (0, {"seed": 0})
    engine.close()
    wait_for(lambda: not multiprocessing.active_children(), 30)
    assert not descendants(os.getpid(), "spawn_main")


def test_threads_are_shared_among_the_cells_that_run_at_once(monkeypatch):
    seen = []
    monkeypatch.setattr(processes, "cores", lambda: 8)
    monkeypatch.setattr(processes, "run_cell", lambda cell, study, threads, listen: seen.append(threads))
    for jobs in (1, 3, 8, 20):
        list(processes.run_local([make_cell()], "made", jobs, lambda *_: None))
    assert seen == [8, 2, 1, 1]


@pytest.mark.parametrize(
    ("gpu", "cores", "memory", "jobs"), [(True, 8, 99, 1), (False, 8, 99, 8), (False, 8, 9, 2), (False, 8, 1, 1)]
)
def test_jobs_are_one_a_core_as_far_as_memory_goes_and_one_on_a_gpu(gpu, cores, memory, jobs, monkeypatch):
    monkeypatch.setattr(processes, "has_gpu", lambda: gpu)
    monkeypatch.setattr(processes, "cores", lambda: cores)
    available = type("Memory", (), {"available": memory * 2**30})
    monkeypatch.setattr(psutil, "virtual_memory", available)
    assert processes.default_jobs() == jobs


def test_a_gpu_is_seen_by_its_device_files(monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "GPU_PATHS", (str(tmp_path / "nvidia0"),))
    assert not processes.has_gpu()
    (tmp_path / "nvidia0").touch()
    assert processes.has_gpu()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are left as they are")
def test_a_cell_keeps_the_memory_that_it_frees(monkeypatch):
    monkeypatch.setattr(processes, "_child", helpers.allocate)
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    outcome = processes.run_cell(make_cell(), "made", 1)
    assert outcome.result["faults"] < 1000, outcome.log  # of 16,384 pages
    assert outcome.result["setting"] == processes.ALLOCATOR and "GLIBC_TUNABLES" not in os.environ


def test_a_setting_of_the_allocator_that_the_user_made_is_kept(monkeypatch):
    monkeypatch.setattr(processes, "_child", helpers.allocate)
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=3")
    assert processes.run_cell(make_cell(), "made", 1).result["setting"] == "glibc.malloc.tcache_count=3"


def test_a_cell_leaves_no_scratch_folder_behind(monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "_child", helpers.leave)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    processes.run_cell(make_cell(), "made", 1)
    assert not list(Path(tmp_path).glob("cell-*"))
