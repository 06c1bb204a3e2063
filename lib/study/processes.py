"""One cell in a process of its own, and many of them on this machine."""

import contextlib
import json
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import psutil

from lib.cell import Cell

# What a cell of SmolLM2 takes at its peak, with every weight trained; with adapters it is two thirds of that.
MEMORY = 4 * 2**30
# glibc gives a large block back to the kernel once it is freed, and the next step has it zeroed anew, page by page.
# Kept, and in huge pages, it makes a training step 8 % shorter. glibc reads this when a process, here a kernel, starts.
ALLOCATOR = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=8000000000:glibc.malloc.hugetlb=1"


@dataclass(frozen=True)
class Outcome:
    """What came of a cell. Nothing of it is on a disk that the runner shares: it may have run on another machine."""

    result: dict | None
    error: str | None  # in one line, if there is no result
    notebook: str | None  # the executed notebook, as far as it came
    log: str | None  # what the cell and its kernel printed


Listen = Callable[[Cell, str], None]  # is told the stage of a running cell


def run_local(cells: list[Cell], study: str, jobs: int, listen: Listen) -> Iterator[tuple[Cell, Outcome]]:
    """Run cells on this machine, so many at once; yields each as it ends. Closed early, it stops the others."""
    with ThreadPoolExecutor(jobs) as pool:
        runs = {pool.submit(run_cell, cell, study, cores() // jobs or 1, listen): cell for cell in cells}
        try:
            for done in as_completed(runs):
                yield runs[done], done.result()
        except BaseException:  # interrupted, or a result could not be written: the other cells would be lost too
            pool.shutdown(wait=False, cancel_futures=True)
            while any(run.running() for run in runs):  # again and again: one may have been about to start
                for child in multiprocessing.active_children():
                    child.terminate()
                time.sleep(0.1)
            raise


def run_cell(cell: Cell, study: str, threads: int, listen: Listen = lambda cell, stage: None) -> Outcome:
    """Execute experiment.ipynb for one cell in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="cell-") as scratch:
        scratch = Path(scratch)
        # spawned, not forked: a GPU cannot be used in a fork of a process that has seen it
        context = multiprocessing.get_context("spawn")
        child = context.Process(target=_child, args=(cell.model_dump(), study, scratch, threads))
        child.start()
        stage = scratch / "result.json.stage"
        while child.is_alive():
            child.join(1)
            with contextlib.suppress(FileNotFoundError):  # not there yet, or no more
                listen(cell, stage.read_text())
        result, error, notebook, log = (
            (scratch / name).read_text() if (scratch / name).exists() else None
            for name in ("result.json", "error", "experiment.ipynb", "log")
        )
    if error is None and child.exitcode < 0:
        error = f"killed by signal {signal.Signals(-child.exitcode).name}"
    elif error is None and result is None:
        error = f"ended with exit code {child.exitcode} and no result"
    return Outcome(None if error else json.loads(result), error, notebook, log)


def default_jobs() -> int:
    """Processes to run at once: one a core, as far as memory goes; one on a GPU machine."""
    return 1 if has_gpu() else max(1, min(cores(), int(psutil.virtual_memory().available // MEMORY)))


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Of a GPU that this process may use: NVIDIA's driver and devices (a container may have only these), WSL, AMD.
GPU_PATHS = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")


def has_gpu() -> bool:
    """Whether there is a GPU, without torch, which takes seconds to say so."""
    return any(Path(path).exists() for path in GPU_PATHS)


def _child(parameters, study, scratch, threads):
    """The process of one cell. Threads and scratch files are its own; cells share the caches of models and compiler."""
    threading.Thread(target=_die_with_runner, daemon=True).start()
    with (scratch / "log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.setdefault("GLIBC_TUNABLES", ALLOCATOR)
    os.environ.update(
        OMP_NUM_THREADS=str(threads),
        TOKENIZERS_PARALLELISM="false",
        UNSLOTH_COMPILE_LOCATION=str(scratch / "unsloth"),
        IPYTHONDIR=str(scratch / "ipython"),
    )
    from papermill import PapermillExecutionError

    from lib.study.notebook import execute

    try:
        execute(
            "experiment",
            scratch / "experiment.ipynb",
            {**parameters, "study": study, "output": str(scratch / "result.json")},
        )
    except PapermillExecutionError as error:
        (scratch / "error").write_text(f"{error.ename}: {error.evalue}")
    except Exception as error:  # whatever it is, the runner reports it and goes on with the other cells
        (scratch / "error").write_text(f"{type(error).__name__}: {error}")


def _die_with_runner():
    """End this process when the runner has died, even by SIGKILL; the kernel follows."""
    while os.getppid() == multiprocessing.parent_process().pid:
        time.sleep(1)
    os._exit(1)
