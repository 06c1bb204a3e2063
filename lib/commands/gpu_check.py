"""`make gpu-check`: does every step of the study work on this GPU? And one published cell beside the CPU's result."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lib.commands.reproduce import shares
from lib.paths import ROOT, UserError
from lib.study import processes, store
from lib.study.grid import load_grid
from lib.train.model import one_gpu

LOSS = 0.15  # by which share the mean losses may differ
PINS = ("requirements.txt", "requirements-nodeps.txt", "requirements-gpu.txt")


@dataclass(frozen=True)
class Check:
    """One line of the check: what is looked at, the function that says what it found or raises UserError, the fix."""

    name: str
    look: Callable[[Path], str]  # given the file that replay rows go through
    fix: str
    needed: bool = False  # nothing after it can work


def gpu_check() -> bool:
    """Run every check, a line each, with what to do where one fails; whether none failed.

    Raises UserError on a machine without a GPU.
    """
    if not processes.has_gpu():
        raise UserError("no NVIDIA GPU here: there is nothing to check")
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for check in CHECKS:
            try:
                print(f"ok      {check.name}: {check.look(Path(folder) / 'replay.json')}", flush=True)
            except Exception as error:  # whatever it is, the other checks are still to be seen
                said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
                print(f"FAILED  {check.name}: {said}\n        fix: {check.fix}", flush=True)
                failed.append(check.name)
                if check.needed:
                    break
    print(f"failed: {', '.join(failed)}" if failed else "this GPU is ready: make study GRID=gpu-quick")
    return not failed


def driver(_: Path) -> str:
    """Name, memory and driver of each GPU, as NVIDIA's own tool lists them."""
    if not shutil.which("nvidia-smi"):
        raise UserError("there is no nvidia-smi")
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    ended = subprocess.run(query, capture_output=True, text=True)
    said = (ended.stdout + ended.stderr).strip().splitlines() or ["nvidia-smi lists no GPU"]
    if ended.returncode or not ended.stdout.strip():
        raise UserError(said[0])
    return "; ".join(said)


def versions(_: Path) -> str:
    """The versions that matter, every one as it is pinned."""
    wrong = []
    for line in (line.split("#")[0].strip() for file in PINS for line in (ROOT / file).read_text().splitlines()):
        name, _, pin = line.partition("==")
        if pin and (found := installed(name)) != pin:
            wrong.append(f"{name} is {found} and not {pin}")
    if wrong:
        raise UserError(", ".join(wrong))
    return ", ".join(f"{name} {installed(name)}" for name in ("torch", "triton", "unsloth", "trl", "transformers"))


def installed(package: str) -> str | None:
    """The version of an installed package without its build ("+cu130"); None if it is not installed."""
    try:
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        return None


def torch_sees_it(replay: Path) -> str:
    """What torch says of the GPU, in a process that ends: this one must not start CUDA."""
    found = _part("card", replay)
    precision = "bfloat16" if found["bfloat16"] else "no bfloat16, so all is computed in float32"
    return f"CUDA {found['cuda']}, compute capability {found['capability']}, {precision}"


def train_adapters(replay: Path) -> str:
    """Forward, training with adapters and a checkpoint, in a process."""
    found = _part("adapters", replay)
    return f"perplexity {found['perplexity']:.1f}, {told(found)}"


def train_whole(replay: Path) -> str:
    """Training of every weight and a checkpoint, in a process."""
    return told(_part("whole", replay))


def told(found: dict) -> str:
    """What a training found, in one line."""
    first, last = found["losses"]
    memory = "" if found["memory_gb"] is None else f", {found['memory_gb']:.1f} GiB at the peak"
    return (
        f"loss {first:.2f} to {last:.2f}, {found['recalled']} of {found['facts']} facts recalled at the checkpoint, "
        f"{found['examples_per_second']:.0f} examples/s, {found['dtype']}{memory}"
    )


def published_cell(_: Path) -> str:
    """A question cell of the quick grid beside the published one.

    It agrees when the facts, the model and the rows are the same, the mean loss is about the same, and each strict
    share of the GPU lies within the 95 % interval of the CPU's. Losses are not compared step by step: rounding on a GPU
    gives the untrained model other answers to replay, and their lengths decide in which step a row is trained.
    """
    cell = next(cell for cell in load_grid("quick") if (cell.format, cell.entity) == ("qa", "fictional"))
    outcome = processes.run_cell(cell, "gpu-check", processes.cores())
    if outcome.error:
        print(outcome.log)
        raise UserError(outcome.error)
    if differs := compare(store.read(store.cell_path("quick", cell)), outcome.result):
        raise UserError(f"not as on the CPU: {', '.join(differs)}")
    return f"{cell} agrees with the published result of a CPU"


def defaults(replay: Path) -> str:
    """Examples a second of the same rows with the defaults of TRL and of Unsloth, the first steps not counted."""
    if not replay.exists():
        raise UserError("there are no replay rows to measure with, because the training with adapters failed")
    plain, unsloth = (
        _part(part, replay, "lib.commands.speeds")["examples_per_second"] for part in ("plain_trl", "unsloth_defaults")
    )
    return f"plain TRL {plain:.0f} examples/s, Unsloth's defaults {unsloth:.0f} examples/s, beside ours of 'adapters'"


def _part(name, replay, module="lib.commands.gpu_parts"):
    """What a part printed in a process of its own. Raises UserError with the last line of its errors if it failed."""
    command = [sys.executable, "-m", module, name, str(replay)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": one_gpu()}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if ended.returncode:
        raise UserError((ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1])
    return json.loads(ended.stdout.strip().splitlines()[-1])


ALONE = "run nothing else on the card (nvidia-smi lists it); docs/gpu-audit.md says what this step relies on"
CHECKS = (
    Check("driver", driver, "install NVIDIA's driver, or start the container with its GPUs (--gpus all)", needed=True),
    Check("versions", versions, "make env GPU=1, in this folder", needed=True),
    Check("torch", torch_sees_it, "make clean env GPU=1; for an old driver see docs/gpu.md", needed=True),
    Check("adapters", train_adapters, ALONE),
    Check("every weight", train_whole, ALONE),
    Check("published cell", published_cell, "compare the table above; docs/gpu-audit.md says what may differ"),
    Check("speeds", defaults, "nothing that the study needs failed; the line above says which library did"),
)


def compare(cpu: dict, gpu: dict) -> list[str]:
    """Print two results of a cell side by side; the names of what differs by more than it may."""
    both = (cpu, gpu)
    names = [result["manifest"]["device_name"] for result in both]
    rows = [("device", *names, gpu["manifest"]["device"].startswith("cuda"))]
    for key in ("facts_sha256", "model_sha256"):
        left, right = (result["manifest"][key] for result in both)
        rows.append((key, left[:12], right[:12], left == right))
    trained = [result["training"] for result in both]
    for key in ("rows", "replay", "steps"):
        rows.append((key, *(of[key] for of in trained), trained[0][key] == trained[1][key]))
    told = [of["tokens"] - of["replay_tokens"] for of in trained]
    rows.append(("tokens about facts", *told, told[0] == told[1]))
    left, right = (statistics.mean(of["losses"]) for of in trained)
    rows.append(("mean loss", f"{left:.3f}", f"{right:.3f}", abs(left - right) < LOSS * left))
    rows += shares(cpu, gpu)
    rows.append(("tokens/s", *(f"{of['tokens_per_second']:.0f}" for of in trained), True))
    table = Table("", "published, on a CPU", "here, on a GPU", "")
    for name, left, right, agrees in rows:
        table.add_row(name, str(left), str(right), "" if agrees else "DIFFERS")
    Console().print(table)
    return [name for name, _, _, agrees in rows if not agrees]
