"""The rows of claims.json: every contrast that a study's results can decide, with its interval and verdict."""

from functools import reduce
from itertools import product

import numpy as np
import pandas as pd

from lib.report import intervals, parts, walk
from lib.report.claims import COST, FORMATS, MARGIN, NUMBERS, REPEATED, THINGS, Contrast, more_replay
from lib.report.intervals import RUN
from lib.report.parts import FACT, SHORT
from lib.report.verdicts import row, unlearned, untestable

# What each control varies, and how a value of it is called.
VARIED = {
    "amount": ("n_entities", lambda n: f"{n} entities"),
    "paraphrases": ("paraphrases", lambda n: f"{n} wordings" if n > 1 else "one wording"),
    "volume": ("budget", lambda _: "as many tokens"),
    "capacity": ("lora_rank", lambda rank: f"rank {rank}" if rank else "every weight"),
    "rate": ("learning_rate", lambda rate: f"rate {rate:g}"),
}
# How a trained model is asked questions that need two facts.
HOW = {"reasoning": "at once", "reasoning_cot": "after reciting"}


def decide(results: list[dict]) -> list[dict]:
    """The rows of claims.json that these results can decide, in the order of the claims."""
    scores, cells = parts.scores(results), parts.cells(results)
    main = scores[scores["part"] == "main"]
    rows = [row for contrast in (*FORMATS, *NUMBERS) for row in of_contrast(contrast, main, cells)]
    rows += reasoning(results, scores, cells)
    for label, sub in controls(scores):
        varied = set(sub.loc[sub["part"] != "main", "format"])
        for contrast in REPEATED:
            if any(of["format"] in varied for _, of in contrast.arms):  # else it is the main part's again
                rows += of_contrast(contrast, sub, cells, claim="C4", prefix=f"{label}: ")
    rows += kinds(main, cells) + events(results, main, cells) + walk.rows(results, scores, cells)
    amounts = sorted(set(scores.loc[scores["part"] == "replay", "replay"]) - {0})
    for contrast in (*COST, *more_replay(amounts)):
        rows += of_contrast(contrast, scores, cells)
    return rows


def of_contrast(
    contrast: Contrast, scores: pd.DataFrame, cells: pd.DataFrame, claim: str = "", prefix: str = ""
) -> list[dict]:
    """The row of a contrast, in a list; none where an arm has no facts."""
    measured = scores[scores["measure"] == contrast.measure]
    signs = [sign for sign, _ in contrast.arms]
    arms = shared([measured[(measured[list(of)] == list(of.values())).all(axis=1)] for _, of in contrast.arms])
    table = pd.concat([arm.groupby(FACT)["score"].mean() for arm in arms], axis=1, keys=range(len(arms)))
    if contrast.paired:
        table = table.dropna()
    if table.empty:
        return []
    why = "" if contrast.claim in ("R1", "R2") else untestable(contrast.measure, table.mean(), arms, cells)
    if contrast.claim == "C1":
        why = why or unlearned(arms, scores)
    ids = {id for arm in arms for id in arm["id"]}
    found, spread = intervals.contrast(table, signs), intervals.without_each_run(table, signs)
    return [row(claim or contrast.claim, prefix + contrast.label, found, ids, scores, why, spread)]


def shared(arms: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Of each arm the draws of facts that all arms have in one type of number: an arm of other draws would have other
    luck, and one in another type is rounded otherwise."""
    runs = [pd.MultiIndex.from_frame(arm[[*RUN, "dtype"]]) for arm in arms]
    return [arm[of.isin(reduce(pd.MultiIndex.intersection, runs))] for arm, of in zip(arms, runs, strict=True)]


def controls(scores: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The settings that a control varies: a label, and its cells with those of the main part for a missing format.

    The label names the format that is varied where the other is the main part's. Of the main part only the draws of
    facts that the control has count, in its type of number.
    """
    found = []
    main = scores[scores["part"] == "main"]
    for part, (column, called) in VARIED.items():
        # what is fair beside the main part: the replay of one arm alone would not be
        filled = ["article", "qa"] if part in ("volume", "capacity") else []
        for value, cells in scores[scores["part"] == part].groupby(column):
            lacks = main["format"].isin(filled) & ~main["format"].isin(cells["format"])
            missing = main[lacks].merge(cells[[*RUN, "dtype"]].drop_duplicates())
            only = f" ({SHORT[cells['format'].iloc[0]]} only)" if len(missing) else ""
            found.append((called(value) + only, pd.concat([cells, missing])))
    return found


def reasoning(results: list[dict], scores: pd.DataFrame, cells: pd.DataFrame) -> list[dict]:
    """Two-fact questions against the same with both facts in the prompt, for each kind that the base model can do, and
    each kind of entity.

    A kind whose ceiling is not above chance by its interval is not testable on this model. Compared are the problems
    whose two facts the trained model answers.
    """
    asked = parts.items(results)
    asked = asked[asked["part"].isin(["main", "formats"])].astype({"strict": float})
    told = asked[(asked["eval"] == "reasoning_in_context") & (asked["format"] == "none")]
    rows = []
    for (kind, entity), ceiling in told.groupby(["kind", "entity"]):
        found = intervals.accuracy(ceiling, ["kind"]).iloc[0]
        chance = chance_of(ceiling)
        shown = intervals.shown(*found[["mean", "low", "high"]])
        said = f"with both facts in its prompt the base model has {shown}, chance {chance:.2f}"
        for chosen in intervals.accuracy(ceiling, ["kind"], "choice").itertuples():  # not of a sum: it has no set
            said += f", and of the closed set it chooses {intervals.shown(chosen.mean, chosen.low, chosen.high)} right"
        weak = "" if found["low"] > chance else said
        for format, (evaluation, how) in product(("article", "qa", "chat", "worked"), HOW.items()):
            of = {"eval": evaluation, "format": format, "kind": kind, "entity": entity}
            trained = asked[(asked[list(of)] == list(of.values())).all(axis=1)]
            trained = trained[both_known(trained, asked)]
            strict = [arm.groupby([*FACT, "other"])["strict"].mean() for arm in (ceiling, trained)]
            table = pd.concat(strict, axis=1, keys=range(2)).dropna().reset_index("other", drop=True)
            if len(table):
                told_how = f"facts in the prompt, base model - {how}, both facts known, {SHORT[format]} format"
                name = f"{kind} of {THINGS[entity]}: {told_how}"
                why = weak or untestable("reasoning", table.mean(), [trained], cells)
                rows.append(row("C3", name, intervals.contrast(table, (1, -1)), set(trained["id"]), scores, why))
    return rows


def chance_of(asked: pd.DataFrame) -> float:
    """A blind choice, or the best single answer said to everything, whichever is right more often."""
    return max(asked["chance"].fillna(0).mean(), asked["expected"].value_counts(normalize=True).max())


def both_known(problems: pd.DataFrame, asked: pd.DataFrame) -> pd.Series:
    """Of each problem, whether the same model answers the first held-out question about each of both facts."""
    known = asked[asked["eval"] == "question"].drop_duplicates(["id", "fact"]).set_index(["id", "fact"])["strict"]
    first, second = (
        known.reindex(pd.MultiIndex.from_frame(problems[["id", fact]])).fillna(False).to_numpy(bool)
        for fact in ("fact", "other")
    )
    return pd.Series(first & second, index=problems.index)


def kinds(main: pd.DataFrame, cells: pd.DataFrame) -> list[dict]:
    """Does the format matter more than the kind of entity? The gap of formats less that of kinds, either way."""
    rows = []
    for measure, label in (
        ("question", "held-out question"), ("area of question", "mean along training"),
        ("completion", "held-out completion"),
    ):  # fmt: skip
        for other in ("fictional", "persona"):
            arms = [f"qa {other}", "qa real", f"article {other}", "article real"]  # kinds of one format in pairs
            of = main[(main["measure"] == measure) & main["format"].isin(["qa", "article"])]
            of = of[of["entity"].isin([other, "real"])]
            of = pd.concat(shared([arm for _, arm in of.groupby("format")])) if len(of) else of
            table = of.assign(arm=of["format"] + " " + of["entity"]).pivot_table("score", FACT, "arm")
            if set(arms) <= set(table.columns):
                found = intervals.contrast(table[arms], (1, 1, -1, -1), _lead)
                why = untestable(measure, table[arms].mean(), [of], cells)
                name = f"|QA - article| - |{other} - real|, {label}"
                rows.append(row("C5", name, found, set(of["id"]), main, why))
    return rows


def _lead(means):
    """Of the columns QA of one kind and of another, and articles of both: how far formats lie apart, less how far kinds
    do."""
    gap = (means[:, 0] + means[:, 1] - means[:, 2] - means[:, 3]) / 2
    kind = (means[:, 0] - means[:, 1] + means[:, 2] - means[:, 3]) / 2
    return np.abs(gap) - np.abs(kind)


def events(results: list[dict], main: pd.DataFrame, cells: pd.DataFrame) -> list[dict]:
    """Is a real event as easy as a style? Words of events, closed set, against telling tones apart, with a margin."""
    style = walk.style_scores(results)
    event = main[(main["entity"] == "real") & (main["info"] == "words") & (main["format"] == "qa")]
    event = event[event["measure"] == "choice"]
    if style.empty or event.empty:
        return []
    found = walk.of_stations([event.groupby(FACT)["score"].mean() + MARGIN, style], walk.drop)
    why = untestable("choice", [event["score"].mean(), style.mean()], [event], cells)
    label = f"real event in QA - style + margin {MARGIN}, closed set corrected for chance"
    return [row("C5", label, found, set(event["id"]), main, why)]
