"""The rule that chooses each format's learning rate and replay, for each length of training."""

import pandas as pd

from lib.report import intervals, parts


def settings(results: list[dict]) -> pd.DataFrame:
    """One row per format, number of entities, exposures, replay and learning rate of the part `tune`: held-out
    questions with interval (question, low, high, and all three as `shown`), of words and of numbers, recall, what is
    kept, runs, and `chosen`.

    The rule, ours: of the settings that keep KEPT of the base model's general questions and stay within PERPLEXITY
    times its perplexity, in the median over seeds, the one with the best held-out questions; of equals, the lower rate,
    then the less replay. One is chosen for each format and number of exposures; none where none does.
    """
    by = ["format", "n_entities", "exposures", "replay", "learning_rate"]
    scores = _counted(parts.trained(parts.scores(results), "tune"))
    questions = scores[scores["measure"] == "question"]
    table = intervals.accuracy(questions, by, "score").rename(columns={"mean": "question"}).set_index(by)
    infos = questions.pivot_table(index=by, columns="info", values="score")[["words", "numbers"]]
    recall = scores[scores["measure"] == "recall"].groupby(by)[["score"]].mean().rename(columns={"score": "recall"})
    kept = _counted(parts.trained(parts.cells(results), "tune")).groupby(by)[["kept", "ppl_ratio"]].median()
    table = table.join([infos, recall, kept], how="inner").reset_index()
    ranked = table[parts.stays(table)].sort_values(
        ["question", "learning_rate", "replay"], ascending=[False, True, True]
    )
    table["shown"] = [intervals.shown(*row) for row in table[["question", "low", "high"]].to_numpy()]
    return table.assign(chosen=table.index.isin(ranked.groupby(["format", "exposures"]).head(1).index))


def _counted(frame):
    return frame.assign(exposures=frame["paraphrases"] * frame["epochs"])
