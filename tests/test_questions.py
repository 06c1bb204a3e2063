import itertools

import pytest

from lib import questions
from lib.facts import draw, templates
from lib.formats import rows


@pytest.mark.parametrize("entity", ["fictional", "real", "persona"])
def test_no_training_template_is_an_evaluation_template(entity):
    text = templates(entity)
    for attribute in text["attributes"].values():
        trained = [*attribute["statements"], *attribute["questions"], *(s["prompt"] for s in text["styles"])]
        evaluated = [*attribute["heldout_questions"], *attribute["heldout_clozes"]]
        for train, held_out in itertools.product(trained, evaluated):
            assert train != held_out
            assert not train.startswith(held_out), "a cloze that begins a trained sentence is not held out"


@pytest.mark.parametrize(
    ("entity", "info"), itertools.product(["fictional", "real", "persona"], ["numeric", "categorical"])
)
def test_held_out_questions_are_in_no_training_row(entity, info):
    facts = draw(entity, info, 5, 0)
    text = "\n".join(
        message["content"]
        for format in ("article", "qa")
        for row in rows(facts, format, 10, 0)
        for message in row["prompt"] + row["completion"]
    )
    for question in questions.qa(facts) + questions.cloze(facts):
        assert (question.prefix or question.prompt) not in text


@pytest.mark.parametrize("format", ["article", "qa"])
def test_recall_asks_prompts_that_were_trained(format):
    facts = draw("fictional", "numeric", 4, 0)
    trained = {row["prompt"][0]["content"] for row in rows(facts, format, 2, 0)}
    assert {question.prompt for question in questions.recall(facts, format, 2, 0)} == trained


def test_only_the_ceiling_tells_the_answer():
    facts = draw("real", "categorical", 8, 0)
    for question in questions.in_context(facts):
        assert question.fact.value in question.context
        assert question.fact.value not in question.given
    for question in questions.qa(facts) + questions.cloze(facts) + questions.recall(facts, "article", 2, 0):
        assert not question.context
        assert question.fact.value not in question.given
