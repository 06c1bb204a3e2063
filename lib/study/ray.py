"""Many experiments on a Ray cluster: the same function as on one machine, on as many machines as there are."""

import os
import socket
import tempfile
from pathlib import Path

from lib.cell import Cell
from lib.paths import ROOT, UserError
from lib.study.run import MEMORY, SCRATCH, Events, Outcome, run_cell, sweep

# What the code does not need. The rest of the project travels to the nodes, so that all of them run this code.
EXCLUDES = ["/.git", "/.venv", "/results", "/tests"]
RETRIES = 3  # of an experiment whose node or worker is lost; one that fails is not run again


def connect(jobs: int, gpus: float | None = None) -> tuple[int, dict]:
    """Connect to the cluster at RAY_ADDRESS, or start one of `jobs` cores here, which no other machine can reach.

    Returns how many experiments it runs at once, and what each takes of it, by the names of ray.remote: a core, the
    memory of an experiment, and `gpus`, a share of a card (default: one where there are any). Raises UserError for a
    cluster that cannot be reached, or whose nodes are all too small.
    """
    import ray

    address = os.environ.get("RAY_ADDRESS")
    here = {"num_cpus": jobs, "_node_ip_address": "127.0.0.1", "include_dashboard": False}
    mask = os.umask(0o077)  # the files of a cluster that is started here are their owner's alone
    try:
        if address and ":" in address:  # Ray itself would try for minutes
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(
            address=address or "local",
            runtime_env={"working_dir": str(ROOT), "excludes": EXCLUDES},
            log_to_driver=False,
            logging_level="WARNING",
            **({} if address else here),
        )
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
    return slots, {"num_cpus": 1, "memory": MEMORY, "num_gpus": gpus}


def run(cells: list[Cell], study: str, needs: dict) -> Events:
    """Run experiments on the connected cluster. Results travel in the tasks' return values; stages do not."""
    import ray

    task = ray.remote(_experiment).options(max_retries=RETRIES, **needs)
    running = {task.remote(cell, study): cell for cell in cells}
    try:
        while running:
            ended, _ = ray.wait(list(running), timeout=1)
            outcomes = {}
            for one in ended:
                try:
                    outcome = ray.get(one)
                except ray.exceptions.RayError as error:
                    outcome = Outcome(None, f"{type(error).__name__}: {str(error).strip().splitlines()[0]}", None, None)
                outcomes[running.pop(one)] = outcome
            yield outcomes, {}
    except BaseException:  # interrupted, or a result could not be written
        ray.shutdown()  # ends what still runs
        raise


def _experiment(cell, study):
    """One experiment on a node, which keeps no file of it."""
    sweep()
    with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}-{os.getpid()}-") as folder:
        return run_cell(cell, study, 1, Path(folder, cell.id))
