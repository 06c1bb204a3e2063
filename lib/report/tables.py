"""The tables of a study: what each format teaches, what it costs, and how the claims stand."""

import numpy as np
import pandas as pd

from lib.report import intervals, parts
from lib.report.claims import BESIDE, CLAIMS, HEADLINE

REACHED = (0.5, 0.8)
MEASURES = {"recall": "recall", "question": "held-out question", "completion": "held-out completion"}
TAUGHT = ("main", "replay", "formats")  # the parts whose formats are compared
LEFT = ["general", "kept_unlike", "perplexity", "ppl_ratio"]


def formats(results: list[dict], of=TAUGHT, by=("format", "replay", "info")) -> pd.DataFrame:
    """Of these parts, by format, replay and type of information: accuracies with intervals, and of which kinds of
    entity they are: the facts of one kind may be easier than those of another."""
    scores = parts.trained(parts.scores(results), *of)
    found = intervals.accuracy(scores[scores["measure"].isin(MEASURES)], [*by, "measure"], "score")
    if found.empty:
        return found
    found["shown"] = [intervals.shown(*row) for row in found[["mean", "low", "high"]].to_numpy()]
    wide = found.pivot(index=list(by), columns="measure", values="shown").reindex(columns=list(MEASURES))
    return wide.rename(columns=MEASURES).assign(of=_kinds(scores.groupby(list(by)))).reset_index()


def exposures(results: list[dict]) -> pd.DataFrame:
    """Of the main part, by format and type: exposures of a fact until half and four fifths are known."""
    columns = {f"{MEASURES[m]}, {share:.0%}": (m, share) for m in ("recall", "question") for share in REACHED}
    rows = []
    along = parts.curves([result for result in results if result["part"] == "main"])
    for (format, info), of_group in along.groupby(["format", "info"]) if len(along) else ():
        longest = of_group["exposures"].max()
        row = {"format": format, "info": info}
        for name, (measure, share) in columns.items():
            row[name] = reached(intervals.exposures_to(of_group, measure, share), longest)
        rows.append(row)
    return pd.DataFrame(rows, columns=["format", "info", *columns])


def costs(results: list[dict], of=TAUGHT, by=("format", "replay")) -> pd.DataFrame:
    """Of these parts, by format and replay: what is left of other knowledge, what a fact costs, and of which kinds of
    entity the runs are. What is left is the median over runs, but for `kept`: that is of all runs together, with its
    95 % interval over runs and questions. `kept_median` is of the median run, which the rule for wrecked models asks.
    """
    grouped = parts.trained(parts.cells(results), *of).groupby(list(by))
    table = grouped[LEFT].median()
    left = parts.trained(_beside_base(results), *of).groupby(list(by))
    kept = {key if len(by) > 1 else key[0]: _kept(rows) for key, rows in left}
    table["kept_median"] = grouped["kept"].median()
    table["kept"] = [kept.get(key, "") for key in table.index]
    sums = grouped[["facts", "tokens", "replay_tokens"]].sum()
    table["tokens a fact"] = ((sums["tokens"] - sums["replay_tokens"]) / sums["facts"]).round().astype(int)
    table["runs"], table["of"] = grouped.size(), _kinds(grouped)
    return table.reset_index()


def _beside_base(results):
    """Every answer to a general question, as a score, and under `base` that of the base model in the same type of
    number; without those where there is none."""
    scores = parts.scores(results)
    asked = scores[scores["measure"] == "general"]
    like = ["model", "dtype", "fact"]
    base = asked[asked["format"] == "none"].groupby(like)["score"].mean()
    return asked.join(base.rename("base"), on=like).dropna(subset=["base"])


def _kept(rows):
    """Of these answers the score over the base model's, with its interval; "" without a base model's."""
    if not rows["base"].sum() > 0:
        return ""
    table = rows.set_index(parts.FACT)[["score", "base"]]
    found = intervals.contrast(table, (1, 0), lambda means: means[:, 0] / means[:, 1])
    return intervals.shown(found.estimate, found.low, found.high)


def _kinds(grouped):
    """The kinds of entity of each group, in words."""
    return grouped["entity"].agg(lambda entity: ", ".join(sorted(set(entity))))


def regime(results: list[dict]) -> dict | None:
    """What the main part leaves of the model, in the median over its trained runs; None without such runs, and without
    a base model to compare with. `still` is the share of the base model's right answers that are right still."""
    main = parts.trained(parts.cells(results), "main")
    if main["kept"].isna().all():
        return None
    asked = parts.trained(_beside_base(results), "main")
    still = asked[asked["base"] > 0.5].groupby("id")["score"].mean().median()
    of_runs = {"runs": len(main), "wrecked": int(main["wrecked"].sum()), "still": still}
    return main[["kept", *LEFT]].median().to_dict() | of_runs


def asked_besides(results: list[dict]) -> pd.DataFrame:
    """Of the main part, by format: the other questions about facts, as shares with intervals; "" where a format was not
    asked.

    `reverse` is the share of values from which the model finds the name, `in_context` that of questions answered with
    the fact in the prompt.
    """
    items = parts.items([result for result in results if result["part"] == "main"])
    of = items[items["eval"].isin(["reverse", "in_context"])].astype({"strict": float})
    found = intervals.accuracy(of, ["format", "eval"])
    found["shown"] = [intervals.shown(*row) for row in found[["mean", "low", "high"]].to_numpy()]
    wide = found.pivot(index="format", columns="eval", values="shown")
    return wide.reindex(columns=["reverse", "in_context"]).fillna("").rename_axis(columns=None).reset_index()


def practical(results: list[dict]) -> pd.DataFrame:
    """What a reader with facts of their own needs, by format and type, of the main part over all kinds of entity, and
    over the draws of facts that all formats have."""
    results = parts.comparable(results)
    table = formats(results, ["main"], ["format", "info"])
    if table.empty:
        return table
    table = table.merge(costs(results, ["main"], ["format"]), on="format")
    table = table.merge(exposures(results), on=["format", "info"], how="left")
    return pd.DataFrame({
        "format": table["format"].map(parts.SHORT), "facts": table["info"], "answered": table["held-out question"],
        "completed": table["held-out completion"],
        "half known after": table["held-out question, 50%"].fillna(""),
        "kept": table["kept"], "tokens a fact": table["tokens a fact"], "runs": table["runs"],
    })  # fmt: skip


def claims(found: list[dict]) -> pd.DataFrame:
    """One row a claim: the statement, how many contrasts support it, are open, contradict it or are not testable, and
    the contrast that stands for it. Of several in which that is repeated it is the testable one whose interval reaches
    lowest; where the study cannot decide it, the first of the claim."""
    rows = []
    for claim in CLAIMS.values():
        of_claim = [row for row in found if row["claim"] == claim.id]
        if of_claim:
            verdicts = [row["verdict"] for row in of_claim]
            counts = {name: verdicts.count(name) for name in ("replicates", "inconclusive", "opposite", "not testable")}
            named = [row for row in of_claim if row["contrast"].endswith(HEADLINE.get(claim.id, claim.id))]
            headline = min(named or of_claim[:1], key=lambda row: (row["verdict"] == "not testable", row["ci95"][0]))
            others = [row for row in of_claim if row is not headline]
            beside = [row for row in others if claim.id in BESIDE and row["contrast"].endswith(BESIDE[claim.id])]
            rows.append({
                **headline, "says": claim.says, "plain": claim.plain, **counts, "headline": headline["contrast"],
                "repeated": len(named), "untested": untested(named if claim.id == "C4" else of_claim),
                "of_numbers": [row["verdict"] for row in of_claim if "words - numbers" in row["contrast"]],
                "untested_worked": _all_untested(row for row in of_claim if "worked examples" in row["contrast"]),
                "beside": [(row["contrast"], estimate(row), row["verdict"]) for row in beside],
                "against": [(row["contrast"], estimate(row)) for row in of_claim if row["verdict"] == "opposite"],
                "estimate": estimate(headline), "verdict": overall(of_claim, headline),
            })  # fmt: skip
    return pd.DataFrame(rows)


def untested(rows: list[dict]) -> list[str]:
    """What stands before the colon in contrasts, such as a control or a kind of problem, where none of them could be
    tested."""
    names = dict.fromkeys(row["contrast"].partition(": ")[0] for row in rows if ": " in row["contrast"])
    return [name for name in names if _all_untested(row for row in rows if row["contrast"].startswith(f"{name}: "))]


def _all_untested(rows):
    """Whether there are such rows, and none could be tested."""
    return {row["verdict"] for row in rows} == {"not testable"}


def reached(found: intervals.Interval, longest: float) -> str:
    """Exposures with their interval, in whole numbers; "> 40" where a share was not reached."""
    shown = [
        f"> {longest:.0f}" if np.isinf(value) else f"{value:.0f}" for value in (found.estimate, found.low, found.high)
    ]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def overall(rows: list[dict], headline: dict) -> str:
    """The verdict of a claim: that of its headline contrast; `mixed` where some contrasts support it and others
    contradict it."""
    said = {row["verdict"] for row in rows}
    return "mixed" if {"replicates", "opposite"} <= said else headline["verdict"]


def estimate(row: dict) -> str:
    """Estimate and interval of a row of claims.json."""
    return "{:+.2f} [{:+.2f}, {:+.2f}]".format(row["estimate"], *row["ci95"])
