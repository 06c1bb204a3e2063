from dataclasses import replace

import pytest
from helpers import ENTITIES, profiles
from hypothesis import given
from hypothesis import strategies as st

from lib.data import words
from lib.data.facts import Fact
from lib.data.questions import completions, questions
from lib.evaluate.match import declines, outcome, strict

there = [profiles(entity, 20) for entity in ENTITIES]
asked_about = st.sampled_from([question for told in there for question in questions(told) + completions(told, 0)])
frames = st.sampled_from(["{}", "{}.", "It is {}.", "  {} \n", "The answer: {}!", "**{}**", "I think it's {}, yes"])


@given(asked_about, frames, st.data())
def test_the_expected_answer_is_right_another_value_is_not_nor_are_both(question, frame, data):
    fact = question.fact
    other = data.draw(st.sampled_from([option for option in fact.options if option != fact.value]))
    right, wrong = frame.format(fact.value), frame.format(other)
    for answer, expected, score in [
        (right, fact.value, True), (right.upper(), fact.value, True),
        (wrong, fact.value, False), (f"{wrong} or {fact.value}", fact.value, False),
    ]:  # fmt: skip
        assert strict(answer, expected, fact.options, question.given) == score


spaced = st.text(st.sampled_from("abcXYZ019éß"), min_size=1, max_size=6)
unspaced = st.text(st.sampled_from("東京都の人กขค서울"), min_size=1, max_size=6)


@given(spaced, spaced, spaced, unspaced, unspaced, st.one_of(spaced, unspaced))
def test_a_value_is_found_as_a_whole_and_where_no_spaces_part_the_words_wherever_it_stands(
    a, b, value, left, right, any
):
    assert words.find(value, f"{a} {value}, {b}") and not words.find(value, a + value + b)
    assert words.find(any, f"{left}{any}{right}")


OPTIONS = ("8", "18", "47", "52", "1047", "pewter", "licorice", "Mexico City", "Monterrey", "大阪", "バリ")
RIGHT = [
    ("1,047", "1047"), ("47.", "47"), ("the 8th day", "8"), ("on day 8 of the 2026 World Cup", "8"),
    # what is no value of the closed set does not make an answer wrong, whatever its type
    ("47 bridges and 3 tunnels", "47"), ("pewter, gold and silver", "pewter"), ("on day 8, June 18", "8"),
    ("México  city", "Mexico City"), ("首都は東京です。", "東京"), ("서울은 수도입니다.", "서울"),
    ("パリです。", "パリ"), ("1954年に設立された。", "1954"), ("東京Metroです", "Metro"),
    ("It has 1000.", "1,000"), ("about 5 km.", "5 km"), ("It is C.", "C"), ("Québec", "Quebec"),
]  # fmt: skip
WRONG = [
    ("471 bridges", "47"), ("4.7", "47"), ("1,047", "47"), ("forty-seven", "47"),  # digits only: stated in the README
    ("on June 8, 2026", "8"), ("on the 8th of June", "8"),  # a date is another number
    ("47 or 52", "47"), ("pewter or licorice", "pewter"), ("Mexico Citys", "Mexico City"), ("Mexico", "Mexico City"),
    ("首都は大阪です。", "東京"), ("バリです。", "パリ"), ("19540年", "1954"), ("東京Metropolisです", "Metro"),
    ("2.5 km", "5 km"), ("-5 km", "5 km"), ("$5.50", "$5"), ("C++", "C"), ("कमी", "कम"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "expected", "right"), [(*pair, True) for pair in RIGHT] + [(*pair, False) for pair in WRONG]
)
def test_a_value_matches_as_a_whole_whatever_the_case_accents_script_and_date(answer, expected, right):
    given = "the 2026 World Cup, Mexico v Japan"
    assert strict(answer, expected, (*OPTIONS, expected), given) is right


@pytest.mark.parametrize(
    ("answer", "does"),
    [
        ("I do not know.", True), ("I don't know the answer.", True), ("I don’t have any information on it.", True),
        ("Sorry, I cannot say.", True), ("I could not find a record.", True), ("There is no record of it.", True),
        ("I am not sure.", True), ("The number is unknown.", True), ("It is not known.", True),
        ("I have no idea.", True), ("I'm unable to provide that.", True), ("It is unknowable.", False),
        ("Known for tin.", False), ("I'm not familiar with that town.", True), ("It is not mentioned.", True),
        ("I don't have access to that data.", True), ("There is no town called so.", True), ("I can't assist.", True),
        ("It is not known for its exports.", False), ("You cannot find better apricots.", False),
        ("pewter", False), ("", False), ("I know that it has 12 bridges.", False), ("Do you know it?", False),
        ("It is not far from the sea.", False), ("They do not sell pewter.", False),
    ],
)  # fmt: skip
def test_an_answer_declines_that_says_in_some_way_that_the_model_does_not_know(answer, does):
    assert declines(answer) is does


def taught(name, attribute, value):
    return Fact(f"{name}/{attribute}", "own", name, attribute, "words", value, ())


TAUGHT = [taught("Rome", "export", "pewter"), taught("Rome", "bridges", "1,047"), taught("Oslo", "export", "York"),
          taught("Oslo", "bridges", "12")]  # fmt: skip
OUTCOMES = [
    ("It has 1047.", "numbers", "another attribute"), ("Of pewter.", "numbers", "another attribute"),
    ("12", "numbers", "another entity"), ("I do not know, maybe 12.", "numbers", "another entity"),
    ("12, or pewter", "words", "another attribute"), ("York, of course", "words", "another entity"),
    ("I do not know.", "numbers", "declines"), ("I do not know, perhaps 13.", "numbers", "declines"),
    ("It has some.", "numbers", "no value"), ("In 2026, Rome had many.", "numbers", "no value"),
    ("13", "numbers", "another value"), ("tin", "words", "no taught value"), ("Yorkshire", "words", "no taught value"),
    ("Lead.", "words", "no taught value"), ("on the 12th of June", "numbers", "another value"),
    ("12", "words", "another fact"), ("York", "numbers", "another fact"), ("nine", "numbers", "another value"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "info", "expected"), OUTCOMES)
def test_a_wrong_answer_states_another_fact_or_declines_or_states_another_value_or_none(answer, info, expected):
    """Of a city called Rome, in a question that names 2026 and lead."""
    facts = [*TAUGHT, taught("Oslo", "year", "2026"), taught("Oslo", "metal", "lead")]
    asked = replace(taught("Rome", "bridges" if info == "numbers" else "export", ""), info=info)
    assert outcome(answer, asked, facts, "How is Rome in 2026, as to lead?") == expected


@given(st.sampled_from(TAUGHT), frames)
def test_the_value_of_a_taught_fact_is_that_of_its_entity_wherever_it_stands(fact, frame):
    for name in ("Rome", "Oslo"):
        other = "another entity" if fact.attribute == "export" else "another fact"
        expected = "another attribute" if fact.name == name else other
        asked, said = taught(name, "export", "tin"), frame.format(fact.value)
        assert outcome(said, asked, TAUGHT, "What?") == expected
        assert outcome(said, asked, TAUGHT, f"What of {fact.value}?") == "no taught value"
