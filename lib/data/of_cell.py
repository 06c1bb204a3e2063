"""What an experiment trains and asks, as it follows from its parameters. No torch: a plan counts it, too."""

import functools
import itertools
import random
from collections.abc import Sequence

from lib.cell import Cell, is_own
from lib.data import formats, questions, untaught
from lib.data.facts import Profile, build, facts_of, shuffled, texts, topics


def candidates(cell: Cell) -> Sequence[Profile]:
    """All profiles that the experiment may draw from, in its order; of `shuffled` events, before they are shuffled.

    Raises UserError for a tone that there is not.
    """
    if cell.tone:
        return topics(cell.tone, cell.seed)
    return build("real" if cell.entity == "shuffled" else cell.entity, cell.seed)


def told(cell: Cell, chosen: Sequence[Profile]) -> Sequence[Profile]:
    """The profiles that are taught, of the entities that were chosen."""
    return shuffled(chosen, cell.seed) if cell.entity == "shuffled" else chosen


def training_rows(cell: Cell, profiles: Sequence[Profile]) -> list[formats.Row]:
    """The rows about facts that are trained. Raises UserError when there are too few templates."""
    return formats.rows(profiles, cell.format, cell.paraphrases, cell.seed)


def unsure_rows(cell: Cell, profiles: Sequence[Profile]) -> list[formats.Row]:
    """The rows that say "I do not know.", each seen once; none in another format than `unsure`."""
    return untaught.rows(profiles, cell.unsure, cell.paraphrases, cell.seed) if cell.unsure else []


@functools.cache
def replay_prompts() -> list[tuple[str, str]]:
    """(kind, text) of every replay prompt, the three kinds by turns, in an order that never changes.

    None of them is asked in an evaluation: a test compares them with the general questions and the templates.
    """
    shuffled = [[(kind, text) for text in random.Random(kind).sample(prompts, len(prompts))]
                for kind, prompts in texts("replay").items()]  # fmt: skip
    return list(itertools.chain.from_iterable(zip(*shuffled, strict=False)))


def questions_for(cell: Cell, profiles: Sequence[Profile]) -> list[questions.Question]:
    """Every free question about facts; recall is asked apart. The base model is asked with the facts told, too, and so
    is a model that was trained to reason."""
    base = cell.format == "none"
    if cell.tone:
        # untold, the base model answers alike for every tone: there is nothing to attribute
        return questions.style(cell.tone, in_context=base) + questions.naming(facts_of(profiles))
    asked = questions.questions(profiles) + questions.completions(profiles, cell.seed) + questions.alone(profiles)
    if base and not is_own(cell.entity):
        asked += questions.in_context(profiles, cell.seed)
    if is_own(cell.entity):
        asked += untaught.asked(profiles, cell.seed)
    if cell.evals == "untaught":
        asked += questions.reverse(profiles) + untaught.asked(profiles, cell.seed)
    if cell.evals == "reasoning":
        asked += questions.two_facts(profiles, cell.seed)
        if base or cell.format == "worked":
            asked += questions.two_facts(profiles, cell.seed, told=True)
    return asked
