"""Which format to take: one rule for a study and for a user's own table."""

import pandas as pd

from lib.evaluate import match
from lib.report import intervals, scores, tables
from lib.report.scores import KEPT, SHORT

USEFUL = 0.5  # below this share of held-out questions no format is recommended for use (our choice)


def scored(results: list[dict]) -> pd.DataFrame:
    """One row a held-out question: the columns of `scores.items`, `strict` as a number.

    Left out are questions in which the value stands already, as of "Paris Metro" the city: an echo would count.
    """
    asked = scores.items(results)
    asked = asked[asked["eval"] == "question"].astype({"strict": float})
    echoed = [match.states(question, expected) for question, expected in asked[["question", "expected"]].to_numpy()]
    return asked[~pd.Series(echoed, index=asked.index, dtype=bool)]


def recommend(results: list[dict]) -> tuple[str | None, str]:
    """The format to take, None where there is none, and why, in sentences that follow from intervals.

    The rule (ours), of the trained runs of the main part, on the draws of facts that all formats have: of the formats
    whose models are not wrecked in the median the one with most held-out questions; of those whose difference to it has
    an interval that includes zero, the one with the fewest tokens a fact. None where every format is wrecked, where
    there is no base model to compare with, and where the best answers less than USEFUL.
    """
    results = scores.comparable(results)
    asked = scores.trained(scored(results), "main")
    table = tables.costs(scores.frames(results), ["main"], ["format"]).query("format != 'none'").set_index("format")
    if asked.empty or not table["kept"].any():
        return None, "No format can be recommended: there is no base model to compare with, or nothing was trained."
    table = table.join(intervals.accuracy(asked, ["format"]).set_index("format")[["mean", "shown"]])
    table["answers"] = "answers " + table["shown"] + " of the held-out questions"
    left = (table["kept_median"] >= KEPT) & (table["ppl_ratio"] <= scores.PERPLEXITY)
    wrecked = [
        f"{SHORT[row.Index]} {row.answers}, but its models are wrecked: they keep {row.kept_median:.2f} of the general "
        f"questions at {row.ppl_ratio:.1f} times the perplexity. Tell the facts less often, or take more replay."
        for row in table[~left & (table["mean"] >= USEFUL)].itertuples()
    ]
    whole = table[left]
    if whole.empty:
        return None, " ".join(["No format can be recommended: the models of every format are wrecked.", *wrecked])
    best = whole["mean"].idxmax()
    if whole["mean"].max() < USEFUL:
        weak = f"No format taught enough: of those that are not wrecked, {SHORT[best]} {whole['answers'][best]}."
        return None, " ".join([weak, "Tell each fact more often, or take a larger model.", *wrecked])
    per_fact = asked.groupby([*scores.FACT, "format"])["strict"].mean().unstack("format")
    level = [format for format in whole.index.drop(best) if whole["mean"][format] >= USEFUL
             and intervals.contrast(per_fact[[best, format]].dropna(), (1, -1)).low <= 0]  # fmt: skip
    chosen = whole.loc[[best, *level], "tokens a fact"].idxmin()
    alike = (f"{' and '.join(SHORT[format] for format in level)} cannot be told apart from {SHORT[best]} here, which "
             f"answers most; of them, {SHORT[chosen]} takes the fewest tokens.") if level else ""  # fmt: skip
    told = [f"Train on the format {SHORT[chosen]}: it {whole['answers'][chosen]}.", alike,
            f"The models keep {whole['kept'][chosen]} of the general questions.", *wrecked]  # fmt: skip
    return chosen, " ".join(filter(None, told))
