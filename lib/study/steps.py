"""The steps of one cell, in the order in which experiment.ipynb and tour.ipynb call them."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lib.cell import Cell, is_own
from lib.data import encode, formats, questions, tones
from lib.data.facts import TABLES, Profile, build, facts_of, take, unseen
from lib.evaluate import ask, general
from lib.paths import UserError
from lib.study import store
from lib.study.store import manifest
from lib.train import replay, sft

# The evaluations that are scored on the closed set too: where what was trained has the value come next. A model of
# bare answers gives one to a question; one of articles or conversations would begin a sentence. The base model chooses
# between the answers to a two-fact question too: it may know which of two is right and not come to say so.
CHOOSE = {
    "qa": ("question",),
    "blanks": ("question",),
    "worked": ("question",),
    "none": ("question", "completion", "naming", "reasoning_in_context"),
}


def candidates(cell: Cell) -> Sequence[Profile]:
    """All profiles that the cell may draw from, in its order. Raises UserError for a tone that there is not."""
    return tones.build(cell.tone, cell.seed) if cell.tone else build(cell.entity, cell.seed)


def choose_profiles(model, tokenizer, cell: Cell) -> tuple[Sequence[Profile], int]:
    """The cell's profiles, and how many candidates were dropped because the base model knows something of them.

    A real entity is dropped when the base model answers one of its facts strictly right in the first trained phrasing:
    not in a held-out one, which would make the floor zero by construction. Invented facts cannot be known, so none is
    dropped. The same model and seed give the same choice whatever the format. Raises UserError when too few are left.
    """
    drawn = candidates(cell)
    if cell.entity not in TABLES:
        return take(drawn, cell.n_entities), 0
    take(drawn, cell.n_entities)  # before the model is asked
    unknown, seen = [], 0
    while len(unknown) < cell.n_entities and seen < len(drawn):
        batch = drawn[seen : seen + cell.n_entities - len(unknown)]  # no more than it takes
        asked = [
            questions.Question("known", fact, row.turns[0])
            for row in formats.rows(batch, "qa", 1, cell.seed)
            for fact, _, _ in row.told
        ]
        known = {item.fact for item in ask.ask(model, tokenizer, asked) if item.strict}
        unknown += [profile for profile in batch if not known & {fact.id for fact in profile}]
        seen += len(batch)
    return take(unknown, cell.n_entities), seen - len(unknown)


def others(cell: Cell, profiles: Sequence[Profile]) -> list[Profile]:
    """The other entities that the `mixed` format asks about, as many as are told; none in another format.

    Raises UserError when there are too few.
    """
    if cell.format != "mixed":
        return []
    rest = _rest(cell, profiles)
    if len(rest) < cell.n_entities:
        raise UserError(
            f"format: mixed asks about as many other entities as it tells: after {cell.n_entities} only {len(rest)} of "
            f"{len(candidates(cell))} are left, ask for fewer"
        )
    return rest[: cell.n_entities]


def training_rows(cell: Cell, profiles: Sequence[Profile]) -> list[formats.Row]:
    """The rows about facts that the cell trains on. Raises UserError when there are too few templates or entities."""
    return formats.rows(profiles, cell.format, cell.paraphrases, cell.seed, others(cell, profiles))


def replay_rows(model, tokenizer, cell: Cell) -> list[formats.Row]:
    """The replay rows of the cell, answered by its model before it is trained."""
    return replay.rows(model, tokenizer, cell.model, cell.replay)


def epochs(cell: Cell, tokenizer, profiles: Sequence[Profile], rows: Sequence[formats.Row]) -> float:
    """How often each row is seen: the cell's epochs, or as often as it takes to see the tokens of its articles."""
    if cell.budget == "facts":
        return cell.epochs
    articles = formats.rows(profiles, "article", cell.paraphrases, cell.seed)
    return cell.epochs * encode.count_tokens(tokenizer, articles) / encode.count_tokens(tokenizer, rows)


def questions_for(cell: Cell, profiles: Sequence[Profile]) -> list[questions.Question]:
    """Every free question about facts; recall is asked apart. The base model is asked with the facts told, too."""
    base = cell.format == "none"
    if cell.tone:
        # untold, the base model answers alike for every tone: there is nothing to attribute
        responses = questions.style_in_context(cell.tone) if base else questions.style(cell.tone)
        return responses + questions.naming(facts_of(profiles))
    asked = questions.questions(profiles) + questions.completions(profiles)
    if base:
        asked += questions.in_context(profiles)
    if is_own(cell.entity):
        return asked + questions.unseen(unseen(cell.entity))
    if cell.evals == "all":
        rest = _rest(cell, profiles)[len(others(cell, profiles)) :][: cell.n_entities]
        problems = questions.two_facts(profiles, cell.seed)
        asked += questions.reverse(profiles) + questions.unseen(rest) + problems + questions.two_facts_cot(problems)
        if base:
            asked += questions.two_facts_in_context(problems, profiles)
    return asked


def evaluate(model, tokenizer, cell: Cell, profiles: Sequence[Profile]) -> tuple[dict, list[ask.Item]]:
    """Every evaluation of a cell: (scores by evaluation, items)."""
    items = []
    choose = CHOOSE.get(cell.format, ("completion", "naming"))
    with sft.merged(model):
        if cell.format != "none" and not cell.tone:
            items += ask.recall(model, tokenizer, questions.recall(profiles, cell.format, cell.seed))
        items += ask.ask(model, tokenizer, questions_for(cell, profiles), choose)
        items += general.ask(model, tokenizer)
        evals = ask.summarize(items)
        evals["general"]["perplexity"] = general.perplexity(model, tokenizer)
    return evals, items


def checkpoint(model, tokenizer, cell: Cell, profiles: Sequence[Profile]) -> dict[str, str]:
    """Of every fact, in the order of the result's facts, "1" or "0": is it recalled, and is its first held-out question
    answered? One character a fact, so that a curve costs little to keep."""
    items = ask.recall(model, tokenizer, questions.recall(profiles, cell.format, cell.seed))
    items += ask.ask(model, tokenizer, questions.questions(profiles, 1))
    right = {(item.eval, item.fact) for item in items if item.strict}
    facts = facts_of(profiles)
    return {name: "".join(str(int((name, fact.id) in right)) for fact in facts) for name in ("recall", "question")}


def result(
    cell: Cell,
    study: str,
    profiles: Sequence[Profile],
    dropped: int,
    trained: sft.Trained | None,
    evals: dict,
    items: Sequence[ask.Item],
    model,
) -> dict:
    """The result of a cell as it is stored: scores, items, training record and manifest."""
    facts = facts_of(profiles)
    return {
        "schema": store.SCHEMA,
        "study": study,
        "id": cell.id,
        "cell": cell.model_dump(),
        "facts": {"ids": [fact.id for fact in facts], "info": [fact.info for fact in facts], "dropped_known": dropped},
        "evals": evals,
        "items": [asdict(item) for item in items],
        "training": asdict(trained) if trained else None,
        "manifest": manifest(cell.model, facts, model),
    }


def keep(model, tokenizer, cell: Cell, study: str) -> None:
    """Keep the adapters that know a user's own facts in results/<study>/adapters; those of the study's facts go."""
    if is_own(cell.entity) and cell.format != "none":
        folder = store.study_dir(study) / "adapters" / cell.id
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def say(stage: str, output: str) -> None:
    """Note the stage of a running cell beside its result file, where the runner looks; nowhere without one."""
    if output:
        Path(f"{output}.stage").write_text(stage)


def _rest(cell, profiles):
    """The candidates after the last profile: none that was dropped as known."""
    drawn = candidates(cell)
    return drawn[drawn.index(profiles[-1]) + 1 :]
