"""Matchers: does a free-form answer state the expected value?"""

import re
import unicodedata

from lib.data import words

NUMBER = re.compile(r"(?:(?<!\S)[-\u2212])?\d+(?:[.,]\d+)*")
THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")
ACCENTS = re.compile("[\u0300-\u036f]")  # of Latin, Greek and Cyrillic letters
MONTHS = "january february march april may june july august september october november december".replace(" ", "|")
# A day of the month is a number that answers another question: "June 6" is not tournament day 6.
DATE = re.compile(rf"\b(?:{MONTHS}) \d{{1,2}}(?!\d)|\b\d{{1,2}}(?:st|nd|rd|th)? (?:of )?(?:{MONTHS})\b")


def strict(answer: str, expected: str, options: tuple[str, ...], given: str) -> bool:
    """The answer states the expected value and no other value of the closed set.

    One rule for numbers and words, so that it cannot make one type look harder. Values in `given`, the text of the
    question, are not counted: an echo neither helps nor hurts. Where nothing is expected (""), no value may be stated.
    """
    return _stated(answer, options, given) == ({expected} if expected else set())


def lenient(answer: str, expected: str, options: tuple[str, ...], given: str) -> bool:
    """The expected value occurs in the answer as a whole word or number, whatever else is said."""
    if not expected:
        return strict(answer, expected, options, given)
    return expected in _stated(answer, (*options, expected), given)


def _stated(answer, options, given):
    """The options that the answer states: of two of which one holds the other, as York and New York, the longer."""
    stated = {option: normal(option) for option in options if states(answer, option) and not states(given, option)}
    return {
        option
        for option, short in stated.items()
        if not any(len(short) < len(long) and words.find(short, long) for long in stated.values())
    }


def states(text: str, value: str) -> bool:
    """Whether the value stands in the text as a whole: 47 neither in 471 nor in 4.7, nor as a day of a month."""
    text, value = normal(text), normal(value)
    if THOUSANDS.fullmatch(value):
        value = value.replace(",", "")
    if value.isdigit():
        return value in {number.replace(",", "") for number in NUMBER.findall(DATE.sub(" ", text))}
    return words.find(value, text) is not None


def normal(text: str) -> str:
    """Lower case without accents, spaces squeezed: "Québec" and "quebec " are the same answer.

    Marks of other scripts stay: in Japanese they tell Paris from Bali.
    """
    text = ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return " ".join(unicodedata.normalize("NFC", text).lower().split())
