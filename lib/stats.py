"""From items to estimates with intervals, and from intervals to verdicts on the paper's claims."""

import numpy as np
import pandas as pd
from scipy.stats import bootstrap
from statsmodels.stats.proportion import proportion_confint

from lib.errors import UserError

RESAMPLES = 10_000
INFOS = ("categorical", "numeric")
FACT = ["entity", "info", "seed", "fact"]  # what identifies a fact across the cells that share it


def accuracy(items: pd.DataFrame, by: list[str], score: str = "strict") -> pd.DataFrame:
    """Mean score per group with a 95 % interval: columns of `by`, mean, low, high, facts, items.

    The interval is Wilson's (1927), with the number of facts and not of questions as sample size: several questions
    about one fact succeed and fail together, and counting each would make the interval too narrow. It stays honest
    at 0 and 1, where a bootstrap has no width.
    """
    per_fact = items.groupby([*by, "id", "fact"], as_index=False).agg(score=(score, "mean"), items=(score, "size"))
    groups = per_fact.groupby(by, as_index=False).agg(
        mean=("score", "mean"), facts=("score", "size"), items=("items", "sum")
    )
    low, high = proportion_confint(groups["mean"] * groups["facts"], groups["facts"], method="wilson")
    return groups.assign(low=low, high=high)


def per_fact(items: pd.DataFrame, evaluation: str, score: str = "strict") -> pd.DataFrame:
    """Mean score of each fact in each format, over the questions of one evaluation: rows facts, columns formats."""
    chosen = items[(items["eval"] == evaluation) & (items["format"] != "none")]
    return chosen.pivot_table(index=FACT, columns="format", values=score, aggfunc="mean")


def mean_interval(*samples: np.ndarray) -> tuple[float, float, float]:
    """Mean of one sample, or difference of the means of two independent ones, with a 95 % interval.

    The samples hold one number per fact, so that the facts are what the seeded percentile bootstrap resamples:
    questions about one fact stay together. Where all facts agree a bootstrap has no width; then the exact bound on
    the share of facts that could disagree (0.05 ** (1/n), the rule of three) takes its place, at full disagreement.
    """

    def statistic(*arms, axis):
        means = [arm.mean(axis=axis) for arm in arms]
        return means[0] - means[1] if len(means) == 2 else means[0]

    arms = tuple(np.asarray(sample, dtype=float) for sample in samples)
    estimate = float(statistic(*arms, axis=-1))
    if all(np.ptp(arm) == 0 for arm in arms):
        disagree, limit = 1 - 0.05 ** (1 / min(len(arm) for arm in arms)), len(arms)
        return estimate, estimate - disagree * (estimate + limit), estimate + disagree * (limit - estimate)
    interval = bootstrap(
        arms, statistic, n_resamples=RESAMPLES, method="percentile", vectorized=True, rng=np.random.default_rng(0)
    ).confidence_interval
    return estimate, float(interval.low), float(interval.high)


def comparable(items: pd.DataFrame) -> pd.DataFrame:
    """The items of the kinds of entity that have both formats, at one learning rate each, and the untrained base.

    Raises UserError when they mix what these intervals do not account for: models, seeds, or budgets.
    """
    wanted = {(format, info) for format in ("none", "article", "qa") for info in ("numeric", "categorical")}
    complete = []
    for entity, group in items.groupby("entity"):
        rates = group.groupby("format")["learning_rate"].nunique()
        if wanted <= set(zip(group["format"], group["info"], strict=True)) and rates.max() == 1:
            complete.append(entity)
    chosen = items[items["entity"].isin(complete)]
    trained = chosen[chosen["format"] != "none"]
    for column in ("model", "seed", "n_facts", "paraphrases", "epochs"):
        if trained[column].nunique() > 1:
            raise UserError(f"these results mix values of {column}: the format comparison takes one at a time")
    return chosen


def learning_rates(items: pd.DataFrame) -> pd.DataFrame:
    """Held-out accuracy (questions and clozes) and recall by format and learning rate, with `best` at the chosen rate.

    The chosen rate of a format has the highest held-out mean; the lower rate wins a tie.
    """
    by = ["format", "learning_rate"]
    held_out = accuracy(items[items["eval"].isin(["qa", "cloze"])], by)
    recall = items[items["eval"] == "recall"].groupby(by)["strict"].mean().rename("recall").reset_index()
    table = held_out.merge(recall, on=by)
    return table.assign(best=table.index.isin(table.groupby("format")["mean"].idxmax()))


def verdict(low: float, high: float) -> str:
    """What an interval says about a contrast that the paper says is positive."""
    if low > 0:
        return "replicates"
    return "opposite" if high < 0 else "inconclusive"


def claims(items: pd.DataFrame) -> list[dict]:
    """The rows of claims.json that these items can decide. Every contrast is positive where the paper is right."""
    question, cloze = per_fact(items, "qa"), per_fact(items, "cloze")
    gap = _gap(question)
    strict = "held-out question, strict"
    rows = [
        _claim(items, "C1", f"qa - article, {strict}", gap),
        _claim(items, "C1", "qa - article, held-out cloze, strict", _gap(cloze)),
        *(_claim(items, "C1", f"qa - article, {strict}, {info} facts", _of(gap, info)) for info in INFOS),
    ]
    for format in ("article", "qa"):
        arms = [_of(question[format].dropna(), info) for info in INFOS]
        rows.append(_claim(items, "C2", f"categorical - numeric, {strict}, {format} format", *arms, formats=(format,)))
    arms = [_of(gap, info) for info in reversed(INFOS)]
    return [*rows, _claim(items, "C2", f"(qa - article | numeric) - (qa - article | categorical), {strict}", *arms)]


def _gap(table):
    """qa - article for every fact trained in both formats."""
    return (table["qa"] - table["article"]).dropna()


def _of(series, info):
    return series[series.index.get_level_values("info") == info]


def _claim(items, claim, contrast, *arms, formats=("article", "qa")):
    estimate, low, high = mean_interval(*(arm.to_numpy() for arm in arms))
    facts = pd.concat(arms).index
    trained = items[items["format"].isin(formats)].set_index(FACT)
    return {
        "claim": claim,
        "contrast": contrast,
        "estimate": round(estimate, 4),
        "ci95": [round(low, 4), round(high, 4)],
        "cells": int(trained.loc[trained.index.isin(facts), "id"].nunique()),
        "facts": len(facts),
        "verdict": verdict(low, high),
    }
