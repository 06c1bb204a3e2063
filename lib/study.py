"""Running a grid: what is not finished, with progress; killed at any moment, it goes on where it was."""

import sys
import tempfile
import time
from contextlib import closing

from filelock import FileLock, Timeout

from lib import experiment, models, process, results
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


def run(cells: list[Cell], study: str, jobs: int, engine=process.run_local) -> list[Cell]:
    """Run every cell of a study that is not finished; returns those that failed.

    Killed at any moment and run again, it goes on: a result is written whole or not at all, by this process alone.
    `engine` is process.run_local or cluster.run. Raises UserError when the results folder cannot be written or another
    run is working in it.
    """
    folder = results.study_dir(study)
    with _exclusive(folder):
        todo = [cell for cell in cells if not finished(study, cell)]
        done = len(cells) - len(todo)
        print(f"{study}: {len(cells)} cells, {done} done, {len(todo)} to run, {jobs} at a time", flush=True)
        failed = []
        progress = Progress(len(todo), jobs)
        commit = (
            experiment.git_commit()
        )  # of the code that the cells are run with; it may change before the last has ended
        with closing(engine(todo, study, jobs)) as ended:
            for cell, outcome in ended:
                if outcome.result:  # before the notebook, which may find the disk full
                    outcome.result["manifest"]["git_commit"] = commit
                    results.write_json(results.cell_path(study, cell), outcome.result)
                notebook = folder / "executed" / f"{cell.id}.ipynb"
                for path, text in ((notebook, outcome.notebook), (notebook.with_suffix(".log"), outcome.log)):
                    if text:
                        results.write_text(path, text)
                if outcome.error:
                    failed.append(cell)
                    where = f"\n  its notebook: {notebook}" if outcome.notebook else ""
                    print(f"FAILED {cell.id} ({cell}): {outcome.error}{where}", flush=True)
                progress.report(cell, outcome.result)
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


def _clock(seconds):
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
