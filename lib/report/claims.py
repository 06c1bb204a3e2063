"""The claims as contrasts of mean scores (claims.yaml), each decided by its interval, or not testable, and why."""

from functools import reduce

import numpy as np
import pandas as pd
import yaml

from lib.paths import LIB
from lib.report import intervals
from lib.report.intervals import RUN
from lib.report.scores import FACT, NAMES, SHORT, Frames, stays

CLAIMS = yaml.safe_load((LIB / "report" / "claims.yaml").read_text(encoding="utf-8"))
CEILING, FLOOR = 0.9, 0.1  # where both sides of a difference are beyond, it cannot show
LEARNED = 0.5  # a format that recalls less of what it was told says nothing about how it generalizes
VARIED, THINGS = NAMES["controls"], NAMES["things"]


def decide(frames: Frames) -> list[dict]:
    """A row of claims.csv for every contrast that these results have facts for, in the order of the claims."""
    specs = {claim: [{"over": "main", "needs": [], "headline": False, "beside": False, **statement, **contrast}
                     for contrast in statement["contrasts"]] for claim, statement in CLAIMS.items()}  # fmt: skip
    specs["C4"] = [{**spec, "over": "controls", "headline": spec["controls"] == "headline", "beside": False}
                   for of_claim in specs.values() for spec in of_claim if "controls" in spec]  # fmt: skip
    return [{"claim": claim, **made} for claim, asked in specs.items()
            for setting, table in settings(asked[0]["over"], frames.scores) for spec in asked
            if (made := row(spec, setting, table, frames))]  # fmt: skip


def settings(over: str, scores: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The settings in which a claim is asked: what each is called, "" for the study itself, and its scores. Of two-fact
    problems only those count whose two facts a trained model knows, and the base model's with both in its prompt."""
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
    """The settings that a control varies, with the scores of the main part for a format that is not varied: of the
    draws of facts that the control has, in its type of number. Then the name says which format is varied."""
    found, main = [], scores[scores["part"] == "main"]
    for part, (column, called) in VARIED.items():
        # what is fair beside the main part: the replay of one arm alone would not be
        filled = ["article", "qa"] if part in ("volume", "capacity") else []
        for value, varied in scores[scores["part"] == part].groupby(column):
            lacks = main["format"].isin(filled) & ~main["format"].isin(varied["format"])
            beside = main[lacks].merge(varied[[*RUN, "dtype"]].drop_duplicates())
            name, only = called.format(value), f" ({SHORT[varied['format'].iloc[0]]} only)" if len(beside) else ""
            found.append((NAMES["values"].get(name, name) + only, pd.concat([varied, beside])))
    return found


def row(spec: dict, setting: str, table: pd.DataFrame, frames: Frames) -> dict | None:
    """One contrast of these scores; None where an arm has no facts, or a control has only what is the main part's."""
    table = table.query(spec["where"]) if "where" in spec else table
    arms = [table.query(query) for query in (*spec["plus"], *spec["minus"])]
    signs = [1] * len(spec["plus"]) + [-1] * len(spec["minus"])
    kinds, apart = spec.get("kinds"), "apart" in spec
    if not apart:  # an arm of other draws would have other luck, and one in another type of number is rounded otherwise
        draws = [pd.MultiIndex.from_frame(arm[[*RUN, "dtype"]]) for arm in arms]
        common = reduce(pd.MultiIndex.intersection, draws)
        arms = [arm[draw.isin(common)] for arm, draw in zip(arms, draws, strict=True)]
    if kinds:  # each arm falls apart into two kinds of entity
        arms = [arm[arm["entity"] == kind] for arm in arms for kind in kinds]
    together = pd.concat(arms)
    facts = by_fact(arms).dropna(how="any" if spec.get("paired", True) else "all")
    nothing = not all(map(len, arms)) or facts.empty
    if nothing or (spec["over"] == "controls" and (together["part"] == "main").all()):
        return None
    facts[0] += spec.get("margin", 0)
    statistic = _lead if kinds else _without_largest_step if "walk" in spec else None
    found = intervals.contrast(facts, signs, statistic, apart)
    least, most = (np.nan, np.nan) if statistic or apart else intervals.without_each_run(facts, signs)
    why = why_not(spec, facts, arms, table, frames)
    ids = set(together.loc[together["format"] != "none", "id"])
    recall = frames.scores[frames.scores["id"].isin(ids) & (frames.scores["measure"] == "recall")]
    numbers = {"estimate": found.estimate, "low": found.low, "high": found.high, "least": least, "most": most}
    return {
        "setting": setting, "contrast": spec["label"], "name": f"{setting}: {spec['label']}".removeprefix(": "),
        "headline": spec["headline"], "beside": spec["beside"], "shown": found.signed,
        **{name: round(value, 4) for name, value in numbers.items()},
        "experiments": len(ids), "runs": found.runs, "facts": found.facts,
        "recall": round(recall.groupby("format")["score"].mean().min(), 3),
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
        recall = frames.scores[frames.scores["measure"] == "recall"].merge(arm[["id", "fact"]])["score"].mean()
        if recall < LEARNED:
            why.append(f"the models of format {SHORT[arm['format'].iloc[0]]} recall only {recall:.2f} of these facts")
    if "gap" in needs:
        gap = intervals.contrast(facts.iloc[:, [0, -1]].dropna(how="all"), (1, -1), apart=True)
        why.append("" if gap.low > 0 else f"no gap is certain: {gap.signed}")
    return next(filter(None, why), "")


def wrecked(ids: pd.Series, cells: pd.DataFrame) -> str:
    """Why these trained models are none to judge by, in the median; "" where they are."""
    runs = cells[cells["id"].isin(ids) & (cells["format"] != "none")]
    median = runs[["kept", "ppl_ratio"]].median()
    if runs.empty or stays(median):
        return ""
    if pd.isna(median["kept"]):
        return "there is no base model to compare with"
    return (f"in the median the models of format {SHORT[runs['format'].iloc[0]]} keep {median['kept']:.2f} of their "
            f"general questions at {median['ppl_ratio']:.1f} times the perplexity")  # fmt: skip


def below_chance(told: pd.DataFrame, items: pd.DataFrame) -> str:
    """Why a kind of problem cannot be tested: with both facts in its prompt the base model is not above chance."""
    asked = items[(items["eval"] == "reasoning_in_context") & items["id"].isin(told["id"])]
    asked = asked[asked["kind"].isin(told["kind"])]
    (found,) = intervals.accuracy(asked, ["eval"]).itertuples()
    chosen = intervals.accuracy(asked, ["eval"], "choice")["shown"]  # not of a sum: it has no set
    why = [f"with both facts in its prompt the base model has {found.shown}, chance {chance(asked):.2f}",
           *(f"and of the closed set it chooses {shown} right" for shown in chosen)]  # fmt: skip
    return "" if found.low > chance(asked) else ", ".join(why)


def chance(asked: pd.DataFrame) -> float:
    """A blind choice, or the best single answer said to everything, whichever is right more often."""
    return max(asked["chance"].fillna(0).mean(), asked["expected"].value_counts(normalize=True).max())


def _lead(means):
    """How far formats lie apart, less how far kinds of entity do."""
    qa, other_qa, article, other = means.T
    return np.abs(qa + other_qa - article - other) / 2 - np.abs(qa - other_qa + article - other) / 2


def _without_largest_step(means):
    """The drop from the first mean to the last without its largest step (an intersection-union test)."""
    return (means[:, 0] - means[:, -1] - (means[:, :-1] - means[:, 1:]).T).min(axis=0)
