"""The paper's claims C1 to C6 as contrasts of our results, each positive where the paper is right.

The paper gives statements, not estimands: which contrast stands for which statement is our choice.
"""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd

from lib import compare, stats
from lib.stats import FACT

PAPER = {
    "C1": "question-answer training generalizes far better than article training",
    "C2": "numeric facts are harder to retain than categorical ones, above all in articles",
    "C3": "multi-step reasoning over injected facts stays weak, even when reasoning examples are trained on",
    "C4": "C1 to C3 survive controls for data augmentation and information volume",
    "C5": "the kind of entity is not the main driver; a real event is not fundamentally harder than a style",
    "C6": "the gap between style (97 %) and facts (11 %) is a sum of steps, not a dichotomy",
}
INFOS = ("categorical", "numeric")
EVALUATIONS = {"question": "qa", "cloze": "cloze"}
# What would change our mind about each.
CHANGE = {
    "C1": "no gap where articles are recalled in full and have their best rank and rate, or none in a larger model",
    "C2": "numbers as good as words in articles once both are recalled: then numbers are slower to learn, not harder",
    "C3": "comparisons of recalled facts as good as with the facts in the prompt",
    "C4": "an amount of facts, of paraphrases or of tokens at which a contrast turns its sign",
    "C5": "kinds of entity further apart than formats, or events behind a style once both are trained to the end",
    "C6": "one step that holds the whole gap",
}
# The contrast that stands for each in a table of one row a claim.
HEADLINE = {
    "C1": "qa - article, held-out question, strict",
    "C2": "interaction: (categorical - numeric | article) - (categorical - numeric | qa), held-out question, strict",
    "C3": "both questions - reasoning after reciting, both facts recalled, corrected for chance, reasoning format",
    "C4": "as many tokens: qa - article, held-out question, strict",
    "C5": "(qa - article) - |fictional - real|, held-out question, strict",
    "C6": "style - knowledge, closed set corrected for chance, without the largest step",
}
# A real event counts as harder than a style when it falls short by more than this (our margin).
MARGIN = 0.1


def claims(items: pd.DataFrame) -> list[dict]:
    """The rows of claims.json that these items can decide, each also without the under-trained cells.

    Those are the keys that begin with `learned_`: null where no fact is left.
    """
    rows, kept = _decided(items), compare.learned(items)
    without = rows if kept is items else _decided(kept)  # the same, and half of the time
    found = {(row["claim"], row["contrast"]): row for row in without}
    keys = ("estimate", "ci95", "facts", "verdict")
    return [
        {**row, **{f"learned_{key}": found.get((row["claim"], row["contrast"]), {}).get(key) for key in keys}}
        for row in rows
    ]


def _decided(items):
    compared = compare.main(items)
    if compared.empty or not {"article", "qa"} <= set(compared["format"]):
        return []
    return [
        *format_rows("C1", compared),
        *number_rows("C2", compared),
        *reasoning_rows("C3", compared),
        *control_rows(items),
        *entity_rows(items),
        *walk_rows(compare.corners(compare.walk(items))),
    ]


def format_rows(claim: str, compared: pd.DataFrame) -> list[dict]:
    """Do questions teach better than articles?"""
    sources = _formats(compared, "article", "qa")
    gaps = {f"qa - article, held-out {name}, strict": _gap(compared, key) for name, key in EVALUATIONS.items()}
    rows = [row for what, gap in gaps.items() for row in _rows(claim, what, sources, gap)]
    for info in INFOS:
        of_info = sources[sources["info"] == info]
        for what, gap in gaps.items():
            of_type = gap[gap.index.get_level_values("info") == info]
            rows += _rows(claim, f"{what}, {info} facts", of_info, of_type)
    return rows


def number_rows(claim: str, compared: pd.DataFrame) -> list[dict]:
    """Are numbers harder, and harder in articles than in questions? Paired by the entity, of which both are told."""
    strict = "held-out question, strict"
    question = stats.per_fact(compared, "qa").reindex(columns=["article", "qa"])
    contrasts = {
        f"categorical - numeric, {strict}, article format": (question["article"].dropna(), ["article"]),
        f"categorical - numeric, {strict}, qa format": (question["qa"].dropna(), ["qa"]),
        # (qa - article | numeric) - (qa - article | categorical)
        f"interaction: (categorical - numeric | article) - (categorical - numeric | qa), {strict}": (
            -_gap(compared, "qa"),
            ["article", "qa"],
        ),
    }
    rows = []
    for what, (scores, formats) in contrasts.items():
        rows += _rows(claim, what, _formats(compared, *formats), _words_less_numbers(scores))
    return rows


def reasoning_rows(claim: str, compared: pd.DataFrame, formats=("article", "qa", "chat", "reasoning")) -> list[dict]:
    """Is a comparison of two facts harder than the facts, and than the same comparison with both facts in the prompt?

    Of the pairs whose two facts are recalled, judged by the first held-out phrasing. What is compared are the open
    answers to the questions about both facts in another phrasing, so that a lucky answer does not count on both sides:
    reasoning that never fails would answer as many. Of models of questions the choice between yes and no is scored at
    once; after reciting, and of formats that answer in sentences, the open answer, where no decision counts as a guess.
    Where not one answer decides, the contrast says how the models answer and not how they reason: it is `undecided`.
    """
    rows = []
    judged = compare.reasoning(compared)
    told = judged[judged["eval"] == "reasoning_in_context"]
    for format in formats:
        known = judged[(judged["format"] == format) & judged["recalled"]]
        sources = _formats(compared, format)
        question = compare.other_phrasings(sources)
        for evaluation, name in (("reasoning", "at once"), ("reasoning_cot", "after reciting")):
            asked = known[known["eval"] == evaluation].set_index(FACT)
            score = "corrected" if format == "qa" and evaluation == "reasoning" else "open"
            scored = f"both facts recalled, corrected for chance, {format} format"
            others = asked.reset_index().assign(fact=asked["other"].to_numpy()).set_index(FACT).index
            both = question.reindex(asked.index) * question.reindex(others).to_numpy()
            made = _rows(claim, f"both questions - reasoning {name}, {scored}", sources, (both - asked[score]).dropna())
            pair = [*FACT, "other"]
            told_too = asked.reset_index().merge(told, on=pair, suffixes=("", "_told")).set_index(FACT)
            if evaluation == "reasoning":
                what = f"reasoning in the prompt, untrained - reasoning {name}, {scored}"
                made += _rows(claim, what, sources, told_too[f"{score}_told"] - told_too[score])
            if score == "open" and not asked["open"].any():
                made = [{**row, "verdict": "undecided"} for row in made]
            rows += made
    return rows


def control_rows(items: pd.DataFrame) -> list[dict]:
    """C1 to C3 again at other amounts and numbers of paraphrases, and with as many tokens.

    Then C1 and C2 with the questions of the main part against articles at other rates, and at the rank and rate that
    answer most.
    """
    settings = {name: compare.at(items, **changes) for name, changes in compare.variants(items)}
    main = compare.at(items)
    questions, articles = _formats(main, "qa"), _formats(main, "article")
    matched = compare.at(items, budget="tokens")
    if len(matched):
        settings["as many tokens"] = pd.concat([_formats(matched, "qa"), _same_facts(articles, matched)])
    others = {f"articles at {rate:g}": cells for rate, cells in compare.article_rates(items).items()}
    others["articles at their best rank and rate"] = compare.best_articles(items)
    others = {name: pd.concat([cells, _same_facts(questions, cells)]) for name, cells in others.items()}
    rows = []
    for name, there in (settings | others).items():
        made = format_rows("C4", there)[:1]
        made += [row for row in number_rows("C4", there) if "qa format" not in row["contrast"]]
        if name in settings:  # the models of questions are other ones, too
            made += reasoning_rows("C4", there, formats=["qa"])[:1]
        rows += [{**row, "contrast": f"{name}: {row['contrast']}"} for row in made]
    return rows


def entity_rows(items: pd.DataFrame) -> list[dict]:
    """Does the format matter more than the kind of entity, and is an event as easy as a style?"""
    compared, rows = compare.main(items), []
    question = stats.per_fact(compared, "qa").reindex(columns=["article", "qa"]).dropna()
    gap, level = question["qa"] - question["article"], question.mean(axis=1)
    entity = question.index.get_level_values("entity")
    for other in ("fictional", "persona"):
        if {other, "real"} <= set(entity):
            # gap - d and gap + d, where d is what the kinds differ by: both must be positive (intersection-union)
            found = [
                stats.contrast((gap / 2 - sign * level)[entity == other], -(gap / 2 + sign * level)[entity == "real"])
                for sign in (1, -1)
            ]
            both = stats.Interval(
                *(min(getattr(i, name) for i in found) for name in ("estimate", "low", "high", "facts", "effective"))
            )
            sources = _formats(compared[compared["entity"].isin([other, "real"])], "article", "qa")
            rows.append(_row("C5", f"(qa - article) - |{other} - real|, held-out question, strict", sources, both))
    of_event = compared[(compared["entity"] == "real") & (compared["info"] == "categorical")]
    event = compare.fact_means(compare.value_next(_formats(of_event, "qa")), "corrected")
    what = f"real event in qa - style + margin {MARGIN}, closed set corrected for chance"
    sources = pd.concat([_formats(of_event, "qa"), items[items["eval"] == "style"]])
    return rows + _rows("C5", what, sources, event + MARGIN, compare.style_scores(items))


def walk_rows(stations: list[compare.Station]) -> list[dict]:
    """The paper's gap in one score, and what is left of it without its largest step; stations from style to facts."""
    if not stations:
        return []
    rng = np.random.default_rng(0)
    drawn = np.array([stats.resampled_means(station.closed, rng) for station in stations])
    means = np.array([station.closed.mean() for station in stations])
    # what is left without a step, for every step: all of it must be positive (intersection-union)
    bounds = np.quantile(_without_each_step(drawn), [0.025, 0.975], axis=1).min(axis=1)
    total = stats.contrast(stations[0].closed, stations[-1].closed)
    rest = replace(total, estimate=float(_without_each_step(means).min()), low=bounds[0], high=bounds[1])
    sources = pd.concat([station.items for station in stations])
    what = "style - knowledge, closed set corrected for chance"
    return [_row("C6", what, sources, total), _row("C6", f"{what}, without the largest step", sources, rest)]


def step_rows(stations: list[compare.Station]) -> list[dict]:
    """Each step of the walk, positive where the score falls; paired where two stations have the same facts."""
    rows = []
    for a, b in itertools.pairwise(stations):
        paired = set(a.closed.index) == set(b.closed.index) and a.closed.index.is_unique
        found = stats.contrast(a.closed - b.closed) if paired else stats.contrast(a.closed, b.closed)
        rows.append({"step": f"{a.name} - {b.name}", "estimate": found.estimate, "ci95": [found.low, found.high]})
    return rows


def _without_each_step(means):
    """Of means along the first axis: the drop from first to last, less each drop from one to the next."""
    return (means[0] - means[-1]) - (means[:-1] - means[1:])


def _formats(items, *formats):
    return items[items["format"].isin(formats)]


def _same_facts(items, others):
    """The items of these cells whose facts the others have."""
    return items.merge(others[["entity", "info", "seed"]].drop_duplicates())


def _gap(items, evaluation):
    """qa - article for every fact trained in both formats."""
    table = stats.per_fact(items, evaluation).reindex(columns=["article", "qa"])
    return (table["qa"] - table["article"]).dropna()


def _words_less_numbers(scores):
    """categorical - numeric for every entity that has both, indexed by FACT with info "both"."""
    table = scores.rename("score").reset_index()
    table["fact"] = table["fact"].str.split("/").str[1]
    wide = table.pivot(index=["entity", "seed", "fact"], columns="info", values="score").reindex(columns=INFOS).dropna()
    differences = (wide["categorical"] - wide["numeric"]).rename("score").reset_index().assign(info="both")
    return differences.set_index(FACT)["score"]


def _rows(claim, contrast, sources, *arms):
    """The row of a contrast of these arms, in a list; none where an arm has no facts."""
    return [_row(claim, contrast, sources, stats.contrast(*arms))] if all(len(arm) for arm in arms) else []


def _row(claim, contrast, sources, found):
    """A row of claims.json. `sources` are the items of the cells that the contrast is made of.

    `recall` is that of the trained prompts, of the format that has least: below it, nothing says anything.
    """
    recall = sources[sources["eval"] == "recall"].astype({"strict": float}).groupby("format")["strict"].mean()
    return {
        "claim": claim,
        "contrast": contrast,
        "estimate": round(found.estimate, 4),
        "ci95": [round(float(found.low), 4), round(float(found.high), 4)],
        "cells": int(sources["id"].nunique()),
        "seeds": int(sources["seed"].nunique()),
        "facts": found.facts,
        "effective_facts": round(found.effective, 1),
        "recall": round(float(recall.min()), 3) if len(recall) else None,
        "verdict": stats.verdict(found.low, found.high),
    }
