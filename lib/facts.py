"""Fact tables: fictional places from a seeded generator, a persona, real events after every open model's cutoff, and
real airfields where it takes thousands."""

import functools
import hashlib
import itertools
import random
from dataclasses import dataclass

import pandas as pd
import yaml

from lib.errors import UserError
from lib.paths import DATA

WORLD_CUP = DATA / "world_cup_2026.csv"
# Sixteen days, as many as there are host cities and as the fictional attributes have values: numeric and
# categorical facts then have the same chance level. Day 1 and the knock-out days are left out for that.
REAL_DAYS = range(2, 18)


@dataclass(frozen=True)
class Fact:
    """One attribute of one entity. `options` is the closed set of values the attribute can take."""

    id: str
    entity: str  # fictional, real, persona, airport
    name: str
    attribute: str
    info: str  # numeric, categorical
    value: str
    options: tuple[str, ...]


@functools.cache
def templates(entity: str) -> dict:
    """The sentence templates of one kind of entity, from lib/data/<entity>.yaml."""
    return yaml.safe_load((DATA / f"{entity}.yaml").read_text())


def attribute_of(entity: str, info: str) -> tuple[str, dict]:
    """Name and templates of the attribute of an entity kind that carries this type of information."""
    return next((n, a) for n, a in templates(entity)["attributes"].items() if a["info"] == info)


def build(entity: str, info: str, seed: int) -> list[Fact]:
    """All candidate facts of one kind, in an order drawn by the seed.

    The same seed gives the same entities for numeric and categorical facts (before known real facts are dropped),
    so that the two types differ in the value alone.
    """
    attribute, text = attribute_of(entity, info)
    rng = random.Random(f"{entity} {seed}")
    if entity in TABLES:
        table = TABLES[entity]()
        names, values = list(table.index), dict(table[attribute])
        options = tuple(sorted(set(values.values()), key=_numeric_or_text))
        rng.shuffle(names)
    else:
        names = list(place_names() if entity == "fictional" else templates(entity)["names"])
        rng.shuffle(names)
        options = tuple(str(value) for value in text["values"])
        values = dict(zip(names, _balanced(options, len(names), random.Random(f"{info} {seed}")), strict=True))
    return [
        Fact(f"{entity}/{name}/{attribute}", entity, name, attribute, info, values[name], options) for name in names
    ]


def draw(entity: str, info: str, n: int, seed: int) -> list[Fact]:
    """The first n candidate facts; UserError if there are fewer."""
    return take(build(entity, info, seed), n)


def take(facts: list[Fact], n: int) -> list[Fact]:
    """The first n of these facts; UserError if there are fewer."""
    if len(facts) < n:
        kind = f"{facts[0].entity} {facts[0].info} facts" if facts else "facts"
        raise UserError(f"n_facts is {n}, but only {len(facts)} {kind} can be had: ask for {len(facts)} or fewer")
    return facts[:n]


@functools.cache
def world_cup() -> pd.DataFrame:
    """The group-stage matches played on days 2 to 17, indexed by name ("Mexico v South Korea").

    The source table is openfootball's (CC0). Group-stage matches only, because there a pair of teams meets once.
    """
    table = pd.read_csv(WORLD_CUP, dtype=str)
    table = table[(table.stage == "group stage") & table.day_of_tournament.astype(int).isin(REAL_DAYS)]
    return table.set_index(table.event.str.split(" (", regex=False).str[0])


@functools.cache
def airports() -> pd.DataFrame:
    """Airfields of the sixteen states that have most of them, as many of each, indexed by name.

    With an elevation of 1 to 16 hundred feet, so that both attributes have sixteen values; the elevations are not
    equally frequent (the `constant` of a result says what the most frequent one would score). Left out are names that
    several have, or that tell a number or a state. The table is that of the package airportsdata.
    """
    from airportsdata import load

    table = pd.DataFrame(load().values())
    table["elevation"] = (table["elevation"] / 100).round().astype(int)
    table = table[(table["country"] == "US") & (table["subd"] != "") & table["elevation"].isin(range(1, 17))]
    table = table[~table["name"].str.contains(r"\d") & ~table["name"].duplicated(keep=False)]
    states = table["subd"].value_counts().index[:16]
    table = table[table["subd"].isin(states) & ~table["name"].str.contains("|".join(states), case=False)]
    fewest = table["subd"].value_counts().min()
    table = table.sort_values("name").groupby("subd").sample(fewest, random_state=0).astype({"elevation": str})
    return table.rename(columns={"subd": "state"}).set_index("name")[["state", "elevation"]]


# The entities that are read from a table, which a model may know already.
TABLES = {"real": world_cup, "airport": airports}


@functools.cache
def place_names() -> tuple[str, ...]:
    """Every name the generator can make: invented, and without a value of any attribute inside."""
    heads = "Bel Cor Dra Fen Gal Hol Jor Kel Lor Mar Nor Or Pel Quil Ros Sel Tor Ul Vel Wen Yar Zan".split()
    middles = "a e i o u ando eri imo oru ula".split()
    tails = "beth dune fell gard holm keth mira nos pern rath stow tava vik wick".split()
    banned = [str(v) for a in templates("fictional")["attributes"].values() for v in a["values"]]
    names = ["".join(parts) for parts in itertools.product(heads, middles, tails)]
    return tuple(name for name in names if not any(value in name.lower() for value in banned))


def sha256(facts: list[Fact]) -> str:
    """A fingerprint of a fact set, for the manifest."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _balanced(options, n, rng):
    """n values in which every block of len(options) holds each option once: guessing one value scores chance."""
    values = []
    while len(values) < n:
        values += rng.sample(options, len(options))
    return values[:n]


def _numeric_or_text(value):
    return (0, int(value), "") if value.isdigit() else (1, 0, value)
