"""How often the scorer errs: answers drawn for a reader to judge, and what the reader found.

An answer is right if it states the expected value and no other value of its kind. Of a completion the first sentence
counts, of a chain of thought (reasoning_cot) its conclusion.
"""

import csv
from pathlib import Path

import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from lib.paths import UserError
from lib.report import intervals, parts
from lib.study import store

EVALS = ("question", "completion", "reverse", "reasoning", "reasoning_cot", "general")
EACH = 15  # answers of an evaluation that the scorer took as right, and as many that it took as wrong
KEYS = ["id", "eval", "question", "expected", "answer"]


def path(study: str) -> Path:
    """The file of a study's answers with the reader's judgement."""
    return store.study_dir(study) / "read.csv"


def draw(study: str, seed: int = 0) -> int:
    """Write answers of a study's trained models to read.csv, for a reader to write 1 or 0 into its column `right`;
    how many they are.

    Of each evaluation up to EACH that the scorer took as right and EACH that it took as wrong, of all formats alike.
    The scores are left out and the rows shuffled, so that the reader does not know them. Raises UserError if the file
    is there already, or there is nothing to read.
    """
    if path(study).exists():
        raise UserError(f"{path(study)} is there already: move it away first")
    asked = _asked(store.load(study))
    if asked.empty:
        raise UserError(f"{study} has no answers of trained models yet")
    picked = asked.sample(frac=1, random_state=seed).groupby(["eval", "strict"]).head(EACH)
    picked = picked.sample(frac=1, random_state=seed)[KEYS].assign(right="")
    store.write_text(path(study), picked.to_csv(index=False, quoting=csv.QUOTE_ALL))
    return len(picked)


def errors(study: str, results: list[dict]) -> pd.DataFrame | None:
    """By evaluation and score: how many answers were read, and the share that the reader judged otherwise, with a 95 %
    interval (Wilson); None as long as an answer of read.csv is not judged.

    Raises UserError where an answer is not one of these results.
    """
    if not path(study).exists():
        return None
    read = pd.read_csv(path(study), dtype=str, keep_default_na=False)
    if not read["right"].isin(["0", "1"]).all():
        return None
    judged = read.merge(_asked(results), on=KEYS, how="left")
    if judged["strict"].isna().any():
        raise UserError(f"{path(study)} has answers that are not in the results: draw others with `python -m lib read`")
    rows = []
    for (evaluation, strict), of in judged.groupby(["eval", "strict"], sort=False):
        otherwise = (of["right"].astype(int) != strict).sum()
        low, high = proportion_confint(otherwise, len(of), method="wilson")
        shown = intervals.shown(otherwise / len(of), low, high)
        rows.append([evaluation, "right" if strict else "wrong", len(of), shown])
    table = pd.DataFrame(rows, columns=["evaluation", "scored", "read", "judged otherwise"])
    return table.sort_values(["evaluation", "scored"], ignore_index=True)


def _asked(results):
    """The answers of trained models that may be drawn, each once."""
    asked = parts.items(results)
    asked = asked[asked["eval"].isin(EVALS) & (asked["format"] != "none")].drop_duplicates(KEYS)
    return asked[[*KEYS, "strict"]].astype({"strict": int})
