"""Many experiments on a Ray cluster: the same function as on one machine, on as many machines as there are."""

import os
import socket
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial

from lib.cell import Cell
from lib.paths import ROOT, UserError
from lib.study.run import MEMORY, Engine, run_cell
from lib.train.weights import first_line

# What the code does not need. The rest of the project travels to the nodes, so that all of them run this code.
EXCLUDES = ["/.git", "/.venv", "/results", "/tests"]


def connect(jobs: int, gpus: float | None = None, memory: int = MEMORY) -> tuple[int, Engine]:
    """Connect to the cluster at RAY_ADDRESS, or start one of `jobs` cores here, which no other machine can reach.

    Returns how many experiments it runs at once, each on a core with `memory` (bytes) and `gpus`, a share of a card
    (default: all of one, if any); and the engine. Raises UserError for no answer, and for nodes that are too small.
    """
    address = os.environ.get("RAY_ADDRESS")
    here = {} if address else {"num_cpus": jobs, "include_dashboard": False}
    if not address:  # what Ray calls so keeps all of its ports to this machine, as it does by default on a Mac
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    import ray  # which reads it

    mask = os.umask(0o077)  # the files of a cluster that is started here are their owner's alone
    try:
        if address and ":" in address:  # Ray itself would try for minutes
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=10).close()
        code = {"working_dir": str(ROOT), "excludes": EXCLUDES}
        ray.init(address or "local", runtime_env=code, log_to_driver=False, logging_level="WARNING", **here)
    except Exception as error:  # another version of Python or Ray, no answer: Ray raises a bare Exception, too
        where = f"at RAY_ADDRESS={address}" if address else "could be started here"
        raise UserError(f"no Ray cluster {where}: {first_line(error)}") from None
    finally:
        os.umask(mask)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = gpus if gpus is not None else float(any("GPU" in node for node in nodes))
    needs = {"CPU": 1, "memory": memory} | ({"GPU": gpus} if gpus else {})
    # a share such as 0.333 is rounded, so that as many as meant fit on a card
    slots = sum(int(min(node.get(name, 0) / amount + 1e-3 for name, amount in needs.items())) for node in nodes)
    if not slots:
        raise UserError(f"no node of the Ray cluster has what an experiment takes ({needs}): they have {nodes}")
    return slots, partial(run, num_cpus=1, memory=memory, num_gpus=gpus)


@contextmanager
def run(cells: list[Cell], study: str, _jobs: int, **needs: float) -> Iterator[dict[Future, Cell]]:
    """Experiments on the connected cluster, which runs one whose node is lost again: the future of each Outcome."""
    import ray

    task = ray.remote(run_cell).options(**needs)
    try:
        yield {task.remote(cell, study, 1).future(): cell for cell in cells}
    except BaseException:  # interrupted, or a result could not be written
        ray.shutdown()  # ends what still runs
        raise
