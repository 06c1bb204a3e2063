"""One rule for which format to take, with the truth planted."""

import pytest
import simulation
from simulation import main_part, shares

from lib.report import scores, tables

pytestmark = pytest.mark.usefixtures("few_resamples")


def recommended(planted, cells=None):
    return tables.recommend(scores.frames(simulation.results(cells or main_part(), planted)))


def wrecked(*formats):
    planted = shares()
    return lambda c, e, i: 0.1 if e == "general" and c.format in formats else planted(c, e, i)


def test_the_format_that_answers_most_is_recommended_and_said_to_be_ahead():
    chosen, why = recommended(shares())
    assert chosen == "qa" and why.startswith("Train on the format QA: it answers 0.9")
    assert "The models keep 0.9" in why


def test_a_format_whose_models_are_wrecked_is_named_and_not_recommended():
    chosen, why = recommended(
        lambda c, e, i: 0.6 if c.format == "article" and e == "question" else wrecked("qa")(c, e, i)
    )
    assert chosen == "article" and "QA answers" in why and "are wrecked" in why
    chosen, why = recommended(wrecked("qa", "article"))
    assert chosen is None and "the models of every format are wrecked" in why


def test_of_formats_that_cannot_be_told_apart_the_one_with_fewest_tokens_is_taken():
    cells = main_part(("none", "article", "qa"))
    results = simulation.results(cells, shares(qa=0.8, article=0.8))
    for result in results:
        if result["cell"]["format"] == "article":
            result["training"]["tokens"] *= 2
    chosen, why = tables.recommend(scores.frames(results))
    assert chosen == "qa" and "cannot be told apart" in why and "takes the fewest tokens" in why


def test_nothing_is_recommended_that_answers_less_than_half_or_has_no_base_model_beside_it():
    chosen, why = recommended(shares(qa=0.3, article=0.1))
    assert chosen is None and why.startswith("No format taught enough")
    assert recommended(shares(), main_part(("qa", "article")))[0] is None


def test_formats_are_compared_on_the_facts_that_all_were_taught():
    def easier(cell, evaluation, info):  # the second seed is easy, and only articles have it
        return 0.95 if cell.seed == 1 and cell.format != "none" else shares(qa=0.8, article=0.5)(cell, evaluation, info)

    cells = main_part(("none", "article"), seeds=(0, 1)) | main_part(("qa",), seeds=(0,))
    assert recommended(easier, cells)[0] == "qa"


def test_a_question_in_which_the_value_stands_is_left_out():
    results = simulation.results(main_part(("none", "qa"), seeds=(0,)), shares())
    every = len(tables.scored(scores.items(results)))
    item = next(item for item in results[-1]["items"] if item["eval"] == "question")
    item["question"] += f" ({item['expected']})"
    assert len(tables.scored(scores.items(results))) == every - 1
