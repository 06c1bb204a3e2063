import math

import pytest
import torch

from lib.evaluate import general
from lib.train.sft import MAX_LENGTH


def test_there_are_questions_enough_and_none_twice():
    asked = [question for question, _ in general.data()["questions"]]
    assert len(set(asked)) == len(asked) >= 60
    assert all(accepted for _, accepted in general.data()["questions"])


def test_no_question_tells_its_answer():
    from lib.evaluate.match import lenient

    for question, accepted in general.data()["questions"]:
        assert not any(lenient(question, option, (), given="") for option in accepted), question


@pytest.mark.parametrize(
    "said", [lambda accepted: accepted[0], lambda accepted: f"I think it is {accepted[-1]}, or not."]
)
def test_any_accepted_answer_counts_whatever_else_is_said(said, tiny, monkeypatch):
    right = [said(accepted) for _, accepted in general.data()["questions"]]
    monkeypatch.setattr(general, "generate", lambda *_: right)
    items = general.ask(*tiny)
    assert all(item.strict and item.lenient for item in items)
    assert {item.eval for item in items} == {"general"} and len({item.fact for item in items}) == len(items)


def test_another_answer_does_not_count(tiny, monkeypatch):
    monkeypatch.setattr(general, "generate", lambda _, __, prompts, ___: ["a pangolin"] * len(prompts))
    assert not any(item.strict or item.lenient for item in general.ask(*tiny))


def test_perplexity_is_that_of_the_models_own_loss(tiny):
    model, tokenizer = tiny
    ids = torch.tensor([tokenizer(general.data()["text"], add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss.item()
    assert general.perplexity(model, tokenizer) == pytest.approx(math.exp(loss), rel=1e-3)
    assert general.perplexity(model, tokenizer) > 1000  # random weights


def test_the_text_fits_into_the_model(tiny):
    assert 200 < len(tiny[1](general.data()["text"])["input_ids"]) < MAX_LENGTH


def test_questions_that_replay_asks_in_nearly_the_same_words_are_told_apart():
    unlike = general.unlike_replay()
    asked = {question for question, _ in general.data()["questions"]}
    assert unlike < asked
    assert "What is the capital of France?" not in unlike  # replay asks for the capital of Finland
    assert "Who developed the theory of relativity?" in unlike
    assert len(unlike) >= 20, "too few to measure"
