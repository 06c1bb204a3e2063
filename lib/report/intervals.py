"""Means and contrasts of means, with intervals that keep together what succeeds and fails together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

RESAMPLES = 4_000
FEW = 25  # where fewer facts differ, an exact test takes the place of an approximation (of McNemar's, usually)
RUN = ["entity", "seed"]  # a draw of facts with the training runs on it: they share its luck


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval, of so many facts in at least so many runs of each kind of entity."""

    estimate: float
    low: float
    high: float
    facts: int
    runs: int

    @property
    def shown(self) -> str:
        """A share with its interval, in two decimals."""
        return f"{self.estimate:.2f} [{self.low:.2f}, {self.high:.2f}]"

    @property
    def signed(self) -> str:
        """A difference with its interval, with signs: a minus that is no hyphen begins no list."""
        return f"{self.estimate:+.2f} [{self.low:+.2f}, {self.high:+.2f}]".replace("-", "−")

    @property
    def verdict(self) -> str:
        """What it says about a contrast that the paper says is positive."""
        return "replicates" if self.low > 0 else "opposite" if self.high < 0 else "inconclusive"


def accuracy(rows: pd.DataFrame, by: Sequence[str], score: str = "strict") -> pd.DataFrame:
    """Mean score per group with a 95 % interval: columns of `by`, mean, low, high, all three as `shown`, facts, runs.

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
        # at 0 and 1 rounding puts a bound a hair on the wrong side
        one = Interval(mean, min(low, mean), max(high, mean), facts, group["id"].nunique())
        found.append([*key, one.estimate, one.low, one.high, one.shown, one.facts, one.runs])
    return pd.DataFrame(found, columns=[*by, "mean", "low", "high", "shown", "facts", "runs"])


def contrast(
    table: pd.DataFrame, signs: Sequence[int], statistic: Callable | None = None, apart: bool = False
) -> Interval:
    """The signed sum of the means of a table's columns, with a 95 % percentile bootstrap interval.

    A row is a fact, indexed by entity, seed, info and fact; a column is an arm, missing where the arm has not that
    fact. All arms are resampled alike, so that what is paired stays paired. With one run of a kind the luck of a run is
    not covered. Where fewer than FEW facts differ between two arms, the interval leaves zero out only if an exact sign
    test does (two-sided, 5 %). Where all facts agree, or none differs between the arms, the exact bound on the share
    that could disagree (the rule of three) takes the place of an interval of no width.
    `statistic` replaces the signed sum: it gets the means, of shape (resamples, columns). `apart`: the arms are of
    different models. Of one whose facts all agree the share that could disagree is drawn (the posterior of none in n,
    of a uniform prior): a bootstrap would take it for certain.
    """
    combine = statistic or (lambda means: means @ np.array(signs))
    means = table.mean().to_numpy()[None]
    estimate = float(combine(means)[0])
    facts = table.index.get_level_values("fact").nunique() if _crossed(table) else len(table)
    size = {"facts": facts, "runs": least_runs(table)}
    whole = statistic is None and table.notna().all(axis=None)
    if all(np.ptp(table[column].dropna()) == 0 for column in table) or (whole and not (table @ np.array(signs)).any()):
        disagree = 1 - 0.05 ** (1 / table.count().min())
        least, most = (sum(sign for sign in signs if sign * way > 0) for way in (-1, 1))  # of scores from 0 to 1
        low, high = estimate - disagree * (estimate - least), estimate + disagree * (most - estimate)
        low = min(float(low), estimate)  # corrected for chance, a score may be below 0
        return Interval(estimate, low, float(high), **size)
    drawn = resampled_means(table)
    for i, column in enumerate(table if apart else ()):
        values = table[column].dropna()
        if np.ptp(values) == 0:
            agree = np.random.default_rng(i).beta(len(values) + 1, 1, RESAMPLES)
            drawn[:, i] = agree * values.iloc[0] + (1 - agree) * (values.iloc[0] < 0.5)
    low, high = np.quantile(combine(drawn), [0.025, 0.975])
    if whole and len(signs) == 2:
        differing = np.sign(table @ np.array(signs)).loc[lambda sign: sign != 0]
        if len(differing) < FEW and binomtest(int((differing > 0).sum()), max(1, len(differing))).pvalue > 0.05:
            low, high = min(low, 0), max(high, 0)
    return Interval(estimate, float(low), float(high), **size)


def resampled_means(table: pd.DataFrame) -> np.ndarray:
    """RESAMPLES x columns means: runs drawn with replacement within a kind of entity, profiles within a run, and
    facts within a profile. General questions are the same in every run, so they are drawn once for all runs: crossed
    with runs, not nested in them (the pigeonhole bootstrap, Owen 2007)."""
    rng = np.random.default_rng(0)
    values = table.to_numpy(dtype=float)
    present, values = ~np.isnan(values), np.nan_to_num(values)
    weights = np.zeros((RESAMPLES, len(table)))
    place = pd.Series(np.arange(len(table)), index=table.index)
    if crossed := _crossed(table):
        question = pd.factorize(table.index.get_level_values("fact"))[0]
        asked = _drawn(rng, np.ones(RESAMPLES, dtype=int), question.max() + 1)
    for _, of_entity in place.groupby(level="entity"):
        runs = [run for _, run in of_entity.groupby(level="seed")]
        for run, times in zip(runs, _drawn(rng, np.ones(RESAMPLES, dtype=int), len(runs)).T, strict=True):
            if crossed:
                weights[:, run] = times[:, None] * asked[:, question[run]]
                continue
            profiles = [alike for _, alike in run.groupby(run.index.get_level_values("fact").map(profile), sort=False)]
            for alike, times_of in zip(profiles, _drawn(rng, times, len(profiles)).T, strict=True):
                weights[:, alike] = _drawn(rng, times_of, len(alike))
    with np.errstate(invalid="ignore"):
        return np.nan_to_num((weights @ values) / (weights @ present), nan=0.0)


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
    x, y = np.pad(exposures, (1, 0)), np.pad(means, ((0, 0), (1, 0)))
    at = (y >= share).argmax(axis=1)  # 0 where a curve never reaches the share
    low, high = (y[np.arange(len(y)), i] for i in (at - 1, at))
    step = np.divide(share - low, high - low, out=np.ones_like(low), where=high > low)
    return np.where(at > 0, x[at - 1] + step * (x[at] - x[at - 1]), np.inf)


def exposures_to(curve: pd.DataFrame, measure: str, share: float) -> Interval:
    """Exposures at which a group of cells reaches a share of a measure, with a bootstrap interval; inf: not reached.

    `curve` has the rows of lib.report.scores.curves of cells with the same checkpoints.
    """
    curve = curve.astype({measure: float})
    wide = curve.pivot_table(index=[*RUN, "info", "fact"], columns="exposures", values=measure).dropna()
    exposures = wide.columns.to_numpy(dtype=float)
    low, high = np.quantile(crossing(exposures, resampled_means(wide), share), [0.025, 0.975], method="nearest")
    estimate = float(crossing(exposures, wide.mean().to_numpy()[None], share)[0])
    return Interval(estimate, float(low), float(high), len(wide), least_runs(wide))


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
