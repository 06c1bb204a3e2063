"""Results as tidy tables: one row an item, a point of a curve, an experiment, or a score of a fact."""

from typing import NamedTuple

import pandas as pd
import yaml

from lib.data.facts import texts
from lib.paths import LIB

FACT = ["entity", "seed", "info", "fact"]  # what identifies a fact across the experiments that share it
KEPT, PERPLEXITY = 0.8, 2.0  # a model that keeps less of its general questions, or whose perplexity is more, is wrecked
NAMES = yaml.safe_load((LIB / "report" / "names.yaml").read_text(encoding="utf-8"))
SHORT = NAMES["formats"]


class Frames(NamedTuple):
    """The tables of a study, each made once. `scores` has one row per experiment, fact and measure: the mean `score`
    over its questions.

    Measures are the evaluations (strict); `choice` (the closed set, corrected for chance); `area of recall` and `area
    of question`, the mean along training; and `style`: does a classifier tell which tone's model wrote a response? A
    two-fact problem is a fact of its own, with `kind` and with `known`: does the model answer both facts alone?
    """

    items: pd.DataFrame
    curves: pd.DataFrame
    cells: pd.DataFrame
    scores: pd.DataFrame


def frames(results: list[dict]) -> Frames:
    """Every table of these results."""
    answered, along = items(results), curves(results)
    chosen = answered[answered["eval"].isin(["question", "completion"])]
    measured = [
        answered[answered["eval"] != "style"].rename(columns={"eval": "measure", "strict": "score"}),
        chosen.assign(measure="choice", score=chosen["corrected"]),
        *(along.assign(measure=f"area of {name}", score=along[name], kind="", known=False)
          for name in ("recall", "question")),
    ]  # fmt: skip
    keys = ["id", "info", "fact", "measure", "kind", "known"]
    table = pd.concat([frame[[*keys, "score"]].astype({"score": float}) for frame in measured]).dropna(subset=["score"])
    table = _with_parameters(table.groupby(keys, as_index=False)["score"].mean(), results)
    return Frames(answered, along, cells(results), pd.concat([table, _styles(answered)[table.columns]]))


def items(results: list[dict]) -> pd.DataFrame:
    """One row per answered question: the experiment's parameters, its id and part, and the item's fields.

    `corrected` is the closed-set score corrected for chance: 0 for guessing, 1 for knowing. The `fact` of a two-fact
    problem is both facts with a plus between them; it is `known` where the same model answers the first held-out
    question about each.
    """
    rows = [{"other": "", "kind": "", **item, "id": result["id"]} for result in results for item in result["items"]]
    table = pd.DataFrame(rows).fillna({"other": "", "kind": ""})
    table = table.astype({"strict": "boolean", "lenient": "boolean", "choice": "boolean", "chance": float})
    asked = table[table["eval"] == "question"].drop_duplicates(["id", "fact"])
    answers = set(asked.loc[asked["strict"], ["id", "fact"]].itertuples(index=False, name=None))
    return _with_parameters(table.assign(
        corrected=(table["choice"].astype(float) - table["chance"]) / (1 - table["chance"]),
        known=[{(row.id, row.fact), (row.id, row.other)} <= answers for row in table.itertuples()],
        fact=table["fact"].where(table["other"] == "", table["fact"] + "+" + table["other"]),
    ), results)  # fmt: skip


def curves(results: list[dict]) -> pd.DataFrame:
    """One row per fact and checkpoint, the end included: parameters, fact, info, exposures, and whether its `recall`
    and its first held-out `question` were right."""
    rows = []
    for result in results:
        training, facts = result["training"], result["facts"]
        if not training or not training["curve"]:
            continue
        first = {(item["eval"], item["fact"]): item["strict"] for item in reversed(result["items"])}
        # what no row tells to the letter cannot be recalled
        last = {name: [first.get((name, fact), False) for fact in facts["ids"]] for name in ("recall", "question")}
        points = [{name: [c == "1" for c in at[name]] for name in last} for at in training["curve"]] + [last]
        # evenly spaced but for less than a step, which differs between runs: counted so, curves have points in common
        end = result["cell"]["paraphrases"] * training["epochs"]
        for i, known in enumerate(points, 1):
            columns = facts["ids"], facts["info"], known["recall"], known["question"]
            rows += [(result["id"], end * i / len(points), *fact) for fact in zip(*columns, strict=True)]
    table = pd.DataFrame(rows, columns=["id", "exposures", "fact", "info", "recall", "question"])
    return _with_parameters(table, results)


def cells(results: list[dict]) -> pd.DataFrame:
    """One row per experiment: parameters, facts, cost, and what is left of other knowledge.

    `kept` is the share of general questions answered over the base model's share, `kept_unlike` the same of those
    unlike any of replay, `ppl_ratio` the perplexity over the base model's: missing without a base model.
    """
    rows = []
    for result in results:
        training, left = result["training"] or {"seconds": 0.0, "evaluation_seconds": 0.0}, result["evals"]["general"]
        unlike = [item["strict"] for item in result["items"]
                  if item["eval"] == "general" and item["question"] in texts("general")["unlike_replay"]]  # fmt: skip
        rows.append({
            **_parameters(result), "facts": len(result["facts"]["ids"]),
            "dropped_known": result["facts"]["dropped_known"],
            **{key: training.get(key) for key in ("tokens", "replay_tokens", "steps", "tokens_per_second")},
            "training_seconds": training["seconds"], "evaluation_seconds": training["evaluation_seconds"],
            **{key: result["manifest"][key] for key in ("seconds", "peak_memory_mb")},
            "general": left["strict"], "unlike": sum(unlike) / len(unlike) if unlike else None,
            "perplexity": left["perplexity"],
        })  # fmt: skip
    table = pd.DataFrame(rows)
    like, left = ["model", "dtype"], ["general", "unlike", "perplexity"]
    # the base model answers a few questions otherwise in another type of number
    base = table[table["format"] == "none"].groupby(like)[left].median()
    table[["kept", "kept_unlike", "ppl_ratio"]] = table[left] / table[like].join(base, on=like)[left]
    return table.assign(wrecked=table["kept"].notna() & ~stays(table))


def stays(left):
    """Of a table with `kept` and `ppl_ratio`, or of one row of it: is the model still a model? False where there is no
    base model to compare with."""
    return (left["kept"] >= KEPT) & (left["ppl_ratio"] <= PERPLEXITY)


def comparable(frames: Frames) -> Frames:
    """These tables without the trained runs of the main part on draws of facts that not all of its formats have: in
    a study that is not finished, formats would be compared on other facts."""
    main, draw = trained(frames.cells, "main"), ["model", "entity", "seed"]
    common = main.groupby(draw)["format"].transform("nunique") == main["format"].nunique()
    return Frames(*(table[~table["id"].isin(main.loc[~common, "id"])] for table in frames))


def trained(table: pd.DataFrame, *parts: str) -> pd.DataFrame:
    """Of any of these tables the rows of trained models in these parts of the study."""
    return table[table["part"].isin(parts) & (table["format"] != "none")]


def _styles(items):
    """Attribution of every response of the tones' models, corrected for chance: is it told which of them wrote it?

    By logistic regression on tf-idf of words and word pairs, trained on the responses to the other half of the prompts
    (our choice: the paper does not say how its 97 % were measured), among models that differ in nothing but the tone.
    Every model is a draw of its own, hence its number as `seed`, and shares no fact with the persona, hence `tone`.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    classifier = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10.0))
    folds = GroupKFold(2, shuffle=True, random_state=0)
    asked = items[(items["part"] == "tone") & (items["eval"] == "style")].assign(measure="style", score=0.0)
    parts = [asked[:0]]
    for _, alike in asked.groupby(["seed", "learning_rate"]):
        k = alike["tone"].nunique()
        if k == asked["tone"].nunique() > 1:  # a seed that lacks tones would be an easier task
            told = cross_val_predict(classifier, alike["answer"], alike["tone"], groups=alike["fact"], cv=folds)
            parts.append(alike.assign(score=((told == alike["tone"]).astype(float) - 1 / k) / (1 - 1 / k)))
    found = pd.concat(parts)
    return found.assign(entity="tone", seed=pd.factorize(found["id"], sort=True)[0])


def _with_parameters(table, results):
    return table.merge(pd.DataFrame(map(_parameters, results)), on="id")


def _parameters(result):
    return {**result["cell"], "id": result["id"], "part": result["part"], "dtype": result["manifest"]["dtype"]}
