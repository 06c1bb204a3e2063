"""What the results of a user's own facts say: tables, the recommendation, and the facts that were not learned."""

import pandas as pd

from lib.evaluate import match
from lib.report import intervals, parts, tables

# Below this share of held-out questions no format is recommended for use (our choice).
USEFUL = 0.5
POOLED = " all attributes"  # no heading begins with a space
RUNS_OF_ONE = "The intervals cover facts, not the luck of a training run: each format was trained once."


def scored(loaded: list[dict]) -> pd.DataFrame:
    """One row a held-out question: format, entity, attribute, and whether it was answered.

    Left out are questions in which the value stands already, as of "Paris Metro" the city: an echo would count.
    """
    asked = parts.items(loaded)
    asked = asked[asked["eval"] == "question"].astype({"strict": float})
    echoed = [match.states(question, expected)
              for question, expected in zip(asked["question"], asked["expected"], strict=True)]  # fmt: skip
    asked = asked[~pd.Series(echoed, index=asked.index, dtype=bool)]
    return asked.assign(attribute=asked["fact"].str.split("/", n=2).str[2])


def by_attribute(asked: pd.DataFrame) -> pd.DataFrame:
    """Answered held-out questions with 95 % intervals by format and attribute; POOLED takes them together."""
    found = [intervals.accuracy(asked.assign(attribute=POOLED), ["format", "attribute"])]
    found.append(intervals.accuracy(asked, ["format", "attribute"]))
    return pd.concat(found, ignore_index=True)


def accuracy_table(asked: pd.DataFrame) -> pd.DataFrame:
    """A row an attribute, a column a format, each cell a share with its interval."""
    found = by_attribute(asked)
    found["shown"] = [intervals.shown(*row) for row in found[["mean", "low", "high"]].to_numpy()]
    attributes = [POOLED, *dict.fromkeys(asked["attribute"])]
    formats = [format for format in parts.SHORT if format in set(found["format"])]
    wide = found.pivot(index="attribute", columns="format", values="shown").reindex(attributes)[formats]
    return wide.rename(columns=parts.SHORT).reset_index().rename_axis(columns=None)


def cost_table(loaded: list[dict]) -> pd.DataFrame:
    """Of each format: recall, exposures until half and four fifths are answered, what was forgotten, what it costs."""
    items, along, cells = parts.items(loaded), parts.curves(loaded), parts.cells(loaded)
    if len(along):
        along = along[along["fact"].isin(scored(loaded)["fact"])]
    rows = []
    order = list(parts.SHORT)
    for cell in cells[cells["format"] != "none"].sort_values("format", key=lambda of: of.map(order.index)).itertuples():
        mine = items[items["id"] == cell.id]
        curve = along[along["id"] == cell.id] if len(along) else along
        recall = mine[mine["eval"] == "recall"]["strict"].astype(float)
        row = {"format": parts.SHORT[cell.format], "recall": recall.mean()}
        for share in tables.REACHED if len(curve) else ():
            found = intervals.exposures_to(curve, "question", share)
            row[f"exposures to {share:.0%}"] = tables.reached(found, curve["exposures"].max())
        row |= {
            "kept": cell.kept,
            "perplexity ratio": cell.ppl_ratio,
            "tokens a fact": (cell.tokens - cell.replay_tokens) / cell.facts,
            "seconds a fact": cell.training_seconds / cell.facts,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def recommend(asked: pd.DataFrame, cells: pd.DataFrame) -> tuple[str | None, str]:
    """The format to take, and why, in plain sentences that follow from intervals.

    The rule (ours): of the formats whose model stays a model, the one with most held-out questions; of those whose
    difference to it has an interval that includes zero, the one with the fewest tokens about facts. None where every
    model is wrecked, or where the best that is not answers less than USEFUL.
    """
    trained = cells[cells["format"] != "none"].set_index("format")
    shares = intervals.accuracy(asked, ["format"]).set_index("format")
    whole = [format for format in trained.index if not trained.loc[format, "wrecked"]]
    said = [
        f"{parts.SHORT[format]} answers {_shown(shares, format)} of the held-out questions, but its model is wrecked: "
        f"it keeps {trained.loc[format, 'kept']:.2f} of the general questions, at "
        f"{trained.loc[format, 'ppl_ratio']:.1f} times the perplexity. Tell the facts less often, or take more replay."
        for format in trained.index
        if format not in whole and shares.loc[format, "mean"] >= USEFUL
    ]
    if not whole:
        return None, " ".join(["No format can be recommended: every model is wrecked.", *said])
    per_fact = asked.groupby([*parts.FACT, "format"])["strict"].mean().unstack("format")
    best = shares.loc[whole, "mean"].idxmax()
    if shares.loc[best, "mean"] < USEFUL:
        weak = f"the best, {parts.SHORT[best]}, answers {_shown(shares, best)} of the held-out questions."
        if said:
            return None, " ".join([*said, f"Of the models that are whole, {weak}"])
        return None, f"No format taught enough: {weak} Tell each fact more often, or take a larger model."
    apart = {
        format: intervals.contrast(per_fact[[best, format]].dropna(), (1, -1)) for format in whole if format != best
    }
    useful = shares["mean"] >= USEFUL
    level = [best, *(format for format, found in apart.items() if found.low <= 0 and useful[format])]
    chosen = (trained["tokens"] - trained["replay_tokens"])[level].idxmin()
    advised = [
        f"Train on the format {parts.SHORT[chosen]}: it answers {_shown(shares, chosen)} of the held-out questions."
    ]
    if len(level) > 1:
        others = [parts.SHORT[format] for format in level if format != best]
        advised.append(
            f"{' and '.join(others)} cannot be told apart from {parts.SHORT[best]} here, which answers most; of them, "
            f"{parts.SHORT[chosen]} takes the fewest tokens."
        )
    behind = [
        f"{parts.SHORT[format]} by {found.estimate:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
        for format, found in apart.items()
        if found.low > 0
    ]
    if behind:
        advised.append(f"{parts.SHORT[best]} is ahead of {' and of '.join(behind)}.")
    advised.append(f"The model keeps {trained.loc[chosen, 'kept']:.2f} of the general questions.")
    return chosen, " ".join([*advised, *said])


def _shown(shares, format):
    return intervals.shown(*shares.loc[format, ["mean", "low", "high"]])


def not_learned(loaded: list[dict], format: str) -> pd.DataFrame:
    """The facts whose first held-out question the model of this format does not answer, with what it said."""
    asked = scored([result for result in loaded if result["cell"]["format"] == format])
    first = asked.drop_duplicates("fact")
    wrong = first[first["strict"] == 0]
    return wrong[["question", "expected", "answer", "attribute", "fact"]].reset_index(drop=True)
