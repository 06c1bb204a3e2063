"""`make bench`: how fast the study is, against the same work with the defaults of its libraries, in one run.

Ratios are of measurements taken in turns, because a machine is not equally fast at all times.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lib.commands.speeds import DEFAULTS, ROUNDS, first_cell
from lib.paths import RESULTS, ROOT, UserError
from lib.study import processes, store
from lib.study.grid import load_grid
from lib.study.manifest import cpu_name, git_commit
from lib.study.run import finished

LABELS = {
    "ours": "ours, examples/s", "plain_trl": "plain TRL, examples/s",
    "plain_trl_our_template": "plain TRL with our chat template, examples/s",
    "unsloth_defaults": "Unsloth's defaults, examples/s", "ratio": "ours / plain TRL",
    "ratio_our_template": "ours / plain TRL with our chat template",
    "matmul_fraction": "share of the machine's matrix-product rate", "training_share": "training's share of a cell",
    "asking_ratio": "asking in batches / one by one", "figures_seconds": "drawing the figures of quick, s",
    "noop_seconds": "a run that finds everything done, s",
}  # fmt: skip


def bench(label: str) -> None:
    """Measure, print the table, write results/bench/<label>.json."""
    cells = load_grid("quick")
    if missing := [cell for cell in cells if not finished("quick", cell)]:
        raise UserError(f"results/quick lacks {len(missing)} of {len(cells)} cells: run `make study STUDY=quick` first")
    found = measure()
    path = RESULTS / "bench" / f"{label}.json"
    store.write_json(path, found)
    table, values = Table("", str(found["machine"]["name"])), {**found, **found["examples_per_second"]}
    for name, label in LABELS.items():
        table.add_row(label, f"{values[name]:.2f}")
    for operators, share in found["profile"].items():
        table.add_row(f"share of a training: {operators}", f"{share:.2f}")
    Console().print(table)
    print(f"written to {path.relative_to(ROOT)}")


def measure() -> dict:
    """Every number of the benchmark."""
    cores, rounds = processes.cores(), []
    with tempfile.TemporaryDirectory() as folder:
        replay = Path(folder) / "replay.json"
        replay.write_text("[]")
        replay.write_text(json.dumps(_run("replay", 1, cores, replay)[0]))  # made once, outside of what is timed
        for i in range(ROUNDS):
            one = {name: _run(name, 1, cores, replay)[0]["examples_per_second"] for name in DEFAULTS}
            ours = _run("ours", cores, 1, replay)
            one["ours"] = sum(of["examples_per_second"] for of in ours)
            one["matmul"] = sum(of["flops_per_second"] for of in _run("matmul", cores, 1, replay))
            one["fraction"] = sum(of["flops_per_second"] for of in ours) / one["matmul"]
            one["ratio"] = one["ours"] / one["plain_trl"]
            one["ratio_our_template"] = one["ours"] / one["plain_trl_our_template"]
            rounds.append(one)
            print(f"round {i + 1} of {ROUNDS}:", {name: round(value, 2) for name, value in one.items()}, flush=True)
        profile = _run("profile", 1, 1, replay)[0]
        asking = _run("asking", 1, 1, replay)[0]["ratio"]
    median = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    return {
        "examples_per_second": {name: median[name] for name in ("ours", *DEFAULTS, "ratio", "ratio_our_template")},
        "ratios_by_round": [one["ratio"] for one in rounds],
        "matmul_fraction": median["fraction"],
        "profile": profile,
        "training_share": training_share(),
        "asking_ratio": asking,
        **figures(),
        "machine": {"name": cpu_name(), "cores": cores, "matmul_gflops": median["matmul"] / 1e9},
        "git_commit": git_commit(),
    }


def _run(part, n, threads, replay):
    """Run a part in n processes at once, each with so many threads; what each of them measured."""
    command = [sys.executable, "-m", "lib.commands.speeds", part, str(replay)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    if part not in DEFAULTS:
        environment["GLIBC_TUNABLES"] = processes.ALLOCATOR  # as the cells of a study have it
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    running = [subprocess.Popen(command, cwd=ROOT, env=environment, **pipes) for _ in range(n)]
    said = [child.communicate()[0] for child in running]
    if any(child.returncode for child in running):
        raise RuntimeError(f"{' '.join(command)} failed: run it, with a file that holds [], to see why")
    return [json.loads(text.splitlines()[-1]) for text in said]


def training_share() -> float:
    """The share of training in the time of a cell from start to end, over an article and a question cell at once."""
    cells = [first_cell("article"), first_cell("qa")]
    start, train, wall = time.perf_counter(), 0.0, 0.0
    for _, outcome in processes.run_local(cells, "bench", len(cells), lambda cell, stage: None):
        if outcome.error:
            raise RuntimeError(f"{outcome.error}\n{outcome.log}")
        train += outcome.result["training"]["seconds"]
        wall += time.perf_counter() - start
    return train / wall


def figures() -> dict:
    """Seconds to redraw the figures of quick, and of a run that finds everything done."""
    seconds = []
    with tempfile.TemporaryDirectory(dir=RESULTS, prefix="my-bench-") as folder:
        shutil.copytree(RESULTS / "quick" / "experiments", Path(folder) / "experiments")
        for command in ("figures", "run"):
            line = [sys.executable, "-m", "lib", command, "quick", "--study", Path(folder).name]
            start = time.perf_counter()
            subprocess.run(line, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - start)
    return {"figures_seconds": seconds[0], "noop_seconds": seconds[1]}
