"""The rule that chooses each format's learning rate and replay."""

import pandas as pd

from lib.report import intervals, parts


def settings(results: list[dict]) -> pd.DataFrame:
    """One row per format, replay and learning rate of the part `tune`: held-out questions with interval, of words and
    of numbers, recall, what is kept, and `chosen`.

    The rule, ours: of the settings that keep KEPT of the base model's general questions and stay within PERPLEXITY
    times its perplexity, in the median over seeds, the one with the best held-out questions; of equals, the lower rate,
    then the less replay. Of a format of which none does, nothing is chosen.
    """
    by = ["format", "replay", "learning_rate"]
    scores, cells = parts.scores(results), parts.cells(results)
    tuned = scores[(scores["part"] == "tune") & (scores["format"] != "none")]
    questions = tuned[tuned["measure"] == "question"]
    table = intervals.accuracy(questions, by, "score").rename(columns={"mean": "question"})
    for info in ("words", "numbers"):
        of_info = questions[questions["info"] == info].groupby(by)["score"].mean().rename(info)
        table = table.merge(of_info.reset_index(), on=by)
    recall = tuned[tuned["measure"] == "recall"].groupby(by)["score"].mean().rename("recall")
    kept = cells[cells["part"] == "tune"].groupby(by)[["kept", "ppl_ratio"]].median()
    table = table.merge(recall.reset_index(), on=by).merge(kept.reset_index(), on=by)
    whole = (table["kept"] >= parts.KEPT) & (table["ppl_ratio"] <= parts.PERPLEXITY)
    ranked = table[whole].sort_values(["question", "learning_rate", "replay"], ascending=[False, True, True])
    return table.assign(chosen=table.index.isin(ranked.groupby("format").head(1).index))
