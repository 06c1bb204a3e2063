"""The tables of a study: scores beside their yardsticks, and what a reader with facts of their own takes from them."""

import pandas as pd

from lib import compare, results, stats

REACHED = 0.8  # share of held-out questions from which facts count as taught
NAMES = {"qa": "held-out question", "cloze": "held-out cloze", "forgetting": "general question"}


def strict(items: pd.DataFrame) -> pd.DataFrame:
    """One row per fact set and format: strict accuracy of the held-out questions with interval, and its yardsticks.

    `constant` is what the best single value said to every question would score.
    """
    sets = ["entity", "info"]
    trained = items[items["format"] != "none"]
    held_out = stats.accuracy(trained[trained["eval"] == "qa"], [*sets, "format"])
    rows = held_out[[*sets, "format", "facts"]].copy()
    rows["held-out question"] = [stats.shown(*found) for found in held_out[["mean", "low", "high"]].values]
    for name, source, evaluation, keys in (
        ("held-out cloze", trained, "cloze", [*sets, "format"]),
        ("recall", trained, "recall", [*sets, "format"]),
        ("floor", items[items["format"] == "none"], "qa", sets),
        ("ceiling", items[items["format"] == "none"], "in_context", sets),
    ):
        means = (
            source[source["eval"] == evaluation]
            .astype({"strict": float})
            .groupby(keys)["strict"]
            .mean()
            .rename(name)
            .reset_index()
        )
        rows = rows.merge(means, on=keys, how="left")
    constant = (
        items[items["eval"] == "qa"].groupby(sets)["expected"].agg(lambda v: v.value_counts(normalize=True).max())
    )
    return rows.merge(constant.rename("constant").reset_index(), on=sets)


def evaluations(items: pd.DataFrame) -> pd.DataFrame:
    """Mean scores by evaluation and format over all items, with their number."""
    scored = items.astype({name: float for name in ("strict", "lenient", "corrected")})
    by = scored.groupby(["eval", "format"])
    return by.agg(
        strict=("strict", "mean"), lenient=("lenient", "mean"), corrected=("corrected", "mean"), items=("id", "size")
    ).reset_index()


def tones(items: pd.DataFrame) -> pd.DataFrame:
    """Attribution and naming of the tones: trained, and untrained but told (in_context). Empty without two tones."""
    found = compare.style_means(items).drop(columns="entity")
    named = items[items["eval"] == "naming"].astype({"strict": float, "corrected": float})
    rows = named.replace({"format": {"none": "in_context"}}).groupby("format")[["strict", "corrected"]].mean()
    # untold, the untrained model is asked for its tone as well: the floor of naming
    return found.merge(rows.add_prefix("naming, ").reset_index(), on="format", how="left")


def prices(loaded: list[dict]) -> pd.DataFrame:
    """Of each format and type in the main part: what it teaches, and what a fact costs.

    Over the kinds of entity that all formats of a type were taught. `tokens` and `seconds` (of one process) of training
    a fact; `… learned`: over the share of held-out questions that are answered, missing where none is. `general
    question`: what is left of other knowledge, where all evaluations were made.
    """
    compared, cells = compare.main(results.items(loaded)), results.cells(loaded)
    items = compared[compared["format"] != "none"]
    if items.empty:
        return pd.DataFrame()
    taught = items.groupby(["entity", "info"])["format"].transform("nunique")
    items = items[taught == items.groupby("info")["format"].transform("nunique")]
    by = ["format", "info"]
    table = _shares(items, by)
    cells = cells[cells["id"].isin(items["id"])]
    sums = (
        cells.assign(seconds=cells["tokens"] / cells["tokens_per_second"])
        .groupby(by)[["n_facts", "tokens", "seconds"]]
        .sum()
    )
    for cost in ("tokens", "seconds"):
        table[cost] = sums[cost] / sums["n_facts"]
        table[f"{cost} learned"] = table[cost] / table["held-out question"].where(table["held-out question"] > 0)
    table["facts"] = sums["n_facts"]
    return table.reset_index()


def rates(items: pd.DataFrame) -> pd.DataFrame:
    """What other learning rates teach of the same facts, and leave of other knowledge; empty if none was tried."""
    tried = pd.DataFrame() if compare.main(items).empty else compare.other_rates(items)
    return tried if tried.empty else _shares(tried, ["format", "learning_rate"]).reset_index()


def _shares(items, by):
    """Mean strict scores, a column for each evaluation that says what was taught and what is left."""
    asked = items[items["eval"].isin(["recall", *NAMES])].astype({"strict": float})
    return asked.pivot_table(index=by, columns="eval", values="strict").rename(columns=NAMES)


def paraphrases(items: pd.DataFrame) -> pd.DataFrame:
    """Held-out questions by paraphrases of a fact, each fact seen equally often; empty if they never vary."""
    found = pd.DataFrame() if compare.main(items).empty else compare.sweeps(items).get("paraphrases", pd.DataFrame())
    if found.empty:
        return found
    told = found.assign(shown=[stats.shown(*row) for row in found[["mean", "low", "high"]].values])
    return told.pivot(index=["format", "info"], columns="paraphrases", values="shown").reset_index()


def exposures(loaded: list[dict]) -> pd.DataFrame:
    """Exposures of a fact at the first checkpoint that answers REACHED of an evaluation; empty without checkpoints."""
    points = results.along_training(loaded)
    if points.empty:
        return points
    means = stats.accuracy(
        points[points["eval"].isin(["recall", "qa", "cloze"])], ["format", "info", "eval", "exposures"]
    )
    taught = means[means["mean"] >= REACHED].groupby(["format", "info", "eval"])["exposures"].min()
    every = means[["format", "info", "eval"]].drop_duplicates()
    return (
        every.merge(taught.reset_index(), how="left")
        .pivot(index=["format", "info"], columns="eval", values="exposures")
        .reset_index()
    )
