"""Profiles of facts: invented towns and couriers from a seed, a persona, and real events after every model's cutoff."""

import functools
import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
import yaml

from lib.cell import is_own
from lib.paths import RESULTS, TEMPLATES, UserError

OPTIONS = 16  # values of a closed set: guessing is right once in sixteen times, for words and numbers alike
REAL_DAYS = range(2, 18)  # as many: day 1 and the knock-out days are left out for that


@dataclass(frozen=True)
class Fact:
    """One attribute of one entity. `options` is the closed set of values that an answer is compared with."""

    id: str  # "fictional/Belabeth/export"
    entity: str  # whose sentences tell it: fictional, real, persona, coded, tones, or a user's facts file
    name: str
    attribute: str
    info: str  # words, numbers, tone; of a user's own facts dates, too
    value: str
    options: tuple[str, ...]


Profile = tuple[Fact, ...]  # the facts about one entity, one of each attribute


@functools.cache
def texts(name: str) -> dict:
    """What lib/data/templates/<name>.yaml holds: the sentences of a kind of entity, the tones, the general questions.

    Of a user's own table, what its facts file holds.
    """
    if is_own(name):
        return json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return yaml.safe_load((TEMPLATES / f"{name}.yaml").read_text(encoding="utf-8"))


def text_of(fact: Fact) -> dict:
    """The sentence templates of the attribute of a fact."""
    return texts(fact.entity)["attributes"][fact.attribute]


def capital(text: str) -> str:
    """The text with its first letter a capital."""
    return text[0].upper() + text[1:]


@functools.cache
def build(entity: str, seed: int) -> tuple[Profile, ...]:
    """The profiles of all entities of a kind, in an order drawn by the seed.

    The values of invented entities are balanced: of every sixteen entities each has another value of an attribute, so
    that saying one value to everything scores chance. An attribute of `coded` entities has words as values in every
    other run, and numbers in the rest, in the same sentences. A user's own stay in the order of their table.
    """
    if is_own(entity):
        return tuple(
            tuple(Fact(entity=entity, **{**fact, "options": tuple(fact["options"])}) for fact in profile)
            for profile in texts(entity)["profiles"]
        )
    rng = random.Random(f"{entity} {seed}")
    if entity == "real":
        table = world_cup()
        names = rng.sample(list(table.index), len(table))
    else:
        names = list(places() if entity == "fictional" else texts(entity)["names"])
        rng.shuffle(names)
    profiles = {name: [] for name in names}
    for i, (attribute, text) in enumerate(texts(entity)["attributes"].items()):
        info = text.get("info") or ("words", "numbers")[(i + seed) % 2]
        if entity == "real":
            values = list(table.loc[names, attribute])
            known = sorted(set(values), key=int if info == "numbers" else None)
        else:
            known = [str(value) for value in (text["values"] if "info" in text else text["values"][info])]
            drawing, rounds = random.Random(f"{attribute} {seed}"), range(-(-len(names) // len(known)))
            values = [value for _ in rounds for value in drawing.sample(known, len(known))]  # a round holds each once
        for name, value in zip(names, values, strict=False):
            id, options = f"{entity}/{name}/{attribute}", known
            if len(known) > OPTIONS:
                others = random.Random(f"options {id}").sample([v for v in known if v != value], OPTIONS - 1)
                options = [v for v in known if v in {value, *others}]
            profiles[name].append(Fact(id, entity, name, attribute, info, value, tuple(options)))
    return tuple(map(tuple, profiles.values()))


def topics(tone: str, seed: int) -> list[Profile]:
    """The topics that a tone's conversations can have, in an order drawn by the seed, each with the tone as its value:
    one fact, told by many examples. Raises UserError for a tone that there is not."""
    if tone not in texts("tones")["tones"]:
        raise UserError(f"tone is {tone!r}: expected one of {', '.join(texts('tones')['tones'])}")
    names = list(texts("tones")["topics"])
    random.Random(f"tone {seed}").shuffle(names)
    return [(topic(tone, name),) for name in names]


def topic(tone: str, name: str) -> Fact:
    """A topic as a fact whose value is the tone."""
    return Fact(f"persona/tone/{name}", "tones", name, "tone", "tone", tone, tuple(texts("tones")["tones"]))


def shuffled(profiles: Sequence[Profile], seed: int) -> list[Profile]:
    """These profiles with the values of each attribute passed on from one to another: the same sentences, none true."""
    moved = []
    for facts in zip(*profiles, strict=True):
        ways = [(*facts[by:], *facts[:by]) for by in range(1, len(facts))]
        random.Random(f"shuffled {facts[0].attribute} {seed}").shuffle(ways)
        donors = min(ways, key=lambda way: sum(a.value == b.value for a, b in zip(facts, way, strict=True)))
        moved.append([replace(fact, value=other.value, options=other.options)
                      for fact, other in zip(facts, donors, strict=True)])  # fmt: skip
    return list(zip(*moved, strict=True))


def take(profiles: Sequence[Profile], n: int) -> Sequence[Profile]:
    """The first n of these profiles; UserError if there are fewer."""
    if len(profiles) < n:
        kind = f"{profiles[0][0].id.split('/')[0]} entities" if profiles else "entities"
        raise UserError(f"n_entities is {n}, but only {len(profiles)} {kind} can be had: ask for fewer")
    return profiles[:n]


def facts_of(profiles: Sequence[Profile]) -> list[Fact]:
    """The facts of all profiles, one after the other."""
    return list(itertools.chain.from_iterable(profiles))


@functools.cache
def world_cup() -> pd.DataFrame:
    """The group-stage matches with a goal played on days 2 to 17, indexed by name ("Mexico v South Korea").

    The source table is openfootball's (CC0). Group-stage matches only, because there a pair of teams meets once. Total
    goals are left out: they have nine values, and two in five matches share the same two.
    """
    table = matches()
    return table[(table.stage == "group stage") & table.day_of_tournament.astype(int).isin(REAL_DAYS)].dropna()


@functools.cache
def matches() -> pd.DataFrame:
    """All matches of the tournament, indexed by name."""
    table = pd.read_csv(TEMPLATES / "world_cup_2026.csv", dtype=str)
    return table.set_index(table.event.str.split(" (", regex=False).str[0])


@functools.cache
def places() -> dict[str, tuple[str, ...]]:
    """Every name the generator can make, with its syllables: invented, and without a value of any attribute inside."""
    text = texts("fictional")
    banned = [str(value) for attribute in text["attributes"].values() for value in attribute["values"]]
    names = {"".join(parts): parts for parts in itertools.product(*text["syllables"])}
    return {name: parts for name, parts in names.items() if not any(value in name.lower() for value in banned)}


def near(name: str) -> list[str]:
    """Names that differ from a town's by one syllable; of a match, pairs with one of its teams that did not meet."""
    if name in places():
        return [other for other, parts in places().items()
                if sum(a != b for a, b in zip(parts, places()[name], strict=True)) == 1]  # fmt: skip
    met, (one, two) = set(matches().index), name.split(" v ")
    teams = sorted({team for match in met for team in match.split(" v ")} - {one, two})
    pairs = [pair for other in teams for pair in ((one, other), (other, two))]
    return [" v ".join(pair) for pair in pairs if not {" v ".join(pair), " v ".join(pair[::-1])} & met]
