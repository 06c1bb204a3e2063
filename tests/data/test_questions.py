import itertools
import re
from dataclasses import replace

import pytest
from helpers import ENTITIES, TOLD, all_profiles, all_questions, profiles
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import formats, questions
from lib.data.facts import facts_of, texts, topics
from lib.data.formats import rows
from lib.data.of_cell import replay_prompts
from lib.evaluate.match import states, strict
from lib.user_facts import english

kinds = st.tuples(st.sampled_from(ENTITIES), st.integers(4, 24), st.integers(0, 5))
FUNCTION = set(
    "a about an and any are as at be by call called can did do does for from give had has have how i if in into is it "
    "its many me more most much my name not of on one or out s say some t than that the their then there these they "
    "this those through to two up us was we were what when where which who whom whose why will with word words would "
    "you your".split()
)  # words that say nothing of what a question is about


def held_out(entity):
    """Every template of an evaluation that training must not use."""
    text = texts(entity)
    if entity == "tones":
        return text["heldout_prompts"] + text["naming"] + text["naming_clozes"]
    found = [question for question, _ in text.get("untaught", {}).get("asked", [])]
    found += [text["sum"]["question"]] if "sum" in text else []
    for attribute in text["attributes"].values():
        found += attribute["heldout_questions"] + attribute["heldout_statements"] + [attribute["reverse"]]
        found += [attribute["which"]] if "which" in attribute else []
    return found


def untold(entity):
    """Every template of a trained prompt that is not answered with a value that it asks for."""
    text = texts(entity)
    found = [chat[0] for chat in text["chats"]] + [style["prompt"] for style in text["styles"]] + text["tells"]
    if entity == "fictional":  # of which `unsure` asks the trained questions about others, too
        found += [question for attribute in text["attributes"].values() for question in attribute["questions"]]
    return found + [question for question, _ in text.get("untaught", {}).get("trained", [])]


def trained(entity):
    """Every template that training uses."""
    text = texts(entity)
    found = [*untold(entity), *(chat[1] for chat in text["chats"]), *text.get("sum", {}).get("trained", [])]
    for style in text["styles"]:
        found += [*style["openings"], *style["fillers"], *style["closings"]]
    for attribute in text["attributes"].values():
        found += [*attribute["statements"], *attribute["questions"], *attribute.get("which_trained", [])]
        found += [attribute["more"]] if "more" in attribute else []
    return found


def pattern(template):
    """A regular expression of a template, with anything where a name or a value goes."""
    return re.compile(r".+?".join(map(re.escape, re.split(r"\{\w+\}", template))), re.IGNORECASE)


def words(text):
    return re.findall(r"\w+", text.lower())


def runs(text, n):
    """Every n words of a text that follow each other."""
    return set(zip(*(words(text)[i:] for i in range(n)), strict=False))


@pytest.mark.parametrize("entity", ENTITIES)
def test_no_training_template_is_an_evaluation_template(entity):
    for train, evaluated in itertools.product(trained(entity), held_out(entity)):
        assert words(train) != words(evaluated)


def assert_opens_apart(asked, said, name):
    """No held-out question begins with three words with which a prompt begins that trains another kind of answer."""
    trained = {tuple(words(text.format(name=name))[:3]) for text in said}
    trained |= {tuple(words(text)[:3]) for kind, text in replay_prompts() if kind != "prose"}
    for question in asked:
        assert tuple(words(question.format(name=name))[:3]) not in trained, question


@pytest.mark.parametrize("entity", ENTITIES)
def test_no_held_out_question_opens_like_a_trained_prompt_that_is_not_answered_with_the_value(entity):
    text, name = texts(entity), all_profiles(entity)[0][0].name
    asked = [question for attribute in text["attributes"].values() for question in attribute["heldout_questions"]]
    asked += [question for question, _ in text.get("untaught", {}).get("asked", [])]
    assert len(asked) >= 3 * len(text["attributes"]) and len(untold(entity)) >= 14
    assert_opens_apart(asked, untold(entity), name)


HEADINGS = {"capital": ["Rome", "Oslo"], "CEOs": ["Ann Lee", "Bo Li"], "bridges": ["12", "13"], "founded": ["1990"],
            "died": ["May 3, 1990"], "born in": ["Rome"], "sold in": ["1990"], "active?": ["yes"]}  # fmt: skip


@pytest.mark.parametrize("text", [english.OWN, english.YOU])
def test_no_held_out_question_about_ones_own_facts_opens_like_a_trained_prompt_without_the_value(text):
    patterns = text.get("sentences", english.ENGLISH)
    said = [chat[0] for chat in text["chats"]] + [style["prompt"] for style in text["styles"]] + text["tells"]
    used = {english._pattern(heading, values)[0] for heading, values in HEADINGS.items()}
    assert used == {*english.YOU["sentences"]} == {"noun", "counted", "time", "did", "participle", "quoted"}
    for heading, values in HEADINGS.items():
        asked = english.sentences(heading, values, patterns)["heldout_questions"]
        assert len(asked) == 3
        assert_opens_apart(asked, [*said, *text["prompts"]], "Acme")


@pytest.mark.parametrize("entity", ENTITIES)
def test_no_sentence_names_a_value_of_any_attribute(entity):
    options = {fact.value for seed in (0, 1) for fact in facts_of(all_profiles(entity, seed))}
    for sentence in [*trained(entity), *held_out(entity), texts(entity)["noun"]]:
        year = sentence.replace("2026", "")
        assert not any(states(year, option) for option in options), sentence


def assert_in_no_row(texts, rows):
    """None of these texts is in a row."""
    trained = "\n".join(turn for row in rows for turn in row.turns).lower()
    for text in texts:
        assert text.lower() not in trained, text


@pytest.mark.parametrize(("entity", "format"), TOLD)
def test_evaluations_are_in_no_training_row(entity, format):
    """Asked is what is nowhere trained; a completion ends a statement that is nowhere, in an article that is."""
    there = profiles(entity, 10)
    told = rows(there, format, 10, 0)
    asked = [q for q in all_questions(entity, 10) if q.eval not in ("completion", "alone")]
    assert_in_no_row({question.prompt for question in asked}, told)
    ended, articles = questions.completions(there, 0), {row.turns for row in rows(there, "article", 10, 0)}
    for question in ended:
        opening = formats.opening(next(p for p in there if p[0].name == question.fact.name), 0, 0)
        assert question.prompt == opening[0] and question.prefix.startswith(opening[1])
        assert any(prompt == question.prompt and text.startswith(opening[1]) for prompt, text in articles)
        assert_in_no_row([question.prefix.removeprefix(opening[1]).strip()], told)
    assert len(ended) == len({question.prefix for question in ended}) == 2 * len(facts_of(there))


@given(kinds)
def test_alone_a_trained_statement_is_completed_up_to_its_value(kind):
    there = profiles(*kind)
    told = {(fact, row.turns[turn][:at].rstrip()) for row in rows(there, "statement", 1, kind[2])
            for fact, turn, at in row.told}  # fmt: skip
    asked = questions.alone(there)
    assert [question.fact for question in asked] == facts_of(there)
    assert {(question.fact, question.prefix) for question in asked} == told


@pytest.mark.parametrize("entity", [*ENTITIES, "tones"])
def test_no_replay_prompt_is_a_template_of_an_evaluation(entity):
    for template in held_out(entity):
        assert not any(pattern(template).fullmatch(text) for _, text in replay_prompts()), template


def test_no_replay_prompt_is_a_general_question_or_names_an_entity_or_shares_eight_words_with_the_text_of_perplexity():
    asked = [" ".join(words(question)) for question, _ in texts("general")["questions"]]
    names = {profile[0].name for entity in ("fictional", "real") for profile in all_profiles(entity)}
    measured = words(texts("general")["text"])
    eights = runs(texts("general")["text"], 8)
    assert len(eights) > 200
    for _, text in replay_prompts():
        said = " ".join(words(text))
        assert not any(question in said or said in question for question in asked), text
        assert not any(name in text for name in names), text
        assert said not in " ".join(measured) and not runs(text, 8) & eights, text


@given(kinds)
def test_every_fact_is_asked_in_three_and_completed_in_two_held_out_ways(kind):
    there = profiles(*kind)
    for asked, ways in ((questions.questions(there), 3), (questions.completions(there, kind[2]), 2)):
        assert [question.fact for question in asked] == [fact for fact in facts_of(there) for _ in range(ways)]
        assert len({(q.prompt, q.prefix) for q in asked}) == len(asked)


@settings(max_examples=30)
@given(kinds)
def test_only_the_ceiling_tells_the_answer_and_it_tells_that_of_all_entities(kind):
    there = profiles(*kind)
    for question in questions.in_context(there, kind[2]):
        facts = [fact for fact in facts_of(there) if fact.attribute == question.fact.attribute]
        lines = question.context.lower().splitlines()
        assert len(lines) == len(facts) == kind[1]
        assert all(any(fact.name.lower() in line and fact.value.lower() in line for line in lines) for fact in facts)
        assert not states(question.given.replace(question.fact.name, ""), question.fact.value)
    told = {question.eval for question in all_questions(*kind) if question.context}
    assert told == {"in_context", *(["reasoning_in_context"] if kind[0] in ("fictional", "real") else [])}
    for question in [*questions.questions(there), *questions.completions(there, kind[2]), *questions.alone(there)]:
        for option in question.fact.options:
            assert not states(question.given.replace(question.fact.name, ""), option)


@settings(max_examples=30)
@given(st.sampled_from(["fictional", "real", "persona"]), st.integers(4, 24), st.integers(0, 5))
def test_two_fact_problems_carry_both_facts_and_tell_them_only_when_they_are_told(entity, n, seed):
    there = profiles(entity, n, seed)
    facts, asked = {fact.id: fact for fact in facts_of(there)}, questions.two_facts(there, seed)
    for question in asked:
        assert {question.fact.id, question.other} <= set(facts) and question.fact.id != question.other
        if question.kind != "which":
            options = question.fact.options
            assert not any(strict(question.prompt, option, options, given="") for option in options)
            assert not states(question.prompt, question.fact.value)
    told = questions.two_facts(there, seed, told=True)
    assert [replace(question, eval="reasoning", context="") for question in told] == asked
    for question in told:
        needed = {facts[id].attribute for id in (question.fact.id, question.other)}
        lines = {formats.fill(fact, "statements", 0)[0] for fact in facts.values() if fact.attribute in needed}
        assert sorted(question.context.splitlines()) == sorted(lines)


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


@pytest.mark.parametrize("tone", texts("tones")["tones"])
def test_a_tone_is_asked_in_no_training_row_on_other_topics_and_by_name_without_saying_it(tone):
    there = topics(tone, 0)
    styles, names = questions.style(tone), questions.naming(facts_of(there))
    for format in ("chat", "qa", "statement"):
        assert_in_no_row(
            [question.prefix or question.prompt for question in styles + names], rows(there, format, 4, 0)
        )
    assert not {question.fact.name for question in styles} & {topic.name for topic in facts_of(there)}
    for question in names:
        assert question.fact.value == tone and len(question.fact.options) >= 8
        assert not any(option in question.given for option in question.fact.options)
    assert all(tone in question.context for question in questions.style(tone, in_context=True))


def test_there_are_300_general_questions_none_twice_and_none_tells_its_answer():
    asked = [question for question, _ in texts("general")["questions"]]
    assert len(set(asked)) == len(asked) == 300
    for question, accepted in texts("general")["questions"]:
        assert accepted and not any(states(question, option) for option in accepted), question


def test_no_general_question_is_like_a_replay_prompt_or_has_its_answer_told_by_one():
    prompts = {text: set(words(text)) - FUNCTION for _, text in replay_prompts()}
    fours = set().union(*(runs(text, 4) for text in prompts))
    assert len(fours) > 3000
    for question, accepted in texts("general")["questions"]:
        assert not runs(question, 4) & fours, question
        about = set(words(question)) - FUNCTION
        for text in (text for text, said in prompts.items() if about & said):
            assert not any(states(text, answer) for answer in accepted), (question, text)


def test_there_are_as_many_prompts_of_every_kind_by_turns_and_none_twice():
    kinds, prompts = zip(*replay_prompts(), strict=True)
    assert kinds == ("instructions", "questions", "prose") * (len(kinds) // 3)
    assert len(set(prompts)) == len(prompts) >= 720
