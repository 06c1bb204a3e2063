"""Cells on a Ray cluster of two nodes on this machine, one of which is lost."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from helpers import base_cell, kernels, make_cell, python, wait_for, without_timing

from lib.paths import UserError
from lib.study import processes, ray, store

CELLS = [make_cell(), make_cell(seed=1), make_cell(format="article")]
RUN = """
from helpers import make_cell
from lib.study import ray, run
cells = [make_cell(), make_cell(seed=1), make_cell(format="article")]
sys.exit(len(run.run(cells, sys.argv[1], ray.connect(1), ray.run)))
"""
# nobody but this test talks to the cluster; a lost node is noticed within seconds
SETTINGS = {
    "RAY_AUTH_MODE": "disabled", "RAY_health_check_initial_delay_ms": "1000", "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000", "RAY_health_check_failure_threshold": "3", "RAY_worker_niceness": "0",
}  # fmt: skip


@pytest.fixture
def two_nodes():
    """The address of a cluster of two nodes of one core each, and the processes of the second."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # its sockets want a short path
    common = ["--num-cpus=1", f"--memory={processes.MEMORY}", "--object-store-memory=80000000", "--block",
              "--disable-usage-stats"]  # fmt: skip
    address = f"127.0.0.1:{port}"
    head = ["--head", f"--port={port}", "--node-ip-address=127.0.0.1", "--include-dashboard=false",
            f"--temp-dir={folder}"]  # fmt: skip
    nodes = []
    with open(Path(folder) / "log", "w") as log:
        for arguments in (head, [f"--address={address}"]):
            command = [str(Path(sys.executable).parent / "ray"), "start", *arguments, *common]
            nodes.append(subprocess.Popen(command, env={**os.environ, **SETTINGS}, stdout=log, stderr=log))
            wait_for(lambda: len(re.findall("Ray runtime started", (Path(folder) / "log").read_text())) == len(nodes))
    yield address, nodes[1]
    for node in nodes:
        _kill_all(node.pid)
    shutil.rmtree(folder, ignore_errors=True)


def _kill_all(pid):
    if psutil.pid_exists(pid):
        for one in [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):  # a node's processes end with it
                one.send_signal(signal.SIGKILL)


def test_a_lost_node_loses_no_cell_and_results_equal_those_of_this_machine(study, two_nodes):
    address, lost = two_nodes
    environment = {**os.environ, **SETTINGS, "RAY_ADDRESS": address}
    run = subprocess.Popen(
        python(RUN, study), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for(lambda: kernels(lost.pid))
    _kill_all(lost.pid)
    said, _ = run.communicate(timeout=500)
    assert run.returncode == 0, said
    assert "3 cells, 0 done, 3 to run, 2 at a time" in said
    on_cluster = [store.read(store.cell_path(study, cell)) for cell in CELLS]
    here = processes.run_cell(CELLS[0], study, 1).result
    assert without_timing(here) == without_timing(on_cluster[0])


def test_a_cluster_that_is_not_there_is_said_in_one_line(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(UserError, match="no Ray cluster at RAY_ADDRESS=127.0.0.1:1"):
        ray.connect(1)


@pytest.mark.parametrize(
    ("nodes", "slots"),
    [
        ([{"CPU": 8, "GPU": 4, "memory": 1e12}, {"CPU": 8, "GPU": 2, "memory": 1e12}], 6),
        ([{"CPU": 2, "memory": 2 * processes.MEMORY}, {"CPU": 2, "memory": 1.5 * processes.MEMORY}], 3),
    ],
)
def test_each_cell_takes_a_gpu_where_there_are_any_and_a_core_otherwise(nodes, slots, monkeypatch):
    _pretend(monkeypatch, nodes)
    assert ray.connect(8) == ray.connect(8, CELLS) == slots


SMALL, LARGE = make_cell(model="Qwen/Qwen3-0.6B"), make_cell(model="Qwen/Qwen3-4B")
WHOLE = make_cell(model="Qwen/Qwen3-4B", lora_rank=0)


@pytest.mark.parametrize(
    ("cell", "gigabytes", "share"),
    [(SMALL, 80, 0.25), (SMALL, 24, 0.5), (SMALL, 16, 1), (LARGE, 80, 0.25), (LARGE, 48, 0.3333), (LARGE, 24, 1),
     (WHOLE, 80, 1), (base_cell(model="Qwen/Qwen3-4B"), 48, 0.3333), (make_cell(), 80, 1), (SMALL, None, 1)],
)  # fmt: skip
def test_small_models_share_a_card_as_far_as_its_memory_goes(cell, gigabytes, share):
    assert ray.gpu_share(cell, gigabytes and gigabytes * 2**30) == share


def test_as_many_cells_run_at_once_as_the_largest_of_them_fits_on_the_cards(monkeypatch):
    _pretend(monkeypatch, [{"CPU": 64, "GPU": 2, "memory": 1e12}], card=48 * 2**30)
    assert ray.connect(8, [SMALL]) == 8 and ray.connect(8, [SMALL, LARGE]) == 6


def test_the_memory_of_the_smallest_card_is_what_its_driver_says(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ray.smallest_card() is None
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 81559\necho 24564\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert ray.smallest_card() == 24564 * 2**20
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho has failed; exit 9\n")
    assert ray.smallest_card() is None


def test_a_cluster_of_nodes_too_small_for_a_cell_is_refused(monkeypatch):
    _pretend(monkeypatch, [{"CPU": 2, "memory": processes.MEMORY / 2}, {"CPU": 2, "memory": processes.MEMORY / 2}])
    with pytest.raises(UserError, match="no node of the Ray cluster has what a cell takes"):
        ray.connect(8)


def _pretend(monkeypatch, nodes, card=None):
    monkeypatch.setattr(ray, "_card_memory", lambda: card)
    total = {name: sum(node.get(name, 0) for node in nodes) for name in ("CPU", "GPU", "memory")}
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray.init", lambda **_: None)
    monkeypatch.setattr("ray.nodes", lambda: [{"Alive": True, "Resources": node} for node in nodes])
    monkeypatch.setattr("ray.cluster_resources", lambda: total)
