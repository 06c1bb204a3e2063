"""What goes wrong on real machines: killed processes, full and read-only disks."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from helpers import kernels, make_cell, python, wait_for

from lib.paths import ROOT
from lib.study import processes, store

# In a mount namespace of its own: results/<study> is a disk of 200 kB, which results of 60 kB each soon fill.
SMALL_DISK = """
from helpers import make_cell
from simulation import result
from lib.study import plan, run
from lib.study.processes import Outcome

def engine(cells, study, jobs, listen):
    for cell in cells:
        made = {**result(cell, study, lambda *_: 1.0), "items": [], "padding": "x" * 60_000}
        yield cell, Outcome(made, None, "a notebook" * 1000, "a log")

plan.seconds = lambda cells: dict.fromkeys(cells, 1.0)
try:
    sys.exit(len(run.run([make_cell(seed=seed) for seed in range(8)], sys.argv[1], 1, engine)))
except (UserError, OSError) as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
"""


def test_a_cell_whose_kernel_is_killed_is_reported_with_its_notebook():
    found, heard = [], []
    listen = lambda cell, stage: heard.append(stage)  # noqa: E731
    running = threading.Thread(
        target=lambda: found.append(processes.run_cell(make_cell(epochs=500), "made", 1, listen))
    )
    running.start()
    wait_for(lambda: heard)
    for kernel in kernels(os.getpid()):
        kernel.send_signal(signal.SIGKILL)
    running.join(120)
    (outcome,) = found
    assert outcome.result is None
    assert outcome.error == "DeadKernelError: Kernel died"
    assert "from lib.study import steps" in outcome.notebook


def in_a_small_disk(study, *commands):
    """Run shell commands where results/<study> is a disk of 200 kB; the completed process."""
    folder = store.study_dir(study)
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


@pytest.fixture
def run(tmp_path, study):
    """The shell command of a run on the small disk."""
    script = tmp_path / "small.py"
    script.write_text(python(SMALL_DISK)[2])
    return f"{sys.executable} {script} {study}"


@needs_mounts
def test_a_full_disk_keeps_what_is_finished_and_says_what_happened(study, run):
    folder = store.study_dir(study)
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
def test_a_read_only_results_folder_is_said_before_anything_runs(study, run):
    done = in_a_small_disk(study, f"mount -o remount,ro {store.study_dir(study)}", run, "echo exit $?")
    assert "exit 2" in done.stdout
    assert "cannot be written (Read-only file system): make it writable or choose another --study" in done.stderr
    assert "Traceback" not in done.stderr and "to run" not in done.stdout
