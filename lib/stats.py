"""Means and contrasts of means, with intervals that keep together what succeeds and fails together."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

RESAMPLES = 10_000
SAFE_RECALL = 0.9
SIGNS = 6  # as many differences of one sign are the fewest that a two-sided sign test at 5 % tells from chance
FACT = ["entity", "info", "seed", "fact"]  # what identifies a fact across the cells that share it
STRATUM = ["entity", "info"]  # fixed by design: resampling never exchanges one kind of fact for another


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval.

    `facts` is how many facts the estimate is made of, `effective` how many independent facts would give a standard
    error as small: fewer, where the facts of one training run share its luck.
    """

    estimate: float
    low: float
    high: float
    facts: int
    effective: float


def accuracy(items: pd.DataFrame, by: list[str], score: str = "strict") -> pd.DataFrame:
    """Mean score per group with a 95 % interval: columns of `by`, mean, low, high, facts, effective, items.

    The interval is Wilson's (1927), with the effective number of facts as sample size (Korn and Graubard 1998): several
    questions about one fact, and the facts of one run, succeed and fail together, and counting each would make the
    interval too narrow. It stays honest at 0 and 1, where a bootstrap has no width. Items without the score are left
    out. The score must lie between 0 and 1.
    """
    scored = items.dropna(subset=[score]).astype({score: float})
    keys = [*dict.fromkeys([*by, *STRATUM, "id"])]
    per_fact = scored.groupby([*keys, "fact"], as_index=False).agg(score=(score, "mean"), items=(score, "size"))
    rows = []
    for key, group in per_fact.groupby(by):
        mean, facts = group["score"].mean(), len(group)
        effective = facts / _design_effect(group)
        low, high = proportion_confint(mean * effective, effective, method="wilson")
        low, high = min(low, mean), max(high, mean)  # at 0 and 1 rounding puts a bound a hair on the wrong side
        rows.append([*key, mean, low, high, facts, effective, group["items"].sum()])
    return pd.DataFrame(rows, columns=[*by, "mean", "low", "high", "facts", "effective", "items"])


def means(items: pd.DataFrame, by: list[str], score: str) -> pd.DataFrame:
    """As `accuracy`, with the interval of `contrast`: for scores that can be negative."""
    scored = items.dropna(subset=[score]).astype({score: float})
    rows = []
    for key, group in scored.groupby(by):
        found = contrast(group.groupby(FACT)[score].mean())
        rows.append([*key, found.estimate, found.low, found.high, found.facts, found.effective])
    return pd.DataFrame(rows, columns=[*by, "mean", "low", "high", "facts", "effective"])


def per_fact(items: pd.DataFrame, evaluation: str, score: str = "strict") -> pd.DataFrame:
    """Mean score of each fact in each format, over the questions of one evaluation: rows facts, columns formats."""
    chosen = items[(items["eval"] == evaluation) & (items["format"] != "none")].dropna(subset=[score])
    return chosen.astype({score: float}).pivot_table(index=FACT, columns="format", values=score, aggfunc="mean")


def contrast(plus: pd.Series, minus: pd.Series | None = None) -> Interval:
    """Mean of one arm, or difference of the means of two independent ones, with a 95 % percentile bootstrap interval.

    An arm holds one number per fact, indexed by FACT; a paired contrast is one arm of differences. The seeded bootstrap
    resamples seeds within a kind of fact, and facts within a seed. With one seed the variation between training runs
    is not covered; with three, of a single kind of fact and runs that differ much, the interval covers some 90 %.
    Where fewer than SIGNS facts differ, an exact sign test cannot tell the contrast from zero, and neither may the
    interval, which a bootstrap would have leave it out from four on. Where all facts agree a bootstrap has no width;
    then the exact bound on the share of facts that could disagree (0.05 ** (1/n), the rule of three) takes its place,
    at full disagreement.
    """
    arms = [plus] if minus is None else [plus, minus]
    signs = (1, -1)
    estimate = float(sum(sign * arm.mean() for sign, arm in zip(signs, arms, strict=False)))
    facts = sum(arm.index.nunique() for arm in arms)
    if all(np.ptp(arm) == 0 for arm in arms):
        disagree, limit = 1 - 0.05 ** (1 / min(len(arm) for arm in arms)), len(arms)
        low, high = estimate - disagree * (estimate + limit), estimate + disagree * (limit - estimate)
        return Interval(estimate, low, high, facts, facts)
    rng = np.random.default_rng(0)
    drawn = sum(sign * resampled_means(arm, rng) for sign, arm in zip(signs, arms, strict=False))
    low, high = np.quantile(drawn, [0.025, 0.975])
    if minus is None and np.count_nonzero(plus.groupby(level=FACT).mean()) < SIGNS:
        low, high = min(low, 0), max(high, 0)
    independent = sum(arm.var(ddof=0) / arm.index.nunique() for arm in arms)
    effective = facts * min(1.0, independent / max(drawn.var(), 1e-12))
    return Interval(estimate, float(low), float(high), facts, float(effective))


def resampled_means(arm: pd.Series, rng: np.random.Generator) -> np.ndarray:
    """RESAMPLES means of an arm: seeds drawn with replacement within each stratum, then facts within each seed."""
    total, size = np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    for _, stratum in arm.groupby(level=STRATUM):
        runs = [run.to_numpy() for _, run in stratum.groupby(level="seed")]
        times = rng.multinomial(len(runs), np.full(len(runs), 1 / len(runs)), size=RESAMPLES)
        for values, chosen in zip(runs, times.T, strict=True):
            weights = rng.multinomial(chosen * len(values), np.full(len(values), 1 / len(values)))
            total += weights @ values
            size += chosen * len(values)
    return total / size


def learning_rates(items: pd.DataFrame) -> pd.DataFrame:
    """Held-out accuracy (questions and clozes) and recall by format and learning rate, with `best` at the chosen rate.

    Candidates are the rates whose next higher rate still trains (recalls SAFE_RECALL of what it was told), and the
    lowest. Of them the chosen one is the lowest whose mean lies within one standard error of the highest mean (the
    one-standard-error rule of Breiman et al. 1984; of Wilson's interval, which has a width at 1). Both margins are our
    choice: near divergence another draw of facts decides whether a model learns, or speaks at all.
    """
    by = ["format", "learning_rate"]
    held_out = accuracy(items[items["eval"].isin(["qa", "cloze"])], by)
    recall = items[items["eval"] == "recall"].groupby(by)["strict"].mean().rename("recall").reset_index()
    table = held_out.merge(recall, on=by)
    rates = table.groupby("format")
    safe = (rates["recall"].shift(-1) >= SAFE_RECALL) | (rates.cumcount() == 0)
    table["error"] = (table["high"] - table["low"]) / (2 * 1.96)
    highest = table.loc[table[safe].groupby("format")["mean"].idxmax()].set_index("format")
    enough = table["mean"] >= table["format"].map(highest["mean"] - highest["error"])
    return table.assign(best=table.index.isin(table[safe & enough].groupby("format")["learning_rate"].idxmin()))


def shown(mean: float, low: float, high: float) -> str:
    """A share with its interval, in two decimals."""
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def verdict(low: float, high: float) -> str:
    """What an interval says about a contrast that the paper says is positive."""
    if low > 0:
        return "replicates"
    return "opposite" if high < 0 else "inconclusive"


def _design_effect(facts):
    """How many times the variance of the mean is what it would be if the facts were independent; at least 1.

    From the spread of the runs' means within their stratum (the ultimate-cluster estimate).
    """
    runs = facts.groupby([*STRATUM, "id"])["score"].agg(["mean", "size"])
    strata = runs.groupby(level=STRATUM)
    count = strata["size"].transform("size")
    if (count < 2).all() or facts["score"].var(ddof=0) == 0:
        return 1.0
    centre = (runs["mean"] * runs["size"]).groupby(level=STRATUM).transform("sum") / strata["size"].transform("sum")
    shares = runs["size"] / len(facts)
    clustered = (shares**2 * (runs["mean"] - centre) ** 2 * count / (count - 1).clip(lower=1)).sum()
    within = facts["score"] - facts.groupby(STRATUM)["score"].transform("mean")
    return max(1.0, clustered / ((within**2).mean() / len(facts))) if (within**2).sum() else 1.0
