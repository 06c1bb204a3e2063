"""Many experiments on a Ray cluster: the same function as on one machine, on as many machines as there are."""

import os
import socket
import tempfile
from functools import partial
from pathlib import Path

from lib.cell import Cell
from lib.paths import ROOT, UserError
from lib.study.run import MEMORY, SCRATCH, Engine, Events, Outcome, run_cell, sweep

# What the code does not need. The rest of the project travels to the nodes, so that all of them run this code.
EXCLUDES = ["/.git", "/.venv", "/results", "/tests"]


def connect(jobs: int, gpus: float | None = None) -> tuple[int, Engine]:
    """Connect to the cluster at RAY_ADDRESS, or start one of `jobs` cores here, which no other machine can reach.

    Returns how many experiments it runs at once, each on a core, with the memory of an experiment and `gpus`, a share
    of a card (default: a whole one where there are any); and the engine. Raises UserError for a cluster that cannot be
    reached, or whose nodes are all too small.
    """
    import ray

    address = os.environ.get("RAY_ADDRESS")
    here = {"num_cpus": jobs, "_node_ip_address": "127.0.0.1", "include_dashboard": False}
    mask = os.umask(0o077)  # the files of a cluster that is started here are their owner's alone
    try:
        if address and ":" in address:  # Ray itself would try for minutes
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address or "local", runtime_env={"working_dir": str(ROOT), "excludes": EXCLUDES}, log_to_driver=False,
                 logging_level="WARNING", **({} if address else here))  # fmt: skip
    except Exception as error:  # another version of Python or Ray, no answer: Ray raises a bare Exception, too
        where = f"at RAY_ADDRESS={address}" if address else "could be started here"
        raise UserError(f"no Ray cluster {where}: {str(error).strip().splitlines()[0]}") from None
    finally:
        os.umask(mask)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = gpus if gpus is not None else float(any("GPU" in node for node in nodes))
    needs = {"CPU": 1, "memory": MEMORY} | ({"GPU": gpus} if gpus else {})
    # a share such as 0.333 is rounded, so that as many as meant fit on a card
    slots = sum(int(min(node.get(name, 0) / amount + 1e-3 for name, amount in needs.items())) for node in nodes)
    if not slots:
        raise UserError(f"no node of the Ray cluster has what an experiment takes ({needs}): they have {nodes}")
    return slots, partial(run, num_cpus=1, memory=MEMORY, num_gpus=gpus)


def run(cells: list[Cell], study: str, _jobs: int, **needs: float) -> Events:
    """Run experiments on the connected cluster, which runs one whose node is lost again on another. Results travel in
    the tasks' return values; stages do not."""
    import ray

    task = ray.remote(_experiment).options(**needs)
    running = {task.remote(cell, study): cell for cell in cells}
    try:
        while running:
            ended, _ = ray.wait(list(running), timeout=1)
            outcomes = {}
            for one in ended:
                try:
                    outcomes[running.pop(one)] = ray.get(one)
                except ray.exceptions.RayError as error:
                    text = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
                    outcomes[running.pop(one)] = Outcome(None, text, None, None)
            yield outcomes, {}
    except BaseException:  # interrupted, or a result could not be written
        ray.shutdown()  # ends what still runs
        raise


def _experiment(cell, study):
    """One experiment on a node, which keeps no file of it."""
    sweep()
    with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}-{os.getpid()}-") as folder:
        return run_cell(cell, study, 1, Path(folder, cell.id))
