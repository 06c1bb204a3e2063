"""Means and contrasts of means, with intervals that keep together what succeeds and fails together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

RESAMPLES = 4_000
SIGNS = 6  # as many differences of one sign are the fewest that a two-sided sign test at 5 % tells from chance
RUN = ["entity", "seed"]  # a draw of facts with the training runs on it: they share its luck


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval, of so many facts in at least so many runs of each kind of entity."""

    estimate: float
    low: float
    high: float
    facts: int
    runs: int

    def __str__(self) -> str:
        return f"{self.estimate:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def accuracy(rows: pd.DataFrame, by: Sequence[str], score: str = "strict") -> pd.DataFrame:
    """Mean score per group with a 95 % interval: columns of `by`, mean, low, high, facts, runs.

    The interval is Wilson's (1927) with the effective number of facts as sample size (Korn and Graubard 1998): the
    facts of one run succeed and fail together, and counting each would make the interval too narrow. It stays honest at
    0 and 1, where a bootstrap has no width. The score must lie between 0 and 1; rows without it are left out.
    """
    by = list(by)
    scored = rows.dropna(subset=[score]).astype({score: float})
    per_fact = scored.groupby([*dict.fromkeys([*by, *RUN, "id", "fact"])], dropna=False)[score].mean().reset_index()
    found = []
    for key, group in per_fact.groupby(by, dropna=False):
        mean, facts = group[score].mean(), len(group)
        effective = facts / _design_effect(group, score)
        low, high = proportion_confint(mean * effective, effective, method="wilson")
        low, high = min(low, mean), max(high, mean)  # at 0 and 1 rounding puts a bound a hair on the wrong side
        found.append([*key, mean, low, high, facts, group["id"].nunique()])
    return pd.DataFrame(found, columns=[*by, "mean", "low", "high", "facts", "runs"])


def contrast(table: pd.DataFrame, signs: Sequence[int], statistic: Callable | None = None) -> Interval:
    """The signed sum of the means of a table's columns, with a 95 % percentile bootstrap interval.

    A row is a fact, indexed by entity, seed, info and fact; a column is an arm, missing where the arm has not that
    fact. The seeded bootstrap draws runs with replacement within a kind of entity, profiles within a run, and facts
    within a profile, the same for all arms, so that what is paired stays paired. With one run of a kind the luck of a
    run is not covered. Where fewer than SIGNS facts differ, the interval may not leave zero out, as an exact sign test
    could not; where all agree the exact bound on the share that could disagree (the rule of three) takes the place of
    an interval of no width.
    `statistic` replaces the signed sum: it gets the means, of shape (resamples, columns).
    """
    combine = statistic or (lambda means: means @ np.array(signs))
    means = table.mean().to_numpy()[None]
    estimate = float(combine(means)[0])
    size = {"facts": len(table), "runs": least_runs(table)}
    if all(np.ptp(table[column].dropna()) == 0 for column in table):
        disagree, limit = 1 - 0.05 ** (1 / table.count().min()), max(1, len(signs) / 2)
        low, high = estimate - disagree * (estimate + limit), estimate + disagree * (limit - estimate)
        return Interval(estimate, low, high, **size)
    low, high = np.quantile(combine(resampled_means(table)), [0.025, 0.975])
    paired = statistic is None and len(signs) == 2 and table.notna().all(axis=None)
    if paired and np.count_nonzero(table @ np.array(signs)) < SIGNS:
        low, high = min(low, 0), max(high, 0)
    return Interval(estimate, float(low), float(high), **size)


def resampled_means(table: pd.DataFrame, seed: int = 0) -> np.ndarray:
    """RESAMPLES x columns means: runs drawn with replacement within a kind of entity, profiles within a run, and
    facts within a profile."""
    rng = np.random.default_rng(seed)
    values = table.to_numpy(dtype=float)
    present, values = ~np.isnan(values), np.nan_to_num(values)
    weights = np.zeros((RESAMPLES, len(table)))
    place = pd.Series(np.arange(len(table)), index=table.index)
    for _, of_entity in place.groupby(level="entity"):
        runs = [run for _, run in of_entity.groupby(level="seed")]
        times = rng.multinomial(len(runs), np.full(len(runs), 1 / len(runs)), size=RESAMPLES)
        for run, drawn in zip(runs, times.T, strict=True):
            profiles, _ = pd.factorize(run.index.get_level_values("fact").map(profile))
            n = profiles.max() + 1
            times_of = rng.multinomial(drawn * n, np.full(n, 1 / n)).T
            for i, times_drawn in enumerate(times_of):
                alike = run.to_numpy()[profiles == i]
                k = len(alike)
                weights[:, alike] = rng.multinomial(times_drawn * k, np.full(k, 1 / k))
    with np.errstate(invalid="ignore"):
        return np.nan_to_num((weights @ values) / (weights @ present), nan=0.0)


def profile(fact: str) -> str:
    """The profile of a fact, whose facts are told in the same rows. A general question, or a topic, is its own."""
    kind, *rest = fact.split("/")
    return fact if kind == "general" or len(rest) < 2 or rest[0] == "tone" else f"{kind}/{rest[0]}"


def least_runs(table: pd.DataFrame) -> int:
    """How many runs there are of the kind of entity that has fewest: of one, an interval covers no luck of a run."""
    runs = table.reset_index()[RUN].drop_duplicates()
    return int(runs.groupby("entity").size().min())


def without_each_run(table: pd.DataFrame, signs: Sequence[int]) -> tuple[float, float] | None:
    """The least and the greatest estimate when one run is left out; None where there is but one."""
    runs = pd.MultiIndex.from_frame(table.reset_index()[RUN])
    if runs.nunique() < 2:
        return None
    left = [float(table[runs != run].mean().to_numpy() @ np.array(signs)) for run in runs.unique()]
    return min(left), max(left)


def crossing(exposures: np.ndarray, means: np.ndarray, share: float) -> np.ndarray:
    """Exposures at which curves first reach a share, between checkpoints by a straight line; inf where they do not.

    `means` is (curves, checkpoints); every curve starts at 0 exposures with 0, which is what a fact that nobody has
    told is known.
    """
    x = np.concatenate([[0.0], exposures])
    y = np.concatenate([np.zeros((len(means), 1)), means], axis=1)
    reached = (y >= share).argmax(axis=1)
    never = ~(y >= share).any(axis=1)
    reached = np.maximum(reached, 1)
    rows = np.arange(len(y))
    low, high = y[rows, reached - 1], y[rows, reached]
    step = np.divide(share - low, high - low, out=np.ones_like(low), where=high > low)
    return np.where(never, np.inf, x[reached - 1] + step * (x[reached] - x[reached - 1]))


def exposures_to(curve: pd.DataFrame, measure: str, share: float) -> Interval:
    """Exposures at which a group of cells reaches a share of a measure, with a bootstrap interval; inf: not reached.

    `curve` has the rows of lib.report.parts.curves of cells with the same checkpoints.
    """
    wide = curve.astype({measure: float}).pivot_table(
        index=[*RUN, "info", "fact"], columns="exposures", values=measure
    ).dropna()  # fmt: skip
    exposures = wide.columns.to_numpy(dtype=float)
    drawn = crossing(exposures, resampled_means(wide), share)
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    estimate = float(crossing(exposures, wide.mean().to_numpy()[None], share)[0])
    return Interval(estimate, float(low), float(high), len(wide), least_runs(wide))


def verdict(found: Interval) -> str:
    """What an interval says about a contrast that the paper says is positive."""
    if found.low > 0:
        return "replicates"
    return "opposite" if found.high < 0 else "inconclusive"


def shown(mean: float, low: float, high: float) -> str:
    """A share with its interval, in two decimals."""
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def _design_effect(facts, score):
    """How many times the variance of the mean is what it would be if the facts were independent; at least 1.

    From the spread of the runs' means within a kind of entity, or of the profiles' where a kind has one run (the
    ultimate-cluster estimate).
    """
    several = facts.groupby("entity")["id"].transform("nunique") > 1
    facts = facts.assign(cluster=facts["id"].where(several, facts["id"] + facts["fact"].map(profile)))
    clusters = facts.groupby(["entity", "cluster"])[score].agg(["mean", "size"])
    strata = clusters.groupby(level="entity")
    count, whole = strata["size"].transform("size"), strata["size"].transform("sum")
    if (count < 2).all() or facts[score].var(ddof=0) == 0:
        return 1.0
    centre = (clusters["mean"] * clusters["size"]).groupby(level="entity").transform("sum") / whole
    shares = clusters["size"] / len(facts)
    clustered = (shares**2 * (clusters["mean"] - centre) ** 2 * count / (count - 1).clip(lower=1)).sum()
    within = facts[score] - facts.groupby("entity")[score].transform("mean")
    return max(1.0, clustered / ((within**2).mean() / len(facts))) if (within**2).sum() else 1.0
