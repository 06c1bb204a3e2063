"""`make gpu-check`: one published cell once more on a GPU, beside the CPU's result."""

import statistics

from rich.console import Console
from rich.table import Table

from lib.commands.reproduce import shares
from lib.errors import UserError
from lib.study import processes, store
from lib.study.grid import load_grid

LOSS = 0.15  # by which share the mean losses may differ


def gpu_check() -> bool:
    """Run a question cell of the quick grid on the GPU; whether it agrees with the published one.

    It agrees when the facts, the model and the rows are the same, the mean loss is about the same, and each strict
    share of the GPU lies within the 95 % interval of the CPU's. Losses are not compared step by step: rounding on a GPU
    gives the untrained model other answers to replay, and their lengths decide in which step a row is trained.
    """
    if not processes.has_gpu():
        raise UserError("no NVIDIA GPU here: there is nothing to check")
    cell = next(cell for cell in load_grid("quick") if (cell.format, cell.entity) == ("qa", "fictional"))
    published = store.read(store.cell_path("quick", cell))
    outcome = processes.run_cell(cell, "gpu-check", processes.cores())
    if outcome.error:
        print(f"{outcome.log}\nFAILED: {outcome.error}")
        return False
    return not compare(published, outcome.result)


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
