"""The claims as contrasts of mean scores (claims.yaml): one that decides and a few beside it, or why they cannot."""

import itertools
import math
from collections.abc import Callable, Iterator
from functools import reduce

import numpy as np
import pandas as pd
import yaml
from statsmodels.stats.multitest import multipletests

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
        specs = (statement["primary"], *statement["secondary"])
        made = [row for spec in specs if (row := contrast({**statement, **spec}, frames))]
        others = [row for row in made if not row["primary"] and not row["because"]]
        if others:
            for row, p in zip(others, multipletests([row["p"] for row in others], method="holm")[1], strict=True):
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
    because, together = next(reasons(spec, facts, arms, frames), ""), pd.concat(arms)
    return {
        "primary": "detects" in spec, "name": spec["label"], "why": spec["why"], "shown": found.signed,
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

    def asked(means):
        effects = shapley(means)
        if spec["statistic"] == "lead":  # how much more the first axis does than the second
            return np.abs(effects[:, 0]) - np.abs(effects[:, 1])
        # of the gap between the first corner and the last: an axis' part, or how far all are below 2/3
        shares = effects / np.maximum(means[:, :1] - means[:, -1:], 0.01)  # without a gap nothing is tested
        return shares[:, list(spec["axes"]).index(spec["share"])] if "share" in spec else 2 / 3 - shares.max(axis=1)

    return asked


def shapley(means: np.ndarray) -> np.ndarray:
    """What each axis takes from the mean, by the average over all orders of the steps (Shapley 1953): of means at the
    corners, (resamples, 2 ** axes), the first axis slowest; they add up to the first corner less the last."""
    axes = int(math.log2(means.shape[1]))
    effects = np.zeros((len(means), axes))
    for order in itertools.permutations(range(axes)):
        before = 0
        for axis in order:
            after = before + 2 ** (axes - 1 - axis)
            effects[:, axis] += (means[:, before] - means[:, after]) / math.factorial(axes)
            before = after
    return effects


def reasons(spec: dict, facts: pd.DataFrame, arms: list[pd.DataFrame], frames: Frames) -> Iterator[str]:
    """Why these arms cannot decide the contrast, by what it needs. `facts` has the mean score of each fact in each
    arm."""
    needs = spec.get("needs", [])
    if "chance" in needs:  # of the yardstick of two-fact problems: the model has the facts in its prompt
        told = frames.items[(frames.items["eval"] == "reasoning_in_context") & frames.items["id"].isin(arms[0]["id"])]
        told = told[told["kind"].isin(arms[0]["kind"])]
        (found,) = intervals.accuracy(told, ["eval"]).itertuples()
        # of a blind choice or the best single answer said to everything, the one that is right more often
        chance = max(told["chance"].fillna(0).mean(), told["expected"].value_counts(normalize=True).max())
        if found.low <= chance:
            yield f"with the facts in its prompt the model has {found.shown}, chance {chance:.2f}"
    for arm in arms if "whole" in needs else ():
        models = arm.loc[arm["format"] != "none", ["id", "format"]]
        left = kept(frames.general, models["id"])
        if left and left.high < KEPT:
            formats = " and ".join(SHORT[format] for format in sorted(models["format"].unique()))
            yield f"the models of format {formats} keep {left.shown} of their general questions"
        elif not left and len(models):
            yield "there is no base model to compare with"
    if "room" in needs:
        pairs = facts.mean().to_numpy().reshape(2, -1).T  # an interaction has as little as its worse difference
        # a mean along training has no ceiling: where all is learned, it still says how fast
        if (pairs >= CEILING).all(axis=1).any() and not arms[0]["measure"].iloc[0].startswith("area"):
            yield f"both arms of a difference are at the ceiling (above {CEILING})"
        if (pairs <= FLOOR).all(axis=1).any():
            yield f"both arms of a difference are at the floor (below {FLOOR})"
    for arm in arms if "learned" in needs else ():
        recall = frames.scores[frames.scores["measure"] == "recall"].merge(arm[["id", "fact"]])["score"].mean()
        if recall < LEARNED:
            yield f"the models of format {SHORT[arm['format'].iloc[0]]} recall only {recall:.2f} of these facts"
    if "gap" in needs:
        gap = intervals.contrast(facts.iloc[:, [0, -1]].dropna(how="all"), (1, -1))
        if gap.low <= 0:
            yield f"no gap is certain: {gap.signed}"
