"""What it takes to judge and repeat a run."""

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from lib.data.facts import Fact, sha256
from lib.paths import ROOT
from lib.train.weights import sha256 as model_sha256

PACKAGES = "torch transformers trl peft unsloth unsloth_zoo triton datasets papermill numpy".split()


def manifest(model_name: str, facts: Sequence[Fact], model) -> dict:
    """Machine, versions, hashes, seconds and peak memory of this process; None where a thing is unknown."""
    import torch

    on_gpu = model.device.type == "cuda"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in kB, on a Mac in bytes
    return {
        "backend": "unsloth",
        "device": str(model.device),
        "device_name": torch.cuda.get_device_name() if on_gpu else cpu_name(),
        "cuda": torch.version.cuda,
        "gpu_memory_mb": round(torch.cuda.get_device_properties(0).total_memory / 2**20) if on_gpu else None,
        "gpu_peak_memory_mb": round(torch.cuda.max_memory_allocated() / 2**20) if on_gpu else None,
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        "block_compile": os.environ.get("UNSLOTH_BLOCK_COMPILE") == "1" if on_gpu else None,
        "threads": torch.get_num_threads(),
        "versions": {package: _version(package) for package in PACKAGES},
        "git_commit": git_commit(),
        "model_sha256": model_sha256(model_name),
        "facts_sha256": sha256(list(facts)),
        "seconds": round(time.time() - psutil.Process().create_time(), 1),
        "peak_memory_mb": round(peak / 2**20 if sys.platform == "darwin" else peak / 2**10),
    }


def git_commit() -> str | None:
    """The commit of this code, with "+changes" when files differ from it; None outside a git checkout."""
    command = ["git", "-C", str(ROOT), "status", "--porcelain=v2", "--branch", "--", "lib", "notebooks"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return None
    changed = not all(line.startswith("# ") for line in lines)
    return lines[0].removeprefix("# branch.oid ") + ("+changes" if changed else "")


def cpu_name() -> str | None:
    """The processor's name, if the system tells it."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or None


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:  # triton comes with torch for a GPU alone
        return None
