import functools

import pytest
from helpers import ENTITIES, profiles
from hypothesis import given
from hypothesis import strategies as st

from lib.data.facts import facts_of
from lib.data.questions import completions, questions
from lib.evaluate.match import lenient, strict


@functools.cache
def asked(entity):
    return questions(profiles(entity, 20)) + completions(profiles(entity, 20))


asked_about = st.sampled_from([question for entity in ENTITIES for question in asked(entity)])
frames = st.sampled_from(["{}", "{}.", "It is {}.", "  {} \n", "The answer: {}!", "**{}**", "I think it's {}, yes"])


@given(asked_about, frames)
def test_the_expected_answer_is_always_right(question, frame):
    fact, answer = question.fact, frame.format(question.fact.value)
    assert strict(answer, fact.value, fact.options, question.given)
    assert strict(answer.upper(), fact.value, fact.options, question.given)
    assert lenient(answer, fact.value, fact.options, question.given)


@given(asked_about, frames, st.data())
def test_another_value_is_never_strictly_right(question, frame, data):
    fact = question.fact
    other = data.draw(st.sampled_from([option for option in fact.options if option != fact.value]))
    assert not strict(frame.format(other), fact.value, fact.options, question.given)
    assert not lenient(frame.format(other), fact.value, fact.options, question.given)
    both = f"{frame.format(other)} or {fact.value}"
    assert not strict(both, fact.value, fact.options, question.given)
    assert lenient(both, fact.value, fact.options, question.given)


@given(asked_about)
def test_an_echo_of_the_question_scores_nothing(question):
    fact = question.fact
    for echo in (fact.name, question.prompt, question.prefix, ""):
        assert not lenient(echo, fact.value, fact.options, question.given)


@given(asked_about)
def test_where_nothing_is_expected_any_value_is_wrong_and_no_value_is_right(question):
    fact = question.fact
    for match in (strict, lenient):
        assert match("I do not know.", "", fact.options, question.given)
        assert not match(f"It is {fact.value}.", "", fact.options, question.given)


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [
        ("471 bridges", "47", False),
        ("4.7", "47", False),
        ("1,047", "47", False),
        ("1,047", "1047", True),
        ("47.", "47", True),
        ("the 8th day", "8", True),
        ("forty-seven", "47", False),  # digits only: stated in the README
        ("on day 8 of the 2026 World Cup", "8", True),
        ("on June 8, 2026", "8", False),  # a date is another number
        ("on the 8th of June", "8", False),
        ("on day 8, June 18", "8", True),
    ],
)
def test_numbers_match_whole_and_not_inside_dates(answer, expected, right):
    assert strict(answer, expected, ("8", "18", "47", "1047"), given="the 2026 World Cup") == right


def test_numbers_and_words_follow_one_rule():
    # what is no value of the closed set does not make an answer wrong, whatever its type
    assert strict("47 bridges and 3 tunnels", "47", ("47", "52"), given="")
    assert strict("pewter, gold and silver", "pewter", ("pewter", "licorice"), given="")
    assert not strict("47 or 52", "47", ("47", "52"), given="")
    assert not strict("pewter or licorice", "pewter", ("pewter", "licorice"), given="")


@pytest.mark.parametrize(
    ("answer", "right"),
    [("México City", True), ("mexico  city", True), ("Mexico Citys", False), ("Mexico", False), ("Monterrey", False)],
)
def test_names_match_whole_whatever_the_accents_and_case(answer, right):
    assert strict(answer, "Mexico City", ("Mexico City", "Monterrey"), given="Mexico v Japan") == right


def test_an_echo_of_every_option_is_no_knowledge():
    fact = facts_of(profiles("fictional", 1))[0]
    assert not strict(", ".join(fact.options), fact.value, fact.options, given="")
    assert lenient(", ".join(fact.options), fact.value, fact.options, given="")


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [
        ("首都は東京です。", "東京", True),
        ("首都は大阪です。", "東京", False),
        ("駅はJR東日本にある", "JR東日本", True),
        ("서울은 수도입니다.", "서울", True),
        ("1954年に設立された。", "1954", True),
        ("19540年", "1954", False),
        ("バリです。", "パリ", False),
        ("パリです。", "パリ", True),
        ("東京Metroです", "Metro", True),
        ("東京Metropolisです", "Metro", False),
    ],
)
def test_a_value_is_found_in_scripts_that_put_no_space_between_words(answer, expected, right):
    assert strict(answer, expected, (expected, "大阪", "バリ"), given="") is right
