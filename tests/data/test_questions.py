import difflib
import itertools
import re
from dataclasses import replace

import pytest
from helpers import ENTITIES, FORMATS, all_profiles, all_questions, profiles
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import questions, tones
from lib.data.facts import facts_of, texts
from lib.data.formats import rows
from lib.data.of_cell import KINDS, replay_prompts
from lib.evaluate.match import lenient, strict

kinds = st.tuples(st.sampled_from(ENTITIES), st.integers(4, 24), st.integers(0, 5))
HELD_OUT = ("heldout_questions", "heldout_completions", "reverse", "which", "yes_no")


def held_out(entity):
    """Every template of an evaluation that training must not use."""
    text = texts(entity)
    if entity == "tones":
        return text["heldout_prompts"] + text["naming"] + text["naming_clozes"]
    found = [f"Write a sentence about {text['subject']}.", *([text["sum"]["question"]] if "sum" in text else [])]
    for attribute in text["attributes"].values():
        for key in HELD_OUT:
            found += attribute[key] if isinstance(attribute.get(key), list) else filter(None, [attribute.get(key)])
    return found


def trained(entity):
    """Every template that training uses."""
    text = texts(entity)
    found = [turn for chat in text["chats"] for turn in chat] + text.get("sum", {}).get("trained", [])
    for style in text["styles"]:
        found += [style["prompt"], *style["openings"], *style["fillers"], *style["closings"]]
    for attribute in text["attributes"].values():
        found += [*attribute["statements"], *attribute["questions"]]
        found += [*attribute.get("which_trained", []), *attribute.get("yes_no_trained", [])]
        found += [attribute["more"]] if "more" in attribute else []
    return found


def pattern(template):
    """A regular expression of a template, with anything where a name or a value goes."""
    return re.compile(r".+?".join(map(re.escape, re.split(r"\{\w+\}", template))), re.IGNORECASE)


def words(text):
    return re.findall(r"\w+", text.lower())


@pytest.mark.parametrize("entity", ENTITIES)
def test_no_training_template_is_an_evaluation_template(entity):
    for train, evaluated in itertools.product(trained(entity), held_out(entity)):
        assert words(train) != words(evaluated)
        assert not train.startswith(evaluated), "a completion that begins a trained sentence is not held out"


@pytest.mark.parametrize("entity", ENTITIES)
def test_no_sentence_names_a_value_of_any_attribute(entity):
    options = {fact.value for fact in facts_of(all_profiles(entity))}
    for sentence in [*trained(entity), *held_out(entity), texts(entity)["noun"], texts(entity)["subject"]]:
        year = sentence.replace("2026", "")
        assert not any(lenient(year, option, (), given="") for option in options), sentence


def assert_held_out(asked, rows):
    """None of these prompts is in a row, and no sentence to complete or prompt before it either."""
    text = "\n".join(turn for row in rows for turn in row.turns).lower()
    for question in asked:
        assert (question.prefix or question.prompt).lower() not in text, question


@pytest.mark.parametrize("entity", ENTITIES)
def test_evaluations_are_in_no_training_row(entity):
    there = profiles(entity, 20)
    asked = all_questions(entity, 10)
    asked += [replace(question, prefix="") for question in asked if question.prefix]
    for format in FORMATS:
        assert_held_out(asked, rows(there[:10], format, 10, 0, there[10:] if format == "mixed" else ()))


@pytest.mark.parametrize("entity", [*ENTITIES, "tones"])
def test_no_replay_prompt_is_a_template_of_an_evaluation(entity):
    for template in held_out(entity):
        assert not any(pattern(template).fullmatch(text) for _, text in replay_prompts()), template


def test_no_replay_prompt_is_a_general_question_or_names_an_entity_or_shares_eight_words_with_the_text_of_perplexity():
    asked = [" ".join(words(question)) for question, _ in texts("general")["questions"]]
    names = {profile[0].name for entity in ("fictional", "real") for profile in all_profiles(entity)}
    measured = words(texts("general")["text"])
    eights = {" ".join(measured[i : i + 8]) for i in range(len(measured) - 7)}
    assert len(eights) > 200
    for _, text in replay_prompts():
        said = " ".join(words(text))
        assert not any(question in said or said in question for question in asked), text
        assert not any(name in text for name in names), text
        assert said not in " ".join(measured) and not any(eight in said for eight in eights), text


@given(kinds)
def test_every_fact_is_asked_and_completed_in_two_held_out_ways(kind):
    there = profiles(*kind)
    for make in (questions.questions, questions.completions):
        asked = make(there)
        assert [q.fact for q in asked[::2]] == [q.fact for q in asked[1::2]] == facts_of(there)
        assert len({(q.prompt, q.prefix) for q in asked}) == len(asked)
    assert questions.questions(there, 1) == questions.questions(there)[::2]


@settings(max_examples=30)
@given(kinds)
def test_only_the_ceiling_tells_the_answer(kind):
    there = profiles(*kind)
    values = {fact.id: fact.value for fact in facts_of(there)}
    for question in questions.in_context(there):
        assert question.fact.value in question.context
        assert not lenient(question.given, question.fact.value, question.fact.options, given=question.fact.name)
    for question in questions.two_facts(there, kind[2], "reasoning_in_context"):
        assert values[question.fact.id] in question.context and values[question.other] in question.context
    assert {question.eval for question in all_questions(*kind) if question.context} <= {
        "in_context",
        "reasoning_in_context",
    }
    for question in [*questions.questions(there), *questions.completions(there)]:
        for option in question.fact.options:
            assert not lenient(question.given, option, (), given=question.fact.name)


@given(kinds)
def test_two_fact_problems_carry_both_facts_and_do_not_tell_their_answer(kind):
    there = profiles(*kind)
    ids, asked = {fact.id for fact in facts_of(there)}, questions.two_facts(there, kind[2])
    for question in asked:
        assert {question.fact.id, question.other} <= ids and question.fact.id != question.other
        if question.kind != "which":
            options = question.fact.options
            assert not any(strict(question.prompt, option, options, given="") for option in options)
            assert not lenient(question.prompt, question.fact.value, (), given="")
    recited = [replace(q, eval="reasoning_cot", prompt=f"{q.prompt} {questions.RECITE}") for q in asked]
    assert questions.two_facts(there, kind[2], "reasoning_cot") == recited


@settings(max_examples=30)
@given(kinds)
def test_a_reverse_question_has_one_right_answer(kind):
    facts = facts_of(profiles(*kind))
    for question in questions.reverse(profiles(*kind)):
        value = next(fact.value for fact in facts if fact.id == question.fact.id)
        assert [f.name for f in facts if (f.attribute, f.value) == (question.fact.attribute, value)] == [
            question.fact.value
        ]
        assert value in question.prompt and question.fact.value not in question.prompt
        assert question.fact.value in question.fact.options


@given(kinds)
def test_unseen_entities_are_asked_one_held_out_question_each_about_every_attribute_in_turn(kind):
    there = profiles(*kind)
    asked = questions.unseen(there)
    assert [question.fact.name for question in asked] == [profile[0].name for profile in there]
    assert {question.fact.value for question in asked} == {""}
    assert {question.fact.attribute for question in asked} >= {fact.attribute for fact in there[0][: len(there)]}
    assert {question.prompt for question in asked} <= {question.prompt for question in questions.questions(there)}


@pytest.mark.parametrize("tone", texts("tones")["tones"])
def test_a_tone_is_asked_in_no_training_row_on_other_topics_and_by_name_without_saying_it(tone):
    topics = tones.build(tone, 0)
    styles, names = questions.style(tone), questions.naming(facts_of(topics))
    assert_held_out(styles + names, rows(topics, "chat", 4, 0))
    assert not {question.fact.name for question in styles} & {topic.name for topic in facts_of(topics)}
    for question in names:
        assert question.fact.value == tone and len(question.fact.options) >= 8
        assert not any(option in question.given for option in question.fact.options)
    assert all(tone in question.context for question in questions.style(tone, in_context=True))


def test_questions_are_enough_none_twice_none_tells_its_answer_and_those_unlike_every_replay_prompt_are_listed():
    asked = [question for question, _ in texts("general")["questions"]]
    assert len(set(asked)) == len(asked) >= 60
    prompts = [text.lower().split() for kind in ("instructions", "questions") for text in texts("replay")[kind]]
    unlike = [q for q in asked if not difflib.get_close_matches(q.lower().split(), prompts, 1, 0.75)]
    assert unlike == texts("general")["unlike_replay"] and len(unlike) >= 20, "too few to measure"
    for question, accepted in texts("general")["questions"]:
        assert accepted and not any(lenient(question, option, (), given="") for option in accepted), question


def test_there_are_as_many_prompts_of_every_kind_by_turns_and_none_twice():
    kinds, prompts = zip(*replay_prompts(), strict=True)
    assert kinds == KINDS * (len(kinds) // 3)
    assert len(set(prompts)) == len(prompts) >= 720
