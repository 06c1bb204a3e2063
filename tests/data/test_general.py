import math

import pytest
import torch

from lib.data.encode import MAX_LENGTH
from lib.data.facts import texts
from lib.data.general import KINDS, replay_prompts, unlike_replay
from lib.evaluate import ask, generate


def test_there_are_questions_enough_and_none_twice():
    asked = [question for question, _ in texts("general")["questions"]]
    assert len(set(asked)) == len(asked) >= 60
    assert all(accepted for _, accepted in texts("general")["questions"])


def test_no_question_tells_its_answer():
    from lib.evaluate.match import lenient

    for question, accepted in texts("general")["questions"]:
        assert not any(lenient(question, option, (), given="") for option in accepted), question


@pytest.mark.parametrize(
    "said", [lambda accepted: accepted[0], lambda accepted: f"I think it is {accepted[-1]}, or not."]
)
def test_any_accepted_answer_counts_whatever_else_is_said(said, tiny, monkeypatch):
    right = [said(accepted) for _, accepted in texts("general")["questions"]]
    monkeypatch.setattr(ask, "generate", lambda *_: right)
    items = ask.general(*tiny)
    assert all(item.strict and item.lenient for item in items)
    assert {item.eval for item in items} == {"general"} and len({item.fact for item in items}) == len(items)


def test_another_answer_does_not_count(tiny, monkeypatch):
    monkeypatch.setattr(ask, "generate", lambda _, __, prompts, ___: ["a pangolin"] * len(prompts))
    assert not any(item.strict or item.lenient for item in ask.general(*tiny))


def test_perplexity_is_that_of_the_models_own_loss(tiny):
    model, tokenizer = tiny
    ids = torch.tensor([tokenizer(texts("general")["text"], add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss.item()
    assert generate.perplexity(model, tokenizer, texts("general")["text"]) == pytest.approx(math.exp(loss), rel=1e-3)
    assert generate.perplexity(model, tokenizer, texts("general")["text"]) > 1000  # random weights


def test_the_text_fits_into_the_model(tiny):
    assert 200 < len(tiny[1](texts("general")["text"])["input_ids"]) < MAX_LENGTH


def test_questions_that_replay_asks_in_nearly_the_same_words_are_told_apart():
    unlike = unlike_replay()
    asked = {question for question, _ in texts("general")["questions"]}
    assert unlike < asked
    assert "What is the capital of France?" not in unlike  # replay asks for the capital of Finland
    assert "Who developed the theory of relativity?" in unlike
    assert len(unlike) >= 20, "too few to measure"


def test_there_are_as_many_prompts_of_every_kind_and_none_twice():
    kinds = [kind for kind, _ in replay_prompts()]
    texts = [text for _, text in replay_prompts()]
    assert kinds[:6] == ["instructions", "questions", "prose"] * 2
    assert len(set(texts)) == len(texts) >= 720
    assert {kinds.count(kind) for kind in KINDS} == {len(kinds) // 3}


def test_prompts_come_in_an_order_that_never_changes():
    first = replay_prompts()[:3]
    replay_prompts.cache_clear()
    assert replay_prompts()[:3] == first
