"""The paper's claims C1 to C6 as contrasts of our results, each positive where the paper is right.

The paper gives statements, not estimands: which contrast stands for which statement is our choice.
"""

import itertools

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
# A real event counts as harder than a style when it falls short by more than this (our margin).
MARGIN = 0.1


def claims(items: pd.DataFrame) -> list[dict]:
    """The rows of claims.json that these items can decide."""
    compared = compare.main(items)
    if compared.empty or not {"article", "qa"} <= set(compared["format"]):
        return []
    return [
        *format_rows("C1", compared),
        *number_rows("C2", compared),
        *reasoning_rows("C3", compared),
        *control_rows(items),
        *entity_rows(items),
        *walk_rows(items, compare.walk(items)),
    ]


def format_rows(claim: str, compared: pd.DataFrame) -> list[dict]:
    """Do questions teach better than articles?"""
    gap = _gap(compared, "qa")
    strict = "held-out question, strict"
    return [
        _row(compared, claim, f"qa - article, {strict}", gap),
        _row(compared, claim, "qa - article, held-out cloze, strict", _gap(compared, "cloze")),
        *(_row(compared, claim, f"qa - article, {strict}, {info} facts", _of(gap, info)) for info in INFOS),
    ]


def number_rows(claim: str, compared: pd.DataFrame) -> list[dict]:
    """Are numbers harder, and harder in articles than in questions?"""
    question, gap = stats.per_fact(compared, "qa"), _gap(compared, "qa")
    strict = "held-out question, strict"
    rows = []
    for format in ("article", "qa"):
        arms = [_of(question[format].dropna(), info) for info in INFOS]
        rows.append(_row(compared, claim, f"categorical - numeric, {strict}, {format} format", *arms, formats=[format]))
    arms = [_of(gap, info) for info in reversed(INFOS)]
    return [*rows, _row(compared, claim, f"(qa - article | numeric) - (qa - article | categorical), {strict}", *arms)]


def reasoning_rows(claim: str, compared: pd.DataFrame) -> list[dict]:
    """Is a comparison of two facts harder than the facts themselves, for a model that recalls both?"""
    rows = []
    scored = "both facts recalled, closed set corrected for chance"
    context = compared[(compared["format"] == "none") & (compared["eval"] == "reasoning_in_context")]
    for format in ("article", "qa", "reasoning"):
        both = compare.reasoning(compared[compared["format"] == format])
        both = both[both["recalled"] & (both["eval"] == "reasoning")]
        if both.empty:
            continue
        know = stats.per_fact(compared, "qa", "corrected")[format]
        asked = both.set_index(FACT)["corrected"]
        what = f"question - reasoning, {scored}, {format} format"
        rows.append(_row(compared, claim, what, know.reindex(asked.index) - asked, formats=[format]))
        # what the untrained model can do with the two facts before it, on the kinds of fact that this format has
        told = context.merge(both[stats.STRATUM].drop_duplicates()).set_index(FACT)["corrected"]
        if format == "reasoning" and len(told):
            what = f"reasoning in the prompt, untrained - reasoning, {scored}, {format} format"
            rows.append(_row(compared, claim, what, told, asked, formats=[format, "none"]))
    return rows


def control_rows(items: pd.DataFrame) -> list[dict]:
    """C1 to C3 again at every other amount, number of paraphrases and budget."""
    rows = []
    for name, changes in compare.variants(items):
        there = compare.at(items, **changes)
        made = [format_rows("C4", there)[0]]
        if set(INFOS) <= set(there["info"]):
            made += [number_rows("C4", there)[0]]
        made += reasoning_rows("C4", there)[-1:]
        rows += [{**row, "contrast": f"{name}: {row['contrast']}"} for row in made]
    matched = compare.at(items, budget="tokens")
    if not matched.empty:
        pooled = pd.concat([matched[matched["format"] == "qa"], compare.at(items).query("format == 'article'")])
        row = _row(pooled, "C4", "same tokens: qa - article, held-out question, strict", _gap(pooled, "qa"))
        rows.append(row)
    best = compare.best_articles(items)
    if not best.empty:
        pooled = pd.concat([best, compare.at(items).query("format == 'qa'")])
        what = "articles at their best rank and learning rate: qa - article, held-out question, strict"
        rows.append(_row(pooled, "C4", what, _gap(pooled, "qa")))
    return rows


def entity_rows(items: pd.DataFrame) -> list[dict]:
    """Does the format matter more than the kind of entity, and is an event as easy as a style?"""
    compared, rows = compare.main(items), []
    question = stats.per_fact(compared, "qa")[["article", "qa"]].dropna()
    gap, level = question["qa"] - question["article"], question.mean(axis=1)
    entity = question.index.get_level_values("entity")
    for other in ("fictional", "persona"):
        if {other, "real"} <= set(entity):
            # (qa - article) of both kinds, less (other - real), as a difference of two independent arms of facts
            plus = (gap / 2 - level)[entity == other]
            minus = -(gap / 2 + level)[entity == "real"]
            what = f"(qa - article) - ({other} - real), held-out question, strict"
            rows.append(_row(compared, "C5", what, plus, minus))
    event = compare.kind(compared, "real", "categorical", "qa", "qa", "corrected")
    style = compare.style_scores(items)
    if len(style) and len(event):
        what = f"real event in qa - style + margin {MARGIN}, closed set corrected for chance"
        rows.append(_row(_with_tones(items), "C5", what, event + MARGIN, style, formats=["qa", "chat"]))
    return rows


def walk_rows(items: pd.DataFrame, stations: list[compare.Station]) -> list[dict]:
    """The whole gap, what is left of it without its largest step, and each step."""
    if not stations:
        return []
    relevant, formats = _with_tones(items), ["chat", "article"]
    rows = [
        _row(relevant, "C6", f"step: [{a.name}] - [{b.name}]", a.closed, b.closed, formats=formats)
        for a, b in itertools.pairwise(stations)
    ]
    total = _row(relevant, "C6", "style - knowledge", stations[0].closed, stations[-1].closed, formats=formats)
    rng = np.random.default_rng(0)
    left = _without_largest_step(np.array([stats.resampled_means(station.closed, rng) for station in stations]))
    low, high = np.quantile(left, [0.025, 0.975])
    rest = {
        **total,
        "contrast": "style - knowledge, without the largest step",
        "estimate": round(float(_without_largest_step(np.array([s.closed.mean() for s in stations]))), 4),
        "ci95": [round(float(low), 4), round(float(high), 4)],
        "verdict": stats.verdict(low, high),
    }
    return [total, rest, *rows]


def _without_largest_step(means):
    """Of means along the first axis: the drop from first to last, less the largest drop from one to the next."""
    return means[0] - means[-1] - (means[:-1] - means[1:]).max(axis=0)


def _with_tones(items):
    return pd.concat([compare.main(items), items[items["info"] == "tone"]])


def _gap(items, evaluation):
    """qa - article for every fact trained in both formats."""
    table = stats.per_fact(items, evaluation)
    return (table["qa"] - table["article"]).dropna()


def _of(series, info):
    return series[series.index.get_level_values("info") == info]


def _row(items, claim, contrast, *arms, formats=("article", "qa")):
    found = stats.contrast(*arms)
    trained = items[items["format"].isin(formats)].set_index(FACT)
    facts = pd.concat(arms).index
    return {
        "claim": claim,
        "contrast": contrast,
        "estimate": round(found.estimate, 4),
        "ci95": [round(found.low, 4), round(found.high, 4)],
        "cells": int(trained.loc[trained.index.isin(facts), "id"].nunique()),
        "facts": found.facts,
        "effective_facts": round(found.effective, 1),
        "verdict": stats.verdict(found.low, found.high),
    }
