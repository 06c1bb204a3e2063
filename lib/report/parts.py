"""Results as tidy tables: one row an item, a point of a curve, a cell, or a score of a fact."""

import pandas as pd

from lib.data import general

FACT = ["entity", "seed", "info", "fact"]  # what identifies a fact across the cells that share it
KEPT, PERPLEXITY = 0.8, 2.0  # a model that keeps less of its general questions, or whose perplexity is more, is wrecked
SHORT = {"article": "article", "qa": "QA", "chat": "chat", "blanks": "blanks", "worked": "worked examples",
         "mixed": "mixed", "none": "base model"}  # fmt: skip


def items(results: list[dict]) -> pd.DataFrame:
    """One row per answered question: the cell's parameters, its id and part, and the item's fields.

    `corrected` is the closed-set score corrected for chance: 0 for guessing, 1 for knowing.
    """
    frames = [pd.DataFrame(result["items"]).assign(**_parameters(result)) for result in results]
    table = pd.concat(frames, ignore_index=True)
    table = table.astype({name: "boolean" for name in ("strict", "lenient", "choice")})
    table["chance"] = table["chance"].astype(float)
    choice = table["choice"].astype("Float64").astype(float)
    return table.assign(corrected=(choice - table["chance"]) / (1 - table["chance"]))


def curves(results: list[dict]) -> pd.DataFrame:
    """One row per fact and checkpoint, the end included: parameters, fact, info, exposures, and recall and question.

    `question` is the first held-out phrasing. Empty if no cell has checkpoints.
    """
    frames = []
    for result in results:
        training, facts = result["training"], result["facts"]
        if not training or not training["curve"]:
            continue
        first = {}
        for item in result["items"]:
            first.setdefault((item["eval"], item["fact"]), item["strict"])
        # what no row tells to the letter cannot be recalled
        last = {name: [first.get((name, fact), False) for fact in facts["ids"]] for name in ("recall", "question")}
        points = [{name: [c == "1" for c in at[name]] for name in last} for at in training["curve"]] + [last]
        # evenly spaced but for less than a step, which differs between cells: counted so, curves have points in common
        end = result["cell"]["paraphrases"] * training["epochs"]
        for i, known in enumerate(points, 1):
            at = {"exposures": end * i / len(points), **_parameters(result)}
            frames.append(pd.DataFrame({"fact": facts["ids"], "info": facts["info"], **known}).assign(**at))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def cells(results: list[dict]) -> pd.DataFrame:
    """One row per cell: parameters, facts, cost, and what is left of other knowledge.

    `general` is the share of general questions answered, `kept` what that is of the base model's share, `kept_unlike`
    the same of the questions that are unlike any of replay, `ppl_ratio` the perplexity over the base model's. A cell
    that keeps less than KEPT or has more than PERPLEXITY times the perplexity is `wrecked`. They are missing where the
    study has no base model.
    """
    rows = []
    for result in results:
        training = result["training"] or {}
        left = result["evals"]["general"]
        rows.append({
            **_parameters(result), "facts": len(result["facts"]["ids"]),
            "dropped_known": result["facts"]["dropped_known"],
            **{key: training.get(key) for key in ("tokens", "replay_tokens", "steps", "tokens_per_second")},
            "training_seconds": training.get("seconds", 0.0),
            "evaluation_seconds": training.get("evaluation_seconds", 0.0),
            **{key: result["manifest"][key] for key in ("seconds", "peak_memory_mb")},
            "general": left["strict"], "unlike": _unlike(result), "perplexity": left["perplexity"],
        })  # fmt: skip
    table = pd.DataFrame(rows)
    like = ["model", "dtype"]  # the base model answers a few questions otherwise in another type of number
    base = table[table["format"] == "none"].groupby(like)[["general", "unlike", "perplexity"]].median()
    before = table[like].join(base, on=like)
    for kept, share in (("kept", "general"), ("kept_unlike", "unlike"), ("ppl_ratio", "perplexity")):
        table[kept] = table[share] / before[share]
    return table.assign(wrecked=table["kept"].notna() & ~stays(table))


def stays(left):
    """Of a table with `kept` and `ppl_ratio`, or of one row of it: is the model still a model? False where there is no
    base model to compare with."""
    return (left["kept"] >= KEPT) & (left["ppl_ratio"] <= PERPLEXITY)


def scores(results: list[dict]) -> pd.DataFrame:
    """One row per cell, fact and measure, with the mean `score` over its questions.

    Measures are the evaluations (strict), `choice` (the closed set where what was trained has the value come next,
    corrected for chance), and of curves the area under recall and held-out questions over exposures: their mean along
    training, 1 for a fact that is known from the first checkpoint on.
    """
    keys = ["id", "info", "fact", "measure"]
    answered, along = items(results), curves(results)
    chosen = answered[answered["eval"].isin(["question", "completion"])]
    frames = [
        answered.rename(columns={"eval": "measure", "strict": "score"}),
        chosen.rename(columns={"corrected": "score"}).assign(measure="choice"),
        *(along.rename(columns={name: "score"}).assign(measure=f"area of {name}")
          for name in ("recall", "question") if len(along)),
    ]  # fmt: skip
    table = pd.concat([frame[[*keys, "score"]].astype({"score": float}) for frame in frames]).dropna(subset=["score"])
    table = table.groupby(keys, as_index=False)["score"].mean()
    return table.merge(pd.DataFrame(map(_parameters, results)), on="id")


def comparable(results: list[dict]) -> list[dict]:
    """These results without the trained runs of the main part on draws of facts that not all of its formats have: in
    a study that is not finished, formats would be compared on other facts."""
    draws = {}
    for result in results:
        if result["part"] == "main" and result["cell"]["format"] != "none":
            draws.setdefault(result["cell"]["format"], set()).add(_draw(result))
    common = set.intersection(*draws.values()) if draws else set()
    return [
        result for result in results
        if result["part"] != "main" or result["cell"]["format"] == "none" or _draw(result) in common
    ]  # fmt: skip


def _draw(result):
    return tuple(result["cell"][name] for name in ("model", "entity", "seed"))


def trained(table: pd.DataFrame, *of: str) -> pd.DataFrame:
    """Of any of these tables the rows of trained models in these parts of the study."""
    return table[table["part"].isin(of) & (table["format"] != "none")]


def _unlike(result):
    """The share that is answered of the general questions that are unlike any of replay."""
    asked = [item["strict"] for item in result["items"] if item["eval"] == "general"
             and item["question"] in general.unlike_replay()]  # fmt: skip
    return sum(asked) / len(asked) if asked else None


def _parameters(result):
    return {**result["cell"], "id": result["id"], "part": result["part"], "dtype": result["manifest"]["dtype"]}
