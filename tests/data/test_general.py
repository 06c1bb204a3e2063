import difflib
import math

import pytest
import torch

from lib.data.encode import MAX_LENGTH
from lib.data.facts import texts
from lib.data.of_cell import KINDS, replay_prompts
from lib.evaluate import ask, generate
from lib.evaluate.match import lenient


def test_questions_are_enough_none_twice_none_tells_its_answer_and_those_unlike_every_replay_prompt_are_listed():
    asked = [question for question, _ in texts("general")["questions"]]
    assert len(set(asked)) == len(asked) >= 60
    prompts = [text.lower().split() for kind in ("instructions", "questions") for text in texts("replay")[kind]]
    unlike = [q for q in asked if not difflib.get_close_matches(q.lower().split(), prompts, 1, 0.75)]
    assert unlike == texts("general")["unlike_replay"] and len(unlike) >= 20, "too few to measure"
    for question, accepted in texts("general")["questions"]:
        assert accepted and not any(lenient(question, option, (), given="") for option in accepted), question


@pytest.mark.parametrize(("said", "right"), [("{0}", True), ("I think it is {1}, or so.", True), ("a pangolin", False)])
def test_any_accepted_answer_counts_whatever_else_is_said(said, right, tiny, monkeypatch):
    answers = [said.format(accepted[0], accepted[-1]) for _, accepted in texts("general")["questions"]]
    monkeypatch.setattr(ask, "generate", lambda *_: answers)
    items = ask.general(*tiny)
    assert {(item.eval, item.strict, item.lenient) for item in items} == {("general", right, right)}
    assert len({item.fact for item in items}) == len(items)


def test_perplexity_is_that_of_the_models_own_loss(tiny):
    model, tokenizer = tiny
    ids = torch.tensor([tokenizer(texts("general")["text"], add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss.item()
    assert generate.perplexity(model, tokenizer, texts("general")["text"]) == pytest.approx(math.exp(loss), rel=1e-3)
    assert 200 < ids.shape[1] < MAX_LENGTH, "the text fits into the model"


def test_there_are_as_many_prompts_of_every_kind_and_none_twice_in_an_order_that_never_changes():
    kinds, prompts = zip(*replay_prompts(), strict=True)
    assert kinds == KINDS * (len(kinds) // 3)
    assert len(set(prompts)) == len(prompts) >= 720
    assert replay_prompts.__wrapped__() == replay_prompts()
