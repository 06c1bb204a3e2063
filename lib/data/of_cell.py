"""What an experiment trains and asks, as it follows from its parameters. No torch: a plan counts it, too."""

import functools
import itertools
import random
from collections.abc import Sequence

from lib.cell import Cell, is_own
from lib.data import encode, formats, questions, tones
from lib.data.facts import Profile, build, facts_of, texts, unseen
from lib.paths import UserError

KINDS = ("instructions", "questions", "prose")  # of replay prompts


def candidates(cell: Cell) -> Sequence[Profile]:
    """All profiles that the experiment may draw from, in its order. Raises UserError for a tone that there is not."""
    return tones.build(cell.tone, cell.seed) if cell.tone else build(cell.entity, cell.seed)


def others(cell: Cell, profiles: Sequence[Profile]) -> Sequence[Profile]:
    """The other entities that the `mixed` format asks about, as many as are told; none in another format.

    Raises UserError when there are too few.
    """
    if cell.format != "mixed":
        return []
    drawn = candidates(cell)
    rest = drawn[drawn.index(profiles[-1]) + 1 :]  # none that was dropped as known
    if len(rest) < cell.n_entities:
        raise UserError(
            f"format: mixed asks about as many other entities as it tells: after {cell.n_entities} only {len(rest)} of "
            f"{len(drawn)} are left, ask for fewer"
        )
    return rest[: cell.n_entities]


def training_rows(cell: Cell, profiles: Sequence[Profile]) -> list[formats.Row]:
    """The rows about facts that are trained. Raises UserError when there are too few templates or entities."""
    return formats.rows(profiles, cell.format, cell.paraphrases, cell.seed, others(cell, profiles))


@functools.cache
def replay_prompts() -> list[tuple[str, str]]:
    """(kind, text) of every replay prompt, the three kinds by turns, in an order that never changes.

    None of them is asked in an evaluation: a test compares them with the general questions and the templates.
    """
    prompts = texts("replay")
    shuffled = [[(kind, text) for text in random.Random(kind).sample(prompts[kind], len(prompts[kind]))]
                for kind in KINDS]  # fmt: skip
    return list(itertools.chain.from_iterable(zip(*shuffled, strict=False)))


def epochs(cell: Cell, tokenizer, profiles: Sequence[Profile], rows: Sequence[formats.Row]) -> float:
    """How often each row is seen: `epochs` of the cell, or as often as it takes to see the tokens of its articles."""
    if cell.budget == "facts":
        return cell.epochs
    articles = formats.rows(profiles, "article", cell.paraphrases, cell.seed)
    return cell.epochs * encode.count_tokens(tokenizer, articles) / encode.count_tokens(tokenizer, rows)


def questions_for(cell: Cell, profiles: Sequence[Profile]) -> list[questions.Question]:
    """Every free question about facts; recall is asked apart. The base model is asked with the facts told, too."""
    base = cell.format == "none"
    if cell.tone:
        # untold, the base model answers alike for every tone: there is nothing to attribute
        return questions.style(cell.tone, in_context=base) + questions.naming(facts_of(profiles))
    asked = questions.questions(profiles) + questions.completions(profiles)
    if base:
        asked += questions.in_context(profiles)
    if is_own(cell.entity):
        return asked + questions.unseen(unseen(cell.entity))
    if cell.evals == "all":
        drawn = candidates(cell)
        first = drawn.index([*profiles, *others(cell, profiles)][-1]) + 1
        asked += questions.reverse(profiles) + questions.unseen(drawn[first : first + cell.n_entities])
        for eval in ("reasoning", "reasoning_cot", "reasoning_in_context")[: 3 if base else 2]:
            asked += questions.two_facts(profiles, cell.seed, eval)
    return asked
