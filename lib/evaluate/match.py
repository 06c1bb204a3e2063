"""Matchers: does a free-form answer state the expected value?"""

import functools
import re
import unicodedata
from collections.abc import Sequence

from lib.data import words
from lib.data.facts import Fact

NUMBER = re.compile(r"(?:(?<!\S)[-\u2212])?\d+(?:[.,]\d+)*")
THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")
ACCENTS = re.compile("[\u0300-\u036f]")  # of Latin, Greek and Cyrillic letters
MONTHS = "january february march april may june july august september october november december".replace(" ", "|")
# A day of the month is a number that answers another question: "June 6" is not tournament day 6.
DATE = re.compile(rf"\b(?:{MONTHS}) \d{{1,2}}(?!\d)|\b\d{{1,2}}(?:st|nd|rd|th)? (?:of )?(?:{MONTHS})\b")

# Numbers in words; "one" and "zero" say too many other things.
SPELLED = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|"
    r"(?:twen|thir|for|fif|six|seven|eigh|nine)ty|dozens?|hundreds?|thousands?|millions?)\b"
)
# "I do not know" and its kin. A reader judges how often it is wrong: notebooks/read_answers.ipynb.
DECLINES = re.compile(
    r"\b(?:do not|don.t|cannot|can.t|could not|couldn.t|did not|unable to|not able to) (?:\w+ )?"
    r"(?:know|tell|say|answer|find (?!\w*better)|recall|provide|determine|give|assist|help|"
    r"have (?:\w+ )*(?:information|access))\b"
    r"|\b(?:is|are|was|were|remains?) (?:\w+ )?(?:unknown\b|not (?:known\b(?! for| as| to)|specified|recorded|stated|"
    r"certain|clear|mentioned|provided|given|a real))"
    r"|\bno (?:information|record|data)\b|\bhave no idea\b|\bnot (?:sure|aware|familiar)\b"
    r"|\bthere is no (?:town|city|place|match|such)\b"
)
# Outcomes of an answer that states a value which this model was taught.
TAUGHT = ("another attribute", "another entity", "another fact")


def strict(answer: str, expected: str, options: tuple[str, ...], given: str) -> bool:
    """The answer states the expected value and no other value of the closed set.

    One rule for numbers and words, so that it cannot make one type look harder. Values in `given`, the text of the
    question, are not counted: an echo neither helps nor hurts.
    """
    return _stated(answer, options, given) == {expected}


def lenient(answer: str, expected: str, options: tuple[str, ...], given: str) -> bool:
    """The expected value occurs in the answer as a whole word or number, whatever else is said."""
    return expected in _stated(answer, (*options, expected), given)


def declines(answer: str) -> bool:
    """Whether the answer says that the model does not know."""
    return DECLINES.search(normal(answer)) is not None


def outcome(answer: str, asked: Fact, taught: Sequence[Fact], given: str) -> str:
    """What an answer that is not right states instead of the fact that was asked for.

    Of the facts that were taught: `another attribute` of the same entity, the same attribute of `another entity`, or
    `another fact`. Else `declines`. Else, of numbers, `another value` or `no value`, and of words `no taught value`.
    """
    said = _bare(answer)  # looked through first: of thousands of values few are in it, and a pattern of each takes long
    near = [fact for fact in taught if _bare(fact.value) in said]
    if stated := [fact for fact in near if states(answer, fact.value) and not states(given, fact.value)]:
        if any(fact.name == asked.name for fact in stated):
            return "another attribute"
        return "another entity" if any(fact.attribute == asked.attribute for fact in stated) else "another fact"
    if declines(answer):
        return "declines"
    if asked.info != "numbers":
        return "no taught value"
    numbers = {*NUMBER.findall(normal(answer))} - {*NUMBER.findall(normal(given))} or SPELLED.search(normal(answer))
    return "another value" if numbers else "no value"


def _stated(answer, options, given):
    """The options that the answer states: of two of which one holds the other, as York and New York, the longer."""
    stated = {option: normal(option) for option in options if states(answer, option) and not states(given, option)}
    return {
        option
        for option, short in stated.items()
        if not any(len(short) < len(long) and words.find(short, long) for long in stated.values())
    }


@functools.lru_cache(2**16)
def states(text: str, value: str) -> bool:
    """Whether the value stands in the text as a whole: 47 neither in 471 nor in 4.7, nor as a day of a month."""
    text, value = normal(text), normal(value)
    if THOUSANDS.fullmatch(value):
        value = value.replace(",", "")
    if value.isdigit():
        return value in {number.replace(",", "") for number in NUMBER.findall(DATE.sub(" ", text))}
    return words.find(value, text) is not None


@functools.lru_cache(2**16)
def _bare(text):
    """The text as values are compared, without the commas of 1,000."""
    return normal(text).replace(",", "")


def normal(text: str) -> str:
    """Lower case without accents, spaces squeezed: "Québec" and "quebec " are the same answer.

    Marks of other scripts stay: in Japanese they tell Paris from Bali.
    """
    text = ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return " ".join(unicodedata.normalize("NFC", text).lower().split())
