"""Means and contrasts of means, with intervals that keep together what succeeds and fails together."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

RESAMPLES = 4_000
FEW = 25  # where fewer facts differ, an exact test takes the place of an approximation (of McNemar's, usually)
RUN = ["entity", "seed"]  # a draw of facts with the training runs on it: they share its luck


class Interval(NamedTuple):
    """An estimate with its 95 % interval, of so many facts in at least so many runs of each kind of entity."""

    estimate: float
    low: float
    high: float
    facts: int
    runs: int

    @property
    def shown(self) -> str:
        """As a share, in two decimals."""
        return f"{self.estimate:.2f} [{self.low:.2f}, {self.high:.2f}]"

    @property
    def signed(self) -> str:
        """As a difference, with signs: a minus that is no hyphen begins no list."""
        return f"{self.estimate:+.2f} [{self.low:+.2f}, {self.high:+.2f}]".replace("-", "−")

    @property
    def verdict(self) -> str:
        """What it says about a contrast that the paper says is positive."""
        return "replicates" if self.low > 0 else "opposite" if self.high < 0 else "inconclusive"


def accuracy(rows: pd.DataFrame, by: Sequence[str], score: str = "strict") -> pd.DataFrame:
    """Mean score per group with a 95 % interval: columns of `by`, mean, low, high, all three as `shown`, facts, runs.

    The interval is Wilson's (1927) with the effective number of facts as sample size (Korn and Graubard 1998): honest
    at 0 and 1, where a bootstrap has no width. The score must lie between 0 and 1; rows without it are left out.
    """
    by = list(by)
    scored = rows.dropna(subset=[score]).astype({score: float})
    per_fact = scored.groupby([*dict.fromkeys([*by, *RUN, "id", "fact"])], dropna=False)[score].mean().reset_index()
    found = []
    for key, group in per_fact.groupby(by, dropna=False):
        mean, facts, runs = group[score].mean(), len(group), group["id"].nunique()
        effective = facts / _design_effect(group, score)
        low, high = proportion_confint(mean * effective, effective, method="wilson")
        low, high = min(low, mean), max(high, mean)  # at 0 and 1 rounding puts a bound a hair on the wrong side
        found.append([*key, mean, low, high, Interval(mean, low, high, facts, runs).shown, facts, runs])
    return pd.DataFrame(found, columns=[*by, "mean", "low", "high", "shown", "facts", "runs"])


def contrast(
    table: pd.DataFrame, signs: Sequence[int], statistic: Callable | None = None, apart: bool = False
) -> Interval:
    """The signed sum of the means of a table's columns, with a 95 % percentile bootstrap interval.

    A row is a fact, indexed by entity, seed, info and fact; a column is an arm, missing where the arm has not that
    fact. All arms are resampled alike, so that what is paired stays paired. Where fewer than FEW facts differ between
    two arms, the interval leaves zero out only if an exact sign test does (two-sided, 5 %). Where all facts agree, or
    none differs, the exact bound on the share that could disagree (the rule of three) takes its place.
    `statistic` replaces the signed sum: it gets the means, of shape (resamples, columns). `apart`: the arms are of
    different models. Of one whose facts all agree the share that could disagree is drawn (of a uniform prior).
    """
    combine = statistic or (lambda means: means @ np.array(signs))
    estimate, agree = float(combine(table.mean().to_numpy()[None])[0]), table.max() == table.min()
    whole = statistic is None and table.notna().all(axis=None)
    differences = table @ np.array(signs) if whole else None
    if agree.all() or (whole and not differences.any()):
        disagree = 1 - 0.05 ** (1 / table.count().min())
        least, most = (sum(sign for sign in signs if sign * way > 0) for way in (-1, 1))  # of scores from 0 to 1
        low, high = estimate - disagree * (estimate - least), estimate + disagree * (most - estimate)
        low = min(low, estimate)  # corrected for chance, a score may be below 0
    else:
        drawn = resampled_means(table)
        for i in np.flatnonzero(agree) if apart else ():
            value, n = table.iloc[:, i].agg(["max", "count"])
            share = np.random.default_rng(i).beta(n + 1, 1, RESAMPLES)
            drawn[:, i] = share * value + (1 - share) * (value < 0.5)
        low, high = np.quantile(combine(drawn), [0.025, 0.975])
        if whole and len(signs) == 2:
            more, fewer = (differences > 0).sum(), (differences < 0).sum()
            if more + fewer < FEW and binomtest(more, more + fewer).pvalue > 0.05:
                low, high = min(low, 0), max(high, 0)
    facts = table.index.get_level_values("fact").nunique() if _crossed(table) else len(table)
    return Interval(estimate, float(low), float(high), facts, least_runs(table))


def resampled_means(table: pd.DataFrame) -> np.ndarray:
    """RESAMPLES x columns means: runs drawn with replacement within a kind of entity, profiles within a run, and facts
    within a profile. General questions are crossed with runs: drawn once for all (pigeonhole bootstrap, Owen 2007)."""
    rng, once = np.random.default_rng(0), np.ones(RESAMPLES, dtype=int)
    values = table.to_numpy(dtype=float)
    weights, place = np.zeros((RESAMPLES, len(table))), pd.Series(np.arange(len(table)), index=table.index)
    if crossed := _crossed(table):
        question = pd.factorize(table.index.get_level_values("fact"))[0]
        asked = _drawn(rng, once, question.max() + 1)
    for _, of_entity in place.groupby(level="entity"):
        runs = [run for _, run in of_entity.groupby(level="seed")]
        for run, times in zip(runs, _drawn(rng, once, len(runs)).T, strict=True):
            if crossed:
                weights[:, run] = times[:, None] * asked[:, question[run]]
                continue
            profiles = [alike for _, alike in run.groupby(run.index.get_level_values("fact").map(profile), sort=False)]
            for alike, times_of in zip(profiles, _drawn(rng, times, len(profiles)).T, strict=True):
                weights[:, alike] = _drawn(rng, times_of, len(alike))
    with np.errstate(invalid="ignore"):
        return np.nan_to_num((weights @ np.nan_to_num(values)) / (weights @ ~np.isnan(values)))


def _crossed(table):
    """Whether the rows are general questions, which all runs are asked alike."""
    return bool(table.index.get_level_values("fact").str.startswith("general/").all())


def _drawn(rng, times, n):
    """How often each of n is drawn with replacement, n draws each time: an array of shape (len(times), n)."""
    return rng.multinomial(times * n, np.full(n, 1 / n))


def profile(fact: str) -> str:
    """The profile of a fact, whose facts are told in the same rows. A general question, or a topic, is its own."""
    kind, *rest = fact.split("/")
    return fact if kind == "general" or len(rest) < 2 or rest[0] == "tone" else f"{kind}/{rest[0]}"


def least_runs(table: pd.DataFrame) -> int:
    """How many runs there are of the kind of entity that has fewest: of one, an interval covers no luck of a run."""
    runs = table.index.to_frame(index=False)[RUN].drop_duplicates()
    return int(runs.groupby("entity").size().min())


def without_each_run(table: pd.DataFrame, signs: Sequence[int]) -> tuple[float, float]:
    """The least and the greatest estimate when one run is left out; not a number where there is but one."""
    runs = pd.MultiIndex.from_frame(table.index.to_frame(index=False)[RUN])
    left = [table[runs != run].mean().to_numpy() @ np.array(signs) for run in runs.unique()]
    return min(left), max(left)


def crossing(exposures: np.ndarray, means: np.ndarray, share: float) -> np.ndarray:
    """Exposures at which curves, (curves, checkpoints) `means`, first reach a share, between checkpoints by a straight
    line; inf where they do not. Every curve starts at 0 exposures with 0: nobody has told the fact."""
    x, y = np.pad(exposures, (1, 0)), np.pad(means, ((0, 0), (1, 0)))
    at = (y >= share).argmax(axis=1)  # 0 where a curve never reaches the share
    low, high = (y[np.arange(len(y)), i] for i in (at - 1, at))
    step = np.divide(share - low, high - low, out=np.ones_like(low), where=high > low)
    return np.where(at > 0, x[at - 1] + step * (x[at] - x[at - 1]), np.inf)


def exposures_to(curve: pd.DataFrame, measure: str, share: float) -> Interval:
    """Exposures at which cells reach a share of a measure, with a bootstrap interval; inf: not reached. `curve` has
    their rows of lib.report.scores.curves; they have the same checkpoints."""
    curve = curve.astype({measure: float})
    wide = curve.pivot_table(index=[*RUN, "info", "fact"], columns="exposures", values=measure).dropna()
    means = np.vstack([wide.mean(), resampled_means(wide)])
    estimate, *drawn = crossing(wide.columns.to_numpy(dtype=float), means, share)
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    return Interval(float(estimate), float(low), float(high), len(wide), least_runs(wide))


def _design_effect(facts, score):
    """How many times the variance of the mean is what it would be if the facts were independent; at least 1. From the
    spread of the runs' means within a kind of entity, or of the profiles' of one run (ultimate-cluster estimate)."""
    within = facts[score] - facts.groupby("entity")[score].transform("mean")
    if np.allclose(within, 0):
        return 1.0
    several = facts.groupby("entity")["id"].transform("nunique") > 1
    facts = facts.assign(cluster=facts["id"].where(several, facts["id"] + facts["fact"].map(profile)))
    clusters = facts.groupby(["entity", "cluster"])[score].agg(["mean", "size", "sum"])
    strata = clusters.groupby(level="entity")
    count, centre = strata["size"].transform("size"), strata["sum"].transform("sum") / strata["size"].transform("sum")
    shares = clusters["size"] / len(facts)
    clustered = (shares**2 * (clusters["mean"] - centre) ** 2 * count / (count - 1).clip(lower=1)).sum()
    return max(1.0, clustered / ((within**2).mean() / len(facts)))
