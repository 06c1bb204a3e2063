"""Results of cells that were never run, with known accuracies: for the tests of statistics, figures and reports."""

import itertools
from dataclasses import asdict

import numpy as np
from conftest import base_cell, make_cell

from lib import results
from lib.facts import draw

ACCURACIES = {
    ("article", "numeric"): 0.2, ("article", "categorical"): 0.6, ("qa", "numeric"): 0.9, ("qa", "categorical"): 0.9
}  # fmt: skip


def simulated_result(cell, accuracy: dict[str, float], study="simulated", rng=None) -> dict:
    """A result in which each question of an evaluation is answered right with the given probability."""
    rng = rng or np.random.default_rng(0)
    facts = draw(cell.entity, cell.info, cell.n_facts, cell.seed)
    items = []
    for fact, (name, share) in itertools.product(facts, accuracy.items()):
        right = bool(rng.random() < share)
        items.append(
            {
                "eval": name,
                "fact": fact.id,
                "question": "?",
                "expected": fact.value,
                "answer": fact.value if right else "no",
                "strict": right,
                "lenient": right,
                "choice": right,
            }
        )
    evals = {
        name: {
            "n": cell.n_facts,
            "strict": share,
            "lenient": share,
            "choice": share,
            "chance": 1 / 16,
            "constant": 1 / 16,
        }
        for name, share in accuracy.items()
    }
    return {
        "schema": results.SCHEMA,
        "study": study,
        "id": cell.id,
        "cell": asdict(cell),
        "facts": {"used": cell.n_facts, "dropped_known": 0},
        "evals": evals,
        "items": items,
        "training": {
            "rows": 6, "tokens": 100, "trained_tokens": 40, "steps": 2, "seconds": 1.0, "tokens_per_second": 100.0,
            "losses": [2.0, 1.0],
        },
        "manifest": {
            "backend": "unsloth", "device": "cpu", "device_name": "simulated", "dtype": "float32", "threads": 1,
            "versions": {"torch": "0"}, "git_commit": None, "model_sha256": None, "facts_sha256": "0",
            "seconds": 1.0, "peak_memory_mb": 100,
        },
    }  # fmt: skip


def simulated_study(accuracies: dict, n_facts=20, seed=0, learning_rates=(1e-3,)) -> list[dict]:
    """A full study: {(format, info): held-out accuracy}; the recall is 1, the ceiling 0.9, the floor 0."""
    rng = np.random.default_rng(seed)
    made = []
    for entity, info, rate in itertools.product(("fictional", "real"), ("numeric", "categorical"), learning_rates):
        for format in ("article", "qa"):
            cell = make_cell(entity=entity, info=info, format=format, n_facts=n_facts, learning_rate=rate)
            share = accuracies[format, info]
            made.append(simulated_result(cell, {"recall": 1.0, "qa": share, "cloze": share}, rng=rng))
        cell = base_cell(entity=entity, info=info, n_facts=n_facts)
        made.append(simulated_result(cell, {"qa": 0.0, "cloze": 0.0, "in_context": 0.9}, rng=rng))
    return made


def write_study(study: str, made: list[dict]) -> None:
    """Write these results as a study."""
    for result in made:
        results.write_json(results.study_dir(study) / "cells" / f"{result['id']}.json", {**result, "study": study})
