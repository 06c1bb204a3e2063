"""The steps of one cell, in the order in which cell.ipynb and tour.ipynb call them."""

import platform
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import psutil

from lib import asking, forgetting, models, questions, results
from lib.cell import Cell
from lib.facts import Fact, build, sha256, take
from lib.paths import ROOT
from lib.training import Trained

PACKAGES = ("torch", "transformers", "trl", "peft", "unsloth", "datasets", "papermill", "numpy")


def choose_facts(model, tokenizer, cell: Cell) -> tuple[list[Fact], int]:
    """The cell's facts, and how many candidates were dropped because the untrained model knows them.

    A real fact is dropped when the base model answers it strictly right in the first trained phrasing: not in a
    held-out one, which would make the floor zero by construction. Invented facts cannot be known, so none is dropped.
    The same model, facts and seed give the same choice whatever the format. Raises UserError when too few are left.
    """
    candidates = build(cell.entity, cell.info, cell.seed)
    take(candidates, cell.n_facts)
    if cell.entity != "real":
        return take(candidates, cell.n_facts), 0
    unknown, asked = [], 0
    while len(unknown) < cell.n_facts and asked < len(candidates):
        batch = candidates[asked : asked + cell.n_facts - len(unknown)]  # no more than it takes
        items = asking.ask(model, tokenizer, questions.recall(batch, "qa", paraphrases=1, seed=cell.seed))
        unknown += [fact for fact, item in zip(batch, items, strict=True) if not item.strict]
        asked += len(batch)
    return take(unknown, cell.n_facts), asked - len(unknown)


def questions_for(cell: Cell, facts: Sequence[Fact]) -> list[questions.Question]:
    """Every question about facts: the base is asked in context too, a trained model about what it was trained on."""
    base = cell.format == "none"
    asked = [] if base else questions.recall(facts, cell.format, cell.paraphrases, cell.seed)
    asked += questions.qa(facts) + questions.cloze(facts)
    if base:
        asked += questions.in_context(facts)
    if cell.evals == "all":
        candidates = build(cell.entity, cell.info, cell.seed)
        unseen = candidates[candidates.index(facts[-1]) + 1 :]  # none that was dropped as known
        compared = questions.reasoning(facts, cell.seed)
        asked += questions.reverse(facts) + questions.untrained(facts, unseen[: cell.n_facts])
        asked += compared + questions.reasoning_cot(compared)
        if base:
            asked += questions.reasoning_in_context(compared, facts)
    return asked


def evaluate(model, tokenizer, cell: Cell, facts: Sequence[Fact]) -> tuple[dict, list[asking.Item]]:
    """Every evaluation of a cell: (scores by evaluation, items)."""
    asked = questions_for(cell, facts)
    items = asking.ask(model, tokenizer, asked)
    evals = asking.summarize(asked, items)
    if cell.evals == "all":
        general = forgetting.ask(model, tokenizer)
        evals["forgetting"] = forgetting.summarize(general, forgetting.perplexity(model, tokenizer))
        items = items + general
    return evals, items


def result(
    cell: Cell,
    study: str,
    facts: list[Fact],
    dropped: int,
    trained: Trained | None,
    evals: dict,
    items: list[asking.Item],
    model,
) -> dict:
    """The result of a cell as it is stored: scores, items, training record and manifest."""
    untrained = Trained(rows=0, tokens=0, trained_tokens=0, steps=0, seconds=0.0, tokens_per_second=None, losses=[])
    return {
        "schema": results.SCHEMA,
        "study": study,
        "id": cell.id,
        "cell": asdict(cell),
        "facts": {"used": len(facts), "dropped_known": dropped},
        "evals": evals,
        "items": [asdict(item) for item in items],
        "training": asdict(trained or untrained),
        "manifest": manifest(cell, facts, model),
    }


def manifest(cell: Cell, facts: list[Fact], model) -> dict:
    """What it takes to judge and repeat a run; None where a thing is unknown."""
    import torch

    seconds = time.time() - psutil.Process().create_time()
    return {
        "backend": "unsloth",
        "device": str(model.device),
        "device_name": torch.cuda.get_device_name() if model.device.type == "cuda" else _cpu_name(),
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "versions": {package: version(package) for package in PACKAGES},
        "git_commit": git_commit(),
        "model_sha256": models.sha256(cell.model),
        "facts_sha256": sha256(facts),
        "seconds": round(seconds, 1),
        "peak_memory_mb": round(_peak_memory() / 2**20),
    }


def git_commit() -> str | None:
    """The commit of this code, with "+changes" when files differ from it; None outside a git checkout."""
    try:
        git = ["git", "-C", str(ROOT)]
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--", "lib", "notebooks"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+changes" if changes.strip() else "")


def _peak_memory():
    """Peak resident bytes of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _cpu_name():
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or None
