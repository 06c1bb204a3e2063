"""What a model that learns a user's own table is never taught: other names, and other attributes."""

import random
from collections.abc import Iterable, Mapping, Set
from itertools import cycle

from lib.data.facts import places
from lib.evaluate.match import states

NAMES = 200  # of each kind, to be asked about or answered with "I do not know."


def of(around: Mapping, names: Set[str], columns: Iterable[str]) -> dict:
    """`names` and questions, `asked` and `trained`, as lib.data.untaught reads them: `unseen` names of invented towns,
    `near` ones mixed from two of the table, and other attributes than the table has. Of question and answer pairs,
    which have no names, only questions about unseen ones. `around` is what stands around facts (templates/own.yaml)."""
    rng, given, other = random.Random("unseen"), sorted(names), around.get("untaught", {"asked": [], "trained": []})
    unseen = rng.sample(sorted({*places()} - names), NAMES)
    mixed = {_mixed(*rng.sample(given, 2)) for _ in range(4 * NAMES) if len(given) > 1 and "untaught" in around}
    near = sorted(mixed - names - {*unseen})
    questions = {kind: [[question, info] for question, info in listed if not any(states(question, c) for c in columns)]
                 for kind, listed in other.items()}  # fmt: skip
    unseen = [asked.format(name=name) for asked, name in zip(cycle(around["strangers"]), unseen, strict=False)]
    return {"names": {"unseen": unseen, "near": rng.sample(near, min(NAMES, len(near)))}, **questions}


def _mixed(one, other):
    """A name of parts of two: with the last word of the other, or of single words with its last half."""
    *head, last = one.split()
    *more, end = other.split()
    if head or more:
        return " ".join([*(head or [last]), end])
    return last[: -(-len(last) // 2)] + end[len(end) // 2 :]
