"""Many cells on a Ray cluster: the same function as on one machine, on as many machines as there are."""

import math
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence

from lib.cell import Cell
from lib.paths import ROOT, UserError
from lib.study import plan, processes
from lib.study.processes import Outcome

# What the code does not need. The rest of the project travels to the nodes, so that all of them run this code.
EXCLUDES = ["/.git", "/.venv", "/results", "/tests"]
# A cell whose node or worker is lost is run again, on another node; one that fails is not.
RETRIES = 3
# Of a GPU's memory: bytes a parameter with adapters (bfloat16 weights), and with every weight trained (float32 weights,
# gradients and Adam's two moments); and what CUDA, activations and a batch of questions take besides, a guess.
ADAPTERS, WHOLE, BESIDES = 2, 16, 8 * 2**30
# More cells on one card gain little, however small: their kernels take turns.
CELLS_A_CARD = 4


def connect(jobs: int, cells: Sequence[Cell] = ()) -> int:
    """Connect to the cluster at RAY_ADDRESS, or start one here; returns how many cells it runs at once.

    Where the cluster has GPUs, each cell takes its share of one (of `cells` the largest counts, without them a whole
    card); beside it, or instead, a core and the memory of a cell. `jobs` is the number of cores of a cluster that is
    started here. Raises UserError for a cluster that cannot be reached, or whose nodes are all too small for a cell.
    """
    import ray

    address = os.environ.get("RAY_ADDRESS")
    try:
        if address and ":" in address:  # Ray itself would try for minutes
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(
            address=address or "local",
            num_cpus=None if address else jobs,
            runtime_env={"working_dir": str(ROOT), "excludes": EXCLUDES},
            log_to_driver=False,
            logging_level="WARNING",
        )
    except (OSError, ValueError, RuntimeError) as error:  # also for another version of Python or Ray
        raise UserError(f"no Ray cluster at RAY_ADDRESS={address}: {str(error).strip().splitlines()[0]}") from None
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    card = _card_memory()
    needs = max((_needs(cell, card) for cell in cells), key=lambda of: of.get("GPU", 0), default=_needs())
    # the shares are rounded down, so that as many as planned fit on a card
    slots = sum(int(min(node.get(name, 0) / amount + 1e-3 for name, amount in needs.items())) for node in nodes)
    if not slots:
        raise UserError(f"no node of the Ray cluster has what a cell takes ({needs}): they have {nodes}")
    return slots


def run(cells: list[Cell], study: str, jobs: int, listen: processes.Listen) -> Iterator[tuple[Cell, Outcome]]:
    """Run cells on the connected cluster; yields each as it ends. The results travel in the tasks' return values;
    the stages of running cells do not."""
    import ray

    card = _card_memory()
    task = ray.remote(processes.run_cell)
    try:
        running = {}
        for cell in cells:
            needs = _needs(cell, card)
            ready = task.options(
                num_cpus=needs["CPU"], num_gpus=needs.get("GPU", 0), memory=needs["memory"], max_retries=RETRIES
            )
            running[ready.remote(cell, study, needs["CPU"])] = cell
        while running:
            (ended,), _ = ray.wait(list(running))
            cell = running.pop(ended)
            try:
                outcome = ray.get(ended)
            except ray.exceptions.RayError as error:
                outcome = Outcome(None, f"{type(error).__name__}: {str(error).strip().splitlines()[0]}", None, None)
            yield cell, outcome
    except BaseException:  # interrupted, or a result could not be written
        ray.shutdown()  # ends what still runs
        raise


def gpu_share(cell: Cell, card: int | None) -> float:
    """The share of a card with so many bytes of memory that a cell takes: one, or a half, third or quarter for a small
    model. One where the memory or the model's size is not known."""
    size = plan.parameters(cell.model)
    if card is None or size is None:
        return 1
    fit = card // (size * (WHOLE if cell.format != "none" and not cell.lora_rank else ADAPTERS) + BESIDES)
    return math.floor(1e4 / max(1, min(CELLS_A_CARD, fit))) / 1e4  # Ray counts in ten-thousandths


def _needs(cell=None, card=None):
    """What a cell takes of the cluster, by Ray's names of resources."""
    import ray

    gpu = {"GPU": gpu_share(cell, card) if cell else 1} if ray.cluster_resources().get("GPU") else {}
    return {"CPU": 1, "memory": processes.MEMORY, **gpu}


def _card_memory():
    """Bytes of the smallest GPU of a node that has one; None where there is none, or its driver does not say.

    The cards of a cluster are taken to be alike: one node is asked.
    """
    import ray

    if not ray.cluster_resources().get("GPU"):
        return None
    try:
        return ray.get(ray.remote(smallest_card).options(num_cpus=0, num_gpus=0.01).remote(), timeout=60)
    except ray.exceptions.RayError:
        return None


def smallest_card() -> int | None:
    """Bytes of the smallest NVIDIA GPU of this machine, as its driver says; None where there is none."""
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return None
    return min((int(mib) for mib in listed if mib.isdigit()), default=0) * 2**20 or None
