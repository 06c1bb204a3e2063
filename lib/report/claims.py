"""The claims as contrasts of mean scores (claims.yaml), each decided by its interval, or not testable, and why."""

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
    """A row of claims.csv for every contrast that these results have facts for, in the order of the claims."""
    asked = {over: settings(over, frames.scores) for over in ("main", "all", "problems", "controls", "replay")}
    repeated = [{**statement, **contrast, "over": "controls", "headline": contrast["controls"] == "headline",
                 "beside": False} for statement in CLAIMS.values() for contrast in statement["contrasts"]
                if "controls" in contrast]  # fmt: skip
    rows = []
    for claim, statement in CLAIMS.items():
        specs = [{"over": "main", "needs": [], **statement, **contrast, "claim": claim}
                 for contrast in statement["contrasts"] or repeated]  # fmt: skip
        of_claim = [(i, row(spec, setting, table, frames))
                    for spec in specs for i, (setting, table) in enumerate(asked[spec["over"]])]  # fmt: skip
        rows += [made for _, made in sorted(of_claim, key=lambda numbered: numbered[0]) if made]  # setting by setting
    return rows


def settings(over: str, scores: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The settings in which a contrast is asked: what each is called, "" for the study itself, and its scores.

    Of two-fact problems, by kind and kind of entity, only those count whose two facts a trained model knows, and the
    base model's with both facts in its prompt.
    """
    main = scores[scores["part"] == "main"]
    if over == "controls":
        return controls(scores)
    if over == "replay":
        replay = scores[(scores["part"] == "replay") & (scores["replay"] > 0)]
        return [(f"{n} rows of replay", pd.concat([main, more])) for n, more in replay.groupby("replay")]
    if over == "problems":
        asked = scores[scores["part"].isin(["main", "formats"]) & (scores["kind"] != "")]
        asked = asked[asked["known"] | (asked["measure"] == "reasoning_in_context") & (asked["format"] == "none")]
        return [(f"{kind} of {THINGS[entity]}", group) for (kind, entity), group in asked.groupby(["kind", "entity"])
                if (group["format"] == "none").any()]  # fmt: skip
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


def row(spec: dict, setting: str, table: pd.DataFrame, frames: Frames) -> dict | None:
    """One contrast of these scores; None where an arm has no facts, or a control has only what is the main part's.

    `least` and `most` are the estimates when one run is left out.
    """
    table = table.query(spec["where"]) if "where" in spec else table
    arms = [table.query(query) for query in (*spec["plus"], *spec["minus"])]
    signs = [1] * len(spec["plus"]) + [-1] * len(spec["minus"])
    kinds, apart = spec.get("kinds"), bool(spec.get("apart"))
    arms = arms if apart else on_common_draws(arms)
    if kinds:  # each arm falls apart into two kinds of entity
        arms = [arm[arm["entity"] == kind] for arm in arms for kind in kinds]
    of_main = all((arm["part"] == "main").all() for arm in arms)
    if not all(map(len, arms)) or (spec["over"] == "controls" and of_main):
        return None
    facts = by_fact(arms).dropna() if spec.get("paired", True) else by_fact(arms)
    if facts.empty:
        return None
    facts[0] += spec.get("margin", 0)
    statistic = _lead if kinds else _without_largest_step if spec.get("walk") else None
    found = intervals.contrast(facts, signs, statistic, apart)
    spread = None if statistic or apart else intervals.without_each_run(facts, signs)
    why = why_not(spec, facts, arms, table, frames)
    ids = {id for arm in arms for id in arm.loc[arm["format"] != "none", "id"]}
    recall = frames.scores[frames.scores["id"].isin(ids) & (frames.scores["measure"] == "recall")]
    recall = recall.groupby("format")["score"].mean()
    numbers = {"estimate": found.estimate, "low": found.low, "high": found.high,
               **dict(zip(("least", "most"), spread or (None, None), strict=True))}  # fmt: skip
    return {
        "claim": spec["claim"], "setting": setting, "contrast": spec["label"],
        "name": ": ".join(filter(None, (setting, spec["label"]))),
        "headline": bool(spec.get("headline")), "beside": bool(spec.get("beside")),
        "shown": found.signed,
        **{name: None if value is None else round(value, 4) for name, value in numbers.items()},
        "experiments": len(ids), "runs": found.runs, "facts": found.facts,
        "recall": None if recall.empty else round(float(recall.min()), 3),
        "verdict": "not testable" if why else found.verdict, "why": why,
    }  # fmt: skip


def by_fact(arms: list[pd.DataFrame]) -> pd.DataFrame:
    """A row a fact, a column an arm: its mean score there, missing where the arm has not that fact."""
    return pd.concat([arm.groupby(FACT)["score"].mean() for arm in arms], axis=1, keys=range(len(arms)))


def why_not(spec: dict, facts: pd.DataFrame, arms: list[pd.DataFrame], table: pd.DataFrame, frames: Frames) -> str:
    """Why these arms cannot decide the contrast, by what it needs; "" where they can. `table` has the scores of its
    setting, `facts` the mean score of each fact in each arm."""
    needs, means, why = spec["needs"], facts.mean().to_numpy(), []
    if "chance" in needs:
        why.append(below_chance(table[table["format"] == "none"], frames.items))
    if "whole" in needs:
        why += [wrecked(arm["id"], frames.cells) for arm in arms]
    if "room" in needs:  # an interaction has as little as its worse difference
        pairs = means.reshape(-1, 2) if "kinds" in spec else means.reshape(2, -1).T
        # a mean along training has no ceiling: where all is learned, it still says how fast
        if (pairs >= CEILING).all(axis=1).any() and not arms[0]["measure"].iloc[0].startswith("area"):
            why.append(f"both arms of a difference are at the ceiling (above {CEILING})")
        if (pairs <= FLOOR).all(axis=1).any():
            why.append(f"both arms of a difference are at the floor (below {FLOOR})")
    for arm in arms if "learned" in needs else ():
        recall = frames.scores[(frames.scores["measure"] == "recall") & frames.scores["id"].isin(arm["id"])]
        if (share := recall.merge(arm[["id", "fact"]])["score"].mean()) < LEARNED:
            why.append(f"the models of format {SHORT[arm['format'].iloc[0]]} recall only {share:.2f} of these facts")
    if "gap" in needs:
        gap = intervals.contrast(facts.iloc[:, [0, -1]].dropna(how="all"), (1, -1), apart=True)
        if gap.low <= 0:
            why.append(f"no gap is certain: {gap.signed}")
    return next(filter(None, why), "")


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
    why = f"with both facts in its prompt the base model has {found['shown']}, chance {chance(asked):.2f}"
    for shown in intervals.accuracy(asked, ["eval"], "choice")["shown"]:  # not of a sum: it has no set
        why += f", and of the closed set it chooses {shown} right"
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


def _lead(means):
    """Of the columns QA of one kind and of another, and articles of both: how far formats lie apart, less how far kinds
    do."""
    qa, other_qa, article, other = means.T
    return np.abs(qa + other_qa - article - other) / 2 - np.abs(qa - other_qa + article - other) / 2


def _without_largest_step(means):
    """The drop from the first mean to the last without one step: the least over all steps must be positive
    (intersection-union)."""
    return (means[:, 0] - means[:, -1] - (means[:, :-1] - means[:, 1:]).T).min(axis=0)
