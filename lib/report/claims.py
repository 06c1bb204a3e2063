"""The claims as contrasts of mean scores (claims.yaml): one that decides and a few beside it, or why they cannot."""

import itertools
import math
from collections.abc import Callable
from functools import reduce

import numpy as np
import pandas as pd
import yaml

from lib.paths import LIB
from lib.report import intervals
from lib.report.intervals import ENOUGH, RUN
from lib.report.scores import FACT, KEPT, SHORT, Frames, kept

CLAIMS = yaml.safe_load((LIB / "report" / "claims.yaml").read_text(encoding="utf-8"))
CEILING, FLOOR = 0.9, 0.1  # where both sides of a difference are beyond, it cannot show
LEARNED = 0.5  # a format that recalls less of what it was told says nothing about how it generalizes
SURE = 0.05


def decide(frames: Frames) -> list[dict]:
    """A row of claims.csv for every contrast that these results have facts for, in the order of the claims. The primary
    one of a claim is judged by its interval, the others by p-values corrected for their number."""
    rows = []
    for claim, statement in CLAIMS.items():
        specs = [{**statement, **spec, "primary": not i}
                 for i, spec in enumerate([statement["primary"], *statement["secondary"]])]  # fmt: skip
        made = [row for spec in specs if (row := contrast(spec, frames))]
        others = [row for row in made if not row["primary"] and not row["because"]]
        for row, p in zip(others, intervals.holm([row["p"] for row in others]), strict=True):
            row["p"] = p
        rows += [{"claim": claim, **row, "p": round(row["p"], 4), "verdict": verdict(row)} for row in made]
    return rows


def verdict(row: dict) -> str:
    """What a contrast says about a claim: it is positive where the claim is right."""
    if row["because"]:
        return "not testable"
    sure = row["low"] > 0 or row["high"] < 0 if row["primary"] else row["p"] < SURE
    return "unclear" if not sure else "supports" if row["estimate"] > 0 else "contradicts"


def contrast(spec: dict, frames: Frames) -> dict | None:
    """One contrast of these scores; None where an arm has no facts."""
    arms, axes, paired = arms_of(spec, frames.scores), spec.get("axes"), spec.get("paired", True)
    if paired:  # an arm of other draws would have other luck, and one in another type of number is rounded otherwise
        draws = [pd.MultiIndex.from_frame(arm[[*RUN, "dtype"]]) for arm in arms]
        common = reduce(pd.MultiIndex.intersection, draws)
        arms = [arm[draw.isin(common)] for arm, draw in zip(arms, draws, strict=True)]
    facts = pd.concat([arm.groupby(FACT)["score"].mean() for arm in arms], axis=1, keys=range(len(arms)))
    facts = facts.dropna(how="any" if paired else "all")
    if not all(map(len, arms)) or facts.empty:
        return None
    signs = [] if axes else [1] * len(spec["plus"]) + [-1] * len(spec["minus"])
    facts[0] += spec.get("margin", 0)
    found = intervals.contrast(facts, signs, statistic(spec) if axes else None)
    because, together = why_not(spec, facts, arms, frames), pd.concat(arms)
    return {
        "primary": spec["primary"], "name": spec["label"], "why": spec["why"], "shown": found.signed,
        "estimate": round(found.estimate, 4), "low": round(found.low, 4), "high": round(found.high, 4), "p": found.p,
        "experiments": together.loc[together["format"] != "none", "id"].nunique(), "runs": found.runs,
        "facts": found.facts, "exploratory": found.runs < ENOUGH, "because": because,
    }  # fmt: skip


def arms_of(spec: dict, scores: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each arm of a contrast, those with plus first; of a statistic, of each corner of its axes."""
    axes, table = spec.get("axes"), scores.query(spec["where"])
    corners = itertools.product(*axes.values()) if axes else [[query] for query in (*spec["plus"], *spec["minus"])]
    return [table.query(" and ".join(queries)) for queries in corners]


def statistic(spec: dict) -> Callable[[np.ndarray], np.ndarray]:
    """Of the means of all corners of some axes, (resamples, 2 ** axes): what a contrast asks of the axes' effects."""

    def lead(means):  # how much more the first axis does than the second
        effects = np.abs(shapley(means))
        return effects[:, 0] - effects[:, 1]

    def share(means):  # of the gap between the first corner and the last: an axis' part, or how far all are below 2/3
        shares = shapley(means) / np.maximum(means[:, :1] - means[:, -1:], 0.01)  # without a gap nothing is tested
        return shares[:, list(spec["axes"]).index(spec["share"])] if "share" in spec else 2 / 3 - shares.max(axis=1)

    return lead if spec["statistic"] == "lead" else share


def shapley(means: np.ndarray) -> np.ndarray:
    """What each axis takes from the mean, by the average over all orders of the steps (Shapley 1953): of means at the
    corners, (resamples, 2 ** axes), the first axis slowest; they add up to the first corner less the last."""
    axes = int(math.log2(means.shape[1]))
    corners, effects = means.reshape(-1, *[2] * axes), np.zeros((len(means), axes))
    for axis in range(axes):
        step = np.take(corners, 0, axis + 1) - np.take(corners, 1, axis + 1)
        for place in itertools.product((0, 1), repeat=axes - 1):
            weight = math.factorial(sum(place)) * math.factorial(axes - 1 - sum(place)) / math.factorial(axes)
            effects[:, axis] += weight * step[(slice(None), *place)]
    return effects


def why_not(spec: dict, facts: pd.DataFrame, arms: list[pd.DataFrame], frames: Frames) -> str:
    """Why these arms cannot decide the contrast, by what it needs; "" where they can. `facts` has the mean score of
    each fact in each arm."""
    needs, means, why = spec.get("needs", []), facts.mean().to_numpy(), []
    if "chance" in needs:
        why.append(below_chance(arms[0], frames.items))
    if "whole" in needs:
        why += [wrecked(arm[arm["format"] != "none"], frames.general) for arm in arms]
    if "room" in needs:  # an interaction has as little as its worse difference
        pairs = means.reshape(2, -1).T
        # a mean along training has no ceiling: where all is learned, it still says how fast
        if (pairs >= CEILING).all(axis=1).any() and not arms[0]["measure"].iloc[0].startswith("area"):
            why.append(f"both arms of a difference are at the ceiling (above {CEILING})")
        if (pairs <= FLOOR).all(axis=1).any():
            why.append(f"both arms of a difference are at the floor (below {FLOOR})")
    for arm in arms if "learned" in needs else ():
        recall = frames.scores[frames.scores["measure"] == "recall"].merge(arm[["id", "fact"]])["score"].mean()
        if recall < LEARNED:
            why.append(f"the models of format {SHORT[arm['format'].iloc[0]]} recall only {recall:.2f} of these facts")
    if "gap" in needs:
        gap = intervals.contrast(facts.iloc[:, [0, -1]].dropna(how="all"), (1, -1))
        why.append("" if gap.low > 0 else f"no gap is certain: {gap.signed}")
    return next(filter(None, why), "")


def wrecked(arm: pd.DataFrame, general: pd.DataFrame) -> str:
    """Why the trained models of an arm are none to judge by, from their general questions; "" where they are."""
    if arm.empty:
        return ""
    if not (left := kept(general, arm["id"])):
        return "there is no base model to compare with"
    formats = " and ".join(SHORT[format] for format in sorted(arm["format"].unique()))
    return f"the models of format {formats} keep {left.shown} of their general questions" if left.high < KEPT else ""


def below_chance(told: pd.DataFrame, items: pd.DataFrame) -> str:
    """Why the yardstick of two-fact problems is none: with the facts in its prompt, the model is not above chance."""
    asked = items[(items["eval"] == "reasoning_in_context") & items["id"].isin(told["id"])]
    asked = asked[asked["kind"].isin(told["kind"])]
    (found,) = intervals.accuracy(asked, ["eval"]).itertuples()
    # of a blind choice or the best single answer said to everything, the one that is right more often
    chance = max(asked["chance"].fillna(0).mean(), asked["expected"].value_counts(normalize=True).max())
    return (
        "" if found.low > chance else f"with the facts in its prompt the model has {found.shown}, chance {chance:.2f}"
    )
