import itertools
from dataclasses import replace
from unittest import mock

import pytest
from helpers import ENTITIES, FORMATS, all_questions, profiles, recalled
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import formats, questions, reasoning
from lib.data.facts import Fact, texts
from lib.data.formats import rows
from lib.data.questions import Question
from lib.evaluate import ask
from lib.evaluate.generate import generate

kinds = st.tuples(st.sampled_from(ENTITIES), st.integers(4, 20), st.integers(0, 3))


def problem(kind, eval="reasoning"):
    asked = questions.two_facts(profiles("fictional", 8), 0, eval)
    return next(question for question in asked if question.kind == kind)


def strict(question, said):
    return ask.score(question, said, None).strict


def test_items_come_in_the_order_of_the_questions_with_their_scores(tiny):
    there = profiles("fictional", 2)
    asked = [*questions.completions(there), *questions.questions(there)[::3], *questions.in_context(there)[:3]]
    items = ask.ask(*tiny, asked, format="qa")
    assert [(item.eval, item.fact) for item in items] == [(question.eval, question.fact.id) for question in asked]
    for question, item in zip(asked, items, strict=True):
        assert (item.choice is None) == (question.eval != "question")
        assert item.expected == question.fact.value and item.info == question.fact.info
        assert all(part in item.question for part in (question.context, question.prompt, question.prefix))


def test_two_facts_have_more_room_when_they_are_recited_or_told(tiny):
    asked = [*(problem("which", f"reasoning{end}") for end in ("_cot", "_in_context", "")),
             questions.questions(profiles("fictional", 1))[0]]  # fmt: skip
    with mock.patch.object(ask, "generate", lambda _, __, prompts, room: [f"said in {room}"] * len(prompts)):
        answers = [item.answer for item in ask.ask(*tiny, asked)]
    assert answers == [f"said in {room}" for room in (ask.MAX_NEW_TOKENS_LONG, ask.MAX_NEW_TOKENS_LONG, 24, 24)]


def test_what_is_trained_fits_into_the_room_to_recite_and_a_statement_about_a_town_into_an_answer(tiny):
    worked = [row.turns[1] for n in ENTITIES for row in rows(profiles(n, 12), "worked", 10, 0) if len(row.told) == 2]
    stated = [turn for row in rows(profiles("fictional", 20), "chat", 10, 0) for turn in row.turns[3::2]]
    for said, room in ((worked, ask.MAX_NEW_TOKENS_LONG), (stated, ask.MAX_NEW_TOKENS)):
        assert max(map(len, tiny[1](said)["input_ids"])) <= room


@settings(max_examples=30)
@given(kinds, st.sampled_from(FORMATS))
def test_the_right_answer_scores_in_every_evaluation(kind, format):
    for question in all_questions(*kind) + questions.recall(profiles(*kind)[:10], format, kind[2]):
        item = ask.score(question, question.fact.value, question.fact.value)
        assert item.strict and item.lenient and item.choice, question


@settings(max_examples=15)
@given(kinds)
def test_an_echo_of_the_question_or_of_the_name_scores_nothing(kind):
    there = profiles(*kind)
    asked = [*questions.questions(there), *questions.completions(there), *questions.recall(there, "article", 0)]
    for question in [*asked, *questions.two_facts(there, kind[2])]:
        names = question.kind == "which"  # it names both, and one of them is right
        for echo in (question.prompt, f"{question.prompt} {question.prefix}", *[question.fact.name] * (not names)):
            item = ask.score(question, echo, None)
            assert not item.strict and (names or not item.lenient)


ASKED = {
    "which": problem("which"), "which recited": problem("which", "reasoning_cot"),
    "yes or no": problem("yes_no", "reasoning_cot"), "sum": problem("sum"),
    "sum recited": problem("sum", "reasoning_cot"), "reverse": questions.reverse(profiles("fictional", 8))[0],
    "completion": next(q for q in questions.completions(profiles("fictional", 1)) if q.fact.attribute == "bridges"),
}  # fmt: skip
SAID = {
    "strict": [
        ("which", "{0}."), ("which", "It is {0}"), ("which", "{0} has more than {1}. It is large."), ("sum", "{0}"),
        ("which recited", "{1} has 3 and {0} has 5. The answer: {0}."), ("reverse", "That is {0}."),
        ("which recited", "I know that {0} has more than {1}. Let me explain."),
        ("yes or no", "A has no harbour. A has 3, B has 2. So {0}, it has."),
        ("sum recited", "It has 10 and 20. The answer: {0}."), ("completion", "{0}. It has {1} houses."),
    ],
    "lenient": [("which", "{0} or {1}"), ("reverse", "{0} and {1}"),
                ("which recited", "The match went on with {1} and {0}.")],
    "wrong": [
        ("which", "{1}"), ("which", "{1} has more than {0}."), ("which recited", "I know that {1} has more than {0}."),
        ("which recited", "{0} has 3 and {1} has 5. The answer: {1}."), ("yes or no", "A has 3, B has 2."),
        ("yes or no", "{0}? A has 3, B has 4. {1}."), ("sum recited", "{0} was wrong. The answer: 1."),
        ("completion", "{1}. It has {0} houses."), ("completion", "{0}.5 miles long"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("asked", "said", "level"), [(*pair, level) for level in SAID for pair in SAID[level]])
def test_the_part_of_an_answer_that_answers_is_judged_and_the_whole_is_kept(asked, said, level):
    """Of a comparison what it says is more, of a completion its sentence, of what is recited the conclusion."""
    question = ASKED[asked]
    wrong = next((option for option in question.fact.options if option != question.fact.value), None)
    answer = said.format(question.fact.value, wrong)
    item = ask.score(question, answer, None)
    assert (item.strict, item.lenient, item.answer) == (level == "strict", level != "wrong", answer)
    assert item.chance == (None if "sum" in asked else 1 / len(question.fact.options))


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_worked_example_is_a_right_chain_of_thought(entity):
    there = profiles(entity, 10)
    asked = questions.two_facts(there, 0, "reasoning_cot")
    for question, p in zip(asked, reasoning.problems(there, 0), strict=True):
        assert strict(question, formats.worked(p).turns[1])


def test_asserting_a_value_of_an_unseen_entity_is_counted_and_a_tone_is_scored_across_models_alone():
    question = questions.unseen(profiles("fictional", 3))[0]
    said = f"It is {question.fact.options[0]}."
    assert not strict(question, said) and strict(question, "I do not know.")
    item = ask.score(questions.style("anxious")[0], said, None)
    assert item.strict is item.lenient is item.choice is ask.summarize([item])["style"]["strict"] is None


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_model_that_says_the_same_to_everything_scores_chance(entity):
    for info in ("words", "numbers"):
        asked = [question for question in questions.questions(profiles(entity, 48), 1) if question.fact.info == info]
        attribute = asked[0].fact.attribute
        asked = [question for question in asked if question.fact.attribute == attribute]
        options = sorted(set(itertools.chain.from_iterable(question.fact.options for question in asked)))
        scores = [ask.summarize([ask.score(q, said, said) for q in asked])["question"] for said in options]
        assert sum(score["strict"] for score in scores) == pytest.approx(1)
        assert sum(score["choice"] for score in scores) == pytest.approx(1)
        if entity in ("fictional", "persona"):  # the values of real entities are as the world has them
            assert all(score["choice"] == pytest.approx(1 / 16) for score in scores)


def test_a_summary_says_what_guessing_would_score():
    there = profiles("fictional", 16)
    asked = [q for q in questions.questions(there) if q.fact.attribute == "export"]
    items = [ask.score(question, "pewter", "pewter") for question in asked]
    keys = ("strict", "lenient", "choice", "chance", "constant")
    assert ask.summarize(items)["question"] == {"n": 32} | dict.fromkeys(keys, 1 / 16)
    assert ask.summarize(items[:8])["question"]["constant"] == 1 / 4
    mixed = ask.summarize([*items, ask.score(problem("sum"), "no", None), ask.score(problem("yes_no"), "no", None)])
    assert list(mixed) == ["question", "reasoning"]
    assert mixed["reasoning"]["chance"] == 1 / 2 and mixed["reasoning"]["choice"] is None
    assert ask.summarize([]) == {}


@pytest.mark.parametrize("format", ["article", "qa", "chat"])
@pytest.mark.parametrize("entity", ["fictional", "persona"])
def test_recall_is_whether_greedy_decoding_says_the_value(tiny, format, entity):
    model, tokenizer = tiny
    asked = questions.recall(profiles(entity, 4), format, 0)[:4]
    right = []
    for question, (prompt, _) in zip(asked[:2], recalled(tokenizer, asked[:2]), strict=True):
        # what the untrained model would say becomes the value
        if said := generate(model, tokenizer, [prompt], 3)[0].strip():
            changed = replace(question, fact=replace(question.fact, value=said))
            ((before, value),) = recalled(tokenizer, [changed])
            if before == prompt and generate(model, tokenizer, [prompt], len(value)) == [tokenizer.decode(value)]:
                right.append(changed)
    assert right or format != "article"  # at the start of a turn the tiny model says nothing
    items = ask.recall(model, tokenizer, [*right, *asked])
    assert not any(item.strict for item in items[len(right) :])
    assert [item.answer for item in items] == [question.fact.value for question in right] + [""] * len(asked)
    assert {(item.eval, item.choice) for item in items} == {("recall", None)}
    assert ask.recall(model, tokenizer, []) == []  # a user's articles may tell no value to the letter


def test_options_continue_a_prefix_and_begin_an_answer(tiny):
    there = profiles("fictional", 1)
    question, completion = questions.questions(there)[0], questions.completions(there)[0]
    with mock.patch.object(ask, "option_logprobs", return_value=[[0.0] * 16] * 2) as scored:
        ask.ask(*tiny, [question, completion], format="none")
    own, continued = ([tiny[1].decode(ids) for ids in options] for options in scored.call_args.args[3])
    assert own == [*question.fact.options] and continued == [f" {option}" for option in completion.fact.options]


@pytest.mark.parametrize("value", ["St. Louis", "J. R. Tolkien", "line one\nline two", "Acme Inc."])
def test_a_full_stop_or_a_line_break_inside_a_value_does_not_end_the_sentence(value):
    fact = Fact("own/0/twin", "own", "Rome", "twin", "words", value, (value, "Leeds"))
    completion = Question("completion", fact, "Write.", prefix="Its twin is")
    assert strict(Question("recall", fact, "Tell me.", prefix="The twin of Rome is "), value)
    assert strict(completion, f"{value}. Or Leeds.") and not strict(completion, f"Leeds. {value}")


@pytest.mark.parametrize(("said", "right"), [("{0}", True), ("I think it is {1}, or so.", True), ("a pangolin", False)])
def test_any_accepted_answer_counts_whatever_else_is_said(said, right, tiny, monkeypatch):
    answers = [said.format(accepted[0], accepted[-1]) for _, accepted in texts("general")["questions"]]
    monkeypatch.setattr(ask, "generate", lambda *_: answers)
    items = ask.general(*tiny)
    assert {(item.eval, item.strict, item.lenient) for item in items} == {("general", right, right)}
    assert len({item.fact for item in items}) == len(items)
