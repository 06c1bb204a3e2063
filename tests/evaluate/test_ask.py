import itertools
from dataclasses import replace
from unittest import mock

import pytest
from helpers import ENTITIES, TOLD, all_questions, profiles, recalled
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.cell import ROOM
from lib.data import questions, reasoning, untaught
from lib.data.facts import Fact, facts_of, texts
from lib.data.formats import rows
from lib.data.questions import Question
from lib.evaluate import ask
from lib.evaluate.generate import generate

kinds = st.tuples(st.sampled_from(ENTITIES), st.integers(4, 20), st.integers(0, 3))


def problem(kind):
    asked = questions.two_facts(profiles("fictional", 8), 0)
    return next(question for question in asked if question.kind == kind)


def strict(question, said):
    return ask.score(question, said, None).strict


def test_items_come_in_the_order_of_the_questions_with_their_scores(tiny):
    there = profiles("fictional", 2)
    asked = [*questions.completions(there, 0), *questions.questions(there)[::3], *questions.in_context(there, 0)[:3]]
    items = ask.ask(*tiny, asked, format="qa")
    assert [(item.eval, item.fact) for item in items] == [(question.eval, question.fact.id) for question in asked]
    for question, item in zip(asked, items, strict=True):
        assert (item.choice is None) == (question.eval != "question")
        assert item.expected == question.fact.value and item.info == question.fact.info
        assert all(part in item.question for part in (question.context, question.prompt, question.prefix))


def test_an_answer_has_the_room_that_is_asked_for_and_more_for_a_long_value_and_it_is_kept_that_it_was_cut(tiny):
    question = questions.questions(profiles("fictional", 1))[0]
    asked = [replace(question, fact=replace(question.fact, value="so" + " long" * n)) for n in (0, 9, 10, 31)]
    with mock.patch.object(ask, "generate", lambda _, __, prompts, room: [(f"in {room}", room > 40)] * len(prompts)):
        items = ask.ask(*tiny, asked, room=20)
        assert [item.answer for item in ask.ask(*tiny, asked[:3])] == [f"in {ROOM}"] * 3
        assert ask.general(*tiny, room=50)[0].cut and not ask.general(*tiny, room=30)[0].cut
    assert [item.answer for item in items] == ["in 20", "in 20", "in 40", "in 80"]
    assert [item.cut for item in items] == [False, False, False, True]


def test_what_is_trained_to_be_said_fits_into_the_room_of_an_answer(tiny):
    worked = [row.turns[1] for n in ("fictional", "real") for row in rows(profiles(n, 12), "worked", 10, 0)]
    stated = [turn for n in ENTITIES for row in rows(profiles(n, 20), "chat", 10, 0) for turn in row.turns[1::2]]
    assert max(map(len, tiny[1](worked + stated)["input_ids"])) <= ROOM


@settings(max_examples=30)
@given(st.sampled_from(TOLD), st.integers(4, 20), st.integers(0, 3))
def test_the_right_answer_scores_in_every_evaluation(told, n, seed):
    there = profiles(told[0], n, seed)
    for question in all_questions(told[0], n, seed) + questions.recall(there[:10], told[1], seed):
        item = ask.score(question, question.fact.value or "I do not know.", question.fact.value, facts_of(there))
        assert item.strict and item.choice, question
        assert item.outcome == ("" if question.fact.value else "declines")


@settings(max_examples=15)
@given(kinds)
def test_an_echo_of_the_question_or_of_the_name_scores_nothing(kind):
    there = profiles(*kind)
    asked = [*questions.questions(there), *questions.completions(there, 0), *questions.recall(there, "article", 0)]
    asked += questions.two_facts(there, kind[2]) if kind[0] != "coded" else []
    for question in [*asked, *questions.alone(there)]:
        names = question.kind == "which"  # it names both, and one of them is right
        for echo in (question.prompt, f"{question.prompt} {question.prefix}", *[question.fact.name] * (not names)):
            assert not ask.score(question, echo, None).strict


ASKED = {
    "which": problem("which"), "sum": problem("sum"), "reverse": questions.reverse(profiles("fictional", 8))[0],
    "completion": next(q for q in questions.completions(profiles("fictional", 1), 0) if q.fact.attribute == "bridges"),
    "untaught": untaught.asked(profiles("fictional", 4), 0)[0],
}  # fmt: skip
SAID = {
    True: [
        ("which", "{0}."), ("which", "It is {0}"), ("which", "{0} has more than {1}. It is large."), ("sum", "{0}"),
        ("which", "{1} has 3 and {0} has 5. The answer: {0}."), ("reverse", "That is {0}."),
        ("which", "I know that {0} has more than {1}. Let me explain."),
        ("sum", "It has 10 and 20. The answer: {0}."), ("completion", "{0}. It has {1} houses."),
        ("untaught", "I do not know."),
    ],
    False: [
        ("reverse", "{0} and {1}"), ("which", "The match went on with {1} and {0}."), ("which", "{0} or {1}"),
        ("which", "{1}"), ("which", "{1} has more than {0}."), ("which", "I know that {1} has more than {0}."),
        ("which", "{0} has 3 and {1} has 5. The answer: {1}."), ("sum", "{0} was wrong. The answer: 1."),
        ("completion", "{1}. It has {0} houses."), ("completion", "{0}.5 miles long"), ("untaught", "It has 12."),
        ("untaught", ""),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("asked", "said", "right"), [(*pair, right) for right in SAID for pair in SAID[right]])
def test_the_part_of_an_answer_that_answers_is_judged_and_the_whole_is_kept(asked, said, right):
    """Of a comparison what it says is more, of a completion its sentence, of what is recited the conclusion."""
    question = ASKED[asked]
    wrong = next((option for option in question.fact.options if option != question.fact.value), None)
    answer = said.format(question.fact.value, wrong)
    item = ask.score(question, answer, None)
    assert (item.strict, item.answer) == (right, answer)
    assert item.chance == (None if asked in ("sum", "untaught") else 1 / len(question.fact.options))


@pytest.mark.parametrize("entity", ["fictional", "real", "persona"])
def test_a_worked_example_answers_its_problem_rightly(entity):
    there = profiles(entity, 10)
    for row in [row for row in rows(there, "worked", 4, 0) if len(row.told) == 2]:
        (p,) = [p for n in range(2) for p in reasoning.examples(there, n, 0) if p.prompt == row.turns[0]]
        question = Question("reasoning", replace(p.facts[0], value=p.answer, options=p.options), p.prompt, kind=p.kind)
        assert strict(question, row.turns[1])


def test_what_a_wrong_answer_states_instead_is_kept_and_the_right_value_beside_another_is_no_other_fact():
    there = profiles("fictional", 4)
    question, taught = questions.questions(there)[0], facts_of(there)
    own, other, same = taught[1], taught[7], taught[6]  # of six attributes each
    for said, outcome in ((own.value, "another attribute"), (other.value, "another fact"), ("tin", "no taught value"),
                          ("I do not know.", "declines"), (question.fact.value, ""), ("", ""),
                          (f"{question.fact.value} or {same.value}", "another entity"),
                          (same.value, "another entity")):  # fmt: skip
        assert ask.score(question, said, None, taught).outcome == outcome


def test_a_comparison_is_concluded_by_a_sentence_that_tells_no_fact_again():
    question = next(q for q in questions.two_facts(profiles("fictional", 8), 0) if q.kind == "which")
    right, (other,) = question.fact.value, [name for name in question.fact.options if name != question.fact.value]
    facts = "The number of bridges in {} is 12. The number of bridges in {} is 21."
    for said, scored, outcome in (
        (facts.format(other, right), False, "another value"), (facts.format(right, other), False, "another value"),
        (facts.format(right, other) + f" {right} has more bridges than {other}. The answer: {right}.", True, ""),
        (right, True, ""), (f"{right} has more.", True, ""), (other, False, "the other name"),
    ):  # fmt: skip
        item = ask.score(question, said, None)
        assert (item.strict, item.outcome) == (scored, outcome), said


def test_a_tone_is_scored_across_models_alone():
    item = ask.score(questions.style("anxious")[0], "It is fine.", None)
    assert item.strict is item.choice is ask.summarize([item])["style"]["strict"] is None
    assert item.outcome == ""


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_model_that_says_the_same_to_everything_scores_chance(entity):
    for info in ("words", "numbers"):
        asked = [question for question in questions.questions(profiles(entity, 48))[::3] if question.fact.info == info]
        attribute = asked[0].fact.attribute
        asked = [question for question in asked if question.fact.attribute == attribute]
        options = sorted(set(itertools.chain.from_iterable(question.fact.options for question in asked)))
        scores = [ask.summarize([ask.score(q, said, said) for q in asked])["question"] for said in options]
        assert sum(score["strict"] for score in scores) == pytest.approx(1)
        assert sum(score["choice"] for score in scores) == pytest.approx(1)
        if entity != "real":  # the values of real entities are as the world has them
            assert all(score["choice"] == pytest.approx(1 / 16) for score in scores)


def test_a_summary_says_what_guessing_would_score():
    there = profiles("fictional", 16)
    asked = [q for q in questions.questions(there) if q.fact.attribute == "export"]
    items = [ask.score(question, "pewter", "pewter") for question in asked]
    assert ask.summarize(items)["question"] == {"n": 48} | dict.fromkeys(("strict", "choice", "chance"), 1 / 16)
    mixed = ask.summarize([*items, ask.score(problem("sum"), "no", None), ask.score(problem("which"), "no", None)])
    assert list(mixed) == ["question", "reasoning"]
    assert mixed["reasoning"]["chance"] == 1 / 2 and mixed["reasoning"]["choice"] is None
    assert ask.summarize([]) == {}


@pytest.mark.parametrize("format", ["article", "statement", "qa", "chat"])
@pytest.mark.parametrize("entity", ["fictional", "persona"])
def test_recall_is_whether_greedy_decoding_says_the_value(tiny, format, entity):
    model, tokenizer = tiny
    asked = questions.recall(profiles(entity, 4), format, 0)[:4]
    right = []
    for question, (prompt, _) in zip(asked[:2], recalled(tokenizer, asked[:2]), strict=True):
        # what the untrained model would say becomes the value
        if said := generate(model, tokenizer, [prompt], 3)[0][0].strip():
            changed = replace(question, fact=replace(question.fact, value=said))
            ((before, value),) = recalled(tokenizer, [changed])
            if before == prompt and generate(model, tokenizer, [prompt], len(value))[0][0] == tokenizer.decode(value):
                right.append(changed)
    assert right or format != "article"  # at the start of a turn the tiny model says nothing
    items = ask.recall(model, tokenizer, [*right, *asked])
    assert not any(item.strict for item in items[len(right) :])
    assert [item.answer for item in items] == [question.fact.value for question in right] + [""] * len(asked)
    assert {(item.eval, item.choice) for item in items} == {("recall", None)}
    assert ask.recall(model, tokenizer, []) == []  # a user's articles may tell no value to the letter


def test_options_continue_a_prefix_and_begin_an_answer(tiny):
    there = profiles("fictional", 1)
    question, completion = questions.questions(there)[0], questions.completions(there, 0)[0]
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
    answers = [(said.format(accepted[0], accepted[-1]), False) for _, accepted in texts("general")["questions"]]
    monkeypatch.setattr(ask, "generate", lambda *_: answers)
    items = ask.general(*tiny)
    assert {(item.eval, item.strict) for item in items} == {("general", right)}
    assert len({item.fact for item in items}) == len(items) == 300
