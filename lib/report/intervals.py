"""Means and contrasts of means, with intervals that keep together what succeeds and fails together."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

RESAMPLES = 4_000
ENOUGH = 5  # with fewer runs a contrast is exploratory, and its interval is Student's
RUN = ["entity", "seed"]  # a draw of facts with the training runs on it: they share its luck


class Interval(NamedTuple):
    """An estimate with its 95 % interval and p-value (two-sided, of no effect), of so many facts in at least so many
    runs of each kind of entity."""

    estimate: float
    low: float
    high: float
    p: float
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


def accuracy(rows: pd.DataFrame, by: list[str], score: str = "strict") -> pd.DataFrame:
    """Mean score per group with a 95 % interval: columns of `by`, mean, low, high, all three as `shown`, facts, runs.

    The interval is Wilson's (1927) with the effective number of facts as sample size (Korn and Graubard 1998): honest
    at 0 and 1, where a bootstrap has no width. Facts of one run, and of one attribute, count as fewer facts the more
    runs and attributes differ. The score must lie between 0 and 1; rows without it are left out.
    """
    scored = rows.dropna(subset=[score]).astype({score: float})
    facts = scored.groupby([*dict.fromkeys([*by, *RUN, "id", "fact"])], dropna=False)[score].mean().reset_index()
    groups = facts.groupby(by, dropna=False)
    facts["group"] = groups.ngroup()
    several = facts.groupby(["group", "entity"])["id"].transform("nunique") > 1
    of_run = facts["id"].where(several, facts["id"] + facts["fact"].map(profile))
    effects = [_design_effect(facts, score, one) for one in (of_run, facts["fact"].map(attribute))]
    table = groups.agg(mean=(score, "mean"), facts=(score, "size"), runs=("id", "nunique")).reset_index()
    effective = table["facts"] / (sum(effects) - 1)
    low, high = proportion_confint(table["mean"] * effective, effective, method="wilson")
    # at 0 and 1 rounding puts a bound a hair on the wrong side
    table["low"], table["high"] = np.minimum(low, table["mean"]), np.maximum(high, table["mean"])
    table["shown"] = [f"{row.mean:.2f} [{row.low:.2f}, {row.high:.2f}]" for row in table.itertuples()]
    return table[[*by, "mean", "low", "high", "shown", "facts", "runs"]]


def contrast(table: pd.DataFrame, signs: Sequence[float] = (), statistic: Callable | None = None) -> Interval:
    """The signed sum of the means of a table's columns, with a 95 % bootstrap interval.

    A row is a fact, indexed by entity, seed, info and fact; a column is an arm, missing where the arm has not that
    fact. All arms are resampled alike, so that what is paired stays paired. With fewer than ENOUGH runs the interval is
    Student's with the bootstrap's standard error, cut where scores from 0 to 1 end; of one run it is the bootstrap's,
    and covers no luck of a run. Where all facts agree, or none differs, the exact bound on the share that could
    disagree (the rule of three) takes its place. `statistic` replaces the signed sum: it gets the means, of shape
    (resamples, columns).
    """
    combine = statistic or (lambda means: means @ np.array(signs))
    estimate, of_kind = float(combine(table.mean().to_numpy()[None])[0]), _runs(table)
    runs = int(of_kind.min())
    facts = table.index.get_level_values("fact").nunique() if _crossed(table) else len(table)
    least, most = (sum(sign for sign in signs if sign * way > 0) for way in (-1, 1))  # of scores from 0 to 1
    nothing = statistic is None and table.notna().all(axis=None) and not (table @ np.array(signs)).any()
    if nothing or statistic is None and (table.max() == table.min()).all():
        disagree = 1 - 0.05 ** (1 / int(table.count().min()))
        low, high = estimate - disagree * (estimate - least), estimate + disagree * (most - estimate)
        low = min(low, estimate)  # corrected for chance, a score may be below 0
        return Interval(estimate, low, high, 0.0 if low > 0 or high < 0 else 1.0, facts, runs)
    drawn = combine(resampled_means(table))
    low, high = np.quantile(drawn, [0.025, 0.975])
    p = min(1.0, 2 * max(min((drawn <= 0).mean(), (drawn >= 0).mean()), 1 / RESAMPLES))
    if 1 < runs < ENOUGH and (error := drawn.std()):
        student = stats.t((of_kind - 1).sum(), estimate, error)
        low, high = student.interval(0.95)
        if statistic is None:
            low, high = max(low, min(least, estimate)), min(high, max(most, estimate))
        p = 2 * min(student.cdf(0), student.sf(0))
    return Interval(estimate, float(low), float(high), float(p), facts, runs)


def resampled_means(table: pd.DataFrame) -> np.ndarray:
    """RESAMPLES x columns means. Runs (of a single one its profiles) are drawn with replacement in a kind of entity,
    and attributes, or general questions, once for all runs: what is crossed is multiplied (pigeonhole, Owen 2007).

    It errs on the wide side: where attributes do not differ, by up to 1.4 times.
    """
    rng, index = np.random.default_rng(0), table.index.to_frame(index=False)
    weights, crossed = np.ones((len(table), RESAMPLES), dtype=np.float32), _crossed(table)
    index["attribute"], alone = index["fact"].map(attribute), index.groupby("entity")["seed"].transform("nunique") == 1
    index["run"] = index["seed"].astype(str).mask(alone & (not crossed), index["fact"].map(profile))
    # one that is always words, or always numbers, is drawn among those of its type
    types = index.groupby(["entity", "attribute"])["info"]
    index["type"] = index["entity"].where(types.transform("nunique") > 1, index["entity"] + index["info"])
    for unit, within in {"run": "entity", "attribute": "all" if crossed else "type"}.items():
        for place in index.assign(all="").groupby(within).indices.values():
            codes, found = pd.factorize(index[unit].to_numpy()[place])
            times = rng.multinomial(len(found), np.full(len(found), 1 / len(found)), RESAMPLES)
            weights[place] *= times.T.astype(np.float32, order="C")[codes]
    values = table.to_numpy(dtype=np.float32).T
    with np.errstate(invalid="ignore"):
        return np.nan_to_num((np.nan_to_num(values) @ weights) / (~np.isnan(values) @ weights)).T


def _runs(table):
    """How many runs there are of each kind of entity: of one, an interval covers no luck of a run."""
    return table.index.to_frame(index=False)[RUN].drop_duplicates().groupby("entity").size()


def _crossed(table):
    """Whether the rows are general questions, which all runs are asked alike."""
    return bool(table.index.get_level_values("fact").str.startswith("general/").all())


def profile(fact: str) -> str:
    """The profile of a fact, whose facts are told in the same rows. A general question, or a topic, is its own."""
    kind, *rest = fact.split("/")
    return fact if kind == "general" or len(rest) < 2 or rest[0] == "tone" else f"{kind}/{rest[0]}"


def attribute(fact: str) -> str:
    """The attribute of a fact; of a two-fact problem, those of both facts."""
    return "+".join(one.split("/", 2)[-1] for one in fact.split("+"))


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
    return Interval(float(estimate), float(low), float(high), np.nan, len(wide), int(_runs(wide).min()))


def _design_effect(facts, score, cluster):
    """By `group`, how many times the variance of its mean is what it would be if the facts were independent: from the
    spread of the clusters' means within a kind of entity (ultimate-cluster estimate)."""
    within = facts[score] - facts.groupby(["group", "entity"])[score].transform("mean")
    independent = (within**2).groupby(facts["group"]).agg(lambda squares: squares.mean() / len(squares))
    clusters = facts.groupby(["group", "entity", cluster.rename("cluster")])[score].agg(["mean", "size", "sum"])
    strata = clusters.groupby(level=["group", "entity"])
    count, centre = strata["size"].transform("size"), strata["sum"].transform("sum") / strata["size"].transform("sum")
    shares = clusters["size"] / clusters.groupby(level="group")["size"].transform("sum")
    clustered = shares**2 * (clusters["mean"] - centre) ** 2 * count / (count - 1).clip(lower=1)
    effect = clustered.groupby(level="group").sum() / independent.where(independent > 1e-12)  # else all scores are one
    return effect.fillna(1.0).clip(lower=1.0)
