"""Experiments on a Ray cluster of two nodes on this machine, one of which is lost."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from helpers import kernels, make_cell, python, stand_in, wait_for

from lib.paths import UserError
from lib.study import ray, store
from lib.study.run import MEMORY

CELLS = [make_cell(seed=seed) for seed in range(4)]
# On the nodes a stand-in for the training, which the script carries there.
RUN = """
from pathlib import Path
from helpers import make_cell
from lib.study import ray, run

def run_cell(*arguments, folder=sys.argv[2], original=ray.run_cell):
    run.NOTEBOOKS = Path(folder)
    return original(*arguments)

ray.run_cell = run_cell
cells = dict.fromkeys([make_cell(seed=seed) for seed in range(4)], "main")
sys.exit(len(run.run(cells, sys.argv[1], *ray.connect(1))))
"""
# nobody but this test talks to the cluster; a lost node is noticed within seconds
SETTINGS = {
    "RAY_AUTH_MODE": "disabled", "RAY_health_check_initial_delay_ms": "1000", "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000", "RAY_health_check_failure_threshold": "3", "RAY_worker_niceness": "0",
}  # fmt: skip


TOO_SLOW = "Ray itself gives a node 30 seconds to start and its agents 15, and this machine is too loaded for that"
COMMON = ["--num-cpus=1", f"--memory={MEMORY}", "--object-store-memory=80000000", "--block", "--disable-usage-stats"]


@pytest.fixture
def two_nodes():
    """The address of a cluster of two nodes of one core each, and the processes of the second."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # its sockets want a short path
    log, address = Path(folder) / "log", f"127.0.0.1:{port}"
    head = ["--head", f"--port={port}", "--node-ip-address=127.0.0.1",
            "--include-dashboard=false", f"--temp-dir={folder}"]  # fmt: skip
    nodes = []
    try:
        for arguments in (head, [f"--address={address}"]):
            command = [str(Path(sys.executable).parent / "ray"), "start", *arguments, *COMMON]
            with log.open("a") as printed:
                nodes.append(subprocess.Popen(command, env={**os.environ, **SETTINGS}, stdout=printed, stderr=printed))
            wait_for(lambda: nodes[-1].poll() is not None or log.read_text().count("Ray runtime started") == len(nodes))
            if "timed out during startup" in log.read_text():
                pytest.skip(TOO_SLOW)
            assert nodes[-1].poll() is None, log.read_text()[-2000:]
        yield address, nodes[1]
    finally:
        for node in nodes:
            _kill_all(node.pid)
        shutil.rmtree(folder, ignore_errors=True)


def _kill_all(pid):
    if psutil.pid_exists(pid):
        for one in [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):  # a node's processes end with it
                one.send_signal(signal.SIGKILL)


def test_a_lost_node_loses_no_experiment(study, two_nodes, tmp_path):
    address, lost = two_nodes
    go = tmp_path / "go"
    folder = stand_in(tmp_path / "notebooks", f"while not os.path.exists({str(go)!r}): time.sleep(0.1)")
    run = subprocess.Popen(
        python(RUN, study, str(folder)), env={**os.environ, **SETTINGS, "RAY_ADDRESS": address},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    wait_for(lambda: kernels(lost.pid))
    _kill_all(lost.pid)
    go.touch()
    said, _ = run.communicate(timeout=500)
    assert run.returncode == 0, said
    assert "4 experiments, 0 done, 4 to run, 2 at a time" in said
    assert [result["id"] for result in store.load(study)] == sorted(cell.id for cell in CELLS)


def test_a_cluster_that_is_started_here_is_reached_from_here_alone(tmp_path):
    code = """
import os, psutil
from lib.study import ray
print(ray.connect(1)[0])
processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
open_to_all = {c.laddr for p in processes for c in p.net_connections("tcp") if c.status == "LISTEN"}
assert open_to_all and all(ip in ("127.0.0.1", "::1", "::ffff:127.0.0.1") for ip, _ in open_to_all), open_to_all
assert os.umask(0o022) == 0o022
"""
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"} | {"HOME": str(tmp_path)}
    done = subprocess.run(
        ["sh", "-c", 'umask 022; exec "$@"', "-", *python(code)], env=environment, capture_output=True, text=True
    )
    if "timed out during startup" in done.stderr:
        pytest.skip(TOO_SLOW)
    assert done.returncode == 0 and done.stdout.strip() == "1", done.stderr
    tokens = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.stat().st_mode & 0o077 == 0 for path in tokens), tokens


def test_a_cluster_that_is_not_there_is_said_in_one_line(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(UserError, match="no Ray cluster at RAY_ADDRESS=127.0.0.1:1"):
        ray.connect(1)


@pytest.mark.parametrize(
    ("nodes", "gpus", "slots"),
    [
        ([{"CPU": 8, "GPU": 4, "memory": 1e12}, {"CPU": 8, "GPU": 2, "memory": 1e12}], None, 6),
        ([{"CPU": 64, "GPU": 2, "memory": 1e12}], 0.25, 8),
        ([{"CPU": 64, "GPU": 2, "memory": 1e12}], 0.333, 6),
        ([{"CPU": 2, "memory": 2 * MEMORY}, {"CPU": 2, "memory": 1.5 * MEMORY}], None, 3),
        ([{"CPU": 2, "memory": MEMORY / 2}, {"CPU": 2, "memory": MEMORY / 2}], None, 0),
    ],
)
def test_each_experiment_takes_a_core_its_memory_and_a_share_of_a_gpu_where_there_are_any(
    nodes, gpus, slots, monkeypatch
):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray.init", lambda *_, **__: None)
    monkeypatch.setattr("ray.nodes", lambda: [{"Alive": True, "Resources": node} for node in nodes])
    if not slots:
        with pytest.raises(UserError, match="no node of the Ray cluster has what an experiment takes"):
            ray.connect(8, gpus)
    else:
        needs = {"num_cpus": 1, "memory": MEMORY, "num_gpus": gpus or float("GPU" in nodes[0])}
        count, engine = ray.connect(8, gpus)
        assert (count, engine.keywords) == (slots, needs)
