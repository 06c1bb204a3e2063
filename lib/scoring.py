"""Matchers: does a free-form answer state the expected value?"""

import re
import unicodedata

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def strict(answer: str, expected: str, options: tuple[str, ...], given: str) -> bool:
    """The answer states the expected value and no other.

    For a number, no other number may stand in the answer; for a category, no other option. What the question
    already gives (`given`: its text, with the entity's name and perhaps a year) is not counted, so that an echo of
    the question neither helps nor hurts.
    """
    if expected.isdigit():
        return _numbers(answer) - _numbers(given) == {expected}
    text = _without(answer, given, options)
    return {option for option in options if _contains(text, option)} == {expected}


def lenient(answer: str, expected: str, options: tuple[str, ...], given: str) -> bool:
    """The expected value occurs in the answer as a whole word or number, whatever else is said."""
    if expected.isdigit():
        return expected in _numbers(answer) - _numbers(given)
    return _contains(_without(answer, given, options), expected)


def _numbers(text):
    return {number.replace(",", "") for number in NUMBER.findall(text)}


def _without(answer, given, options):
    """The answer without the options that the question itself names."""
    named = [option for option in options if _contains(given, option)]
    for option in named:
        answer = re.sub(_pattern(option), " ", _normal(answer))
    return answer


def _contains(text, value):
    return re.search(_pattern(value), _normal(text)) is not None


def _pattern(value):
    return rf"(?<!\w){re.escape(_normal(value))}(?!\w)"


def _normal(text):
    """Lower case without accents, spaces squeezed: "Québec" and "quebec " are the same answer."""
    text = unicodedata.normalize("NFKD", text)
    text = "".join(char for char in text if not unicodedata.combining(char))
    return " ".join(text.lower().split())
