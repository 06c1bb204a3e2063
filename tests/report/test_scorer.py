"""Answers for a reader to judge, and what the judgements say of the scorer."""

import pandas as pd
import pytest
import simulation
from helpers import base_cell
from simulation import shares

from lib.paths import UserError
from lib.report import parts, scorer
from lib.study import store
from lib.study.grid import load_grid


@pytest.fixture
def results(study):
    """The base model and one trained model, which answers half of what it is asked."""
    cells = {cell: part for cell, part in load_grid("cpu").items() if cell.seed == 0 and cell.evals == "all"}
    kept = {cell: part for cell, part in cells.items() if cell.format in ("none", "qa") and cell.entity == "fictional"}
    return simulation.study(study, kept, shares(qa=0.5))


def judge(study, results, flip=()):
    """Fill the file in as a reader would who agrees with the scorer, but for the rows to flip."""
    drawn = read(study)
    scored = parts.items(results).drop_duplicates(scorer.KEYS)[[*scorer.KEYS, "strict"]]
    right = drawn.drop(columns="right").merge(scored, on=scorer.KEYS)["strict"].astype(int)
    right = [1 - value if i in flip else value for i, value in enumerate(right)]
    drawn.assign(right=right).to_csv(scorer.path(study), index=False)


def read(study):
    return pd.read_csv(scorer.path(study), dtype=str, keep_default_na=False)


def test_answers_of_each_evaluation_and_score_are_drawn_and_their_scores_not_told(study, results):
    n = scorer.draw(study)
    drawn = read(study)
    assert list(drawn) == [*scorer.KEYS, "right"] and not drawn["right"].any() and len(drawn) == n
    scored = drawn.merge(parts.items(results).drop_duplicates(scorer.KEYS), on=scorer.KEYS)
    assert (scored["format"] != "none").all() and set(scored["eval"]) == set(scorer.EVALS)
    counts = scored.groupby(["eval", "strict"]).size()
    assert counts["completion"].tolist() == [scorer.EACH] * 2 and counts.max() == scorer.EACH
    assert not drawn["eval"].is_monotonic_increasing
    with pytest.raises(UserError, match="is there already"):
        scorer.draw(study)
    scorer.path(study).unlink()
    scorer.draw(study)
    pd.testing.assert_frame_equal(drawn, read(study))


def test_what_the_reader_judges_otherwise_is_counted_by_evaluation_and_score(study, results):
    assert scorer.errors(study, results) is None
    n = scorer.draw(study)
    assert scorer.errors(study, results) is None  # nobody has judged them yet
    judge(study, results)
    agreed = scorer.errors(study, results)
    assert agreed["judged otherwise"].str.startswith("0.00 [0.00").all() and agreed["read"].sum() == n

    judge(study, results, flip=[read(study)["eval"].tolist().index("completion")])
    errors = scorer.errors(study, results).set_index(["evaluation", "scored"])["judged otherwise"]
    changed = errors[~errors.str.startswith("0.00")]
    assert changed.tolist() == ["0.07 [0.01, 0.30]"] and changed.index[0][0] == "completion"


def test_answers_of_other_results_are_refused(study, results):
    scorer.draw(study)
    judge(study, results)
    with pytest.raises(UserError, match="not in the results"):
        scorer.errors(study, results[:1])


def test_an_answer_is_kept_whatever_its_characters(study, results):
    path = next(
        path for path in (store.study_dir(study) / "experiments").glob("*.json") if store.read(path)["training"]
    )
    made = store.read(path)
    for item in made["items"]:
        item["answer"] = f'a "quoted" line,\r\n\ra lone return and a comma, {item["answer"]}'
    store.write_json(path, made)
    scorer.draw(study)
    judge(study, store.load(study))
    assert scorer.errors(study, store.load(study))["read"].sum() == len(read(study))


def test_a_study_of_base_models_has_nothing_to_read(study):
    simulation.study(study, {base_cell(): "main"}, shares())
    with pytest.raises(UserError, match="no answers of trained models"):
        scorer.draw(study)
