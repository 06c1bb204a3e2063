"""Result files: written whole or not at all, and read with their damage named."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lib.cell import Cell, from_parameters
from lib.paths import RESULTS, UserError

# Raised when files change, and when training changes in something that no parameter of a cell tells: results of before
# and after must not be compared.
SCHEMA = 3
REQUIRED = {"schema": int, "study": str, "id": str, "cell": dict, "facts": dict, "evals": dict, "items": list,
            "training": (dict, type(None)), "manifest": dict}  # fmt: skip


def study_dir(study: str) -> Path:
    """results/<study>; UserError for a name that is a path."""
    if not study or Path(study).name != study or study.startswith("."):
        raise UserError(f"study {study!r}: expected the name of a folder in {RESULTS}")
    return RESULTS / study


def cell_path(study: str, cell: Cell) -> Path:
    """The result file of a cell."""
    return study_dir(study) / "experiments" / f"{cell.id}.json"


def write_json(path: Path, value) -> None:
    """Write JSON whole or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write so that a reader sees the old file or the whole new one, whenever the writer is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
        with open(Path(scratch) / path.name, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(file.name, path)


def read(path: Path) -> dict:
    """A result file; UserError says how it is damaged and what to do."""
    remedy = "delete it and run the study again"
    try:
        result = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise UserError(f"{path} is damaged ({error}): {remedy}") from None
    found = result if isinstance(result, dict) else {}
    wrong = [key for key, kind in REQUIRED.items() if key not in found or not isinstance(found[key], kind)]
    if wrong:
        raise UserError(f"{path} is damaged (no {', '.join(wrong)}): {remedy}")
    if result["schema"] != SCHEMA:
        raise UserError(f"{path} has schema {result['schema']}, this code reads {SCHEMA}: {remedy}")
    try:
        cell = from_parameters(result["cell"])
    except UserError as error:
        raise UserError(f"{path} does not hold a cell of this version ({error}): {remedy}") from None
    if not cell.id == result["id"] == path.stem:
        raise UserError(f"{path} holds the parameters of cell {cell.id}: {remedy}")
    return result


def load(study: str) -> list[dict]:
    """Every result of a study with its `part`, ordered by file name; UserError if there is none or one is damaged."""
    folder = study_dir(study)
    found = [read(path) for path in sorted(folder.glob("experiments/*.json"))]
    if not found:
        raise UserError(f"no results in {folder / 'cells'}: run `python -m lib run` first")
    of_cells = parts(study)
    _refuse_others(folder, of_cells)
    return [{**result, "part": of_cells[result["id"]]} for result in found]


def parts(study: str) -> dict[str, str]:
    """The part of every cell that makes a study, by id, whether it is finished or not; UserError if that is unknown."""
    path = study_dir(study) / "parts.json"
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        remedy = f"run `python -m lib figures <grid> --study {study}`"
        raise UserError(f"{path} cannot be read ({error}): {remedy}") from None


def write_parts(study: str, cells: Mapping[Cell, str]) -> None:
    """Note in results/<study>/parts.json which cells make the study, and which part of it each is.

    Raises UserError if the folder holds results of other cells: figures and claims pool what lies there.
    """
    folder, of_cells = study_dir(study), {cell.id: part for cell, part in cells.items()}
    _refuse_others(folder, of_cells)
    with writing(folder):
        write_json(folder / "parts.json", of_cells)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Where a study's folder is written to: UserError when it cannot be."""
    try:
        yield
    except OSError as error:
        remedy = "make it writable or choose another --study"
        raise UserError(f"{folder} cannot be written ({error.strerror}): {remedy}") from None


def _refuse_others(folder, of_cells):
    if strange := sorted(path.name for path in folder.glob("experiments/*.json") if path.stem not in of_cells):
        raise UserError(
            f"{folder} holds {len(strange)} results of another grid ({strange[0]}, …): move them away or choose "
            "another --study"
        )
