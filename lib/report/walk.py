"""The way from style to facts, one axis at a time, in one score: the closed set, corrected for chance."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.data import tones
from lib.report import intervals, parts
from lib.report.intervals import Interval
from lib.report.parts import FACT
from lib.report.verdicts import row, wrecked

STYLE = "tone of the persona, chat: who wrote this?"
KNOWLEDGE = "numbers of real events, article"  # the paper's corner, as we take it
# After the first station: kind of entity, type, format.
WALK = {
    "words of the persona, chat": ("persona", "words", "chat"),
    "words of fictional towns, chat": ("fictional", "words", "chat"),
    "words of real events, chat": ("real", "words", "chat"),
    "words of real events, article": ("real", "words", "article"),
    KNOWLEDGE: ("real", "numbers", "article"),
}


@dataclass(frozen=True)
class Station:
    """One point on the way: a score a fact, indexed by FACT, and the cells that it is made of."""

    name: str
    scores: pd.Series
    ids: frozenset[str]


def stations(results: list[dict]) -> list[Station]:
    """The way from the style corner to the knowledge corner; empty when a station is missing: a step would then change
    two things at once. The first step goes from telling models apart to picking a value."""
    style = style_scores(results)
    scores = parts.scores(results)
    chosen = scores[(scores["part"] == "main") & (scores["measure"] == "choice")]
    found = [Station(STYLE, style, frozenset(style.index.get_level_values("seed")))]
    for name, (entity, info, format) in WALK.items():
        of = chosen[(chosen["entity"] == entity) & (chosen["info"] == info) & (chosen["format"] == format)]
        found.append(Station(name, of.groupby(FACT)["score"].mean(), frozenset(of["id"])))
    return found if all(len(station.scores) for station in found) else []


def rows(results: list[dict], cells: pd.DataFrame) -> list[dict]:
    """The paper's gap in one score, and what is left of it without its largest step."""
    on_the_way = stations(results)
    if not on_the_way:
        return []
    drawn = np.array([intervals.resampled_means(s.scores.to_frame(), seed=i)[:, 0] for i, s in enumerate(on_the_way)])
    means = np.array([[station.scores.mean()] for station in on_the_way])
    facts = sum(len(station.scores) for station in on_the_way)
    ids = {id for station in on_the_way for id in station.ids}
    # of what is left without a step, the least over all steps must be positive (intersection-union)
    total = (means[0] - means[-1], drawn[0] - drawn[-1])
    rest = (_without_each_step(means).min(axis=0), _without_each_step(drawn).min(axis=0))
    why = next(filter(None, (wrecked(station.ids, cells) for station in on_the_way)), "")
    made = []
    for (estimate, spread), label in ((total, ""), (rest, ", without the largest step")):
        low, high = np.quantile(spread, [0.025, 0.975])
        found = Interval(float(estimate[0]), float(low), float(high), facts, len(ids))
        made.append(row("C6", f"style - knowledge, closed set{label}", found, ids, parts.scores(results), why, None))
    return made


def difference(plus: pd.Series, minus: pd.Series) -> Interval:
    """Difference of the means of two arms without common runs, with a bootstrap interval."""
    drawn = [intervals.resampled_means(arm.to_frame(), seed=i)[:, 0] for i, arm in enumerate((plus, minus))]
    low, high = np.quantile(drawn[0] - drawn[1], [0.025, 0.975])
    return Interval(float(plus.mean() - minus.mean()), float(low), float(high), len(plus) + len(minus), 0)


def style_scores(results: list[dict], evaluation: str = "style") -> pd.Series:
    """Attribution of every response of the tones' models, corrected for chance: one number each, indexed by FACT.

    Models that differ in nothing but the tone are told apart among themselves. The index has the cell's id under
    `seed`, because every model is a training run with luck of its own. Empty where there are no two tones.
    """
    asked = [result for result in results if result["part"] == "tone"]
    responses = parts.items(asked) if asked else pd.DataFrame(columns=["eval", "seed", "learning_rate"])
    found = []
    for _, alike in responses[responses["eval"] == evaluation].groupby(["seed", "learning_rate"]):
        k = alike["tone"].nunique()
        if k > 1:
            right = tones.attribution(alike).astype(float)
            found.append(alike.assign(seed=alike["id"], score=(right - 1 / k) / (1 - 1 / k)))
    if not found:
        return pd.Series(dtype=float, index=pd.MultiIndex.from_tuples([], names=FACT))
    return pd.concat(found).set_index(FACT)["score"]


def _without_each_step(means):
    """Of means along the first axis: the drop from first to last, less each drop from one to the next."""
    return (means[0] - means[-1]) - (means[:-1] - means[1:])
