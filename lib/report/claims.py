"""The claims as contrasts of mean scores (claims.yaml), each decided by its interval, or not testable, and why."""

from collections.abc import Callable
from functools import reduce

import numpy as np
import pandas as pd
import yaml

from lib.paths import LIB
from lib.report import intervals
from lib.report.intervals import RUN
from lib.report.scores import FACT, SHORT, Frames, stays

CLAIMS = yaml.safe_load((LIB / "report" / "claims.yaml").read_text(encoding="utf-8"))
CEILING, FLOOR = 0.9, 0.1  # where both sides of a difference are beyond, it cannot show
LEARNED = 0.5  # a format that recalls less of what it was told says nothing about how it generalizes
# What each control varies, and how a value of it is called.
VARIED = {
    "amount": ("n_entities", lambda n: f"{n} entities"),
    "paraphrases": ("paraphrases", lambda n: f"{n} wordings" if n > 1 else "one wording"),
    "volume": ("budget", lambda _: "as many tokens"),
    "capacity": ("lora_rank", lambda rank: f"rank {rank}" if rank else "every weight"),
    "rate": ("learning_rate", lambda rate: f"rate {rate:g}"),
}
THINGS = {"fictional": "towns", "real": "matches", "persona": "the persona"}  # what a kind of entity is about


def decide(frames: Frames) -> list[dict]:
    """A row of claims.json for every contrast that these results have facts for, in the order of the claims."""
    asked = {over: settings(over, frames.scores) for over in ("main", "all", "problems", "controls", "replay")}
    rows = []
    for claim, statement in CLAIMS.items():
        specs = [{"over": "main", "needs": [], **statement, **contrast, "claim": claim}
                 for contrast in statement["contrasts"] or _repeated()]  # fmt: skip
        of_claim = [(i, row(spec, setting, table, frames))
                    for spec in specs for i, (setting, table) in enumerate(asked[spec["over"]])]  # fmt: skip
        rows += [made for _, made in sorted(of_claim, key=lambda numbered: numbered[0]) if made]  # setting by setting
    return rows


def settings(over: str, scores: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The settings in which a contrast is asked: what each is called, "" for the study itself, and its scores."""
    main = scores[scores["part"] == "main"]
    if over == "controls":
        return controls(scores)
    if over == "problems":
        return problems(scores)
    if over == "replay":
        replay = scores[scores["part"] == "replay"]
        amounts = sorted(set(replay["replay"]) - {0})
        return [(f"{n} rows of replay", pd.concat([main, replay[replay["replay"] == n]])) for n in amounts]
    return [("", scores if over == "all" else main)]


def controls(scores: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The settings that a control varies, with the scores of the main part for a format that is not varied.

    The name says which format is varied where the other is the main part's. Of the main part only the draws of facts
    that the control has count, in its type of number.
    """
    found, main = [], scores[scores["part"] == "main"]
    for part, (column, called) in VARIED.items():
        # what is fair beside the main part: the replay of one arm alone would not be
        filled = ["article", "qa"] if part in ("volume", "capacity") else []
        for value, varied in scores[scores["part"] == part].groupby(column):
            lacks = main["format"].isin(filled) & ~main["format"].isin(varied["format"])
            beside = main[lacks].merge(varied[[*RUN, "dtype"]].drop_duplicates())
            only = f" ({SHORT[varied['format'].iloc[0]]} only)" if len(beside) else ""
            found.append((called(value) + only, pd.concat([varied, beside])))
    return found


def problems(scores: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Two-fact problems by kind and kind of entity: the base model's with both facts in its prompt, and of trained
    models those whose two facts they know."""
    asked = scores[scores["part"].isin(["main", "formats"]) & (scores["kind"] != "")]
    asked = asked[asked["known"] | (asked["measure"] == "reasoning_in_context") & (asked["format"] == "none")]
    return [(f"{kind} of {THINGS[entity]}", group) for (kind, entity), group in asked.groupby(["kind", "entity"])
            if (group["format"] == "none").any()]  # fmt: skip


def row(spec: dict, setting: str, table: pd.DataFrame, frames: Frames) -> dict | None:
    """One contrast of these scores; None where an arm has no facts, or a control has only what is the main part's."""
    table = table.query(spec["where"]) if "where" in spec else table
    arms = [table.query(query) for query in (*spec["plus"], *spec["minus"])]
    signs = [1] * len(spec["plus"]) + [-1] * len(spec["minus"])
    arms = arms if spec.get("apart") else on_common_draws(arms)
    if kinds := spec.get("kinds"):  # each arm falls apart into two kinds of entity
        signs, arms = np.repeat(signs, 2), [arm[arm["entity"] == kind] for arm in arms for kind in kinds]
    of_main = all((arm["part"] == "main").all() for arm in arms)
    if not all(map(len, arms)) or (spec["over"] == "controls" and of_main):
        return None
    facts = _by_fact(arms).dropna() if spec.get("paired", True) else _by_fact(arms)
    if facts.empty:
        return None
    apart = bool(spec.get("apart"))
    statistic = _lead if kinds else _without_largest_step if spec.get("walk") else None
    margins = np.array([spec.get("margin", 0)] + [0] * (len(arms) - 1))
    found = intervals.contrast(facts + margins, signs, statistic, apart)
    spread = None if statistic or apart else intervals.without_each_run(facts, signs)
    why = why_not(spec, facts, arms, table, frames)
    ids = {id for arm in arms for id in arm.loc[arm["format"] != "none", "id"]}
    recall = frames.scores[frames.scores["id"].isin(ids) & (frames.scores["measure"] == "recall")]
    recall = recall.groupby("format")["score"].mean()
    return {
        "claim": spec["claim"], "setting": setting, "contrast": spec["label"],
        "headline": bool(spec.get("headline")), "beside": bool(spec.get("beside")),
        "estimate": round(found.estimate, 4), "ci95": [round(found.low, 4), round(found.high, 4)],
        "without_each_run": None if spread is None else [round(value, 4) for value in spread],
        "experiments": len(ids), "runs": found.runs, "facts": found.facts,
        "recall": None if recall.empty else round(float(recall.min()), 3),
        "verdict": "not testable" if why else intervals.verdict(found), "why": why,
    }  # fmt: skip


def why_not(spec: dict, facts: pd.DataFrame, arms: list[pd.DataFrame], table: pd.DataFrame, frames: Frames) -> str:
    """Why these arms cannot decide the contrast, by what it needs; "" where they can. `table` has the scores of its
    setting."""
    checks: dict[str, Callable[[], str]] = {
        "whole": lambda: next(filter(None, (wrecked(arm["id"], frames.cells) for arm in arms)), ""),
        "room": lambda: _no_room(facts.mean().to_numpy(), arms[0]["measure"].iloc[0], "kinds" in spec),
        "learned": lambda: next(filter(None, (_unlearned(arm, frames.scores) for arm in arms)), ""),
        "chance": lambda: below_chance(table[table["format"] == "none"], frames.items),
        "gap": lambda: _no_gap(facts),
    }
    return next(filter(None, (checks[need]() for need in spec["needs"])), "")


def wrecked(ids: pd.Series, cells: pd.DataFrame) -> str:
    """Why these trained models are none to judge by, in the median; "" where they are."""
    runs = cells[cells["id"].isin(ids) & (cells["format"] != "none")]
    if runs.empty:
        return ""
    median = runs[["kept", "ppl_ratio"]].median()
    if pd.isna(median["kept"]):
        return "there is no base model to compare with"
    left = f"keep {median['kept']:.2f} of their general questions at {median['ppl_ratio']:.1f} times the perplexity"
    return "" if stays(median) else f"in the median the models of format {SHORT[runs['format'].iloc[0]]} {left}"


def below_chance(told: pd.DataFrame, items: pd.DataFrame) -> str:
    """Why a kind of problem cannot be tested: with both facts in its prompt the base model is not above chance."""
    asked = items[items["id"].isin(told["id"]) & (items["eval"] == "reasoning_in_context")]
    asked = asked[asked["kind"].isin(told["kind"])]
    found = intervals.accuracy(asked, ["eval"]).iloc[0]
    shown = intervals.shown(*found[["mean", "low", "high"]])
    why = f"with both facts in its prompt the base model has {shown}, chance {chance(asked):.2f}"
    for chosen in intervals.accuracy(asked, ["eval"], "choice").itertuples():  # not of a sum: it has no set
        why += f", and of the closed set it chooses {intervals.shown(chosen.mean, chosen.low, chosen.high)} right"
    return "" if found["low"] > chance(asked) else why


def chance(asked: pd.DataFrame) -> float:
    """A blind choice, or the best single answer said to everything, whichever is right more often."""
    return max(asked["chance"].fillna(0).mean(), asked["expected"].value_counts(normalize=True).max())


def on_common_draws(arms: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Of each arm the draws of facts that all arms have in one type of number: an arm of other draws would have other
    luck, and one in another type is rounded otherwise."""
    runs = [pd.MultiIndex.from_frame(arm[[*RUN, "dtype"]]) for arm in arms]
    common = reduce(pd.MultiIndex.intersection, runs)
    return [arm[run.isin(common)] for arm, run in zip(arms, runs, strict=True)]


def walk(frames: Frames) -> pd.DataFrame:
    """The way from style to facts, one axis at a time, as the stations of C6: a row each, with its mean score and 95 %
    interval (mean, low, high, and all three as `shown`), facts, runs, and the `step` to it from the station before,
    with `by` as its size. Empty where a station is missing: a step would then change two things at once."""
    (spec,) = CLAIMS["C6"]["contrasts"]
    arms = [frames.scores.query(query) for query in (*spec["plus"], *spec["minus"])]
    rows = []
    for before, name, arm in zip([None, *arms], spec["stations"], arms, strict=False):
        if arm.empty:
            return pd.DataFrame()
        found = intervals.contrast(_by_fact([arm]), (1,), apart=True)
        step = intervals.contrast(_by_fact([arm, before]), (1, -1), apart=True) if before is not None else None
        rows.append({
            "station": name, "mean": found.estimate, "low": found.low, "high": found.high,
            "shown": intervals.shown(found.estimate, found.low, found.high), "facts": found.facts,
            "runs": arm["id"].nunique(), "by": step.estimate if step else 0.0,
            "step": intervals.signed(step.estimate, step.low, step.high) if step else "",
        })  # fmt: skip
    return pd.DataFrame(rows)


def _repeated():
    """The contrasts of other claims that every control asks again."""
    return [{**CLAIMS[claim], **contrast, "over": "controls", "headline": contrast["controls"] == "headline",
             "beside": False} for claim in CLAIMS for contrast in CLAIMS[claim]["contrasts"]
            if "controls" in contrast]  # fmt: skip


def _by_fact(arms):
    """A row a fact, a column an arm: its mean score there, missing where the arm has not that fact."""
    return pd.concat([arm.groupby(FACT)["score"].mean() for arm in arms], axis=1, keys=range(len(arms)))


def _no_room(means, measure, kinds):
    """Whether both sides of a difference are at the ceiling or the floor: an interaction is as good as its worse one.
    A mean along training has no ceiling: where all is learned, it still says how fast."""
    pairs = means.reshape(-1, 2) if kinds else means.reshape(2, -1).T
    if (pairs >= CEILING).all(axis=1).any() and not measure.startswith("area"):
        return f"both arms of a difference are at the ceiling (above {CEILING})"
    return f"both arms of a difference are at the floor (below {FLOOR})" if (pairs <= FLOOR).all(axis=1).any() else ""


def _unlearned(arm, scores):
    recall = scores[(scores["measure"] == "recall") & scores["id"].isin(arm["id"])].merge(arm[["id", "fact"]])
    share, format = recall["score"].mean(), SHORT[arm["format"].iloc[0]]
    return f"the models of format {format} recall only {share:.2f} of these facts" if share < LEARNED else ""


def _no_gap(facts):
    ends = facts[[facts.columns[0], facts.columns[-1]]].dropna(how="all")
    gap = intervals.contrast(ends, (1, -1), apart=True)
    shown = intervals.signed(gap.estimate, gap.low, gap.high)
    return "" if gap.low > 0 else f"no gap is certain: {shown}"


def _lead(means):
    """Of the columns QA of one kind and of another, and articles of both: how far formats lie apart, less how far kinds
    do."""
    qa, other_qa, article, other = means.T
    return np.abs(qa + other_qa - article - other) / 2 - np.abs(qa - other_qa + article - other) / 2


def _without_largest_step(means):
    """The drop from the first mean to the last without one step: the least over all steps must be positive
    (intersection-union)."""
    return (means[:, 0] - means[:, -1] - (means[:, :-1] - means[:, 1:]).T).min(axis=0)
