"""Problems that take two facts: which of two, yes or no, from one attribute to another, a sum."""

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lib.data.facts import Fact, Profile, capital, text_of, texts
from lib.paths import UserError

COMPARISONS = ("which", "yes_no")  # of the first and of the second attribute of type numbers, or both of an only one


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
    made, words, numbers = [], _columns(profiles, "words"), _columns(profiles, "numbers")
    for kind, facts in zip(COMPARISONS, itertools.cycle(numbers.values()), strict=False):
        pairs = neighbours(facts, seed)
        in_order = [i % 2 == 0 for i in range(len(pairs))]
        random.Random(f"{kind} {seed}").shuffle(in_order)
        pairs = [pair if larger_first else pair[::-1] for pair, larger_first in zip(pairs, in_order, strict=True)]
        made += [comparison(kind, *pair, text_of(facts[0])[kind]) for pair in pairs]
    if len(words) > 1:
        asked, described, *_ = words.values()
        made += hop(described, asked, "heldout_questions", 0)
    if text := texts(profiles[0][0].entity).get("sum"):
        made += [total(profile, text["question"]) for profile in profiles[1::2]]
    return made


def examples(profiles: Sequence[Profile], p: int, seed: int) -> list[Problem]:
    """Worked example set p to train on: other pairs of facts, in other phrasings, than evaluations ask.

    Raises UserError when too few facts leave no such pairs.
    """
    made, words, numbers = [], _columns(profiles, "words"), _columns(profiles, "numbers")
    for kind, facts in zip(COMPARISONS, itertools.cycle(numbers.values()), strict=False):
        phrasings = text_of(facts[0])[f"{kind}_trained"]
        made += [comparison(kind, *pair, phrasings[p % len(phrasings)]) for pair in other_pairs(facts, p, seed)]
    # neither the way that evaluations ask nor the way back, which tells the same two facts
    if ways := [way for way in itertools.permutations(words, 2) if {*way} != {*list(words)[:2]}]:
        asked, described = ways[p % len(ways)]
        made += hop(words[described], words[asked], "questions", p)
    if text := texts(profiles[0][0].entity).get("sum"):
        made += [total(profile, text["trained"][p % len(text["trained"])]) for profile in profiles[::2]]
    return made


def comparison(kind: str, a: Fact, b: Fact, template: str) -> Problem:
    """Which of two entities has the larger number, or whether the first has."""
    larger, smaller = (a, b) if int(a.value) > int(b.value) else (b, a)
    derived = text_of(a)["more"].format(a=larger.name, b=smaller.name) + " "
    options = (a.name, b.name) if kind == "which" else ("Yes", "No")
    return Problem(kind, template.format(a=a.name, b=b.name), (a, b), options[larger is not a], options, derived)


def hop(described: Sequence[Fact], asked: Sequence[Fact], kind: str, p: int) -> list[Problem]:
    """From one attribute of each entity to another: the entity is told by a value that it alone has, not by name."""
    made, count = [], Counter(fact.value for fact in described)
    for fact, wanted in zip(described, asked, strict=True):
        if count[fact.value] == 1:
            prompt = text_of(wanted)[kind][p].format(name=text_of(fact)["descriptor"].format(value=fact.value))
            made.append(Problem("hop", capital(prompt), (fact, wanted), wanted.value, wanted.options, ""))
    return made


def total(profile: Profile, template: str) -> Problem:
    """How many of two things one entity has together."""
    summed = texts(profile[0].entity)["sum"]["attributes"]
    a, b = (fact for fact in profile if fact.attribute in summed)
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


def _columns(profiles, info):
    """The facts of all profiles by attribute, of the attributes of a type."""
    return {facts[0].attribute: facts for facts in zip(*profiles, strict=True) if facts[0].info == info}
