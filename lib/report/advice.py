"""Which format to take: one rule for a study and for a user's own table."""

import pandas as pd

from lib.evaluate import match
from lib.report import intervals, scores, tables
from lib.report.scores import SHORT

USEFUL = 0.5  # below this share of held-out questions no format is recommended for use (our choice)


def scored(results: list[dict]) -> pd.DataFrame:
    """One row a held-out question: the columns of `scores.items`, `strict` as a number.

    Left out are questions in which the value stands already, as of "Paris Metro" the city: an echo would count.
    """
    asked = scores.items(results)
    asked = asked[asked["eval"] == "question"].astype({"strict": float})
    echoed = [match.states(question, expected)
              for question, expected in zip(asked["question"], asked["expected"], strict=True)]  # fmt: skip
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
    costs = tables.costs(scores.frames(results), ["main"], ["format"]).query("format != 'none'")
    if asked.empty or not costs["kept"].any():
        return None, "No format can be recommended: there is no base model to compare with, or nothing was trained."
    costs = costs.set_index("format")
    shares = intervals.accuracy(asked, ["format"]).set_index("format")
    answers = {row.Index: f"answers {intervals.shown(row.mean, row.low, row.high)} of the held-out questions"
               for row in shares.itertuples()}  # fmt: skip
    whole = costs.index[(costs["kept_median"] >= scores.KEPT) & (costs["ppl_ratio"] <= scores.PERPLEXITY)]
    wrecked = [
        f"{SHORT[format]} {answers[format]}, but its models are wrecked: they keep {row['kept_median']:.2f} of "
        f"the general questions at {row['ppl_ratio']:.1f} times the perplexity. Tell the facts less often, or take "
        "more replay."
        for format, row in costs.iterrows() if format not in whole and shares.loc[format, "mean"] >= USEFUL
    ]  # fmt: skip
    if whole.empty:
        return None, " ".join(["No format can be recommended: the models of every format are wrecked.", *wrecked])
    best = shares.loc[whole, "mean"].idxmax()
    if shares.loc[best, "mean"] < USEFUL:
        weak = f"No format taught enough: of those that are not wrecked, {SHORT[best]} {answers[best]}."
        return None, " ".join([weak, "Tell each fact more often, or take a larger model.", *wrecked])
    per_fact = asked.groupby([*scores.FACT, "format"])["strict"].mean().unstack("format")
    ahead = {format: intervals.contrast(per_fact[[best, format]].dropna(), (1, -1)) for format in whole.drop(best)}
    level = [format for format in ahead if ahead[format].low <= 0 and shares.loc[format, "mean"] >= USEFUL]
    chosen = costs.loc[[best, *level], "tokens a fact"].idxmin()
    sentences = [f"Train on the format {SHORT[chosen]}: it {answers[chosen]}."]
    if level:
        sentences.append(
            f"{' and '.join(SHORT[format] for format in level)} cannot be told apart from {SHORT[best]} "
            f"here, which answers most; of them, {SHORT[chosen]} takes the fewest tokens."
        )
    sentences.append(f"The models keep {costs.loc[chosen, 'kept']} of the general questions.")
    return chosen, " ".join([*sentences, *wrecked])
