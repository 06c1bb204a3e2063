"""The steps of one experiment with a model, in the order in which experiment.ipynb calls them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lib.cell import Cell
from lib.data import of_cell, questions
from lib.data.facts import Profile, facts_of, take, texts
from lib.evaluate import ask, generate
from lib.study import store
from lib.train import sft


def choose_profiles(model, tokenizer, cell: Cell) -> tuple[Sequence[Profile], int]:
    """The profiles, whatever the format, and how many candidates were dropped because the base model knows them.

    A real entity is dropped when the base model answers one of its facts strictly right in the first trained phrasing:
    not in a held-out one, which would make the floor zero by construction. Raises UserError when too few are left.
    """
    drawn = of_cell.candidates(cell)
    first = take(drawn, cell.n_entities)  # or there are too few, before the model is asked
    if cell.entity not in ("real", "shuffled"):
        return first, 0
    unknown, seen = [], 0
    while len(unknown) < cell.n_entities and seen < len(drawn):
        batch = drawn[seen : seen + cell.n_entities - len(unknown)]  # no more than it takes
        asked = questions.recall(batch, "qa", cell.seed)
        known = {item.fact for item in ask.ask(model, tokenizer, asked) if item.strict}
        unknown += [profile for profile in batch if not known & {fact.id for fact in profile}]
        seen += len(batch)
    return of_cell.told(cell, take(unknown, cell.n_entities)), seen - len(unknown)


def checkpoint(model, tokenizer, cell: Cell, profiles: Sequence[Profile]) -> dict[str, str]:
    """Of every fact, in the order of the result's facts, a digit: is it recalled (1 or 0), and how many of its held-out
    questions are answered? A character a fact, so that a curve costs little to keep."""
    items = ask.recall(model, tokenizer, questions.recall(profiles, cell.format, cell.seed))
    items += ask.ask(model, tokenizer, questions.questions(profiles), room=cell.room)
    right = Counter((item.eval, item.fact) for item in items if item.strict)
    return {name: "".join(str(right[name, fact.id]) for fact in facts_of(profiles)) for name in ("recall", "question")}


def evaluate(model, tokenizer, cell: Cell, profiles: Sequence[Profile]) -> tuple[dict, list[ask.Item]]:
    """Every evaluation of an experiment: (scores by evaluation, items)."""
    items, taught = [], facts_of(profiles)
    with sft.merged(model):
        if cell.format != "none" and not cell.tone:
            items += ask.recall(model, tokenizer, questions.recall(profiles, cell.format, cell.seed))
        items += ask.ask(model, tokenizer, of_cell.questions_for(cell, profiles), cell.format, taught, cell.room)
        items += ask.general(model, tokenizer, cell.room)
        evals = ask.summarize(items)
        evals["general"]["perplexity"] = generate.perplexity(model, tokenizer, texts("general")["text"])
    return evals, items


def result(cell: Cell, study: str, profiles: Sequence[Profile], dropped: int, trained: dict | None,
           evals: dict, items: Sequence[ask.Item], model) -> dict:  # fmt: skip
    """The result of an experiment as it is stored: scores, items, training record and manifest."""
    facts = facts_of(profiles)
    return {
        "schema": store.SCHEMA, "study": study, "id": cell.id, "cell": cell.model_dump(),
        "facts": {"ids": [fact.id for fact in facts], "info": [fact.info for fact in facts], "dropped_known": dropped},
        "evals": evals, "items": [vars(item) for item in items], "training": trained,
        "manifest": store.manifest(cell.model, facts, model),
    }  # fmt: skip


def say(stage: str, output: str) -> None:
    """Note the stage of a running experiment beside its result file, where the runner looks; nowhere without one."""
    if output:
        Path(f"{output}.stage").write_text(stage, encoding="utf-8")
