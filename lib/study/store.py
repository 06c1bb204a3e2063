"""Result files: written whole or not at all, read with their damage named, and turned into tidy tables."""

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from lib.study.cell import Cell, from_parameters
from lib.errors import UserError
from lib.paths import RESULTS

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
    return study_dir(study) / "cells" / f"{cell.id}.json"


def write_json(path: Path, value) -> None:
    """Write JSON whole or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write so that a reader sees the old file or the whole new one, whenever the writer is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


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
    except (UserError, TypeError) as error:
        raise UserError(f"{path} does not hold a cell of this version ({error}): {remedy}") from None
    if not cell.id == result["id"] == path.stem:
        raise UserError(f"{path} holds the parameters of cell {cell.id}: {remedy}")
    return result


def load(study: str) -> list[dict]:
    """Every result of a study, ordered by file name; UserError if there is none or one is damaged."""
    folder = study_dir(study) / "cells"
    found = [read(path) for path in sorted(folder.glob("*.json"))]
    if not found:
        raise UserError(f"no results in {folder}: run `python -m lib run` first")
    return found


def check_belongs(study: str, cells: list[Cell]) -> None:
    """Raises UserError if the study's folder holds results of cells that are not of this grid.

    Figures and claims pool what lies in the folder: cells of an older grid would be pooled in silently.
    """
    ids = {cell.id for cell in cells}
    folder = study_dir(study) / "cells"
    strange = sorted(path.name for path in folder.glob("*.json") if path.stem not in ids)
    if strange:
        raise UserError(
            f"{folder} holds {len(strange)} results of another grid ({strange[0]}, …): move them away or choose "
            "another --study"
        )


def items(results: list[dict]) -> pd.DataFrame:
    """One row per answered question: the cell's parameters, its id, the item's fields, and two scores more.

    `chance` is a blind choice in this evaluation, and `corrected` the closed-set score corrected for it:
    (choice - chance) / (1 - chance), 0 for guessing and 1 for knowing. A score that does not apply is missing.
    """
    rows = []
    for result in results:
        parameters, chance = _parameters(result), _chance(result)
        rows += [{**parameters, "chance": chance[item["eval"]], **item} for item in result["items"]]
    return _scored(pd.DataFrame(rows))


def curves(results: list[dict]) -> pd.DataFrame:
    """The items of every checkpoint, with `step` and `exposures` of a fact so far; empty if no cell has any."""
    rows = []
    for result in results:
        parameters, chance = _parameters(result), _chance(result)
        for point in result["training"].get("curve", []):  # results from before there were checkpoints have none
            at = {**parameters, "step": point["step"], "exposures": point["exposures"]}
            rows += [{**at, "chance": chance[item["eval"]], **item} for item in point["items"]]
    return _scored(pd.DataFrame(rows)) if rows else pd.DataFrame()


def along_training(results: list[dict]) -> pd.DataFrame:
    """The items of the cells with checkpoints, those of the finished model last: columns as of `curves`."""
    points, finished = curves(results), items(results)
    if points.empty:
        return points
    last = finished[finished["id"].isin(points["id"])]
    # of a token budget, the epochs that it came to
    epochs = {result["id"]: result["training"].get("epochs", result["cell"]["epochs"]) for result in results}
    return pd.concat([points, last.assign(exposures=last["paraphrases"] * last["id"].map(epochs))], ignore_index=True)


def costs(results: list[dict]) -> pd.DataFrame:
    """One row for each cell with all evaluations: parameters, `arm` (its format, or tone), what its training cost.

    `general`: share of the general questions answered; `perplexity` of the fixed text; `asserted`: share of unseen
    entities of which a value of the closed set is asserted (missing for tones).
    """
    rows = []
    for result in results:
        evals = result["evals"]
        if "forgetting" in evals:
            asserted = 1 - evals["untrained"]["strict"] if "untrained" in evals else None
            cost = {"general": evals["forgetting"]["strict"], "perplexity": evals["forgetting"]["perplexity"]}
            arm = "tone" if result["cell"]["info"] == "tone" else result["cell"]["format"]
            rows.append({**_parameters(result), "arm": arm, **cost, "asserted": asserted})
    return pd.DataFrame(rows)


def _parameters(result):
    return {**asdict(from_parameters(result["cell"])), "id": result["id"]}


def _chance(result):
    return {name: score["chance"] for name, score in result["evals"].items()}


def _scored(frame):
    scores = {name: "boolean" for name in ("strict", "lenient", "choice") if name in frame}
    frame = frame.astype({**scores, "chance": float})
    return frame.assign(
        corrected=(frame["choice"].astype("Float64").astype(float) - frame["chance"]) / (1 - frame["chance"])
    )


def cells(results: list[dict]) -> pd.DataFrame:
    """One row per cell: parameters, id, facts used and dropped, training cost, and the manifest's numbers."""
    rows = []
    for result in results:
        cost = {key: result["training"][key] for key in ("rows", "tokens", "steps", "tokens_per_second")}
        run = {key: result["manifest"][key] for key in ("seconds", "peak_memory_mb")}
        rows.append({**_parameters(result), **result["facts"], **cost, **run})
    return pd.DataFrame(rows)
