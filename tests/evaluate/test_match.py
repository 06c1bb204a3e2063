import functools

import pytest
from helpers import ENTITIES, profiles
from hypothesis import given
from hypothesis import strategies as st

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
    assert strict(answer.upper(), fact.value, fact.options, question.given)
    for match in (strict, lenient):
        assert match(answer, fact.value, fact.options, question.given)


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
def test_where_nothing_is_expected_any_value_is_wrong_and_no_value_is_right(question):
    fact = question.fact
    for match in (strict, lenient):
        assert match("I do not know.", "", fact.options, question.given)
        assert not match(f"It is {fact.value}.", "", fact.options, question.given)


OPTIONS = ("8", "18", "47", "52", "1047", "pewter", "licorice", "Mexico City", "Monterrey", "大阪", "バリ")
RIGHT = [
    ("1,047", "1047"), ("47.", "47"), ("the 8th day", "8"), ("on day 8 of the 2026 World Cup", "8"),
    ("on day 8, June 18", "8"),
    # what is no value of the closed set does not make an answer wrong, whatever its type
    ("47 bridges and 3 tunnels", "47"), ("pewter, gold and silver", "pewter"),
    ("México City", "Mexico City"), ("mexico  city", "Mexico City"),
    ("首都は東京です。", "東京"), ("駅はJR東日本にある", "JR東日本"), ("서울은 수도입니다.", "서울"),
    ("パリです。", "パリ"), ("1954年に設立された。", "1954"), ("東京Metroです", "Metro"),
]  # fmt: skip
WRONG = [
    ("471 bridges", "47"), ("4.7", "47"), ("1,047", "47"), ("forty-seven", "47"),  # digits only: stated in the README
    ("on June 8, 2026", "8"), ("on the 8th of June", "8"),  # a date is another number
    ("47 or 52", "47"), ("pewter or licorice", "pewter"),
    ("Mexico Citys", "Mexico City"), ("Mexico", "Mexico City"), ("Monterrey", "Mexico City"),
    ("首都は大阪です。", "東京"), ("バリです。", "パリ"), ("19540年", "1954"), ("東京Metropolisです", "Metro"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "expected", "right"), [(*pair, True) for pair in RIGHT] + [(*pair, False) for pair in WRONG]
)
def test_a_value_matches_as_a_whole_whatever_the_case_accents_script_and_date(answer, expected, right):
    given = "the 2026 World Cup, Mexico v Japan"
    assert strict(answer, expected, (*OPTIONS, expected), given) is right
