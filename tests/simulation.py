"""Results of cells that were never run, with known accuracies: for the tests of statistics, figures and reports."""

import itertools
from dataclasses import asdict, replace

import numpy as np
from conftest import base_cell, make_cell

from lib import experiment, results, tones
from lib.asking import CHOICE_EVALS, UNSCORED_EVALS, Item, score
from lib.facts import take

ACCURACIES = {
    ("article", "numeric"): 0.2, ("article", "categorical"): 0.6, ("qa", "numeric"): 0.9, ("qa", "categorical"): 0.9
}  # fmt: skip


def simulated_result(cell, accuracy: dict[str, float], study="simulated", rng=None) -> dict:
    """A result in which each question of an evaluation is answered right with the given probability."""
    rng = rng or np.random.default_rng(0)
    facts = take(experiment.candidates(cell), cell.n_facts)
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
                "other": None,
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


def simulated_grid(cells, share: float | dict = 0.8, seed=0) -> list[dict]:
    """Results for every cell of a grid, with every evaluation that the cell would ask.

    `share` is the accuracy of trained models, or {(format, info): accuracy} with a default under None. The style items
    are real examples of the tones, so that they can be told apart.
    """
    rng = np.random.default_rng(seed)
    made = []
    for cell in (replace(cell, model="tiny") for cell in cells):  # no plan may take them for measured
        facts = take(experiment.candidates(cell), cell.n_facts)
        accuracy = share if isinstance(share, float) else share.get((cell.format, cell.info), share[None])
        accuracy = accuracy if cell.format != "none" else 0.05
        asked = experiment.questions_for(cell, facts)
        items = [_item(question, accuracy, rng) for question in asked]
        evals = {name: {"n": 1, "strict": 0.5, "lenient": 0.5, "choice": 0.5, "constant": 0.1,
                        "chance": 1 / len(next(q for q in asked if q.eval == name).fact.options)}
                 for name in dict.fromkeys(question.eval for question in asked)}  # fmt: skip
        if cell.evals == "all":
            items += [asdict(Item("forgetting", f"general/{i}", "?", "a", "a", bool(rng.random() < 0.8), True, None))
                      for i in range(60)]  # fmt: skip
            evals["forgetting"] = {"n": 60, "strict": 0.8, "lenient": 0.8, "choice": None, "chance": None,
                                   "constant": None, "perplexity": 30.0 + 10 * (cell.format != "none")}  # fmt: skip
        result = simulated_result(cell, {}, rng=rng)
        points = [{"step": 10 * i, "exposures": 4.0 * i,
                   "items": [{key: _item(q, accuracy * i / 6, rng)[key] for key in
                              ("eval", "fact", "other", "strict", "choice")} for q in asked]}
                  for i in range(1, cell.checkpoints + 1)]  # fmt: skip
        training = {**result["training"], "curve": points}
        made.append({**result, "items": items, "evals": evals, "training": training})
    return made


def _item(question, accuracy, rng):
    in_context = question.eval in ("in_context", "reasoning_in_context", "style_in_context")
    if question.fact.options == ("Yes", "No"):
        accuracy = max(accuracy, 0.5)
    right = bool(rng.random() < (0.9 if in_context else accuracy))
    answer = question.fact.value if right else "no"
    if question.eval in ("style", "style_in_context"):
        answer = tones.conversation(question.fact, 0, int(rng.integers(100)))[-1] if right else "I see."
    scored = question.eval not in UNSCORED_EVALS
    item = score(question, answer, None)  # for its text
    right = right if scored else None
    choice = right if question.eval in CHOICE_EVALS else None
    return asdict(replace(item, strict=right, lenient=right, choice=choice))
