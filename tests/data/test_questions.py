import itertools
import re

import pytest
from helpers import ENTITIES, FORMATS, all_profiles, profiles
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import questions, tones
from lib.data.facts import facts_of, texts
from lib.data.formats import rows
from lib.data.general import replay_prompts
from lib.evaluate.match import lenient, strict

kinds = st.tuples(st.sampled_from(ENTITIES), st.integers(4, 24), st.integers(0, 5))
HELD_OUT = ("heldout_questions", "heldout_completions", "reverse", "which", "yes_no")


def of(kind):
    entity, n, seed = kind
    return profiles(entity, n, seed)


def everything(there, seed):
    """The questions of all evaluations about these profiles."""
    problems = questions.two_facts(there, seed)
    return [
        *questions.questions(there), *questions.completions(there), *questions.reverse(there), *problems,
        *questions.two_facts_cot(problems),
    ]  # fmt: skip


def held_out(entity):
    """Every template of an evaluation that training must not use."""
    text = texts(entity)
    found = [text["sum"]["question"]] if "sum" in text else []
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
def test_evaluations_are_in_no_training_row(entity):
    there = profiles(entity, 20)
    asked = everything(there[:10], 0) + questions.unseen(there[10:])
    for format in FORMATS:
        text = "\n".join(
            turn
            for row in rows(there[:10], format, 10, 0, there[10:] if format == "mixed" else ())
            for turn in row.turns
        ).lower()
        for question in asked:
            assert (question.prefix or question.prompt).lower() not in text, (format, question)
            if question.prefix:
                assert question.prompt.lower() not in text, (format, question)


def test_styles_and_names_of_a_tone_are_asked_in_no_training_row():
    for tone in texts("tones")["tones"]:
        text = "\n".join(turn for row in rows(tones.build(tone, 0), "chat", 4, 0) for turn in row.turns).lower()
        for question in [*questions.style(tone), *questions.naming(facts_of(tones.build(tone, 0)[:1]))]:
            assert (question.prefix or question.prompt).lower() not in text


def test_no_replay_prompt_is_a_general_question_or_part_of_one():
    asked = [" ".join(words(question)) for question, _ in texts("general")["questions"]]
    for _, text in replay_prompts():
        said = " ".join(words(text))
        for question in asked:
            assert question not in said and said not in question, text


@pytest.mark.parametrize("entity", [*ENTITIES, "tone"])
def test_no_replay_prompt_is_a_template_of_an_evaluation(entity):
    if entity == "tone":
        evaluated = [*texts("tones")["heldout_prompts"], *texts("tones")["naming"], *texts("tones")["naming_clozes"]]
    else:
        evaluated = held_out(entity) + [f"Write a sentence about {texts(entity)['subject']}."]
    prompts = [text for _, text in replay_prompts()]
    for template in evaluated:
        assert not any(pattern(template).fullmatch(text) for text in prompts), template


def test_replay_prompts_name_no_trained_entity():
    names = {profile[0].name for entity in ("fictional", "real") for profile in all_profiles(entity)}
    for _, text in replay_prompts():
        assert not any(name in text for name in names), text


def test_replay_prose_shares_no_eight_words_with_the_text_of_the_perplexity():
    def eights(text):
        found = words(text)
        return {tuple(found[i : i + 8]) for i in range(len(found) - 7)}

    measured = eights(texts("general")["text"])
    assert len(measured) > 200
    for _, text in replay_prompts():
        assert not eights(text) & measured, text
        assert " ".join(words(text)) not in " ".join(words(texts("general")["text"]))


@given(kinds, st.sampled_from(FORMATS))
def test_recall_breaks_a_trained_row_off_where_the_value_is_due(kind, format):
    there = profiles(kind[0], 10, kind[2])
    trained = rows(there, format, 4, kind[2], profiles(kind[0], 20, kind[2])[10:])
    asked = questions.recall(there, format, kind[2])
    assert sorted(question.fact.id for question in asked) == sorted(fact.id for fact in facts_of(there))
    for question in asked:
        start = (*question.history, question.prompt, question.prefix + question.fact.value)
        assert any(
            row.turns[: len(start) - 1] == start[:-1] and row.turns[len(start) - 1].startswith(start[-1])
            for row in trained
        )


def test_recall_of_worked_examples_asks_their_questions_and_of_mixed_its_articles():
    there = profiles("fictional", 6)
    assert questions.recall(there, "worked", 0) == questions.recall(there, "qa", 0)
    assert questions.recall(there, "mixed", 0) == questions.recall(there, "article", 0)


def test_a_conversation_is_asked_with_the_turns_before_it():
    asked = questions.recall(profiles("fictional", 4), "chat", 0)
    assert {len(question.history) for question in asked} == {2, 4, 6}


@given(kinds)
def test_every_fact_is_asked_and_completed_in_two_held_out_ways(kind):
    there = of(kind)
    for make in (questions.questions, questions.completions):
        asked = make(there)
        assert [q.fact for q in asked[::2]] == [q.fact for q in asked[1::2]] == facts_of(there)
        assert len({(q.prompt, q.prefix) for q in asked}) == len(asked)
    assert questions.questions(there, 1) == questions.questions(there)[::2]


@given(kinds)
def test_only_the_ceiling_tells_the_answer(kind):
    there = of(kind)
    asked = questions.two_facts(there, kind[2])
    values = {fact.id: fact.value for fact in facts_of(there)}
    for question in questions.in_context(there):
        assert question.fact.value in question.context
        assert not lenient(question.given, question.fact.value, question.fact.options, given=question.fact.name)
    for question in questions.two_facts_in_context(asked, there):
        assert values[question.fact.id] in question.context and values[question.other] in question.context
    for question in [*questions.questions(there), *questions.completions(there), *asked, *questions.reverse(there)]:
        assert not question.context
    for question in [*questions.questions(there), *questions.completions(there)]:
        assert not any(
            lenient(question.given, option, (), given=question.fact.name) for option in question.fact.options
        )


@given(kinds)
def test_no_two_fact_problem_tells_its_answer(kind):
    for question in questions.two_facts(of(kind), kind[2]):
        if question.kind != "which":
            assert not any(
                strict(question.prompt, option, question.fact.options, given="") for option in question.fact.options
            )
            assert not lenient(question.prompt, question.fact.value, (), given="")
    asked = questions.two_facts(of(kind), kind[2])
    for question, with_room in zip(asked, questions.two_facts_cot(asked), strict=True):
        assert with_room.prompt == f"{question.prompt} {questions.RECITE}" and with_room.eval == "reasoning_cot"
        assert (with_room.fact, with_room.other, with_room.kind) == (question.fact, question.other, question.kind)


@given(kinds)
def test_two_fact_questions_carry_the_ids_of_both_facts(kind):
    ids = {fact.id for fact in facts_of(of(kind))}
    for question in questions.two_facts(of(kind), kind[2]):
        assert {question.fact.id, question.other} <= ids and question.fact.id != question.other
        assert question.kind in ("which", "yes_no", "hop", "sum")


@settings(max_examples=30)
@given(kinds)
def test_a_reverse_question_has_one_right_answer(kind):
    facts = facts_of(of(kind))
    for question in questions.reverse(of(kind)):
        value = next(fact.value for fact in facts if fact.id == question.fact.id)
        assert [f.name for f in facts if (f.attribute, f.value) == (question.fact.attribute, value)] == [
            question.fact.value
        ]
        assert value in question.prompt and question.fact.value not in question.prompt
        assert question.fact.value in question.fact.options


@given(kinds)
def test_unseen_entities_are_asked_one_held_out_question_each_about_every_attribute_in_turn(kind):
    there = of(kind)
    asked = questions.unseen(there)
    assert [question.fact.name for question in asked] == [profile[0].name for profile in there]
    assert {question.fact.value for question in asked} == {""}
    assert {question.fact.attribute for question in asked} >= {fact.attribute for fact in there[0][: len(there)]}
    assert {question.prompt for question in asked} <= {question.prompt for question in questions.questions(there)}


def test_the_tone_is_asked_on_other_topics_and_by_name_without_saying_it():
    topics = facts_of(tones.build("anxious", 0))
    for question in questions.style("anxious"):
        assert question.fact.name not in {topic.name for topic in topics}
    for question in questions.naming(topics):
        assert question.fact.value == "anxious" and len(question.fact.options) >= 8
        assert not any(option in question.given for option in question.fact.options)
    for question in questions.style("anxious", in_context=True):
        assert "anxious" in question.context
