"""Results as tidy tables: one row an item, a point of a curve, an experiment, or a score of a fact."""

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import pandas as pd
import yaml

from lib.paths import LIB
from lib.report import intervals
from lib.study import store

FACT = ["entity", "seed", "info", "fact"]  # what identifies a fact across the experiments that share it
KEPT = 0.8  # wrecked is a model of whose kept general questions even the upper end of the interval is below
NAMES = yaml.safe_load((LIB / "report" / "names.yaml").read_text(encoding="utf-8"))
SHORT = NAMES["formats"]


class Frames(NamedTuple):
    """The tables of a study, each made once. `scores` has one row per experiment, fact and measure: the mean `score`
    over its questions.

    Measures are the evaluations (strict; of `untaught`: does the model say that it does not know?); `choice` (the
    closed set, corrected for chance); `area of recall` and `area of question`, the mean along training; and `style`:
    does a classifier tell which tone's model wrote a response? A two-fact problem is a fact of its own, with `kind` and
    with `known`: does the model answer most of the held-out questions about each of its facts? `general` has a row per
    general question and two columns per experiment: its `score` and that of the `base` model, in the same type of
    number; experiments without a base model are left out.
    """

    items: pd.DataFrame
    curves: pd.DataFrame
    cells: pd.DataFrame
    scores: pd.DataFrame
    general: pd.DataFrame


def load(study: str) -> Frames:
    """Every table of a study. They are made once in a process, which may run many notebooks, until a file of the study
    changes; what a notebook does to a table is its own."""
    paths = [*store.files(study), *store.study_dir(study).glob("grid.yaml")]
    made = _load(study, tuple((path.name, path.stat().st_mtime_ns) for path in paths))
    return Frames(*(table.copy(deep=False) for table in made))


@lru_cache(maxsize=1)
def _load(study, _):
    return frames(store.load(study))


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
    table = table.groupby(keys, as_index=False)["score"].mean().merge(_parameters(results), on="id")
    table = pd.concat([table, _styles(answered)[table.columns]])
    asked, like = table[table["measure"] == "general"], ["model", "dtype", "fact"]
    base = asked[asked["format"] == "none"].groupby(like)["score"].mean().rename("base")
    asked = asked.join(base, on=like).dropna(subset=["base"])
    general = asked.pivot(index="fact", columns="id", values=["score", "base"])
    return Frames(answered, along, cells(results, general), table, general)


def items(results: list[dict]) -> pd.DataFrame:
    """One row per answered question: the experiment's parameters, its id and part, and the item's fields.

    `corrected` is the closed-set score corrected for chance: 0 for guessing, 1 for knowing. `wording` numbers the
    questions of an evaluation about a fact. The `fact` of a two-fact problem is both facts with a plus between them.
    """
    rows = [{"other": "", "kind": "", **item, "id": result["id"]} for result in results for item in result["items"]]
    table = pd.DataFrame(rows).fillna({"other": "", "kind": ""})
    table = table.astype({"strict": "boolean", "choice": "boolean", "chance": float})
    answered = table[table["eval"] == "question"].groupby(["id", "fact"])["strict"].mean()
    answers = set(answered[answered > 0.5].index)
    return table.assign(
        corrected=(table["choice"].astype(float) - table["chance"]) / (1 - table["chance"]),
        known=[bool(other) and {(id, fact), (id, other)} <= answers
               for id, fact, other in zip(table["id"], table["fact"], table["other"], strict=True)],
        wording=table.groupby(["id", "eval", "fact"]).cumcount(),
        fact=table["fact"].where(table["other"] == "", table["fact"] + "+" + table["other"]),
    ).merge(_parameters(results), on="id")  # fmt: skip


def curves(results: list[dict]) -> pd.DataFrame:
    """One row per fact and checkpoint, the end included: parameters, fact, info, exposures, and the shares of its
    `recall` and of its held-out questions, `question`, that were right."""
    rows, names = [], ("recall", "question")
    for result in results:
        training, facts = result["training"], result["facts"]
        if not training or not training["curve"]:
            continue
        asked = [item for item in result["items"] if item["eval"] in names]
        n = Counter((item["eval"], item["fact"]) for item in asked)
        right = Counter((item["eval"], item["fact"]) for item in asked if item["strict"])
        points = [*training["curve"], {name: [right[name, fact] for fact in facts["ids"]] for name in names}]
        # evenly spaced but for less than a step, which differs between runs: counted so, curves have points in common
        exposures = result["cell"]["paraphrases"] * training["epochs"]
        for i, point in enumerate(points, 1):
            for j, (fact, info) in enumerate(zip(facts["ids"], facts["info"], strict=True)):
                # what no row tells to the letter cannot be recalled
                known = [int(point[name][j]) / max(1, n[name, fact]) for name in names]
                rows.append((result["id"], exposures * i / len(points), fact, info, *known))
    table = pd.DataFrame(rows, columns=["id", "exposures", "fact", "info", *names])
    return table.merge(_parameters(results), on="id")


def cells(results: list[dict], general: pd.DataFrame) -> pd.DataFrame:
    """One row per experiment: parameters, facts, cost, and what is left of other knowledge.

    `kept` is the share of general questions answered over the base model's share, with the bounds of its interval,
    `ppl_ratio` the perplexity over the base model's: missing without a base model.
    """
    rows = []
    for result in results:
        training, left = result["training"] or {"seconds": 0.0, "evaluation_seconds": 0.0}, result["evals"]["general"]
        rows.append({
            "id": result["id"], "facts": len(result["facts"]["ids"]), "dropped_known": result["facts"]["dropped_known"],
            **{key: training.get(key) for key in ("tokens", "trained_tokens", "steps")},
            "training_seconds": training["seconds"], "evaluation_seconds": training["evaluation_seconds"],
            **{key: result["manifest"][key] for key in ("seconds", "peak_memory_mb")},
            "general": left["strict"], "perplexity": left["perplexity"],
        })  # fmt: skip
    table = _parameters(results).merge(pd.DataFrame(rows), on="id")
    like = ["model", "dtype"]  # the base model answers a few questions otherwise in another type of number
    base = table[table["format"] == "none"].groupby(like)["perplexity"].median()
    table["ppl_ratio"] = table["perplexity"] / table[like].join(base.rename("base"), on=like)["base"]
    found = [(id, *kept(general, [id])[:3]) for id in general.columns.unique("id")]
    table = table.merge(pd.DataFrame(found, columns=["id", "kept", "kept_low", "kept_high"]), "left", "id")
    return table.assign(wrecked=table["kept_high"] < KEPT)


def kept(general: pd.DataFrame, ids: Iterable[str]) -> intervals.Interval | None:
    """How much of the base model's share of general questions these experiments keep, together; None where there is no
    base model. `general` is that of Frames.

    The variance of this ratio is linearised (Cochran 1977, 6.4): that over questions, which all runs are asked alike,
    and that over runs.
    """
    if (ids := general.columns.unique("id").intersection(ids)).empty:
        return None
    said, base = (general[name][ids] for name in ("score", "base"))
    of_base, (questions, runs) = base.mean(axis=None) or float("nan"), said.shape
    share = said.mean(axis=None) / of_base
    off = (said - share * base) / of_base
    variance = off.mean(axis=1).var() / questions + (off.mean().var() / runs if runs > 1 else 0.0)
    low = NormalDist(share, max(variance, 1e-12) ** 0.5).inv_cdf(0.025)
    return intervals.Interval(share, low, 2 * share - low, float("nan"), questions, runs)


def comparable(frames: Frames) -> Frames:
    """These tables without the trained runs of the main part on draws of facts that not all of its formats have: in
    a study that is not finished, formats would be compared on other facts."""
    main, draw = trained(frames.cells, "main"), ["model", "entity", "seed"]
    common = main.groupby(draw)["format"].transform("nunique") == main["format"].nunique()
    others = main.loc[~common, "id"]
    return Frames(*(table[~table["id"].isin(others)] for table in frames[:-1]), frames.general)


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
    for _, alike in asked.groupby(["seed", "format"]):
        k = alike["tone"].nunique()
        if k == asked["tone"].nunique() > 1:  # a seed that lacks tones would be an easier task
            told = cross_val_predict(classifier, alike["answer"], alike["tone"], groups=alike["fact"], cv=folds)
            parts.append(alike.assign(score=((told == alike["tone"]).astype(float) - 1 / k) / (1 - 1 / k)))
    found = pd.concat(parts)
    return found.assign(entity="tone", seed=pd.factorize(found["id"], sort=True)[0])


def _parameters(results):
    return pd.DataFrame([
        {**result["cell"], "id": result["id"], "part": result["part"], "dtype": result["manifest"]["dtype"]}
        for result in results
    ])  # fmt: skip
