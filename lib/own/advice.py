"""What the results of a user's own facts say: tables, the recommendation, and the facts that were not learned."""

import pandas as pd

from lib.evaluate import match
from lib.report import intervals, parts, tables

# Below this share of held-out questions no format is recommended for use (our choice).
USEFUL = 0.5


def scored(loaded: list[dict]) -> pd.DataFrame:
    """One row a held-out question: format, entity, attribute, and whether it was answered.

    Left out are questions in which the value stands already, as of "Paris Metro" the city: an echo would count.
    """
    asked = parts.items(loaded)
    asked = asked[asked["eval"] == "question"].astype({"strict": float})
    echoed = [match.lenient(question, expected, (), given="")
              for question, expected in zip(asked["question"], asked["expected"], strict=True)]  # fmt: skip
    asked = asked[~pd.Series(echoed, index=asked.index, dtype=bool)]
    return asked.assign(attribute=asked["fact"].str.split("/", n=2).str[2])


def by_attribute(asked: pd.DataFrame) -> pd.DataFrame:
    """Answered held-out questions with 95 % intervals by format and attribute; the attribute "all" pools them."""
    found = [intervals.accuracy(asked.assign(attribute="all"), ["format", "attribute"])]
    found.append(intervals.accuracy(asked, ["format", "attribute"]))
    return pd.concat(found, ignore_index=True)


def accuracy_table(asked: pd.DataFrame) -> pd.DataFrame:
    """A row an attribute, a column a format, each cell a share with its interval."""
    found = by_attribute(asked)
    found["shown"] = [intervals.shown(*row) for row in found[["mean", "low", "high"]].to_numpy()]
    attributes = ["all", *dict.fromkeys(asked["attribute"])]
    formats = [format for format in parts.SHORT if format in set(found["format"])]
    wide = found.pivot(index="attribute", columns="format", values="shown").reindex(attributes)[formats]
    return wide.rename(columns=parts.SHORT).reset_index().rename_axis(columns=None)


def cost_table(loaded: list[dict]) -> pd.DataFrame:
    """Of each format: recall, exposures until half and four fifths are answered, what was forgotten, what it costs.

    `asserted` is the share of invented entities of which the model asserts a value of the table.
    """
    items, along, cells = parts.items(loaded), parts.curves(loaded), parts.cells(loaded)
    rows = []
    for cell in cells[cells["format"] != "none"].itertuples():
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
            "asserted": 1 - mine[mine["eval"] == "unseen"]["strict"].astype(float).mean(),
            "tokens a fact": (cell.tokens - cell.replay_tokens) / cell.facts,
            "seconds a fact": cell.training_seconds / cell.facts,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def recommend(asked: pd.DataFrame, cells: pd.DataFrame) -> tuple[str | None, str]:
    """The format to take, and why, in plain sentences that follow from intervals.

    The rule (ours): of the formats whose model stays a model, the one with most held-out questions; of those whose
    difference to it has an interval that includes zero, the one with the fewest tokens about facts. None where every
    model is wrecked, or the best answers less than USEFUL.
    """
    trained = cells[cells["format"] != "none"].set_index("format")
    whole = trained[~trained["wrecked"]]
    if whole.empty:
        kept = ", ".join(f"{parts.SHORT[format]} {row.kept:.2f}" for format, row in trained.iterrows())
        return None, (
            f"None of the formats can be recommended: every model lost too much of what it knew (kept: {kept}). Take "
            "more replay or fewer exposures."
        )
    per_fact = asked.groupby([*parts.FACT, "format"])["strict"].mean().unstack("format")
    shares = per_fact[list(whole.index)].mean().sort_values(ascending=False)
    best = shares.index[0]
    apart = {format: intervals.contrast(per_fact[[best, format]].dropna(), (1, -1)) for format in shares.index[1:]}
    level = [best, *(format for format, found in apart.items() if found.low <= 0)]
    told = whole["tokens"] - whole["replay_tokens"]
    chosen = told[level].idxmin()
    means = intervals.accuracy(asked[asked["format"] == chosen], ["format"]).iloc[0]
    shown = intervals.shown(*means[["mean", "low", "high"]])
    name = parts.SHORT[chosen]
    if means["mean"] < USEFUL:
        return None, (
            f"None of the formats taught enough: the best, {name}, answers {shown} of the held-out questions. Tell "
            "each fact more often, or take a larger model."
        )
    said = f"Train on the format {name}: it answers {shown} of the held-out questions."
    others = [parts.SHORT[format] for format in level if format != chosen]
    if others:
        said += f" {' and '.join(others)} cannot be told apart from it here; it takes the fewest tokens."
    behind = [
        f"{parts.SHORT[format]} by {found.estimate:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
        for format, found in apart.items()
        if format not in level
    ]
    if behind:
        said += f" It is ahead of {' and of '.join(behind)}." if chosen == best else (
            f" {parts.SHORT[best]} is ahead of {' and of '.join(behind)}.")  # fmt: skip
    lost = [parts.SHORT[format] for format in trained.index if format not in whole.index]
    if lost:
        said += f" Not considered, because the model lost too much of what it knew: {', '.join(lost)}."
    return chosen, said + f" It keeps {whole.loc[chosen, 'kept']:.2f} of the general questions of the base model."


def not_learned(loaded: list[dict], format: str) -> pd.DataFrame:
    """The facts whose first held-out question the model of this format does not answer, with what it said."""
    asked = scored([result for result in loaded if result["cell"]["format"] == format])
    first = asked.drop_duplicates("fact")
    wrong = first[first["strict"] == 0]
    return wrong[["question", "expected", "answer", "attribute", "fact"]].reset_index(drop=True)


def runs_of_one() -> str:
    """What the intervals do not cover."""
    return "The intervals cover facts, not the luck of a training run: each format was trained once."
