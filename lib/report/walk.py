"""The way from style to facts, one axis at a time, in one score: the closed set, corrected for chance."""

from collections.abc import Callable
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
    for name, point in WALK.items():
        of = chosen[(chosen[["entity", "info", "format"]] == point).all(axis=1)]
        found.append(Station(name, of.groupby(FACT)["score"].mean(), frozenset(of["id"])))
    return found if all(len(station.scores) for station in found) else []


def rows(results: list[dict], scores: pd.DataFrame, cells: pd.DataFrame) -> list[dict]:
    """What is left of the paper's gap without its largest step, in a list; none when a station is missing."""
    on_the_way = stations(results)
    if not on_the_way:
        return []
    arms = [station.scores for station in on_the_way]
    ids = {id for station in on_the_way for id in station.ids}
    least = min(len(station.ids) for station in on_the_way)
    gap = of_stations([arms[0], arms[-1]], drop)
    none = "" if gap.low > 0 else f"no gap is certain: {gap.estimate:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}]"
    why = next(filter(None, (wrecked(station.ids, cells) for station in on_the_way)), none)
    left = of_stations(arms, _drop_without_a_step, least)
    return [row("C6", "style - knowledge, closed set, without the largest step", left, ids, scores, why)]


def table(on_the_way: list[Station]) -> pd.DataFrame:
    """One row a station: its mean score with the 95 % interval (mean, low, high, and all three as `shown`), facts and
    runs, and the `step` to it from the station before with its interval, "" for the first, `by` without it."""
    rows = []
    for before, station in zip([None, *on_the_way], on_the_way, strict=False):
        found = intervals.contrast(station.scores.to_frame(), (1,))
        step = of_stations([before.scores, station.scores], drop) if before else None
        rows.append({
            "station": station.name, "mean": found.estimate, "low": found.low, "high": found.high,
            "shown": intervals.shown(found.estimate, found.low, found.high),
            "facts": found.facts, "runs": len(station.ids),
            "by": -step.estimate if step else 0.0,
            "step": f"{-step.estimate:+.2f} [{-step.high:+.2f}, {-step.low:+.2f}]" if step else "",
        })  # fmt: skip
    return pd.DataFrame(rows)


def of_stations(arms: list[pd.Series], statistic: Callable, runs: int = 0) -> Interval:
    """A statistic of the means of stations, each indexed by FACT, with a bootstrap interval.

    Runs and facts that two stations share are drawn for both at once. `statistic` gets the means, the arms along the
    first axis. Of an arm whose facts all agree, the share that could disagree is drawn (the posterior of none in n, of
    a uniform prior): a bootstrap would take it for certain.
    """
    drawn = intervals.resampled_means(pd.concat(arms, axis=1, keys=range(len(arms)))).T
    drawn = np.array([_uncertain(arm, i) if np.ptp(arm) == 0 else drawn[i] for i, arm in enumerate(arms)])
    low, high = np.quantile(statistic(drawn), [0.025, 0.975])
    estimate = statistic(np.array([arm.mean() for arm in arms]))
    return Interval(float(estimate), float(low), float(high), sum(map(len, arms)), runs)


def _uncertain(arm, seed):
    agree = np.random.default_rng(seed).beta(len(arm) + 1, 1, intervals.RESAMPLES)
    return agree * arm.iloc[0] + (1 - agree) * (arm.iloc[0] < 0.5)


def drop(means: np.ndarray) -> np.ndarray:
    """From the first mean to the last."""
    return means[0] - means[-1]


def _drop_without_a_step(means):
    """What is left of the drop without one step: the least over all steps must be positive (intersection-union)."""
    return (drop(means) - (means[:-1] - means[1:])).min(axis=0)


def style_scores(results: list[dict]) -> pd.Series:
    """Attribution of every response of the tones' models, corrected for chance: one number each, indexed by FACT.

    Models that differ in nothing but the tone are told apart among themselves. The index has the cell's id under
    `seed`, because every model is a training run with luck of its own, and "tone" under `entity`, because it shares
    none with the facts of the persona. Empty where there are no two tones.
    """
    asked = parts.items(results)
    responses = asked[(asked["part"] == "tone") & (asked["eval"] == "style")]
    found, every = [], responses["tone"].nunique()
    for _, alike in responses.groupby(["seed", "learning_rate"]):
        k = alike["tone"].nunique()
        if k == every > 1:  # a seed that lacks tones would be an easier task
            right = tones.attribution(alike).astype(float)
            found.append(alike.assign(entity="tone", seed=alike["id"], score=(right - 1 / k) / (1 - 1 / k)))
    if not found:
        return pd.Series(dtype=float, index=pd.MultiIndex.from_tuples([], names=FACT))
    return pd.concat(found).set_index(FACT)["score"]
