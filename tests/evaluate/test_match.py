import pytest
from helpers import ENTITIES, profiles
from hypothesis import given
from hypothesis import strategies as st

from lib.data import words
from lib.data.questions import completions, questions
from lib.evaluate.match import lenient, strict

there = [profiles(entity, 20) for entity in ENTITIES]
asked_about = st.sampled_from([question for told in there for question in questions(told) + completions(told)])
frames = st.sampled_from(["{}", "{}.", "It is {}.", "  {} \n", "The answer: {}!", "**{}**", "I think it's {}, yes"])


@given(asked_about, frames, st.data())
def test_the_expected_answer_is_right_another_value_is_not_and_beside_it_leniently_right(question, frame, data):
    fact = question.fact
    other = data.draw(st.sampled_from([option for option in fact.options if option != fact.value]))
    right, wrong = frame.format(fact.value), frame.format(other)
    for answer, expected, scores in [
        (right, fact.value, [True, True]), (right.upper(), fact.value, [True, True]),
        (wrong, fact.value, [False, False]), (f"{wrong} or {fact.value}", fact.value, [False, True]),
        ("I do not know.", "", [True, True]), (right, "", [False, False]),  # nothing of the set may be asserted
    ]:  # fmt: skip
        assert [match(answer, expected, fact.options, question.given) for match in (strict, lenient)] == scores


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
