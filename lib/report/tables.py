"""The tables of a study: what formats teach and cost, what they leave of the model, and the claims."""

import numpy as np
import pandas as pd

from lib.report import intervals
from lib.report.claims import CLAIMS
from lib.report.scores import FACT, Frames, trained

REACHED = (0.5, 0.8)
MEASURES = {"recall": "recall", "question": "held-out question", "completion": "held-out completion",
            "reverse": "reverse", "in_context": "in context"}  # fmt: skip
TAUGHT = ("main", "replay", "formats")  # the parts whose formats are compared
LEFT = ["general", "kept_unlike", "perplexity", "ppl_ratio"]
VERDICTS = ("replicates", "inconclusive", "opposite", "not testable")


def formats(frames: Frames, parts=TAUGHT, by=("format", "replay")) -> pd.DataFrame:
    """A row for each group of runs and type of information, the base model too: what it teaches, after how many
    exposures, what is left of the model, and what it costs. Every page shows some of its columns.

    Shares of facts, as text with 95 % intervals; exposures until half and four fifths of the facts are known, of
    recall and of the first held-out question; and the columns of `costs`.
    """
    by = list(by)
    scores = frames.scores[frames.scores["part"].isin(parts) & frames.scores["measure"].isin(MEASURES)]
    if trained(scores, *parts).empty:
        return pd.DataFrame()
    found = intervals.accuracy(scores, [*by, "info", "measure"], "score")
    table = found.pivot(index=[*by, "info"], columns="measure", values="shown").reindex(columns=list(MEASURES))
    table = table.rename(columns=MEASURES).rename_axis(columns=None).join(exposures(frames, parts, [*by, "info"]))
    return table.fillna("").reset_index().merge(costs(frames, parts, by), on=by)


def exposures(frames: Frames, parts=TAUGHT, by=("format", "replay", "info")) -> pd.DataFrame:
    """By these groups: exposures of a fact until half and four fifths are known, in whole numbers with their interval;
    "> 40" where a share was not reached."""

    def reached(group, measure, share):
        found, longest = intervals.exposures_to(group, measure, share), group["exposures"].max()
        whole = [f"> {longest:.0f}" if np.isinf(value) else f"{value:.0f}"
                 for value in (found.estimate, found.low, found.high)]  # fmt: skip
        return f"{whole[0]} [{whole[1]}, {whole[2]}]"

    along = frames.curves[frames.curves["part"].isin(parts)] if len(frames.curves) else frames.curves
    rows = {key: {f"{MEASURES[measure]}, {share:.0%}": reached(group, measure, share)
                  for measure in ("recall", "question") for share in REACHED}
            for key, group in (along.groupby(list(by)) if len(along) else ())}  # fmt: skip
    return pd.DataFrame(list(rows.values()), index=pd.MultiIndex.from_tuples(list(rows), names=list(by)))


def costs(frames: Frames, parts=TAUGHT, by=("format", "replay")) -> pd.DataFrame:
    """By these groups: what is left of other knowledge, what a fact costs, and of which kinds of entity the runs are.

    What is left is the median over runs, but for `kept`: that is of all runs together, with its 95 % interval over runs
    and questions, "" without a base model. `kept_median` is of the median run, which the rule for wrecked models asks.
    """
    by = list(by)

    def kept(rows):
        if not rows["base"].sum() > 0:
            return ""
        both = rows.set_index(FACT)[["score", "base"]]
        return intervals.contrast(both, (1, 0), lambda means: means[:, 0] / means[:, 1]).shown

    grouped = frames.cells[frames.cells["part"].isin(parts)].groupby(by)
    asked = _beside_base(frames)
    asked = asked[asked["part"].isin(parts)]
    of_all = {key if len(by) > 1 else key[0]: kept(rows) for key, rows in asked.groupby(by)}
    sums = grouped[["facts", "tokens", "replay_tokens"]].sum()
    return grouped[LEFT].median().assign(**{
        "kept_median": grouped["kept"].median(),
        "kept": lambda table: [of_all.get(key, "") for key in table.index],
        "tokens a fact": ((sums["tokens"] - sums["replay_tokens"]) / sums["facts"]).round().astype(int),
        "runs": grouped.size(),
        "of": grouped["entity"].agg(lambda entity: ", ".join(sorted(set(entity)))),
    }).reset_index()  # fmt: skip


def regime(frames: Frames) -> pd.DataFrame:
    """One row: what the main part leaves of the model, in the median over its trained runs, and how many are wrecked.
    `still` is the share of the base model's right answers that are right still. Empty without such runs, and without a
    base model to compare with."""
    main, asked = trained(frames.cells, "main"), trained(_beside_base(frames), "main")
    if main["kept"].isna().all():
        return pd.DataFrame()
    row = main[["kept", "kept_unlike", "ppl_ratio"]].median().to_dict()
    row |= {"still": asked[asked["base"] > 0.5].groupby("id")["score"].mean().median(),
            "base": frames.cells[frames.cells["format"] == "none"]["general"].median(),
            "wrecked": int(main["wrecked"].sum()), "runs": len(main)}  # fmt: skip
    return pd.DataFrame([row])


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
        headline = min(named, key=lambda row: (row["verdict"] == "not testable", row["low"]))
        verdicts = [row["verdict"] for row in group]
        mixed = {"replicates", "opposite"} <= set(verdicts)
        against = sorted((row for row in group if row["verdict"] == "opposite"), key=lambda row: row["high"])[:mixed]
        beside = [row for row in group if row["beside"] and row["verdict"] not in (headline["verdict"], "not testable")]
        said = [headline, *against, *(row for row in beside if row not in against)]
        table.append({
            "claim": claim, "plain": statement["plain"], "says": statement["says"],
            "here": statement.get("withdrawn") or "; ".join(f"{row['name']}: {row['shown']}" for row in said),
            "verdict": "withdrawn" if "withdrawn" in statement else "mixed" if mixed else headline["verdict"],
            **{verdict: verdicts.count(verdict) for verdict in VERDICTS},
        })  # fmt: skip
    return pd.DataFrame(table)


def _beside_base(frames):
    """Every answer to a general question, as a score, and under `base` that of the base model in the same type of
    number; without those where there is none."""
    asked, like = frames.scores[frames.scores["measure"] == "general"], ["model", "dtype", "fact"]
    base = asked[asked["format"] == "none"].groupby(like)["score"].mean()
    return asked.join(base.rename("base"), on=like).dropna(subset=["base"])
