"""Answers for a person to judge, and what the judgements say of the scorer."""

import pandas as pd
import pytest
import simulation
from simulation import shares

from lib.errors import UserError
from lib.report import parts, scorer
from lib.study.grid import load_grid


@pytest.fixture
def results(study):
    """The base model and one trained model, which answers half of what it is asked."""
    cells = {cell: part for cell, part in load_grid("cpu").items() if cell.seed == 0 and cell.evals == "all"}
    kept = {cell: part for cell, part in cells.items() if cell.format in ("none", "qa") and cell.entity == "fictional"}
    return simulation.study(study, kept, shares(qa=0.5))


def judge(study, drawn, results, flip=()):
    """Write the file as a reader would who agrees with the scorer, but for the rows to flip."""
    scored = parts.items(results).drop_duplicates(scorer.KEYS)[[*scorer.KEYS, "strict"]]
    right = drawn.drop(columns="right").merge(scored, on=scorer.KEYS)["strict"].astype(int)
    right = [1 - value if i in flip else value for i, value in enumerate(right)]
    drawn.assign(right=right).to_csv(scorer.path(study), index=False)


def test_answers_of_each_evaluation_and_score_are_drawn_and_their_scores_not_told(results):
    drawn = scorer.draw(results)
    assert list(drawn) == [*scorer.KEYS, "right"] and not drawn["right"].any()
    scored = drawn.merge(parts.items(results).drop_duplicates(scorer.KEYS), on=scorer.KEYS)
    assert (scored["format"] != "none").all() and set(scored["eval"]) == set(scorer.EVALS)
    counts = scored.groupby(["eval", "strict"]).size()
    assert counts["completion"].tolist() == [scorer.EACH] * 2 and counts.max() == scorer.EACH
    assert not drawn["eval"].is_monotonic_increasing
    pd.testing.assert_frame_equal(drawn, scorer.draw(results))


def test_what_the_reader_judges_otherwise_is_counted_by_evaluation_and_score(study, results):
    assert scorer.errors(study, results) is None
    drawn = scorer.draw(results)
    judge(study, drawn, results)
    agreed = scorer.errors(study, results)
    assert agreed["judged otherwise"].str.startswith("0.00 [0.00").all() and agreed["read"].sum() == len(drawn)

    at = drawn["eval"].tolist().index("completion")
    judge(study, drawn, results, flip=[at])
    errors = scorer.errors(study, results).set_index(["evaluation", "scored"])["judged otherwise"]
    changed = errors[~errors.str.startswith("0.00")]
    assert changed.tolist() == ["0.05 [0.01, 0.24]"] and changed.index[0][0] == "completion"


def test_answers_without_a_judgement_and_of_other_results_are_refused(study, results):
    drawn = scorer.draw(results)
    drawn.to_csv(scorer.path(study), index=False)
    with pytest.raises(UserError, match="every answer needs 1"):
        scorer.errors(study, results)
    judge(study, drawn, results)
    with pytest.raises(UserError, match="not in the results"):
        scorer.errors(study, results[:1])
