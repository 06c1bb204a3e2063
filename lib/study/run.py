"""Running a grid: what is not finished, with progress; killed at any moment, it goes on where it was."""

import sys
import tempfile
from contextlib import closing

from filelock import FileLock, Timeout

from lib.cell import Cell
from lib.data import of_cell
from lib.data.facts import take
from lib.data.general import replay_prompts
from lib.paths import UserError
from lib.study import plan, processes, store
from lib.study.manifest import git_commit
from lib.study.progress import Progress
from lib.train import weights


def check(cells: list[Cell]) -> None:
    """Raises UserError, before anything runs, for cells whose facts, paraphrases or model cannot be had."""
    checked = set()
    for cell in cells:
        same = cell.model_copy(update={"model": ""})  # facts and rows do not depend on it
        try:
            weights.check(cell.model)
            if same not in checked:
                _check_rows(cell)
        except UserError as error:
            raise UserError(f"cell {cell}: {error}") from None
        checked.add(same)


def _check_rows(cell):
    chosen = take(of_cell.candidates(cell), cell.n_entities)
    if cell.format != "none":
        rows = len(of_cell.training_rows(cell, chosen)) * cell.epochs + cell.replay
        if cell.checkpoints >= -(-rows // cell.batch_size):
            raise UserError(f"checkpoints is {cell.checkpoints}, more than the cell has steps")
    if cell.replay > len(replay_prompts()):
        raise UserError(f"replay is {cell.replay}, but there are {len(replay_prompts())} prompts")
    asked = {question.eval for question in of_cell.questions_for(cell, chosen)}
    if cell.evals == "all" and not cell.tone and not {"reasoning", "unseen"} <= asked:
        raise UserError("evals: all needs entities that are not trained: ask for fewer n_entities")


def finished(study: str, cell: Cell) -> bool:
    """Whether the cell has a result file that reads and matches its parameters."""
    path = store.cell_path(study, cell)
    try:
        return path.exists() and bool(store.read(path))
    except UserError as error:
        print(f"not finished: {error}", file=sys.stderr)
        return False


def run(cells: list[Cell], study: str, jobs: int, engine=processes.run_local) -> list[Cell]:
    """Run every cell of a study that is not finished; returns those that failed.

    Killed at any moment and run again, it goes on: a result is written whole or not at all, by this process alone.
    `engine` is processes.run_local or ray.run. Raises UserError when the results folder cannot be written or another
    run is working in it.
    """
    folder = store.study_dir(study)
    with _exclusive(folder):
        todo = [cell for cell in cells if not finished(study, cell)]
        done = len(cells) - len(todo)
        print(f"{study}: {len(cells)} cells, {done} done, {len(todo)} to run, {jobs} at a time", flush=True)
        if not todo:
            return []
        expected = plan.seconds(todo)
        # seed by seed, so that a study that is stopped has all parts of the first ones; the longest first, so that no
        # process is alone at the end
        todo.sort(key=lambda cell: (cell.seed, -expected[cell]))
        commit = git_commit()  # of the code that the cells are run with; it may change before the last has ended
        failed = []
        with Progress(expected, jobs) as progress, closing(engine(todo, study, jobs, progress.stage)) as ended:
            for cell, outcome in ended:
                if outcome.result:  # before the notebook, which may find the disk full
                    outcome.result["manifest"]["git_commit"] = commit
                    store.write_json(store.cell_path(study, cell), outcome.result)
                notebook = folder / "executed" / f"{cell.id}.ipynb"
                for path, text in ((notebook, outcome.notebook), (notebook.with_suffix(".log"), outcome.log)):
                    if text:
                        store.write_text(path, text)
                if outcome.error:
                    failed.append(cell)
                    progress.failed(cell, outcome.error, notebook if outcome.notebook else None)
                else:
                    progress.ended(cell, outcome.result)
    return failed


def _exclusive(folder):
    """A lock on the study's folder; UserError when it cannot be written or another run holds it."""
    with store.writing(folder):
        (folder / "experiments").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder / "experiments") as probe:
            probe.write(b"whether there is room")
        try:
            return FileLock(folder / ".lock", timeout=0).acquire()
        except Timeout:
            raise UserError(f"another run is working in {folder}: wait for it or stop it") from None
