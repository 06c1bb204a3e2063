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

from lib import asking, forgetting, formats, models, questions, results, tones, training
from lib.cell import Cell
from lib.errors import UserError
from lib.facts import TABLES, Fact, build, sha256, take
from lib.paths import ROOT
from lib.training import Trained

PACKAGES = ("torch", "transformers", "trl", "peft", "unsloth", "datasets", "papermill", "numpy")


def candidates(cell: Cell) -> list[Fact]:
    """All facts that the cell may draw from, in its order. Raises UserError for a tone that there is not."""
    return tones.build(cell.tone, cell.seed) if cell.info == "tone" else build(cell.entity, cell.info, cell.seed)


def choose_facts(model, tokenizer, cell: Cell) -> tuple[list[Fact], int]:
    """The cell's facts, and how many candidates were dropped because the untrained model knows them.

    A real fact is dropped when the base model answers it strictly right in the first trained phrasing: not in a
    held-out one, which would make the floor zero by construction. Invented facts cannot be known, so none is dropped.
    The same model, facts and seed give the same choice whatever the format. Raises UserError when too few are left.
    """
    drawn = candidates(cell)
    if cell.entity not in TABLES:
        return take(drawn, cell.n_facts), 0
    take(drawn, cell.n_facts)  # before the model is asked
    unknown, asked = [], 0
    while len(unknown) < cell.n_facts and asked < len(drawn):
        batch = drawn[asked : asked + cell.n_facts - len(unknown)]  # no more than it takes
        items = asking.ask(model, tokenizer, questions.recall(batch, "qa", paraphrases=1, seed=cell.seed))
        unknown += [fact for fact, item in zip(batch, items, strict=True) if not item.strict]
        asked += len(batch)
    return take(unknown, cell.n_facts), asked - len(unknown)


def others(cell: Cell, facts: Sequence[Fact]) -> list[Fact]:
    """The other entities that the `mixed` format asks about, as many as facts; none in another format.

    Raises UserError when there are too few.
    """
    if cell.format != "mixed":
        return []
    rest = _rest(cell, facts)
    if len(rest) < cell.n_facts:
        raise UserError(
            f"format: mixed asks about as many other entities as it tells facts: after {cell.n_facts} facts only "
            f"{len(rest)} of {len(candidates(cell))} are left, ask for fewer"
        )
    return rest[: cell.n_facts]


def training_rows(cell: Cell, facts: Sequence[Fact]) -> list[dict]:
    """The rows that the cell trains on. Raises UserError when there are too few templates or other entities."""
    return formats.rows(facts, cell.format, cell.paraphrases, cell.seed, others(cell, facts))


def epochs(cell: Cell, tokenizer, facts: Sequence[Fact], rows: list[dict]) -> float:
    """How often each row is seen: the cell's epochs, or as often as it takes to see the tokens of its articles."""
    if cell.budget == "facts":
        return cell.epochs
    articles = formats.rows(facts, "article", cell.paraphrases, cell.seed)
    return cell.epochs * training.count_tokens(tokenizer, articles) / training.count_tokens(tokenizer, rows)


def questions_for(cell: Cell, facts: Sequence[Fact]) -> list[questions.Question]:
    """Every question about facts: the base is asked in context too, a trained model about what it was trained on."""
    base = cell.format == "none"
    if cell.info == "tone":
        # untold, the untrained model answers alike for every tone: there is nothing to attribute
        responses = questions.style_in_context(cell.tone) if base else questions.style(cell.tone)
        return responses + questions.naming(facts)
    asked = [] if base else questions.recall(facts, cell.format, cell.paraphrases, cell.seed)
    asked += questions.qa(facts) + questions.cloze(facts)
    if base:
        asked += questions.in_context(facts)
    if cell.format == "reasoning":
        asked += questions.worked(facts, cell.paraphrases, cell.seed)
    if cell.evals == "all":
        unseen = _rest(cell, facts)[len(others(cell, facts)) :]
        compared = questions.reasoning(facts, cell.seed)
        asked += questions.reverse(facts) + questions.untrained(unseen[: cell.n_facts])
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


def checkpoint(model, tokenizer, cell: Cell, facts: Sequence[Fact]) -> list[dict]:
    """The scores of the questions about facts while the model trains: as the items of a result, without the texts."""
    items = asking.ask(model, tokenizer, questions_for(cell, facts))
    return [{key: getattr(item, key) for key in ("eval", "fact", "other", "strict", "choice")} for item in items]


def _rest(cell, facts):
    """The candidates after the last fact: none that was dropped as known."""
    drawn = candidates(cell)
    return drawn[drawn.index(facts[-1]) + 1 :]


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
    untrained = Trained(
        rows=0, epochs=0, tokens=0, trained_tokens=0, steps=0, seconds=0.0, tokens_per_second=None, losses=[],
        compiled=False, curve=[],
    )  # fmt: skip
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
        "device_name": torch.cuda.get_device_name() if model.device.type == "cuda" else cpu_name(),
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


def cpu_name() -> str | None:
    """The processor's name, if the system tells it."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or None
