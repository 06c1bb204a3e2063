"""The tables of a study: what formats teach and cost, which to take, what is left of the model, and the claims."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.evaluate import match
from lib.report import intervals
from lib.report.claims import CLAIMS
from lib.report.scores import FACT, KEPT, NAMES, SHORT, Frames, comparable, kept, trained

REACHED = (0.5, 0.8)
MEASURES = NAMES["measures"]
TAUGHT = ("main", "replay", "unsure")  # the parts whose formats are compared
SETTING = ["format", "replay", "replay_times", "unsure"]
USEFUL = 0.5  # below this share of held-out questions no format is recommended for use (our choice)


def formats(frames: Frames, parts: Sequence[str] = TAUGHT, by: list[str] = SETTING) -> pd.DataFrame:
    """A row for each group of runs and type of information, the base model too: shares of facts, as text with 95 %
    intervals, and the columns of `exposures` and `costs`. Empty where nothing was trained."""
    scores = frames.scores[frames.scores["part"].isin(parts) & frames.scores["measure"].isin(MEASURES)]
    if trained(scores, *parts).empty:
        return pd.DataFrame()
    found = intervals.accuracy(scores, [*by, "info", "measure"], "score")
    table = found.pivot(index=[*by, "info"], columns="measure", values="shown").reindex(columns=list(MEASURES))
    table = table.rename(columns=MEASURES).rename_axis(columns=None).join(exposures(frames, parts, [*by, "info"]))
    return table.fillna("").reset_index().merge(costs(frames, parts, by), on=by)


def exposures(frames: Frames, parts: Sequence[str], by: list[str]) -> pd.DataFrame:
    """By these groups: exposures of a fact until half and four fifths are known, in whole numbers with their interval;
    "> 40" where a share was not reached."""

    def reached(group, measure, share):
        found, longest = intervals.exposures_to(group, measure, share), group["exposures"].max()
        return "{} [{}, {}]".format(*(f"> {longest:.0f}" if np.isinf(value) else f"{value:.0f}"
                                      for value in (found.estimate, found.low, found.high)))  # fmt: skip

    along = frames.curves[frames.curves["part"].isin(parts)]
    rows = {key: {f"{MEASURES[measure]}, {share:.0%}": reached(group, measure, share)
                  for measure in ("recall", "question") for share in REACHED}
            for key, group in along.groupby(by)}  # fmt: skip
    return pd.DataFrame(list(rows.values()), index=pd.MultiIndex.from_tuples(list(rows), names=by))


def costs(frames: Frames, parts: Sequence[str], by: list[str]) -> pd.DataFrame:
    """By these groups: what is left of other knowledge, what a fact costs, and of which kinds of entity the runs are.

    What is left is the median over runs, but for `kept`: that is of all runs together, with its 95 % interval, "" where
    there is no base model. Tokens are all that a training reads, replay and rows of "I do not know" too; `trained` ones
    have a loss.
    """
    grouped = frames.cells[frames.cells["part"].isin(parts)].groupby(by)
    left = [kept(frames.general, rows["id"]) for _, rows in grouped]
    sums = grouped[["facts", "tokens", "trained_tokens"]].sum()
    return grouped[["general", "perplexity", "ppl_ratio"]].median().assign(**{
        "kept": [share.shown if share else "" for share in left],
        "wrecked": [share is not None and share.high < KEPT for share in left],
        "tokens a fact": (sums["tokens"] / sums["facts"]).round().astype(int),
        "trained tokens a fact": (sums["trained_tokens"] / sums["facts"]).round().astype(int),
        "runs": grouped.size(),
        "of": grouped["entity"].agg(lambda entity: ", ".join(sorted(set(entity)))),
    }).reset_index()  # fmt: skip


def answers(items: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Tables of the answers themselves, from `scores.items`: `wordings` (right by wording of each attribute's held-out
    questions), `mistakes` (what wrong answers state instead), `untaught` (what is said of what was never taught) and
    `cut` (the share of answers that had no end in their room)."""
    main = items[items["part"].isin(["main", "unsure"])].assign(attribute=items["fact"].map(intervals.attribute))
    held_out, free = main[main["eval"] == "question"], main[main["eval"] != "recall"]
    wrong = main[main["eval"].isin(["question", "completion"]) & ~main["strict"].fillna(True)]
    never = main[main["eval"] == "untaught"]

    def shares(rows, by, column):
        table = pd.crosstab([rows[name] for name in by], rows[column], normalize="index")
        return table.assign(n=rows.groupby(by).size()).reset_index()

    # of a completion the first sentence is judged, and that the text goes on costs nothing
    lost = wrong["cut"] & (wrong["eval"] == "question") & ~wrong["outcome"].isin(match.TAUGHT)
    stated = wrong.assign(what=wrong["outcome"].mask(lost, "cut"))
    right = held_out.astype({"strict": float})
    made = {
        "wordings": right.pivot_table("strict", ["entity", "attribute", "wording"], "format").reset_index(),
        "mistakes": shares(stated, ["entity", "format", "unsure", "eval", "info"], "what"),
        "untaught": shares(never, ["entity", "format", "unsure", "kind", "info"], "outcome"),
        "cut": free.pivot_table("cut", "format", "eval").rename(columns=MEASURES).reset_index(),
    }
    return {name: table.rename_axis(columns=None) for name, table in made.items()}


def tones(frames: Frames) -> pd.DataFrame:
    """One row a format in which a tone was taught: whether a classifier tells its models apart, corrected for chance,
    and whether they name their tone. Empty without such models."""
    asked = trained(frames.scores, "tone").query("measure in ['style', 'naming']")
    if asked.empty:
        return pd.DataFrame()
    shown = intervals.accuracy(asked.assign(score=asked["score"].clip(lower=0)), ["format", "measure"], "score")
    return shown.pivot(index="format", columns="measure", values="shown").reset_index().rename_axis(columns=None)


def claims(rows: list[dict]) -> pd.DataFrame:
    """One row a claim: statement, the primary contrast `here`, its verdict, which is exploratory where there are few
    runs, or says why it cannot be tested, and what would `change` our mind."""
    columns = ["claim", "says", "here", "runs", "detects", "verdict", "change"]
    made = [{**CLAIMS[row["claim"]], **row, "here": f"{row['name']}: {row['shown']}",
             "verdict": f"{row['verdict']}: {row['because']}" if row["because"]
             else row["verdict"] + ", exploratory" * row["exploratory"],
             "detects": CLAIMS[row["claim"]]["primary"]["detects"]} for row in rows if row["primary"]]  # fmt: skip
    return pd.DataFrame(made, columns=columns)


def scored(items: pd.DataFrame) -> pd.DataFrame:
    """Of `scores.items` the held-out questions, `strict` as a number, but those in which the value stands already, as
    of "Paris Metro" the city: an echo would count."""
    asked = items[items["eval"] == "question"].astype({"strict": float})
    echoed = [match.states(row.question, row.expected) for row in asked.itertuples()]
    return asked[~np.array(echoed, dtype=bool)]


def ranked(frames: Frames, use: str) -> pd.DataFrame:
    """The trained formats of the main part for a use of NAMES["uses"], the one to take first, those that are wrecked
    last: `mean` and `shown` of what is right, the columns of `costs`, and whether a format is `level` with the best.

    The rule (ours): the best has the highest mean of the formats that are not wrecked; level with it is one whose
    difference to it has an interval that includes zero; of these, the one with the fewest tokens a fact is taken. None
    that does less than USEFUL is level. Of general questions there is no such line, and level is one whose interval
    reaches the best's: all runs are asked alike, and a paired difference would take the luck of a training for more.
    """
    frames = comparable(frames)
    items = scored(frames.items) if use == "question" else frames.items[frames.items["eval"] == use]
    asked = trained(items, "main").astype({"strict": float})
    found = intervals.accuracy(asked, ["format"])[["format", "mean", "low", "high", "shown"]]
    table = costs(frames, ["main"], ["format"]).merge(found, on="format").set_index("format")
    table = table.sort_values(["wrecked", "mean"], ascending=[True, False], kind="stable")
    per_fact = asked.groupby([*FACT, "format"])["strict"].mean().unstack("format")
    level = [
        not row.wrecked and (
            row.high >= table["low"].iloc[0] if use == "general" else row.mean >= USEFUL
            and intervals.contrast(per_fact[[table.index[0], row.Index]].dropna(), (1, -1)).low <= 0
        )
        for row in table.itertuples()
    ]  # fmt: skip
    table = table.assign(level=level).astype({"level": bool, "wrecked": bool})
    taken = table[table["level"]].sort_values("tokens a fact", kind="stable")[:1]
    return pd.concat([taken, table.drop(taken.index)])


def recommend(frames: Frames) -> tuple[str | None, str]:
    """The format to take for held-out questions by `ranked`, None where there is none, and why, in at most three
    sentences."""
    table = ranked(frames, "question")
    if not table["kept"].any():
        return None, "No format can be recommended: there is no base model to compare with, or nothing was trained."
    whole, level = table[~table["wrecked"]], table.index[table["level"]]
    if whole.empty:
        return None, ("No format can be recommended: the models of every format are wrecked. "
                      "Tell the facts less often, or take more replay.")  # fmt: skip
    first = whole.iloc[0]
    lost = [f"{SHORT[row.Index]} answers {row.shown} but keeps {row.kept} of the general questions"
            for row in table[table["wrecked"] & (table["mean"] >= USEFUL)].itertuples()]  # fmt: skip
    end = f"; wrecked: {' and '.join(lost)}, so tell facts less often or take more replay." if lost else "."
    name, answers = SHORT[first.name], f"answers {first['shown']} of the held-out questions"
    if level.empty:
        return None, (f"No format taught enough: of those that are not wrecked, {name} {answers}{end} "
                      "Tell each fact more often, or take a larger model.")  # fmt: skip
    told = [f"Train on the format {name}: it {answers}."]
    if len(level) > 1:
        others = ", ".join(map(SHORT.get, level.drop(first.name)))
        told.append(f"It cannot be told apart from {others}; of these, it takes the fewest tokens.")
    return first.name, " ".join([*told, f"It keeps {first['kept']} of the general questions{end}"])


def by_use(frames: Frames) -> pd.DataFrame:
    """A row for each use: the format to take by `ranked`, its share with its interval, the general questions it keeps
    and its tokens a fact, and the same of the second best. "none" where the best does too little, "any" where none can
    be told from the best; empty where every format is wrecked, or there is no base model.
    """
    rows, places = [], ("", "second: ")
    for measure, use in NAMES["uses"].items():
        table = ranked(frames, measure)
        whole = table[~table["wrecked"] & (table["kept"] != "")].rename(SHORT).reset_index()
        whole = whole[["format", "shown", "kept", "tokens a fact"]]
        two = zip(places, whole.to_dict("records"), strict=False)
        if row := {f"{place}{name}": value for place, found in two for name, value in found.items()}:
            if not table["level"].any():
                row["format"] = f"none (best: {row['format']})"
            elif len(whole) > 1 and table.loc[~table["wrecked"], "level"].all():
                row["format"] = f"any (fewest tokens: {row['format']})"
            rows.append({"use": use, **row})
    return pd.DataFrame(rows)
