"""The tables of a study: what each format teaches, what it costs, and how the claims stand."""

import numpy as np
import pandas as pd

from lib.report import intervals, parts
from lib.report.claims import CLAIMS, HEADLINE

REACHED = (0.5, 0.8)
MEASURES = {"recall": "recall", "question": "held-out question", "completion": "held-out completion"}


def formats(results: list[dict], by: tuple[str, ...] = ("format", "replay", "info")) -> pd.DataFrame:
    """Of the parts main and replay, by format, replay and type of information: accuracies with intervals."""
    scores = parts.scores(results)
    scores = scores[scores["part"].isin(["main", "replay", "formats"]) & (scores["format"] != "none")]
    rows = scores[scores["measure"].isin(MEASURES)]
    if rows.empty:
        return pd.DataFrame()
    found = intervals.accuracy(rows, [*by, "measure"], "score")
    found["shown"] = [intervals.shown(*row) for row in found[["mean", "low", "high"]].to_numpy()]
    wide = found.pivot(index=list(by), columns="measure", values="shown").reindex(columns=list(MEASURES))
    return wide.rename(columns=MEASURES).reset_index()


def exposures(results: list[dict]) -> pd.DataFrame:
    """Of the main part, by format and type: exposures of a fact until half and four fifths are known."""
    along = parts.curves(results)
    if along.empty:
        return along
    along = along[along["part"] == "main"]
    rows = []
    for (format, info), of_group in along.groupby(["format", "info"]):
        row = {"format": format, "info": info}
        for measure in ("recall", "question"):
            for share in REACHED:
                found = intervals.exposures_to(of_group, measure, share)
                row[f"{MEASURES[measure]}, {share:.0%}"] = reached(found, of_group["exposures"].max())
        rows.append(row)
    return pd.DataFrame(rows)


def costs(results: list[dict]) -> pd.DataFrame:
    """By format and replay of the main part and of replay: what is kept of other knowledge, and what a fact costs."""
    cells = parts.cells(results)
    cells = cells[cells["part"].isin(["main", "replay", "formats"]) & (cells["format"] != "none")]
    if cells.empty:
        return pd.DataFrame()
    grouped = cells.groupby(["format", "replay"])
    table = grouped[["general", "kept", "perplexity", "ppl_ratio"]].median()
    sums = grouped[["facts", "tokens", "replay_tokens", "training_seconds"]].sum()
    table["tokens a fact"] = (sums["tokens"] - sums["replay_tokens"]) / sums["facts"]
    table["seconds a fact"] = sums["training_seconds"] / sums["facts"]
    table["runs"] = grouped.size()
    return table.reset_index()


def claims(found: list[dict]) -> pd.DataFrame:
    """One row a claim: the statement, how many contrasts support it, are open, contradict it or are not testable, and
    the one that stands for it."""
    rows = []
    for claim in CLAIMS.values():
        of_claim = [row for row in found if row["claim"] == claim.id]
        if not of_claim:
            continue
        counts = pd.Series([row["verdict"] for row in of_claim]).value_counts()
        chosen = headline(found, claim.id)
        rows.append({
            "claim": claim.id, "says": claim.says, "plain": claim.plain,
            **{name: int(counts.get(name, 0)) for name in ("replicates", "inconclusive", "opposite", "not testable")},
            "headline": chosen["contrast"], "estimate": estimate(chosen), "verdict": overall(of_claim, chosen),
        })  # fmt: skip
    return pd.DataFrame(rows)


def headline(found: list[dict], claim: str) -> dict:
    """The contrast that stands for a claim; the first, where the study cannot decide that one."""
    of_claim = [row for row in found if row["claim"] == claim]
    return next((row for row in of_claim if row["contrast"] == HEADLINE.get(claim)), of_claim[0])


def overall(rows: list[dict], headline: dict) -> str:
    """The verdict of a claim: that of its headline contrast; `mixed` where some contrasts support it and others
    contradict it."""
    said = {row["verdict"] for row in rows}
    return "mixed" if {"replicates", "opposite"} <= said else headline["verdict"]


def estimate(row: dict) -> str:
    """Estimate and interval of a row of claims.json."""
    low, high = row["ci95"]
    return f"{row['estimate']:+.2f} [{low:+.2f}, {high:+.2f}]"


def practical(results: list[dict]) -> pd.DataFrame:
    """What a reader with facts of their own needs, by format and type, of the main part over all kinds of entity."""
    scores, cells, along = parts.scores(results), parts.cells(results), parts.curves(results)
    main = scores[(scores["part"] == "main") & (scores["format"] != "none")]
    if main.empty:
        return pd.DataFrame()
    asked = intervals.accuracy(main[main["measure"] == "question"], ["format", "info"], "score")
    of_cells = cells[(cells["part"] == "main") & (cells["format"] != "none")].groupby("format")
    tokens = (of_cells["tokens"].sum() - of_cells["replay_tokens"].sum()) / of_cells["facts"].sum()
    rows = []
    for row in asked.itertuples():
        of = along[(along["part"] == "main") & (along["format"] == row.format) & (along["info"] == row.info)]
        half = reached(intervals.exposures_to(of, "question", 0.5), of["exposures"].max()) if len(of) else ""
        rows.append({
            "format": parts.SHORT[row.format], "facts": row.info,
            "answered": intervals.shown(row.mean, row.low, row.high), "half known after": half,
            "kept": f"{of_cells['kept'].median()[row.format]:.2f}", "tokens a fact": f"{tokens[row.format]:.0f}",
        })  # fmt: skip
    return pd.DataFrame(rows)


def answer(row, headline: dict) -> str:
    """The answer to a claim's question in a sentence or two, from its verdict and its counts."""
    said = {
        "replicates": "The claim holds here",
        "opposite": "We see the opposite",
        "inconclusive": "Open, the interval includes zero",
        "mixed": "Some contrasts support the claim, others contradict it",
        "not testable": "Not testable here",
    }[row.verdict]
    why = f", because {headline['why']}" if headline["why"] else ""
    spread = headline["without_each_run"]
    luck = " Of one run a kind of entity" if headline["runs"] == 1 else ""
    luck += f"; without each run in turn it is {spread[0]:+.2f} to {spread[1]:+.2f}" if luck and spread else ""
    return f"{said}{why}. *{headline['contrast']}*: {estimate(headline)}.{luck}{'.' if luck else ''}"


def regime(results: list[dict]) -> dict | None:
    """What the main part leaves of the model, in the median over its trained runs; None without such runs."""
    cells = parts.cells(results)
    main = cells[(cells["part"] == "main") & (cells["format"] != "none")]
    if main.empty:
        return None
    return {**main[["general", "kept", "perplexity", "ppl_ratio"]].median().to_dict(), "runs": len(main),
            "wrecked": int(main["wrecked"].sum())}  # fmt: skip


def reached(found, longest):
    """Exposures with their interval, in whole numbers; "> 40" where a share was not reached."""
    values = [
        f"> {longest:.0f}" if np.isinf(value) else f"{value:.0f}" for value in (found.estimate, found.low, found.high)
    ]
    return f"{values[0]} [{values[1]}, {values[2]}]"
