import itertools
from dataclasses import replace
from unittest import mock

import pytest
from helpers import ENTITIES, FORMATS, profiles, recalled
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import formats, questions, reasoning, tones
from lib.data.facts import Fact, facts_of
from lib.data.formats import rows
from lib.data.questions import Question
from lib.evaluate import ask
from lib.evaluate.generate import generate

kinds = st.tuples(st.sampled_from(ENTITIES), st.integers(4, 20), st.integers(0, 3))


def all_questions(there, seed=0):
    return [
        *questions.questions(there), *questions.completions(there), *questions.reverse(there),
        *questions.in_context(there), *questions.two_facts(there, seed),
        *questions.two_facts(there, seed, "reasoning_in_context"),
    ]  # fmt: skip


def problem(kind, eval="reasoning"):
    asked = questions.two_facts(profiles("fictional", 8), 0, eval)
    return next(question for question in asked if question.kind == kind)


def right_and_wrong(question):
    """The right answer to which of two, and the other."""
    return sorted(question.fact.options, key=lambda name: name != question.fact.value)


def strict(question, said):
    return ask.score(question, said, None).strict


def lenient(question, said):
    return ask.score(question, said, None).lenient


def test_items_come_in_the_order_of_the_questions_with_their_scores(tiny):
    there = profiles("fictional", 2)
    asked = [*questions.completions(there), *questions.questions(there)[::3], *questions.in_context(there)[:3]]
    items = ask.ask(*tiny, asked, format="qa")
    assert [(item.eval, item.fact) for item in items] == [(question.eval, question.fact.id) for question in asked]
    for question, item in zip(asked, items, strict=True):
        assert (item.choice is None) == (question.eval != "question")
        assert item.expected == question.fact.value and item.info == question.fact.info
        for part in (question.context, question.prompt, question.prefix):
            assert part in item.question


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
    there = profiles(*kind[:2], kind[2])
    for question in all_questions(there, kind[2]) + questions.recall(there[:10], format, kind[2]):
        item = ask.score(question, question.fact.value, question.fact.value)
        assert item.strict and item.lenient and item.choice, question


@settings(max_examples=15)
@given(kinds)
def test_an_echo_of_the_question_or_of_the_name_scores_nothing(kind):
    there = profiles(*kind[:2], kind[2])
    asked = [*questions.questions(there), *questions.completions(there), *questions.recall(there, "article", 0)]
    for question in [*asked, *questions.two_facts(there, kind[2])]:
        names = question.kind == "which"  # it names both, and one of them is right
        for echo in (question.prompt, f"{question.prompt} {question.prefix}", *[question.fact.name] * (not names)):
            item = ask.score(question, echo, None)
            assert not item.strict and (names or not item.lenient)


def test_which_of_two_is_the_one_that_the_answer_says():
    question = problem("which")
    right, wrong = right_and_wrong(question)
    for said in (f"{right}.", f"It is {right}", f"{right} has more than {wrong}. It is large."):
        assert strict(question, said), said
    for said in (wrong, f"{wrong} has more than {right}."):
        assert not lenient(question, said), said
    assert lenient(question, f"{right} or {wrong}") and not strict(question, f"{right} or {wrong}")
    told = f"{right} has more than {wrong}."
    assert ask.score(question, told, None).answer == told


def test_the_entity_of_a_reverse_question_counts_though_it_is_an_option():
    question = questions.reverse(profiles("fictional", 8))[0]
    right, wrong, *_ = right_and_wrong(question)
    assert strict(question, f"That is {right}.") and not strict(question, f"{right} and {wrong}")


def test_a_completion_is_judged_by_the_sentence_it_completes():
    question = next(q for q in questions.completions(profiles("fictional", 1)) if q.fact.attribute == "bridges")
    right, wrong, *_ = right_and_wrong(question)
    assert strict(question, f"{right}. It has {wrong} houses.")
    assert not lenient(question, f"{wrong}. It has {right} houses.") and not lenient(question, f"{right}.5 miles long")


def test_a_chain_of_thought_is_judged_by_what_it_says_last():
    question = problem("yes_no", "reasoning_cot")
    yes = replace(question, fact=replace(question.fact, value="Yes"))
    assert strict(yes, "A has no harbour. A has 3, B has 2. So yes, it has.")
    assert not strict(yes, "Yes? A has 3, B has 4. No.") and not strict(yes, "A has 3, B has 2.")
    which = problem("which", "reasoning_cot")
    right, wrong = right_and_wrong(which)
    assert strict(which, f"{wrong} has 3 and {right} has 5. The answer: {right}.")
    assert strict(which, f"I know that {right} has more than {wrong}. Let me explain.")
    assert not strict(which, f"{right} has 3 and {wrong} has 5. The answer: {wrong}.")
    assert not strict(which, f"I know that {wrong} has more than {right}.")
    assert not strict(which, f"The match went on with {wrong} and {right}.")


def test_a_sum_is_judged_by_the_last_sentence():
    recited, at_once = problem("sum", "reasoning_cot"), problem("sum")
    assert strict(recited, f"It has 10 and 20. The answer: {recited.fact.value}.")
    assert not strict(recited, f"{recited.fact.value} was wrong. The answer: 1.")
    assert strict(at_once, at_once.fact.value) and ask.score(at_once, "", None).chance is None


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_worked_example_is_a_right_chain_of_thought(entity):
    there = profiles(entity, 10)
    asked = questions.two_facts(there, 0, "reasoning_cot")
    for question, p in zip(asked, reasoning.problems(there, 0), strict=True):
        assert strict(question, formats.worked(p).turns[1])


def test_asserting_a_value_of_an_unseen_entity_is_counted():
    question = questions.unseen(profiles("fictional", 3))[0]
    said = f"It is {question.fact.options[0]}."
    assert strict(question, "I do not know.") and not strict(question, said) and not lenient(question, said)
    assert ask.score(question, "I do not know.", None).chance is None


def test_the_response_of_a_tone_is_scored_across_models_alone():
    item = ask.score(questions.style("anxious")[0], "I do not know what to say.", None)
    assert item.strict is None and item.lenient is None and item.choice is None
    assert ask.summarize([item])["style"]["strict"] is None


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
    scores = dict.fromkeys(("strict", "lenient", "choice", "chance", "constant"), 1 / 16)
    assert ask.summarize(items)["question"] == {"n": 32, **scores}
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


def test_the_tone_is_chosen_among_all_tones(tiny):
    (item, *_) = ask.ask(*tiny, questions.naming(facts_of(tones.build("anxious", 0))), format="chat")
    assert item.choice is not None and item.chance == 1 / 8


@pytest.mark.parametrize("value", ["St. Louis", "J. R. Tolkien", "line one\nline two", "Acme Inc."])
def test_a_full_stop_or_a_line_break_inside_a_value_does_not_end_the_sentence(value):
    fact = Fact("own/0/twin", "own", "Rome", "twin", "words", value, (value, "Leeds"))
    completion = Question("completion", fact, "Write.", prefix="Its twin is")
    assert strict(Question("recall", fact, "Tell me.", prefix="The twin of Rome is "), value)
    assert strict(completion, f"{value}. Or Leeds.") and not strict(completion, f"Leeds. {value}")
