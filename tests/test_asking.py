import itertools

import numpy as np
import pytest
import torch

from lib import asking, questions
from lib.facts import draw
from lib.formats import rows


@pytest.fixture(scope="module")
def asked():
    facts = draw("real", "categorical", 5, 0) + draw("fictional", "numeric", 5, 0)
    return questions.qa(facts) + questions.cloze(facts)


@pytest.fixture(scope="module", params=["tiny", "smollm2-135m"])
def model(request):
    from lib import models

    loaded, tokenizer = models.load(request.param, 256)
    return loaded.float().eval(), tokenizer


def test_a_batch_and_one_by_one_give_the_same_answers(model, asked):
    prompts = [asking.encode(model[1], question) for question in asked[::7]]
    together = asking.generate(*model, prompts, batch_size=32)
    alone = asking.generate(*model, prompts, batch_size=1)
    assert together == alone
    assert len(set(together)) > 1


def test_cached_option_scores_equal_a_forward_pass_over_each_whole_string(model, asked):
    asked = asked[::12]
    prompts = [asking.encode(model[1], question) for question in asked]
    options = [asking.encode_options(model[1], question) for question in asked]
    cached = asking.option_logprobs(*model, prompts, options)
    whole = asking.whole_string_logprobs(*model, prompts, options)
    assert np.array(cached) == pytest.approx(np.array(whole), abs=2e-3)


def test_a_whole_string_score_is_the_sum_over_the_tokens_of_the_option(tiny, asked):
    model, tokenizer = tiny
    prompt, options = asking.encode(tokenizer, asked[0]), asking.encode_options(tokenizer, asked[0])
    scores = asking.whole_string_logprobs(model, tokenizer, [prompt], [options])[0]
    for option, score in zip(options, scores, strict=True):
        with torch.inference_mode():
            logprobs = model(input_ids=torch.tensor([prompt + option])).logits.float().log_softmax(-1)[0]
        assert score == pytest.approx(
            sum(logprobs[len(prompt) + j - 1, token].item() for j, token in enumerate(option)), abs=1e-3
        )


def test_items_come_in_the_order_of_the_questions(tiny, asked):
    items = asking.ask(*tiny, asked)
    assert [(item.eval, item.fact) for item in items] == [(question.eval, question.fact.id) for question in asked]


def test_a_cloze_is_judged_by_the_sentence_it_completes():
    question = questions.cloze(draw("fictional", "numeric", 1, 0))[0]
    value = question.fact.value
    assert asking.score(question, f"{value}. It has 99 houses.", None).strict
    assert not asking.score(question, f"99. It has {value} houses.", None).lenient
    assert not asking.score(question, f"{value}.5 miles long", None).lenient


def test_a_model_that_always_says_one_value_scores_chance():
    facts = draw("fictional", "categorical", 16, 0)
    asked = questions.qa(facts)
    items = [asking.score(question, "pewter", "pewter") for question in asked]
    summary = asking.summarize(asked, items)["qa"]
    assert summary == dict(n=32, strict=1 / 16, lenient=1 / 16, choice=1 / 16, chance=1 / 16, constant=1 / 16)
    assert asking.summarize(asked[:8], items[:8])["qa"]["constant"] == 1 / 4


def test_recall_of_an_article_has_no_choice_score(tiny):
    facts = draw("fictional", "categorical", 2, 0)
    asked = questions.recall(facts, "article", 1, 0)
    assert asking.summarize(asked, asking.ask(*tiny, asked))["recall"]["choice"] is None


def test_the_longest_article_fits_into_the_tokens_of_an_answer(tiny):
    for entity in ("fictional", "real", "persona", "airport"):
        for info in ("numeric", "categorical"):
            for row in rows(draw(entity, info, 60, 0), "article", 10, 0):
                completion = row["completion"][0]["content"]
                assert len(tiny[1](completion)["input_ids"]) < asking.MAX_NEW_TOKENS


def test_an_answer_has_room_for_two_articles_and_a_conclusion(tiny):
    for entity, info in itertools.product(("fictional", "real", "persona", "airport"), ("numeric", "categorical")):
        told = [row["completion"][0]["content"] for row in rows(draw(entity, info, 30, 0), "article", 10, 0)]
        lengths = sorted(len(tiny[1](f"{text} ")["input_ids"]) for text in told)
        assert 2 * lengths[-1] + 20 < asking.MAX_NEW_TOKENS_REASONING
        worked = [row["completion"][0]["content"] for row in rows(draw(entity, info, 30, 0), "reasoning", 10, 0)]
        assert max(len(tiny[1](text)["input_ids"]) for text in worked) < asking.MAX_NEW_TOKENS_REASONING
