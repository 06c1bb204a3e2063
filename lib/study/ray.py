"""Many cells on a Ray cluster: the same function as on one machine, on as many machines as there are."""

import os
import socket
from collections.abc import Iterator

from lib.errors import UserError
from lib.paths import ROOT
from lib.study import processes
from lib.study.cell import Cell
from lib.study.processes import Outcome

# What the code does not need. The rest of the project travels to the nodes, so that all of them run this code.
EXCLUDES = ["/.git", "/.venv", "/results", "/tests"]
# A cell whose node or worker is lost is run again, on another node; one that fails is not.
RETRIES = 3


def connect(jobs: int) -> int:
    """Connect to the cluster at RAY_ADDRESS, or start one here; returns how many cells it runs at once.

    Where the cluster has GPUs, each cell takes one; beside it, or instead, a core and the memory of a cell. `jobs` is
    the number of cores of a cluster that is started here. Raises UserError for a cluster that cannot be reached, or
    whose nodes are all too small for a cell.
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
    slots = sum(int(min(node.get(name, 0) // amount for name, amount in _needs().items())) for node in nodes)
    if not slots:
        raise UserError(f"no node of the Ray cluster has what a cell takes ({_needs()}): they have {nodes}")
    return slots


def run(cells: list[Cell], study: str, jobs: int, listen: processes.Listen) -> Iterator[tuple[Cell, Outcome]]:
    """Run cells on the connected cluster; yields each as it ends. The results travel in the tasks' return values;
    the stages of running cells do not."""
    import ray

    needs = _needs()
    task = ray.remote(processes.run_cell).options(
        num_cpus=needs["CPU"], num_gpus=needs.get("GPU", 0), memory=needs["memory"], max_retries=RETRIES
    )
    threads = needs["CPU"]
    try:
        running = {task.remote(cell, study, threads): cell for cell in cells}
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


def _needs():
    """What a cell takes of the cluster, by Ray's names of resources."""
    import ray

    gpu = {"GPU": 1} if ray.cluster_resources().get("GPU") else {}
    return {"CPU": 1, "memory": processes.MEMORY, **gpu}
