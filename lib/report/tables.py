"""The tables of a study: what formats teach and cost, which to take, what is left of the model, and the claims."""

import numpy as np
import pandas as pd

from lib.evaluate import match
from lib.report import intervals
from lib.report.claims import CLAIMS
from lib.report.scores import FACT, KEPT, NAMES, SHORT, Frames, comparable, kept, trained

REACHED = (0.5, 0.8)
MEASURES = NAMES["measures"]
TAUGHT = ("main", "replay", "unsure")  # the parts whose formats are compared
USEFUL = 0.5  # below this share of held-out questions no format is recommended for use (our choice)


def formats(frames: Frames, parts=TAUGHT, by=("format", "replay", "replay_times", "unsure")) -> pd.DataFrame:
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


def exposures(frames: Frames, parts, by) -> pd.DataFrame:
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


def costs(frames: Frames, parts, by) -> pd.DataFrame:
    """By these groups: what is left of other knowledge, what a fact costs, and of which kinds of entity the runs are.

    What is left is the median over runs, but for `kept`: that is of all runs together, with its 95 % interval, "" where
    there is no base model. `trained tokens` count those of rows that are seen once, too.
    """
    by = list(by)
    grouped = frames.cells[frames.cells["part"].isin(parts)].groupby(by)
    left = [kept(frames.general, rows["id"]) for _, rows in grouped]
    sums = grouped[["facts", "tokens", "trained_tokens", "once_tokens"]].sum()
    return grouped[["general", "perplexity", "ppl_ratio"]].median().assign(**{
        "kept": [share.shown if share else "" for share in left],
        "wrecked": [share is not None and share.high < KEPT for share in left],
        "tokens a fact": ((sums["tokens"] - sums["once_tokens"]) / sums["facts"]).round().astype(int),
        "trained tokens a fact": (sums["trained_tokens"] / sums["facts"]).round().astype(int),
        "runs": grouped.size(),
        "of": grouped["entity"].agg(lambda entity: ", ".join(sorted(set(entity)))),
    }).reset_index()  # fmt: skip


def regime(frames: Frames) -> pd.DataFrame:
    """One row: what the main part leaves of the model, in the median over its trained runs, and how many are wrecked;
    `still` is of the base model's right answers. Empty without such runs, and without a base model."""
    main = trained(frames.cells, "main")
    if (compared := main.dropna(subset=["kept"])).empty:
        return pd.DataFrame()
    said, base = (frames.general[name][compared["id"]] for name in ("score", "base"))
    return main[["kept", "ppl_ratio"]].median().to_frame().T.assign(
        still=said[base > 0.5].mean().median(),
        base=frames.cells[frames.cells["format"] == "none"]["general"].median(),
        wrecked=main["wrecked"].sum(), runs=len(main),
    )  # fmt: skip


def answers(items: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Tables of the answers themselves, from `scores.items`: `wordings` (right by wording of each attribute's held-out
    questions), `mistakes` (what wrong answers state instead), `untaught` (what is said of what was never taught) and
    `cut` (the share of answers that had no end in their room)."""
    main = items[items["part"].isin(["main", "unsure"])].assign(attribute=items["fact"].map(intervals.attribute))
    held_out, free = main[main["eval"] == "question"], main[main["eval"] != "recall"]
    wrong = main[main["eval"].isin(["question", "completion"]) & ~main["strict"].fillna(True)]
    never = main[main["eval"] == "untaught"]

    def shares(rows, by, column):
        counts = pd.crosstab([rows[name] for name in by], rows[column])
        return (
            counts.div(counts.sum(axis=1), axis=0).assign(n=counts.sum(axis=1)).reset_index().rename_axis(columns=None)
        )

    made = {}
    if len(held_out):
        made["wordings"] = held_out.astype({"strict": float}).pivot_table(
            index=["entity", "attribute", "wording"], columns="format", values="strict").reset_index()  # fmt: skip
    if len(wrong):
        stated = wrong["outcome"].isin(match.TAUGHT)
        made["mistakes"] = shares(wrong.assign(what=wrong["outcome"].where(~wrong["cut"] | stated, "cut")),
                                  ["entity", "format", "unsure", "eval", "info"], "what")  # fmt: skip
    if len(never):
        made["untaught"] = shares(never, ["entity", "format", "unsure", "kind", "info"], "outcome")
    made["cut"] = free.pivot_table(index="format", columns="eval", values="cut").reset_index()
    return {name: table.rename_axis(columns=None) for name, table in made.items()}


def tones(frames: Frames) -> pd.DataFrame:
    """One row a format in which a tone was taught: whether a classifier tells its models apart, corrected for chance,
    and whether they name their tone. Empty without such models."""
    asked = frames.scores[(frames.scores["part"] == "tone") | (frames.scores["measure"] == "style")]
    asked = asked[asked["measure"].isin(["style", "naming"]) & (asked["format"] != "none")]
    if asked.empty:
        return pd.DataFrame()
    shown = intervals.accuracy(asked.assign(score=asked["score"].clip(lower=0)), ["format", "measure"], "score")
    return shown.pivot(index="format", columns="measure", values="shown").reset_index().rename_axis(columns=None)


def claims(rows: list[dict]) -> pd.DataFrame:
    """One row a claim: statement, question, the primary contrast `here`, its verdict, and why it cannot be tested."""
    columns = ["claim", "plain", "says", "here", "runs", "detects", "verdict", "because"]
    made = [{**CLAIMS[row["claim"]], **row, "here": f"{row['name']}: {row['shown']}",
             "detects": CLAIMS[row["claim"]]["primary"]["detects"]} for row in rows if row["primary"]]  # fmt: skip
    return pd.DataFrame(made, columns=columns)


def scored(items: pd.DataFrame) -> pd.DataFrame:
    """Of `scores.items` the held-out questions, `strict` as a number, but those in which the value stands already, as
    of "Paris Metro" the city: an echo would count."""
    asked = items[items["eval"] == "question"].astype({"strict": float})
    echoed = [match.states(row.question, row.expected) for row in asked.itertuples()]
    return asked[~np.array(echoed, dtype=bool)]


def recommend(frames: Frames) -> tuple[str | None, str]:
    """The format to take, None where there is none, and why, in sentences that follow from intervals.

    The rule (ours), of the main part: of the formats whose models are not wrecked the one with most held-out questions;
    of those whose difference to it has an interval that includes zero, the one with the fewest tokens a fact. None
    where the best answers less than USEFUL.
    """
    frames = comparable(frames)
    asked = trained(scored(frames.items), "main")
    table = costs(frames, ["main"], ["format"]).query("format != 'none'").set_index("format")
    if asked.empty or not table["kept"].any():
        return None, "No format can be recommended: there is no base model to compare with, or nothing was trained."
    table = table.join(intervals.accuracy(asked, ["format"]).set_index("format")[["mean", "shown"]])
    table["answers"] = "answers " + table["shown"] + " of the held-out questions"
    gone, whole = table[table["wrecked"] & (table["mean"] >= USEFUL)], table[~table["wrecked"]]
    wrecked = [f"{SHORT[row.Index]} {row.answers}, but its models are wrecked: they keep {row.kept} of the general "
               "questions. Tell the facts less often, or take more replay." for row in gone.itertuples()]  # fmt: skip
    if whole.empty:
        return None, " ".join(["No format can be recommended: the models of every format are wrecked.", *wrecked])
    chosen, best, level = _choose(asked, whole, USEFUL)
    if not chosen:
        weak = f"No format taught enough: of those that are not wrecked, {SHORT[best]} {whole['answers'][best]}."
        return None, " ".join([weak, "Tell each fact more often, or take a larger model.", *wrecked])
    told = [f"Train on the format {SHORT[chosen]}: it {whole['answers'][chosen]}."]
    if level:
        told.append(f"{' and '.join(map(SHORT.get, level))} cannot be told apart from {SHORT[best]} here, which "
                    f"answers most; of them, {SHORT[chosen]} takes the fewest tokens.")  # fmt: skip
    return chosen, " ".join([*told, f"The models keep {whole['kept'][chosen]} of the general questions.", *wrecked])


def by_use(frames: Frames) -> pd.DataFrame:
    """A row for each use: the format to take by the rule of `recommend`, its share with its interval and its tokens a
    fact, and the same of the second best. "none" where the best does less than USEFUL; of general questions, there is
    no such line. Empty where the models of every format are wrecked."""
    frames, rows = comparable(frames), []
    table = costs(frames, ["main"], ["format"]).query("format != 'none' and not wrecked").set_index("format")
    for measure, use in NAMES["uses"].items():
        items = scored(frames.items) if measure == "question" else frames.items[frames.items["eval"] == measure]
        asked = trained(items[items["format"].isin(table.index)], "main").astype({"strict": float})
        if asked.empty:
            continue
        whole = table.join(intervals.accuracy(asked, ["format"]).set_index("format")[["mean", "shown"]], how="inner")
        chosen, best, _ = _choose(asked, whole, 0 if measure == "general" else USEFUL)
        second = whole["mean"].drop(chosen or best).sort_values(ascending=False).index[:1]
        ranked = whole.loc[[chosen or best, *second]].assign(format=lambda df: df.index.map(SHORT))
        first, *others = ranked[["format", "shown", "tokens a fact"]].to_dict("records")
        rows.append({"use": use, **first, **({} if chosen else {"format": f"none (best: {first['format']})"}),
                     **{f"second: {key}": value for other in others for key, value in other.items()}})  # fmt: skip
    return pd.DataFrame(rows)


def _choose(asked, whole, least) -> tuple[str | None, str, list[str]]:
    """The format with the fewest tokens a fact of those that cannot be told from the best, None if that has less than
    `least`; the best; and the others. `whole` has the mean and the tokens of each format that may be taken."""
    best = whole["mean"].idxmax()
    if whole["mean"][best] < least:
        return None, best, []
    per_fact = asked.groupby([*FACT, "format"])["strict"].mean().unstack("format")
    level = [format for format in whole.index.drop(best) if whole["mean"][format] >= least
             and intervals.contrast(per_fact[[best, format]].dropna(), (1, -1)).low <= 0]  # fmt: skip
    return whole.loc[[best, *level], "tokens a fact"].idxmin(), best, level
