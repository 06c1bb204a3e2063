"""How often the scorer errs: answers drawn for a person to judge, and what the person found."""

from pathlib import Path

import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from lib.errors import UserError
from lib.report import intervals, parts
from lib.study import store

EVALS = ("question", "completion", "reverse", "reasoning", "reasoning_cot")
EACH = 20  # answers of an evaluation that the scorer took as right, and as many that it took as wrong
KEYS = ["id", "eval", "question", "expected", "answer"]


def path(study: str) -> Path:
    """The file of a study's answers with the reader's judgement."""
    return store.study_dir(study) / "read.csv"


def draw(results: list[dict], seed: int = 0) -> pd.DataFrame:
    """Answers of trained models with an empty column `right`, for a person to write 1 or 0 into.

    Of each evaluation up to EACH that the scorer took as right and EACH that it took as wrong. The scores are left out
    and the rows shuffled, so that the reader does not know them.
    """
    asked = _asked(results)
    picked = asked.groupby(["eval", "strict"]).sample(frac=1, random_state=seed)
    picked = picked.groupby(["eval", "strict"]).head(EACH).sample(frac=1, random_state=seed)
    return picked[KEYS].assign(right="")


def errors(study: str, results: list[dict]) -> pd.DataFrame | None:
    """By evaluation and score: how many answers were read, and the share that the reader judged otherwise, with a 95 %
    interval (Wilson); None where nobody has read any.

    Raises UserError where an answer is not judged, or is not one of these results.
    """
    if not path(study).exists():
        return None
    read = pd.read_csv(path(study), dtype=str, keep_default_na=False)
    if not read["right"].isin(["0", "1"]).all():
        raise UserError(f"{path(study)}: every answer needs 1 (right) or 0 (wrong) in the column `right`")
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
