"""Problems that take two facts: which of two has more, from one attribute to another, a sum."""

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lib.data.facts import Fact, Profile, capital, text_of, texts

NEIGHBOURS = 3  # compared are values that lie so many ranks apart at most: others are decided by one value alone


@dataclass(frozen=True)
class Problem:
    """A question whose answer follows from two facts. `options` is the closed set of answers; none of a sum."""

    kind: str  # which, hop, sum
    prompt: str
    facts: tuple[Fact, Fact]
    answer: str
    options: tuple[str, ...]
    derived: str  # what a worked example says between the facts and the answer


def problems(profiles: Sequence[Profile], seed: int) -> list[Problem]:
    """What evaluations ask, one of each kind about each entity. No worked example has one of these pairs of facts."""
    words, numbers = _columns(profiles, "words"), _columns(profiles, "numbers")
    first = next(iter(numbers.values()))
    made = [comparison(*pair, text_of(first[0])["which"]) for pair in pairs(first, seed)]
    if len(words) > 1:
        asked, described, *_ = words.values()
        made += hop(described, asked, "heldout_questions", 0)
    if text := texts(profiles[0][0].entity).get("sum"):
        made += [total(profile, text["asked"], text["question"]) for profile in profiles]
    return made


def examples(profiles: Sequence[Profile], p: int, seed: int) -> list[Problem]:
    """Worked example set p to train on: other pairs of facts, in other phrasings, than evaluations ask."""
    made, words, numbers = [], _columns(profiles, "words"), _columns(profiles, "numbers")
    asked = {frozenset(fact.id for fact in pair) for pair in pairs(next(iter(numbers.values())), seed)}
    for facts in numbers.values():
        phrasings = text_of(facts[0])["which_trained"]
        rng = random.Random(f"examples {facts[0].attribute} {p} {seed}")
        order = rng.sample(facts, len(facts))
        drawn = [pair for pair in zip(order[::2], order[1::2], strict=False)
                 if pair[0].value != pair[1].value and frozenset(fact.id for fact in pair) not in asked]  # fmt: skip
        made += [comparison(*pair, phrasings[p % len(phrasings)]) for pair in drawn]
    # neither the way that evaluations ask nor the way back, which tells the same two facts
    if ways := [way for way in itertools.permutations(words, 2) if {*way} != {*list(words)[:2]}]:
        for i in range(len(profiles)):
            wanted, described = ways[(i + p) % len(ways)]
            hops = hop(words[described], words[wanted], "questions", p)
            made += [one for one in hops if one.facts[0] is words[described][i]]
    if text := texts(profiles[0][0].entity).get("sum"):
        made += [total(profile, text["pairs_trained"][(i + p) % len(text["pairs_trained"])],
                       text["trained"][p % len(text["trained"])]) for i, profile in enumerate(profiles)]  # fmt: skip
    return made


def pairs(facts: Sequence[Fact], seed: int) -> list[tuple[Fact, Fact]]:
    """Each fact with another, drawn by the seed, of a value near its own: the larger stands first in half of them."""
    rng, made = random.Random(f"reasoning {seed}"), {}
    ranked = sorted(facts, key=lambda fact: int(fact.value))
    for i, fact in enumerate(ranked):
        close = ranked[max(0, i - NEIGHBOURS) : i + NEIGHBOURS + 1]
        if beside := [o for o in close if o.value != fact.value and frozenset((o.id, fact.id)) not in made]:
            pair = sorted((fact, rng.choice(beside)), key=lambda one: int(one.value))
            made[frozenset(one.id for one in pair)] = tuple(pair)
    larger_first = [i % 2 for i in range(len(made))]
    rng.shuffle(larger_first)
    return [pair[::-1] if first else pair for pair, first in zip(made.values(), larger_first, strict=True)]


def comparison(a: Fact, b: Fact, template: str) -> Problem:
    """Which of two entities has the larger number."""
    larger, smaller = (a, b) if int(a.value) > int(b.value) else (b, a)
    derived = text_of(a)["more"].format(a=larger.name, b=smaller.name) + " "
    return Problem("which", template.format(a=a.name, b=b.name), (a, b), larger.name, (a.name, b.name), derived)


def hop(described: Sequence[Fact], asked: Sequence[Fact], kind: str, p: int) -> list[Problem]:
    """From one attribute of each entity to another: the entity is told by a value that it alone has, not by name."""
    made, count = [], Counter(fact.value for fact in described)
    for fact, wanted in zip(described, asked, strict=True):
        if count[fact.value] == 1:
            prompt = text_of(wanted)[kind][p].format(name=text_of(fact)["descriptor"].format(value=fact.value))
            made.append(Problem("hop", capital(prompt), (fact, wanted), wanted.value, wanted.options, ""))
    return made


def total(profile: Profile, summed: Sequence[str], template: str) -> Problem:
    """How many of two things one entity has together."""
    a, b = (fact for fact in profile if fact.attribute in summed)
    answer, prompt = str(int(a.value) + int(b.value)), template.format(name=a.name, a=a.attribute, b=b.attribute)
    return Problem("sum", prompt, (a, b), answer, (), f"{a.value} and {b.value} make {answer}. ")


def _columns(profiles, info):
    """The facts of all profiles by attribute, of the attributes of a type."""
    return {facts[0].attribute: facts for facts in zip(*profiles, strict=True) if facts[0].info == info}
