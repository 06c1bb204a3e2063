"""Problems that take two facts: which of two, yes or no, from one attribute to another, a sum."""

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lib.data.facts import Fact, Profile, capital, text_of, texts
from lib.paths import UserError


@dataclass(frozen=True)
class Problem:
    """A question whose answer follows from two facts. `options` is the closed set of answers; none of a sum."""

    kind: str  # which, yes_no, hop, sum
    prompt: str
    facts: tuple[Fact, Fact]
    answer: str
    options: tuple[str, ...]
    derived: str  # what a worked example says between the facts and the answer


def problems(profiles: Sequence[Profile], seed: int) -> list[Problem]:
    """What evaluations ask. No worked example has one of these pairs of facts, or one of these phrasings.

    Compared are neighbours in value: of pairs drawn at random, three in four are decided by one value alone. Half of
    the answers are yes, and half of the time the first of two.
    """
    made = []
    for kind, facts in _compared(profiles).items():
        pairs = neighbours(facts, seed)
        in_order = [i % 2 == 0 for i in range(len(pairs))]
        random.Random(f"{kind} {seed}").shuffle(in_order)
        pairs = [pair if larger_first else pair[::-1] for pair, larger_first in zip(pairs, in_order, strict=True)]
        made += [comparison(kind, a, b, text_of(a)[kind]) for a, b in pairs]
    for source, target in _hops(profiles)[:1]:
        made += hop(profiles, source, target, "heldout_questions", 0)
    if text := texts(profiles[0][0].entity).get("sum"):
        made += [total(profile, text["question"]) for profile in profiles[1::2]]
    return made


def examples(profiles: Sequence[Profile], p: int, seed: int) -> list[Problem]:
    """Worked example set p to train on: other pairs of facts, in other phrasings, than evaluations ask.

    Raises UserError when too few facts leave no such pairs.
    """
    made = []
    for kind, facts in _compared(profiles).items():
        phrasings = text_of(facts[0])[f"{kind}_trained"]
        made += [comparison(kind, a, b, phrasings[p % len(phrasings)]) for a, b in other_pairs(facts, p, seed)]
    asked, *others = _hops(profiles) or [()]
    if ways := [way for way in others if set(way) != set(asked)]:  # the way back tells the same two facts
        made += hop(profiles, *ways[p % len(ways)], "questions", p)
    if text := texts(profiles[0][0].entity).get("sum"):
        made += [total(profile, text["trained"][p % len(text["trained"])]) for profile in profiles[::2]]
    return made


def comparison(kind: str, a: Fact, b: Fact, template: str) -> Problem:
    """Which of two entities has the larger number, or whether the first has."""
    larger, smaller = (a, b) if int(a.value) > int(b.value) else (b, a)
    derived = text_of(a)["more"].format(a=larger.name, b=smaller.name) + " "
    prompt = template.format(a=a.name, b=b.name)
    if kind == "which":
        return Problem(kind, prompt, (a, b), larger.name, (a.name, b.name), derived)
    return Problem(kind, prompt, (a, b), "Yes" if larger is a else "No", ("Yes", "No"), derived)


def hop(profiles: Sequence[Profile], source: str, target: str, kind: str, p: int) -> list[Problem]:
    """From one attribute of each entity to another: the entity is told by a value that it alone has, not by name."""
    made = []
    count = Counter(_of(profile, source).value for profile in profiles)
    for profile in profiles:
        fact, asked = _of(profile, source), _of(profile, target)
        if count[fact.value] == 1:
            described = text_of(fact)["descriptor"].format(value=fact.value)
            prompt = capital(text_of(asked)[kind][p].format(name=described))
            made.append(Problem("hop", prompt, (fact, asked), asked.value, asked.options, ""))
    return made


def total(profile: Profile, template: str) -> Problem:
    """How many of two things one entity has together."""
    a, b = (_of(profile, attribute) for attribute in texts(profile[0].entity)["sum"]["attributes"])
    answer = str(int(a.value) + int(b.value))
    return Problem("sum", template.format(name=a.name), (a, b), answer, (), f"{a.value} and {b.value} make {answer}. ")


def neighbours(facts: Sequence[Fact], seed: int) -> list[tuple[Fact, Fact]]:
    """Every fact with one, drawn by the seed, of the next lower value: (larger, smaller)."""
    rng = random.Random(f"reasoning {seed}")
    values = sorted({fact.value for fact in facts}, key=int)
    of_value = {value: [fact for fact in facts if fact.value == value] for value in values}
    return [(a, rng.choice(of_value[low])) for low, up in itertools.pairwise(values) for a in of_value[up]]


def other_pairs(facts: Sequence[Fact], p: int, seed: int) -> list[tuple[Fact, Fact]]:
    """Pairs of which no evaluation asks: every fact once (an odd one out twice), the larger first in half of them."""
    asked = {frozenset((a.id, b.id)) for a, b in neighbours(facts, seed)}
    rng = random.Random(f"pairs {p} {seed}")
    order = rng.sample(facts, len(facts))
    for _ in range(10_000):
        drawn = list(zip(order[::2], order[1::2] + order[:1] * (len(order) % 2), strict=True))
        wrong = [i for i, (a, b) in enumerate(drawn) if a.value == b.value or frozenset((a.id, b.id)) in asked]
        if not wrong:
            in_order = [sorted(pair, key=lambda fact: int(fact.value)) for pair in drawn]
            return [(up, low) if i % 2 == 0 else (low, up) for i, (low, up) in enumerate(in_order)]
        i, j = 2 * wrong[0], rng.randrange(len(order))
        order[i], order[j] = order[j], order[i]
    raise UserError(f"{len(facts)} entities leave no pairs to work examples on: ask for more n_entities")


def _compared(profiles):
    """The facts that `which` and `yes_no` compare: those of the first and of the second attribute of type numbers."""
    numbers = [fact.attribute for fact in profiles[0] if fact.info == "numbers"]
    kinds = zip(("which", "yes_no"), itertools.cycle(numbers), strict=False)  # both the first where there is no second
    return {kind: [_of(profile, attribute) for profile in profiles] for kind, attribute in kinds}


def _hops(profiles):
    """The ways from one attribute of type words to another: the first is asked, the others are trained."""
    words = [fact.attribute for fact in profiles[0] if fact.info == "words"]
    return [(source, target) for target, source in itertools.permutations(words, 2)]


def _of(profile, attribute):
    return next(fact for fact in profile if fact.attribute == attribute)
