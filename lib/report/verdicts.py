"""Rows of claims.json, and when a contrast has no verdict."""

from collections.abc import Iterable

import pandas as pd

from lib.report import intervals, parts
from lib.report.intervals import Interval

CEILING, FLOOR = 0.9, 0.1  # where both arms are beyond, a difference cannot show
LEARNED = 0.5  # a format that recalls less of what it was told says nothing about how it generalizes
ACCURACIES = ("question", "completion", "recall", "choice")


def untestable(measure: str, means: Iterable[float], arms: list[pd.DataFrame], cells: pd.DataFrame) -> str:
    """Why these arms cannot decide a contrast; "" where they can.

    They cannot when the models of an arm are wrecked in the median, or when both arms of a difference are at the
    ceiling or the floor.
    """
    for arm in arms:
        if why := wrecked(arm["id"], cells):
            return why
    means = list(means)
    pairs = [means[i : i + 2] for i in range(0, len(means), 2)]  # an interaction is as good as its worse difference
    if measure in ACCURACIES and any(all(mean >= CEILING for mean in pair) for pair in pairs):
        return f"both arms of a difference are at the ceiling (above {CEILING})"
    graded = measure in ACCURACIES or measure.startswith("area")
    if graded and any(all(mean <= FLOOR for mean in pair) for pair in pairs):
        return f"both arms of a difference are at the floor (below {FLOOR})"
    return ""


def wrecked(ids: Iterable[str], cells: pd.DataFrame) -> str:
    """Why these trained cells are no models to judge by, in the median; "" where they are."""
    of_arm = cells[cells["id"].isin(ids) & (cells["format"] != "none")]
    if of_arm.empty:
        return ""
    median = of_arm[["kept", "ppl_ratio"]].median()
    if pd.isna(median["kept"]):
        return "there is no base model to compare with"
    if not parts.stays(median):
        left = f"keep {median['kept']:.2f} of their general questions at {median['ppl_ratio']:.1f} times the perplexity"
        return f"in the median the models of format {parts.SHORT[of_arm['format'].iloc[0]]} {left}"
    return ""


def unlearned(arms: list[pd.DataFrame], scores: pd.DataFrame) -> str:
    """Why formats cannot be compared: one recalls less than LEARNED of the facts that it was taught; "" else."""
    recall = scores[scores["measure"] == "recall"].set_index(["id", "fact"])["score"]
    for arm in arms:
        recalled = recall.reindex(pd.MultiIndex.from_frame(arm[["id", "fact"]])).mean()
        if recalled < LEARNED:
            format = parts.SHORT[arm["format"].iloc[0]]
            return f"the models of format {format} recall only {recalled:.2f} of these facts"
    return ""


def row(
    claim: str, label: str, found: Interval, ids: Iterable[str], scores: pd.DataFrame, why: str,
    spread: tuple[float, float] | None = None,
) -> dict:  # fmt: skip
    """A row of claims.json. `recall` is that of the format among its cells that has least, `scores` has theirs."""
    recall = scores[scores["id"].isin(ids) & (scores["measure"] == "recall")].groupby("format")["score"].mean()
    return {
        "claim": claim,
        "contrast": label,
        "estimate": round(found.estimate, 4),
        "ci95": [round(found.low, 4), round(found.high, 4)],
        "without_each_run": None if spread is None else [round(value, 4) for value in spread],
        "cells": len(ids),
        "runs": found.runs,
        "facts": found.facts,
        "recall": None if recall.empty else round(float(recall.min()), 3),
        "verdict": "not testable" if why else intervals.verdict(found),
        "why": why,
    }
