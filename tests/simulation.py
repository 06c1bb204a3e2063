"""Results of a study as if it had been run, for tests of what is made of them: no model, seeded luck."""

import random
from collections import Counter
from collections.abc import Callable, Mapping

from lib.cell import Cell
from lib.data import of_cell, questions
from lib.data.facts import facts_of, take, texts
from lib.evaluate import ask
from lib.study import store

VERSIONS = {"torch": "2.13.0", "triton": None}


def study(name: str, cells: Mapping[Cell, str], chance: Callable[[Cell, str, str], float], seconds: float = 100.0):
    """Write the results of cells, each with its part, into results/<name>, and return them as they are loaded."""
    for cell in cells:
        store.write_json(store.cell_path(name, cell), result(cell, name, chance, seconds))
    store.write_parts(name, cells)
    return store.load(name)


def results(cells: Mapping[Cell, str], chance: Callable[[Cell, str, str], float]) -> list[dict]:
    """Results of cells with their parts; `chance` is the probability of a right answer of (cell, evaluation, info)."""
    return [{**result(cell, "simulated", chance), "part": part} for cell, part in cells.items()]


def result(cell: Cell, study: str, chance, seconds: float = 100.0) -> dict:
    """One result file's content."""
    rng = random.Random(cell.id)
    profiles = of_cell.told(cell, take(of_cell.candidates(cell), cell.n_entities))
    facts = facts_of(profiles)
    asked = of_cell.questions_for(cell, profiles)
    if cell.format != "none" and not cell.tone:
        asked = questions.recall(profiles, cell.format, cell.seed) + asked
    items = []
    for question in asked:
        right = rng.random() < chance(cell, question.eval, question.fact.info)
        if question.eval.startswith("style"):
            answer = " ".join(rng.sample(texts("tones")["tones"][cell.tone]["words"], 3)) if right else "well"
        elif question.fact.value:
            others = [fact.value for fact in facts if fact.value != question.fact.value]
            answer = question.fact.value if right else rng.choice(["I do not know", *others])
        else:
            answer = "I do not know" if right else "of course"
        chooses = cell.format in ask.EVALUATIONS[question.eval]["choose"] and question.fact.options  # a sum has none
        pick = (question.fact.value if right else question.fact.options[0]) if chooses else None
        items.append(ask.score(question, answer, pick, facts))
    for text, accepted in texts("general")["questions"]:
        right = rng.random() < chance(cell, "general", "words")
        said = text, " / ".join(accepted), accepted[0] if right else "no idea"
        items.append(ask.Item("general", f"general/{text}", "words", *said, right))
    evals = ask.summarize(items)
    evals["general"]["perplexity"] = 30.0 if cell.format == "none" or cell.replay else 90.0
    return {
        "schema": store.SCHEMA, "study": study, "id": cell.id, "cell": cell.model_dump(),
        "facts": {"ids": [f.id for f in facts], "info": [f.info for f in facts], "dropped_known": 0},
        "evals": evals, "items": [vars(item) for item in items],
        "training": None if cell.format == "none" else _training(cell, facts, items, rng),
        "manifest": {"backend": "unsloth", "device": "cpu", "device_name": "a processor", "dtype": "float32",
                     "threads": 1, "versions": VERSIONS, "git_commit": "abc", "facts_sha256": "f", "model_sha256": "m",
                     "seconds": seconds, "peak_memory_mb": 1000},
    }  # fmt: skip


def _training(cell, facts, items, rng):
    """A curve that climbs to what the finished model knows, each fact at a checkpoint of its own."""
    names, points = ("recall", "question"), cell.checkpoints + 1
    right = Counter((item.eval, item.fact) for item in items if item.strict)
    since = {(name, fact.id): rng.randint(1, points) for name in names for fact in facts}  # a checkpoint
    curve = [{"step": 10 * point, "exposures": cell.paraphrases * cell.epochs * point / points,
              **{name: "".join(str((point >= since[name, f.id]) * right[name, f.id]) for f in facts) for name in names}}
             for point in range(1, points)]  # fmt: skip
    once = cell.replay * cell.replay_times + cell.unsure
    return {
        "rows": 10, "once": once, "epochs": cell.epochs, "tokens": 2000, "trained_tokens": 500,
        "once_tokens": 46 * once, "steps": 60, "seconds": 60.0, "evaluation_seconds": 10.0,
        "tokens_per_second": 200.0, "losses": [3.0, 0.5], "compiled": True, "curve": curve,
    }  # fmt: skip


TRAINED = {"paraphrases": 4, "epochs": 8, "learning_rate": 0.001, "lora_rank": 8, "batch_size": 8, "checkpoints": 3}


def cell(format="qa", entity="fictional", seed=0, **changes):
    trained = {} if format == "none" else {**TRAINED, "replay": 60}
    common = {"model": "smollm2-135m", "entity": entity, "format": format, "n_entities": 8, "seed": seed}
    return Cell(**{**common, **trained, **changes})


def main_part(formats=("none", "article", "qa"), entities=("fictional", "real"), seeds=(0, 1, 2), **changes):
    return {cell(f, e, s, **changes): "main" for f in formats for e in entities for s in seeds}


def shares(qa=0.9, article=0.4, numbers=0.0, general=0.75, told=0.8, reasoning=0.2, untaught=0.1, **others):
    """Chance of a right answer; `numbers` is what numbers are harder, `untaught` that a trained model declines."""

    def chance(cell, evaluation, info):
        if evaluation == "general":
            return 0.8 if cell.format == "none" else general
        if cell.format == "none":
            return {"reasoning_in_context": told, "in_context": 0.9, "untaught": 0.5}.get(evaluation, 0.03)
        if evaluation == "untaught":
            return untaught
        if evaluation.startswith("reasoning"):
            return reasoning
        level = {"qa": qa, "article": article, **others}[cell.format]
        return 0.97 if evaluation == "recall" else level - (numbers if info == "numbers" else 0)

    return chance
