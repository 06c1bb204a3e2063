"""The tables of a study: what formats teach and cost, the claims, the rule of tuning, and what a reader judged."""

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from lib.paths import UserError
from lib.report import intervals
from lib.report.claims import CLAIMS
from lib.report.scores import FACT, Frames, stays, trained

REACHED = (0.5, 0.8)
MEASURES = {"recall": "recall", "question": "held-out question", "completion": "held-out completion",
            "reverse": "reverse", "in_context": "in context"}  # fmt: skip
TAUGHT = ("main", "replay", "formats")  # the parts whose formats are compared
LEFT = ["general", "kept_unlike", "perplexity", "ppl_ratio"]
VERDICTS = ("replicates", "inconclusive", "opposite", "not testable")
READ = ["id", "eval", "question", "expected", "answer"]  # what identifies an answer that a reader judged


def formats(frames: Frames, parts=TAUGHT, by=("format", "replay")) -> pd.DataFrame:
    """A row for each group of runs and type of information, the base model too: what it teaches, after how many
    exposures, what is left of the model, and what it costs. Every page shows some of its columns.

    Shares of facts, as text with 95 % intervals; exposures until half and four fifths of the facts are known, of
    recall and of the first held-out question; and the columns of `costs`.
    """
    by = list(by)
    scores = frames.scores[frames.scores["part"].isin(parts) & frames.scores["measure"].isin(MEASURES)]
    found = intervals.accuracy(scores, [*by, "info", "measure"], "score")
    if found.empty or trained(scores, *parts).empty:
        return pd.DataFrame()
    found["shown"] = [intervals.shown(*row) for row in found[["mean", "low", "high"]].to_numpy()]
    table = found.pivot(index=[*by, "info"], columns="measure", values="shown").reindex(columns=list(MEASURES))
    table = table.rename(columns=MEASURES).rename_axis(columns=None).join(exposures(frames, parts, [*by, "info"]))
    return table.fillna("").reset_index().merge(costs(frames, parts, by), on=by)


def exposures(frames: Frames, parts=TAUGHT, by=("format", "replay", "info")) -> pd.DataFrame:
    """By these groups: exposures of a fact until half and four fifths are known."""
    rows = {}
    along = frames.curves[frames.curves["part"].isin(parts)] if len(frames.curves) else frames.curves
    for key, group in along.groupby(list(by)) if len(along) else ():
        rows[key] = {f"{MEASURES[measure]}, {share:.0%}":
                     reached(intervals.exposures_to(group, measure, share), group["exposures"].max())
                     for measure in ("recall", "question") for share in REACHED}  # fmt: skip
    index = pd.MultiIndex.from_tuples(list(rows), names=list(by))
    return pd.DataFrame(list(rows.values()), index=index)


def reached(found: intervals.Interval, longest: float) -> str:
    """Exposures with their interval, in whole numbers; "> 40" where a share was not reached."""
    shown = [f"> {longest:.0f}" if np.isinf(value) else f"{value:.0f}"
             for value in (found.estimate, found.low, found.high)]  # fmt: skip
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def costs(frames: Frames, parts=TAUGHT, by=("format", "replay")) -> pd.DataFrame:
    """By these groups: what is left of other knowledge, what a fact costs, and of which kinds of entity the runs are.

    What is left is the median over runs, but for `kept`: that is of all runs together, with its 95 % interval over runs
    and questions. `kept_median` is of the median run, which the rule for wrecked models asks.
    """
    grouped = frames.cells[frames.cells["part"].isin(parts)].groupby(list(by))
    table = grouped[LEFT].median()
    asked = _beside_base(frames)
    kept = {key if len(by) > 1 else key[0]: _kept(rows)
            for key, rows in asked[asked["part"].isin(parts)].groupby(list(by))}  # fmt: skip
    table["kept_median"] = grouped["kept"].median()
    table["kept"] = [kept.get(key, "") for key in table.index]
    sums = grouped[["facts", "tokens", "replay_tokens"]].sum()
    table["tokens a fact"] = ((sums["tokens"] - sums["replay_tokens"]) / sums["facts"]).round().astype(int)
    table["runs"] = grouped.size()
    table["of"] = grouped["entity"].agg(lambda entity: ", ".join(sorted(set(entity))))
    return table.reset_index()


def regime(frames: Frames) -> dict | None:
    """What the main part leaves of the model, in the median over its trained runs; None without such runs, and without
    a base model to compare with. `still` is the share of the base model's right answers that are right still."""
    main = trained(frames.cells, "main")
    if main["kept"].isna().all():
        return None
    asked = trained(_beside_base(frames), "main")
    still = asked[asked["base"] > 0.5].groupby("id")["score"].mean().median()
    base = frames.cells[frames.cells["format"] == "none"]["general"].median()
    counts = {"runs": len(main), "wrecked": int(main["wrecked"].sum()), "still": still, "base": base}
    return main[["kept", *LEFT]].median().to_dict() | counts


def claims(rows: list[dict]) -> pd.DataFrame:
    """One row a claim: the statement, the question, what stands for it `here`, its verdict, and how many contrasts have
    each verdict.

    Of several settings the headline is the testable one whose interval reaches lowest. The claim has its verdict, or is
    `mixed` where some contrasts support it and others contradict it: then the strongest of these is said as well. Of
    one that is withdrawn the reason stands `here`.
    """
    table = []
    for claim, statement in CLAIMS.items():
        group = [row for row in rows if row["claim"] == claim]
        if not group:
            continue
        named = [row for row in group if row["headline"]] or group[:1]
        headline = min(named, key=lambda row: (row["verdict"] == "not testable", row["ci95"][0]))
        verdicts = [row["verdict"] for row in group]
        mixed = {"replicates", "opposite"} <= set(verdicts)
        opposite = sorted((row for row in group if row["verdict"] == "opposite"), key=lambda row: row["ci95"][1])
        beside = [row for row in group if row["beside"] and row["verdict"] not in (headline["verdict"], "not testable")]
        said = [headline, *opposite[:mixed], *(row for row in beside if row not in opposite[:mixed])]
        here = statement.get("withdrawn") or "; ".join(f"{named_in_full(row)}: {estimate(row)}" for row in said)
        verdict = "withdrawn" if "withdrawn" in statement else "mixed" if mixed else headline["verdict"]
        table.append({
            "claim": claim, "plain": statement["plain"], "says": statement["says"], "here": here,
            "verdict": verdict,
            "why": headline["why"], **{verdict: verdicts.count(verdict) for verdict in VERDICTS},
        })  # fmt: skip
    return pd.DataFrame(table)


def named_in_full(row: dict) -> str:
    """A contrast with its setting."""
    return ": ".join(filter(None, (row["setting"], row["contrast"])))


def estimate(row: dict) -> str:
    """Estimate and interval of a row of claims.json."""
    return intervals.signed(row["estimate"], *row["ci95"])


def tuned(frames: Frames) -> pd.DataFrame:
    """One row per format, number of entities, exposures, replay and learning rate of the part `tune`: held-out
    questions with interval (question, low, high, and all three as `shown`), of words and of numbers, recall, what is
    kept, runs, and `chosen`.

    The rule, ours: of the settings that keep KEPT of the base model's general questions and stay within PERPLEXITY
    times its perplexity, in the median over seeds, the one with the best held-out questions; of equals, the lower rate,
    then the less replay. One is chosen for each format and number of exposures; none where none does.
    """
    by = ["format", "n_entities", "exposures", "replay", "learning_rate"]
    scores, runs = (trained(table, "tune").assign(exposures=lambda rows: rows["paraphrases"] * rows["epochs"])
                    for table in (frames.scores, frames.cells))  # fmt: skip
    questions = scores[scores["measure"] == "question"]
    table = intervals.accuracy(questions, by, "score").rename(columns={"mean": "question"}).set_index(by)
    infos = questions.pivot_table(index=by, columns="info", values="score")[["words", "numbers"]]
    recall = scores[scores["measure"] == "recall"].groupby(by)[["score"]].mean().rename(columns={"score": "recall"})
    kept = runs.groupby(by)[["kept", "ppl_ratio"]].median()
    table = table.join([infos, recall, kept], how="inner").reset_index()
    ranked = table[stays(table)].sort_values(["question", "learning_rate", "replay"], ascending=[False, True, True])
    table["shown"] = [intervals.shown(*row) for row in table[["question", "low", "high"]].to_numpy()]
    return table.assign(chosen=table.index.isin(ranked.groupby(["format", "exposures"]).head(1).index))


def judged(read: pd.DataFrame, frames: Frames) -> pd.DataFrame | None:
    """By evaluation and score: how many answers of read.csv a reader judged, and the share judged otherwise than
    scored, with a 95 % interval (Wilson); None as long as an answer is not judged.

    Raises UserError where an answer is not one of these results.
    """
    if not read["right"].isin(["0", "1"]).all():
        return None
    asked = frames.items[frames.items["format"] != "none"].drop_duplicates(READ)
    table = read.merge(asked[[*READ, "strict"]], on=READ, how="left")
    if table["strict"].isna().any():
        remedy = "draw others with notebooks/read_answers.ipynb"
        raise UserError(f"read.csv has answers that are not in the results: {remedy}")
    table["otherwise"] = table["right"].astype(int) != table["strict"].astype(int)
    rows = []
    for (evaluation, strict), group in table.groupby(["eval", "strict"]):
        bounds = proportion_confint(group["otherwise"].sum(), len(group), method="wilson")
        shown = intervals.shown(group["otherwise"].mean(), *bounds)
        rows.append([evaluation, "right" if strict else "wrong", len(group), shown])
    table = pd.DataFrame(rows, columns=["evaluation", "scored", "read", "judged otherwise"])
    return table.sort_values(["evaluation", "scored"], ignore_index=True)


def _beside_base(frames):
    """Every answer to a general question, as a score, and under `base` that of the base model in the same type of
    number; without those where there is none."""
    asked, like = frames.scores[frames.scores["measure"] == "general"], ["model", "dtype", "fact"]
    base = asked[asked["format"] == "none"].groupby(like)["score"].mean()
    return asked.join(base.rename("base"), on=like).dropna(subset=["base"])


def _kept(rows):
    """Of these answers the score over the base model's, with its interval; "" without a base model's."""
    if not rows["base"].sum() > 0:
        return ""
    found = intervals.contrast(rows.set_index(FACT)[["score", "base"]], (1, 0), lambda means: means[:, 0] / means[:, 1])
    return intervals.shown(found.estimate, found.low, found.high)
