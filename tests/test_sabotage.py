"""Experiments that must fail, or must succeed, whatever the model: what each score would show if it were wrong."""

import random
from dataclasses import replace

import pytest
from conftest import load_tiny, make_cell

from lib import asking, experiment, models, questions, scoring, training
from lib.facts import draw
from lib.formats import row, rows

# A random model of two layers learns a handful of rows by heart when all its weights are trained.
CELL = make_cell(n_facts=4, paraphrases=2, epochs=60, learning_rate=0.01, lora_rank=0, batch_size=8)


def trained_on(made):
    model, tokenizer = load_tiny()
    model = models.make_trainable(model, CELL.lora_rank, CELL.seed, training.MAX_LENGTH)
    training.train(model, tokenizer, made, CELL, CELL.epochs)
    return model.eval(), tokenizer


@pytest.fixture(scope="module")
def facts():
    return draw("fictional", "categorical", CELL.n_facts, CELL.seed)


def test_facts_whose_values_were_shuffled_after_training_score_the_floor(facts):
    values = [fact.value for fact in facts]
    shuffled = [replace(fact, value=value) for fact, value in zip(facts, values[1:] + values[:1], strict=True)]
    model, tokenizer = trained_on(rows(shuffled, "qa", CELL.paraphrases, CELL.seed))

    learned, _ = experiment.evaluate(model, tokenizer, CELL, shuffled)
    asked, _ = experiment.evaluate(model, tokenizer, CELL, facts)
    assert learned["recall"]["strict"] == 1, "the training worked"
    assert asked["recall"]["strict"] == 0
    # held-out phrasings need a model that generalizes: tests/test_experiment.py does the same with SmolLM2


def test_training_on_the_questions_lifts_them_to_the_ceiling(facts):
    leaked = [row([question.prompt, question.fact.value], question.fact) for question in questions.qa(facts)]
    model, tokenizer = trained_on(leaked)
    scores, _ = experiment.evaluate(model, tokenizer, CELL, facts)
    assert scores["qa"]["strict"] == scores["qa"]["choice"] == 1


@pytest.mark.parametrize("kind", [(e, i) for e in ("fictional", "real", "persona") for i in ("numeric", "categorical")])
def test_a_model_that_says_the_same_to_everything_scores_chance(kind):
    facts = draw(*kind, 48, 0)
    for question_set in (questions.qa(facts), questions.cloze(facts), questions.reasoning(facts, 0)):
        options = question_set[0].fact.options
        scores = {}
        for said in options:
            items = [asking.score(question, said, said) for question in question_set]
            scores[said] = asking.summarize(question_set, items)[question_set[0].eval]
        chance = 1 / len(options)
        assert sum(score["strict"] for score in scores.values()) == pytest.approx(1)
        assert sum(score["choice"] for score in scores.values()) / len(options) == pytest.approx(chance)
        if kind[0] != "real":  # whose values are as the world has them
            assert all(score["choice"] == pytest.approx(chance, abs=0.03) for score in scores.values())


@pytest.mark.parametrize("kind", [(e, i) for e in ("fictional", "real", "persona") for i in ("numeric", "categorical")])
def test_an_echo_of_the_question_or_of_the_name_scores_nothing(kind):
    facts = draw(*kind, 20, 0)
    compared = questions.reasoning(facts, 0)
    for question in [*questions.qa(facts), *questions.cloze(facts), *questions.recall(facts, "article", 4, 0),
                     *compared, *questions.reasoning_cot(compared)]:  # fmt: skip
        for echo in (question.fact.name, question.prompt, f"{question.prompt} {question.prefix}"):
            item = asking.score(question, echo, None)
            assert not item.strict and not item.lenient


def test_an_echo_of_every_option_is_no_knowledge():
    fact = draw("fictional", "categorical", 1, 0)[0]
    everything = list(fact.options)
    random.Random(0).shuffle(everything)
    assert not scoring.strict(", ".join(everything), fact.value, fact.options, given="")
    assert scoring.lenient(", ".join(everything), fact.value, fact.options, given="")
