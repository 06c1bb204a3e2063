"""What goes wrong on real machines: killed processes, full and read-only disks, two runs at once."""

import os
import signal
import subprocess
import sys

import pytest
from conftest import kernels, make_cell, wait_for

from lib import process, results
from lib.paths import ROOT

ONE_CELL = """
- {model: tiny, entity: fictional, info: numeric, format: qa, n_facts: 3, paraphrases: 2, epochs: 1,
   learning_rate: 0.001, lora_rank: 4, batch_size: 4, seed: 0}
"""
# In a mount namespace of its own: results/<study> is a disk of 200 kB, which results of 60 kB each soon fill.
SMALL_DISK = """
import sys
sys.path.insert(0, "tests")
from conftest import make_cell
from simulation import simulated_result
from lib import __main__, results
from lib.process import Outcome
from lib import study as runner

def engine(cells, study, jobs):
    for cell in cells:
        result = {**simulated_result(cell, {"qa": 1.0}), "study": study, "padding": "x" * 60_000}
        yield cell, Outcome(result, None, "a notebook" * 1000, "a log")

cells = [make_cell(seed=seed) for seed in range(8)]
sys.argv[0] = "lib"
arguments = type("Arguments", (), {"command": lambda _: len(runner.run(cells, sys.argv[1], 1, engine))})
__main__.parser = lambda: type("Parser", (), {"parse_args": lambda *_: arguments})()
sys.exit(__main__.main([]))
"""


def test_a_cell_that_is_killed_is_reported_and_the_next_run_does_it_again(study, tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text(ONE_CELL)
    command = [sys.executable, "-m", "lib", "run", str(grid), "--study", study, "--jobs", "1"]
    run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: kernels(run.pid))
    for kernel in kernels(run.pid):
        kernel.send_signal(signal.SIGKILL)
    said, errors = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "FAILED" in said and "Kernel died" in said
    assert "1 of 1 cells failed; run the same command to try them again" in errors
    assert not list((results.study_dir(study) / "cells").glob("*"))

    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert again.returncode == 0, again.stderr
    assert len(results.load(study)) == 1


def test_a_second_run_in_the_same_folder_is_refused_while_the_first_works(study, tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text(ONE_CELL)
    command = [sys.executable, "-m", "lib", "run", str(grid), "--study", study, "--jobs", "1"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    first = subprocess.Popen(command, cwd=ROOT, **pipes)
    wait_for(lambda: kernels(first.pid))
    second = subprocess.run(command, cwd=ROOT, timeout=60, **pipes)
    assert second.returncode == 2
    assert "another run is working in" in second.stdout and "Traceback" not in second.stdout
    said, _ = first.communicate(timeout=200)
    assert first.returncode == 0, said
    assert "[1/1]" in said


def in_a_small_disk(study, *commands):
    """Run shell commands where results/<study> is a disk of 200 kB; the completed process."""
    folder = results.study_dir(study)
    folder.mkdir()
    script = "; ".join([f"mount -t tmpfs -o size=200k none {folder}", *commands])
    return subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True
    )


needs_mounts = pytest.mark.skipif(
    sys.platform != "linux"
    or subprocess.run(
        ["unshare", "--mount", "--map-root-user", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True
    ).returncode
    != 0,
    reason="a disk can be mounted on Linux alone, and only where user namespaces are allowed",
)


@needs_mounts
def test_a_full_disk_keeps_what_is_finished_and_says_what_happened(study, tmp_path):
    script = tmp_path / "small.py"
    script.write_text(SMALL_DISK)
    folder = results.study_dir(study)
    run = f"PYTHONPATH={ROOT} {sys.executable} {script} {study}"
    more = f"mount -o remount,size=2m {folder}"
    done = in_a_small_disk(study, run, "echo exit $?", f"ls -A {folder}/cells", more, run, "echo exit $?")
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr
    first, second = done.stdout.split("exit 2\n")
    listed = [line for line in second.splitlines() if line.endswith(".json")]
    assert 1 <= len(listed) < 8 and not any(line.startswith(".") for line in second.splitlines())
    assert "8 cells, 0 done" in first
    assert f"8 cells, {len(listed)} done, {8 - len(listed)} to run" in second and "[1/" in second
    assert second.rstrip().endswith("exit 0")


@needs_mounts
def test_a_read_only_results_folder_is_said_before_anything_runs(study, tmp_path):
    script = tmp_path / "small.py"
    script.write_text(SMALL_DISK)
    run = f"PYTHONPATH={ROOT} {sys.executable} {script} {study}"
    done = in_a_small_disk(study, f"mount -o remount,ro {results.study_dir(study)}", run, "echo exit $?")
    assert "exit 2" in done.stdout
    assert "cannot be written (Read-only file system): make it writable or choose another --study" in done.stderr
    assert "Traceback" not in done.stderr and "to run" not in done.stdout


def test_an_interrupted_engine_stops_its_other_cells(study):
    cells = [make_cell(seed=seed, epochs=1 + 200 * seed) for seed in range(2)]  # the second would take long
    engine = process.run_local(cells, study, 2)
    next(engine)
    wait_for(lambda: kernels(os.getpid()))
    engine.close()
    wait_for(lambda: not kernels(os.getpid()), 10)
