"""Result files: written whole or not at all, and read with their damage named. And what it takes to judge a run."""

import hashlib
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import distributions
from pathlib import Path
from typing import Literal

import psutil
import yaml
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from lib.cell import Cell
from lib.paths import RESULTS, ROOT, UserError
from lib.study.grid import load_grid

SCHEMA = 4  # raised when files change, and when training does in what no parameter tells: results cannot be compared
PACKAGES = "torch transformers trl peft unsloth unsloth_zoo triton datasets papermill numpy".split()
# What every reader of a result relies on; other fields may stand beside these.
RESULT = TypeAdapter(TypedDict("Result", {
    "schema": Literal[SCHEMA], "study": str, "id": str, "cell": Cell, "evals": dict[str, dict[str, float | None]],
    "facts": TypedDict("Facts", {"ids": list[str], "info": list[str]}),
    "items": list[TypedDict("Item", {
        "eval": str, "fact": str, "info": str, "question": str, "expected": str, "answer": str, "strict": bool | None,
    })],
    "training": TypedDict("Training", {
        "tokens": int, "seconds": float, "tokens_per_second": float, "losses": list[float],
        "curve": list[TypedDict("Point", {"step": int, "exposures": float, "recall": str, "question": str})],
    }) | None,
    "manifest": TypedDict("Manifest", {
        "seconds": float, "dtype": str, "threads": int, "versions": dict[str, str | None], "device_name": str | None,
        "git_commit": str | None,
    }),
}))  # fmt: skip


def study_dir(study: str) -> Path:
    """results/<study>; UserError for a name that is a path."""
    if not study or Path(study).name != study or study.startswith("."):
        raise UserError(f"study {study!r}: expected the name of a folder in {RESULTS}")
    return RESULTS / study


def cell_path(study: str, cell: Cell) -> Path:
    """The result file of an experiment."""
    return study_dir(study) / "experiments" / f"{cell.id}.json"


def write_json(path: Path, value) -> None:
    """Write JSON whole or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write so that a reader sees the old file or the whole new one, whenever the writer is killed. Raises UserError,
    which names the file, where it cannot be written."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
            with open(Path(scratch) / path.name, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(file.name, path)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Where something is written: UserError with its path when it cannot be."""
    try:
        yield
    except OSError as error:
        remedy = "make it writable, make room, or choose another --study"
        raise UserError(f"{path} cannot be written ({error.strerror}): {remedy}") from None


def read(path: Path) -> dict:
    """A result file; UserError says how it is damaged and what to do."""
    try:
        if not path.is_file():  # of a pipe nothing would ever come
            raise OSError("not a file")
        text = path.read_bytes()
        if found := re.match(rb'{\s*"schema": (?!%d\b)(\d+)' % SCHEMA, text):
            raise UserError(f"{path} is of another version of this code (schema {int(found[1])}): see CHANGELOG.md")
        result = RESULT.validate_json(text, strict=True)
        if not result["cell"].id == result["id"] == path.stem:
            raise OSError(f"it holds the parameters of experiment {result['cell'].id}")
        return json.loads(text)
    except ValidationError as error:
        first = error.errors()[0]
        damage = f"{'.'.join(map(str, first['loc'])) or 'JSON'}: {first['msg']}"
    except OSError as error:
        damage = error
    raise UserError(f"{path} is damaged ({damage}): delete it and run the study again")


def load(study: str) -> list[dict]:
    """Every result of a study with its `part`, ordered by file name; UserError if there is none or one is damaged."""
    results, part = [read(path) for path in files(study)], parts(study)
    refuse_others(study, part)
    return [{**result, "part": part[result["id"]]} for result in results]


def files(study: str) -> list[Path]:
    """The result files of a study, ordered; UserError if there is none."""
    folder = study_dir(study) / "experiments"
    if paths := sorted(folder.glob("*.json")):
        return paths
    raise UserError(f"no results in {folder}: run `python -m lib run` first")


def parts(study: str) -> dict[str, str]:
    """The part of every experiment of a study, by id, finished or not; UserError if its grid.yaml cannot be read."""
    try:
        return {cell.id: part for cell, part in load_grid(str(study_dir(study) / "grid.yaml")).items()}
    except UserError as error:
        raise UserError(f"{error}; `python -m lib figures <grid> --study {study}` writes it anew") from None


def write_parts(study: str, cells: Mapping[Cell, str]) -> None:
    """Note in results/<study>/grid.yaml which experiments make the study, and which part of it each is."""
    refuse_others(study, {cell.id for cell in cells})
    blocks = []
    for cell, part in cells.items():
        rank = {} if cell.format == "none" else {"lora_rank": cell.lora_rank}  # a grid must say it, 0 too
        blocks.append({"part": part, **cell.model_dump(exclude_defaults=True), **rank})
    text = yaml.safe_dump(blocks, default_flow_style=None, sort_keys=False, allow_unicode=True, width=10**6)
    write_text(study_dir(study) / "grid.yaml", text)


def refuse_others(study: str, ids: Container[str]) -> None:
    """Raises UserError for results of other experiments in the folder of a study: what lies there is pooled."""
    folder = study_dir(study)
    if strange := sorted(path.name for path in folder.glob("experiments/*.json") if path.stem not in ids):
        found = f"{folder} holds {len(strange)} results of another grid ({strange[0]}, …)"
        raise UserError(f"{found}: move them away or choose another --study")


def manifest(model_name: str, facts: Sequence, model) -> dict:
    """Machine, versions, hashes, seconds and peak memory of this process; None where a thing is unknown."""
    import torch

    from lib.train.weights import sha256

    unit = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss: bytes on a Mac, else kB
    gpu = torch.cuda if model.device.type == "cuda" else None
    return {
        "backend": "unsloth", "device": str(model.device), "cuda": torch.version.cuda,
        "device_name": gpu.get_device_name() if gpu else cpu_name(),
        "gpu_memory_mb": round(gpu.get_device_properties(0).total_memory / 2**20) if gpu else None,
        "gpu_peak_memory_mb": round(gpu.max_memory_allocated() / 2**20) if gpu else None,
        "block_compile": os.environ.get("UNSLOTH_BLOCK_COMPILE") == "1" if gpu else None,
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."), "threads": torch.get_num_threads(),
        "versions": {name: next((found.version for found in distributions(name=name)), None) for name in PACKAGES},
        "git_commit": git_commit(), "model_sha256": sha256(model_name),
        "facts_sha256": hashlib.sha256(repr(list(facts)).encode()).hexdigest(),
        "seconds": round(time.time() - psutil.Process().create_time(), 1),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit),
    }  # fmt: skip


def git_commit() -> str | None:
    """The commit of this code, with "+changes" when files differ from it; None outside a git checkout."""
    text = git("status", "--porcelain=v2", "--branch", "--", "lib", "notebooks")
    return text and re.search(r"branch.oid (\S+)", text)[1] + ("+changes" if re.search(r"^[^#]", text, re.M) else "")


def git(*command: str) -> str | None:
    """What git says of this checkout; None where there is none."""
    try:
        return subprocess.run(["git", "-C", ROOT, *command], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def cpu_name() -> str | None:
    """The processor's name, if the system tells it."""
    listed = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*: (.+)$", listed.read_text(encoding="utf-8") if listed.exists() else "", re.M)
    return named[1].strip() if named else platform.processor() or None
