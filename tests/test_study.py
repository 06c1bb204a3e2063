"""The runner, end to end through papermill: small grids on the tiny model."""

import json
import os
import platform
import resource
import signal
import subprocess
import sys

import psutil
import pytest
from conftest import make_cell, wait_for, without_timing
from simulation import simulated_result

from lib import process, results
from lib import study as runner
from lib.errors import UserError
from lib.paths import ROOT

TWO_CELLS = """
- {model: tiny, entity: fictional, info: [numeric, categorical], format: qa, n_facts: 3, paraphrases: 2, epochs: 1,
   learning_rate: 0.001, lora_rank: 4, batch_size: 4, seed: 0}
"""


def command(grid, study, jobs=1):
    return [sys.executable, "-m", "lib", "run", str(grid), "--study", study, "--jobs", str(jobs)]


def test_a_killed_run_goes_on_and_repeats_nothing(study, tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text(TWO_CELLS)
    folder = results.study_dir(study) / "cells"

    first = subprocess.Popen(command(grid, study), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: list(folder.glob("*.json")))
    descendants = psutil.Process(first.pid).children(recursive=True)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    done = {path: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    assert len(done) == 1
    # the orphaned cell ends by itself, so that the second run does not race with it
    _, alive = psutil.wait_procs(descendants, timeout=30)
    assert not alive

    second = subprocess.run(command(grid, study), cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert second.returncode == 0, second.stderr
    assert "2 cells, 1 done, 1 to run" in second.stdout
    assert len(results.load(study)) == 2
    assert {path: path.stat().st_mtime_ns for path in done} == done

    third = subprocess.run(command(grid, study), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert third.returncode == 0
    assert "2 cells, 2 done, 0 to run" in third.stdout

    # a damaged file is not a finished cell, and the cell comes out the same again
    path = next(iter(done))
    before = results.read(path)
    path.write_text(path.read_text()[:100])
    fourth = subprocess.run(command(grid, study), cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert fourth.returncode == 0, fourth.stderr
    assert "is damaged" in fourth.stderr
    assert without_timing(results.read(path)) == without_timing(before)

    result = results.read(path)
    assert result["study"] == study
    assert result["manifest"]["backend"] == "unsloth"
    assert result["manifest"]["threads"] == process.cores()  # one job had the whole machine
    assert len(result["manifest"]["model_sha256"]) == 64
    assert set(result["evals"]) == {"recall", "qa", "cloze"}
    assert result["evals"]["qa"]["n"] == sum(item["eval"] == "qa" for item in result["items"]) == 6


def test_a_failing_cell_is_reported_and_the_others_go_on(study, capsys):
    # the second cell asks for more paraphrases than there are templates, which shows only when it runs
    cells = [make_cell(paraphrases=11), make_cell()]
    failed = runner.run(cells, study, jobs=2)
    said = capsys.readouterr().out
    assert failed == [cells[0]]
    assert f"FAILED {cells[0].id}" in said
    assert "UserError: paraphrases is 11, but there are templates for 10" in said
    notebook = results.study_dir(study) / "executed" / f"{cells[0].id}.ipynb"
    assert str(notebook) in said
    assert "exception" in json.dumps(json.loads(notebook.read_text())["metadata"]["papermill"])
    assert [result["id"] for result in results.load(study)] == [cells[1].id]


def test_a_killed_cell_is_reported(study, monkeypatch):
    monkeypatch.setattr(process, "_child", kill_myself)
    outcome = process.run_cell(make_cell(), study, 1)
    assert (outcome.result, outcome.error) == (None, "killed by signal SIGKILL")


def kill_myself(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_two_runs_do_not_work_in_one_folder(study):
    with runner._exclusive(results.study_dir(study)), pytest.raises(UserError, match="another run is working in"):
        runner.run([make_cell()], study, 1)


def test_progress_counts_cells_and_estimates_the_rest(capsys):
    progress = runner.Progress(4, 2)
    progress.start -= 60  # a minute ago
    progress.report(make_cell(), simulated_result(make_cell(), {"qa": 1.0}))
    said = capsys.readouterr().out
    assert "[1/4]" in said
    assert "qa 1.00 (1 s, 100 tokens/s); 1:00 gone, about 1:30 left" in said


def faults_of_a_second_buffer(path):
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        bytearray(64 * 2**20)
    path.write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are left as they are")
def test_a_cell_keeps_the_memory_that_it_frees(tmp_path):
    child = process._context().Process(target=faults_of_a_second_buffer, args=(tmp_path / "faults",))
    child.start()
    child.join()
    assert int((tmp_path / "faults").read_text()) < 1000  # of 16,384 pages
