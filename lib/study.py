"""Running a grid: papermill per cell in parallel processes, resumable, and the figures afterwards."""

import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock, Timeout

from lib import experiment, models, results
from lib.cell import Cell
from lib.errors import UserError
from lib.facts import take


def check(cells: list[Cell]) -> None:
    """Raises UserError, before anything runs, for cells whose facts, paraphrases or model cannot be had."""
    for cell in cells:
        try:
            models.check(cell.model)
            chosen = take(experiment.candidates(cell), cell.n_facts)
            if cell.format != "none":
                steps = -(-len(experiment.training_rows(cell, chosen)) // cell.batch_size) * cell.epochs
                if cell.checkpoints >= steps:
                    raise UserError(f"checkpoints is {cell.checkpoints}, but the cell has only {steps} steps")
            asked = {question.eval for question in experiment.questions_for(cell, chosen)}
            if cell.evals == "all" and cell.info != "tone" and not {"reasoning", "untrained"} <= asked:
                raise UserError(
                    "evals: all needs two facts that differ, and entities that are not trained: change n_facts"
                )
        except UserError as error:
            raise UserError(f"cell {cell}: {error}") from None


def finished(study: str, cell: Cell) -> bool:
    """Whether the cell has a result file that reads and matches its parameters."""
    path = results.cell_path(study, cell)
    if not path.exists():
        return False
    try:
        results.read(path)
    except UserError as error:
        print(f"not finished: {error}", file=sys.stderr)
        return False
    return True


def default_jobs() -> int:
    """Processes to run at once: one a core, as far as 3 GB of memory each allow; one on a GPU machine."""
    import psutil

    if _has_gpu():
        return 1
    memory = int(psutil.virtual_memory().available // (3 * 2**30))
    return max(1, min(_cores(), memory))


def run(cells: list[Cell], study: str, jobs: int) -> list[Cell]:
    """Run every cell of a study that is not finished; returns those that failed.

    Killed at any moment and run again, it goes on: a result is written whole or not at all, by this process alone.
    Raises UserError when the results folder cannot be written or another run is working in it.
    """
    folder = results.study_dir(study)
    with _exclusive(folder):
        todo = [cell for cell in cells if not finished(study, cell)]
        print(
            f"{study}: {len(cells)} cells, {len(cells) - len(todo)} done, {len(todo)} to run, {jobs} at a time",
            flush=True,
        )
        failed = []
        progress = Progress(len(todo), jobs)
        with ThreadPoolExecutor(jobs) as pool:
            runs = {pool.submit(run_cell, cell, study, _cores() // jobs or 1): cell for cell in todo}
            try:
                for done in as_completed(runs):
                    cell, (result, error) = runs[done], done.result()
                    if error:
                        failed.append(cell)
                        notebook = folder / "executed" / f"{cell.id}.ipynb"
                        print(f"FAILED {cell.id} ({cell}): {error}\n  its notebook: {notebook}", flush=True)
                    else:
                        results.write_json(results.cell_path(study, cell), result)
                    progress.report(cell, result)
            except BaseException:  # interrupted, or a result could not be written: the other cells would be lost too
                pool.shutdown(wait=False, cancel_futures=True)
                for child in multiprocessing.active_children():
                    child.terminate()
                raise
    return failed


class Progress:
    """One line a cell: how many are done, what it scored, and when the rest will be."""

    def __init__(self, total: int, jobs: int):
        self.total, self.jobs, self.done, self.start = total, jobs, 0, time.monotonic()

    def report(self, cell: Cell, result: dict | None) -> None:
        """Print the line of a cell that has ended."""
        self.done += 1
        seconds = time.monotonic() - self.start
        # before every process has ended its first cell, count those as done that are about to be
        eta = seconds / max(self.done, min(self.jobs, self.total)) * (self.total - self.done)
        line = f"[{self.done}/{self.total}] {cell.id} {cell}"
        if result:
            scores = " ".join(
                f"{name} {score['strict']:.2f}"
                for name, score in result["evals"].items()
                if score["strict"] is not None
            )
            rate = result["training"]["tokens_per_second"]
            speed = f", {rate:.0f} tokens/s" if rate else ""
            line += f": {scores} ({result['manifest']['seconds']:.0f} s{speed})"
        print(f"{line}; {_clock(seconds)} gone, about {_clock(eta)} left", flush=True)


def run_cell(cell: Cell, study: str, threads: int) -> tuple[dict | None, str | None]:
    """Execute cell.ipynb for one cell in a process of its own: (result, None) or (None, what went wrong)."""
    executed = results.study_dir(study) / "executed" / f"{cell.id}.ipynb"
    with tempfile.TemporaryDirectory(prefix="cell-") as scratch:
        output = Path(scratch) / "result.json"
        parameters = {**asdict(cell), "study": study, "output": str(output)}
        child = _context().Process(target=_child, args=(parameters, executed, scratch, threads))
        child.start()
        child.join()
        error = Path(scratch) / "error"
        if error.exists():
            return None, error.read_text()
        code = child.exitcode or 0  # None if another thread's start() reaped the process first
        if code < 0:
            return None, f"killed by signal {signal.Signals(-code).name}"
        if not output.exists():
            return None, f"ended with exit code {code} and no result"
        return json.loads(output.read_text()), None


def _context():
    """How processes start: as forks of a server that has imported what a cell needs, which takes longer than asking.

    Only on Linux, where that is safe; and not on a GPU, which cannot be used in a fork of a process that has seen it.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([] if _has_gpu() else ["lib.preload"])
    return context


def _child(parameters, executed, scratch, threads):
    """The process of one cell. Threads and scratch files are its own: cells share nothing but the model cache.

    What it and its kernel print goes into a log beside the executed notebook, not between the lines of progress.
    """
    threading.Thread(target=_die_with_runner, daemon=True).start()
    executed.parent.mkdir(parents=True, exist_ok=True)
    with executed.with_suffix(".log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.update(
        OMP_NUM_THREADS=str(threads),
        TOKENIZERS_PARALLELISM="false",
        UNSLOTH_COMPILE_LOCATION=str(Path(scratch) / "unsloth"),
        IPYTHONDIR=str(Path(scratch) / "ipython"),
    )
    from papermill import PapermillExecutionError

    from lib.notebooks import execute

    try:
        execute("cell", executed, parameters, fork=sys.platform == "linux")
    except PapermillExecutionError as error:
        (Path(scratch) / "error").write_text(f"{error.ename}: {error.evalue}")
    except Exception as error:  # whatever it is, the runner reports it and goes on with the other cells
        (Path(scratch) / "error").write_text(f"{type(error).__name__}: {error}")


def _die_with_runner():
    """End this process when the runner has died, even by SIGKILL; the kernel then ends itself when this one has."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _exclusive(folder):
    """A lock on the study's folder; UserError when it cannot be written or another run holds it."""
    try:
        (folder / "cells").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder / "cells") as probe:
            probe.write(b"whether there is room")
        return FileLock(folder / ".lock", timeout=0).acquire()
    except Timeout:
        raise UserError(f"another run is working in {folder}: wait for it or stop it") from None
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror}): make it writable or choose another --study"
        ) from None


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _has_gpu():
    """Whether an NVIDIA driver is loaded; without importing torch, which takes seconds."""
    return Path("/proc/driver/nvidia/version").exists()


def _clock(seconds):
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
