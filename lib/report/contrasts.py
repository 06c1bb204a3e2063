"""The rows of claims.json: every contrast that a study's results can decide, with its interval and verdict."""

import numpy as np
import pandas as pd

from lib.report import intervals, parts, walk
from lib.report.claims import COST, FORMATS, MARGIN, NUMBERS, REPEATED, Contrast
from lib.report.parts import FACT
from lib.report.verdicts import row, unlearned, untestable

# What each control varies.
VARIED = {"amount": "n_entities", "paraphrases": "paraphrases", "volume": "budget",
          "capacity": "lora_rank", "rate": "learning_rate"}  # fmt: skip


def decide(results: list[dict]) -> list[dict]:
    """The rows of claims.json that these results can decide, in the order of the claims."""
    scores, cells = parts.scores(results), parts.cells(results)
    main = scores[scores["part"] == "main"]
    rows = [row for contrast in (*FORMATS, *NUMBERS) for row in of_contrast(contrast, main, cells)]
    rows += reasoning(results, cells)
    for label, sub in controls(scores):
        for contrast in REPEATED:
            rows += of_contrast(contrast, sub, cells, claim="C4", prefix=f"{label}: ")
    rows += kinds(main, cells) + events(results, main, cells) + walk.rows(results, cells)
    rows += [row for contrast in COST for row in of_contrast(contrast, scores, cells)]
    return rows


def of_contrast(
    contrast: Contrast, scores: pd.DataFrame, cells: pd.DataFrame, claim: str = "", prefix: str = ""
) -> list[dict]:
    """The row of a contrast, in a list; none where an arm has no facts."""
    measured = scores[scores["measure"] == contrast.measure]
    of_arms = [_where(measured, where) for _, where in contrast.arms]
    if any(arm.empty for arm in of_arms):
        return []
    table = pd.concat([arm.groupby(FACT)["score"].mean() for arm in of_arms], axis=1, keys=range(len(of_arms)))
    if contrast.paired:
        table = table.dropna()
    if table.empty:
        return []
    signs = [sign for sign, _ in contrast.arms]
    found = intervals.contrast(table, signs)
    why = "" if contrast.claim == "R1" else untestable(contrast.measure, table.mean(), of_arms, cells)
    if contrast.claim == "C1" and contrast.measure != "recall":
        why = why or unlearned(of_arms, scores)
    ids = {id for arm in of_arms for id in arm["id"]}
    spread = intervals.without_each_run(table, signs)
    return [row(claim or contrast.claim, prefix + contrast.label, found, ids, scores, why, spread)]


def controls(scores: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The settings that a control varies: a label, and its cells with those of the main part for a missing format.

    Of the main part only the facts that the control has count.
    """
    found = []
    main = scores[scores["part"] == "main"]
    for part, column in VARIED.items():
        for value, cells in scores[scores["part"] == part].groupby(column):
            # what is fair beside the main part: the replay of one arm alone would not be
            filled = ["article", "qa"] if part in ("volume", "capacity", "rate") else []
            lacks = main["format"].isin(filled) & ~main["format"].isin(cells["format"])
            missing = main[lacks].merge(cells[["entity", "seed"]].drop_duplicates())
            found.append((f"{column} {value:g}" if isinstance(value, float) else f"{column} {value}",
                          pd.concat([cells, missing])))  # fmt: skip
    return found


def reasoning(results: list[dict], cells: pd.DataFrame) -> list[dict]:
    """Two-fact questions against the same with both facts in the prompt, for each kind that the base model can do.

    A kind whose ceiling is not above chance by its interval is not testable on this model. Compared are the problems
    whose two facts the trained model answers.
    """
    asked = parts.items(results)
    asked = asked[asked["part"].isin(["main", "formats"])]
    told = asked[(asked["eval"] == "reasoning_in_context") & (asked["format"] == "none")]
    rows = []
    for kind, ceiling in told.groupby("kind"):
        found = intervals.accuracy(ceiling.assign(all=0), ["all"]).iloc[0]
        chance = _chance(ceiling)
        shown = intervals.shown(*found[["mean", "low", "high"]])
        why = (
            ""
            if found["low"] > chance
            else f"with both facts in its prompt the base model has {shown}, chance {chance:.2f}"
        )
        for format in ("article", "qa", "chat", "worked"):
            for evaluation, how in (("reasoning", "at once"), ("reasoning_cot", "after reciting")):
                trained = asked[(asked["eval"] == evaluation) & (asked["format"] == format) & (asked["kind"] == kind)]
                trained = trained[both_known(trained, asked)]
                label = (
                    f"{kind}: facts in the prompt, base model - {how}, both facts known, {parts.SHORT[format]} format"
                )
                rows += _told_less_asked(label, ceiling, trained, asked, cells, why)
    return rows


def _told_less_asked(label, told, trained, asked, cells, why):
    if trained.empty:
        return []
    key = [*FACT, "other"]
    columns = [frame.astype({"strict": float}).groupby(key)["strict"].mean() for frame in (told, trained)]
    table = pd.concat(columns, axis=1, keys=range(2)).dropna().reset_index("other", drop=True)
    if table.empty:
        return []
    why = why or untestable("reasoning", table.mean(), [trained], cells)
    return [row("C3", label, intervals.contrast(table, (1, -1)), set(trained["id"]), asked, why, None)]


def both_known(problems: pd.DataFrame, asked: pd.DataFrame) -> pd.Series:
    """Of each problem, whether the same model answers the first held-out question about each of both facts."""
    known = asked[asked["eval"] == "question"].drop_duplicates(["id", "fact"]).set_index(["id", "fact"])["strict"]
    known = known.fillna(False).astype(bool)
    both = [
        bool(known.get((id, fact), False) and known.get((id, other), False))
        for id, fact, other in zip(problems["id"], problems["fact"], problems["other"], strict=True)
    ]
    return pd.Series(both, index=problems.index, dtype=bool)


def _chance(ceiling):
    """A blind choice; of answers without a closed set, the best single answer said to everything."""
    if ceiling["chance"].notna().any():
        return ceiling["chance"].mean()
    return ceiling["expected"].value_counts(normalize=True).max()


def kinds(main: pd.DataFrame, cells: pd.DataFrame) -> list[dict]:
    """Does the format matter more than the kind of entity? The gap of formats less that of kinds, either way."""
    rows = []
    for measure, label in (("question", "held-out question"), ("area of question", "mean along training")):
        asked = main[(main["measure"] == measure) & main["format"].isin(["qa", "article"])]
        for other in ("fictional", "persona"):
            pair = asked[asked["entity"].isin([other, "real"])]
            arms = pair.assign(arm=pair["format"] + " " + pair["entity"])
            table = arms.pivot_table(index=FACT, columns="arm", values="score")
            wanted = [f"qa {other}", f"article {other}", "qa real", "article real"]
            if set(wanted) <= set(table.columns):
                table = table[wanted]
                found = intervals.contrast(table, (1, -1, 1, -1), _lead)
                levels = table.mean()
                why = untestable(measure, [levels.min(), levels.max()], [pair], cells)
                name = f"(QA - article) - |{other} - real|, {label}"
                rows.append(row("C5", name, found, set(pair["id"]), main, why, None))
    return rows


def _lead(means):
    """Of the columns QA and article of one kind and of another: how far formats lie apart, less how far kinds do."""
    gap = (means[:, 0] - means[:, 1] + means[:, 2] - means[:, 3]) / 2
    kind = (means[:, 0] + means[:, 1] - means[:, 2] - means[:, 3]) / 2
    return gap - np.abs(kind)


def events(results: list[dict], main: pd.DataFrame, cells: pd.DataFrame) -> list[dict]:
    """Is a real event as easy as a style? Words of events, closed set, against telling tones apart, with a margin."""
    style = walk.style_scores(results)
    event = main[(main["entity"] == "real") & (main["info"] == "words") & (main["format"] == "qa")]
    event = event[event["measure"] == "choice"]
    if style.empty or event.empty:
        return []
    found = walk.difference(event.groupby(FACT)["score"].mean() + MARGIN, style)
    why = untestable("choice", [event["score"].mean(), style.mean()], [event], cells)
    label = f"real event in QA - style + margin {MARGIN}, closed set corrected for chance"
    return [row("C5", label, found, set(event["id"]), main, why, None)]


def _where(scores, where):
    for column, value in where.items():
        scores = scores[scores[column] == value]
    return scores
