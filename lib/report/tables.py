"""The tables of a study: what formats teach and cost, which to take, what is left of the model, and the claims."""

from itertools import groupby
from operator import itemgetter

import numpy as np
import pandas as pd

from lib.evaluate import match
from lib.report import intervals
from lib.report.claims import CLAIMS
from lib.report.scores import FACT, NAMES, SHORT, Frames, comparable, stays, trained

REACHED = (0.5, 0.8)
MEASURES = NAMES["measures"]
TAUGHT = ("main", "replay", "formats")  # the parts whose formats are compared
VERDICTS = ("replicates", "inconclusive", "opposite", "not testable")
USEFUL = 0.5  # below this share of held-out questions no format is recommended for use (our choice)


def formats(frames: Frames, parts=TAUGHT, by=("format", "replay")) -> pd.DataFrame:
    """A row for each group of runs and type of information, the base model too: shares of facts, as text with 95 %
    intervals, and the columns of `exposures` and `costs`. Empty where nothing was trained."""
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
        return "{} [{}, {}]".format(*(f"> {longest:.0f}" if np.isinf(value) else f"{value:.0f}"
                                      for value in (found.estimate, found.low, found.high)))  # fmt: skip

    along = frames.curves[frames.curves["part"].isin(parts)]
    rows = {key: {f"{MEASURES[measure]}, {share:.0%}": reached(group, measure, share)
                  for measure in ("recall", "question") for share in REACHED}
            for key, group in along.groupby(list(by))}  # fmt: skip
    return pd.DataFrame(list(rows.values()), index=pd.MultiIndex.from_tuples(list(rows), names=list(by)))


def costs(frames: Frames, parts=TAUGHT, by=("format", "replay")) -> pd.DataFrame:
    """By these groups: what is left of other knowledge, what a fact costs, and of which kinds of entity the runs are.

    What is left is the median over runs, but for `kept`: that is of all runs together, with its 95 % interval, "" where
    there is no base model.
    """

    def kept(rows):
        if not rows["base"].any():
            return ""
        both = rows.set_index(FACT)[["score", "base"]]
        return intervals.contrast(both, (1, 0), lambda means: means[:, 0] / means[:, 1]).shown

    by, asked = list(by), _beside_base(frames)
    of_all = {key: kept(rows) for key, rows in asked[asked["part"].isin(parts)].groupby(by)}
    grouped = frames.cells[frames.cells["part"].isin(parts)].groupby(by)
    sums = grouped[["facts", "tokens", "replay_tokens"]].sum()
    return grouped[["general", "kept_unlike", "perplexity", "ppl_ratio"]].median().assign(**{
        "kept_median": grouped["kept"].median(),
        "kept": [of_all.get(key, "") for key, _ in grouped],
        "tokens a fact": ((sums["tokens"] - sums["replay_tokens"]) / sums["facts"]).round().astype(int),
        "runs": grouped.size(),
        "of": grouped["entity"].agg(lambda entity: ", ".join(sorted(set(entity)))),
    }).reset_index()  # fmt: skip


def regime(frames: Frames) -> pd.DataFrame:
    """One row: what the main part leaves of the model, in the median over its trained runs, and how many are wrecked;
    `still` is of the base model's right answers. Empty without such runs, and without a base model."""
    main, asked = trained(frames.cells, "main"), trained(_beside_base(frames), "main")
    if main["kept"].isna().all():
        return pd.DataFrame()
    return main[["kept", "kept_unlike", "ppl_ratio"]].median().to_frame().T.assign(
        still=asked[asked["base"] > 0.5].groupby("id")["score"].mean().median(),
        base=frames.cells[frames.cells["format"] == "none"]["general"].median(),
        wrecked=main["wrecked"].sum(), runs=len(main),
    )  # fmt: skip


def _beside_base(frames):
    """Every answer to a general question, as a score, and under `base` that of the base model in the same type of
    number; without those where there is none."""
    asked, like = frames.scores[frames.scores["measure"] == "general"], ["model", "dtype", "fact"]
    base = asked[asked["format"] == "none"].groupby(like)["score"].mean()
    return asked.join(base.rename("base"), on=like).dropna(subset=["base"])


def claims(rows: list[dict]) -> pd.DataFrame:
    """One row a claim: statement, question, what stands for it `here`, verdict, and how many contrasts have each.

    Of several settings the headline is the testable one whose interval reaches lowest. Of a claim that is `mixed` the
    strongest contrast against it is said as well.
    """
    table = []
    for claim, of_claim in groupby(rows, itemgetter("claim")):
        group, statement = list(of_claim), CLAIMS[claim]
        named = [row for row in group if row["headline"]] or group[:1]
        headline = min(named, key=lambda row: (row["verdict"] == "not testable", row["low"]))
        verdicts = [row["verdict"] for row in group]
        mixed = {"replicates", "opposite"} <= set(verdicts)
        against = sorted((row for row in group if row["verdict"] == "opposite"), key=itemgetter("high"))[:mixed]
        beside = [row for row in group if row["beside"] and row["verdict"] not in (headline["verdict"], "not testable")]
        said = [headline, *against, *(row for row in beside if row not in against)]
        table.append({
            "claim": claim, "plain": statement["plain"], "says": statement["says"],
            "here": statement.get("withdrawn") or "; ".join(f"{row['name']}: {row['shown']}" for row in said),
            "verdict": "withdrawn" if "withdrawn" in statement else "mixed" if mixed else headline["verdict"],
            **{verdict: verdicts.count(verdict) for verdict in VERDICTS},
        })  # fmt: skip
    return pd.DataFrame(table)


def scored(items: pd.DataFrame) -> pd.DataFrame:
    """Of `scores.items` the held-out questions, `strict` as a number, but those in which the value stands already, as
    of "Paris Metro" the city: an echo would count."""
    asked = items[items["eval"] == "question"].astype({"strict": float})
    echoed = [match.states(row.question, row.expected) for row in asked.itertuples()]
    return asked[~np.array(echoed, dtype=bool)]


def recommend(frames: Frames) -> tuple[str | None, str]:
    """The format to take, None where there is none, and why, in sentences that follow from intervals.

    The rule (ours), of the main part: of the formats whose models are not wrecked in the median the one with most
    held-out questions; of those whose difference to it has an interval that includes zero, the one with the fewest
    tokens a fact. None where the best answers less than USEFUL.
    """
    frames = comparable(frames)
    asked = trained(scored(frames.items), "main")
    table = costs(frames, ["main"], ["format"]).query("format != 'none'").set_index("format")
    if asked.empty or not table["kept"].any():
        return None, "No format can be recommended: there is no base model to compare with, or nothing was trained."
    table = table.join(intervals.accuracy(asked, ["format"]).set_index("format")[["mean", "shown"]])
    table["answers"] = "answers " + table["shown"] + " of the held-out questions"
    left = stays(table.assign(kept=table["kept_median"]))
    wrecked = [
        f"{SHORT[row.Index]} {row.answers}, but its models are wrecked: they keep {row.kept_median:.2f} of the general "
        f"questions at {row.ppl_ratio:.1f} times the perplexity. Tell the facts less often, or take more replay."
        for row in table[~left & (table["mean"] >= USEFUL)].itertuples()
    ]
    whole = table[left]
    if whole.empty:
        return None, " ".join(["No format can be recommended: the models of every format are wrecked.", *wrecked])
    best = whole["mean"].idxmax()
    if whole["mean"][best] < USEFUL:
        weak = f"No format taught enough: of those that are not wrecked, {SHORT[best]} {whole['answers'][best]}."
        return None, " ".join([weak, "Tell each fact more often, or take a larger model.", *wrecked])
    per_fact = asked.groupby([*FACT, "format"])["strict"].mean().unstack("format")
    level = [format for format in whole.index.drop(best) if whole["mean"][format] >= USEFUL
             and intervals.contrast(per_fact[[best, format]].dropna(), (1, -1)).low <= 0]  # fmt: skip
    chosen = whole.loc[[best, *level], "tokens a fact"].idxmin()
    told = [f"Train on the format {SHORT[chosen]}: it {whole['answers'][chosen]}."]
    if level:
        told.append(f"{' and '.join(map(SHORT.get, level))} cannot be told apart from {SHORT[best]} here, which "
                    f"answers most; of them, {SHORT[chosen]} takes the fewest tokens.")  # fmt: skip
    return chosen, " ".join([*told, f"The models keep {whole['kept'][chosen]} of the general questions.", *wrecked])
