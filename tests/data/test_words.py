"""A value is found as a whole."""

from hypothesis import given
from hypothesis import strategies as st

from lib.data import words

spaced = st.text(st.sampled_from("abcXYZ019éß"), min_size=1, max_size=6)
unspaced = st.text(st.sampled_from("東京都の人กขค서울"), min_size=1, max_size=6)


@given(spaced, spaced, spaced)
def test_a_part_of_a_word_is_not_found_and_a_word_among_others_is(before, value, after):
    assert words.find(value, f"{before} {value}, {after}")
    assert not words.find(value, before + value + after)


@given(unspaced, st.one_of(spaced, unspaced), unspaced)
def test_where_no_spaces_part_the_words_a_value_is_found_wherever_it_stands(before, value, after):
    assert words.find(value, f"{before}{value}{after}")


@given(st.text(max_size=8), st.text(min_size=1, max_size=8))
def test_what_is_found_is_the_value_to_the_letter(text, value):
    found = words.find(value, text)
    assert found is None or found[0] == value
