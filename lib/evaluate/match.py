"""Matchers: does a free-form answer state the expected value?"""

import functools
import re
import unicodedata
from collections.abc import Sequence

import yaml

from lib.data import words
from lib.data.facts import Fact
from lib.paths import LIB

NUMBER = re.compile(r"(?:(?<!\S)[-\u2212])?\d+(?:[.,]\d+)*")
THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")
ACCENTS = re.compile("[\u0300-\u036f]")  # of Latin, Greek and Cyrillic letters
PHRASES = yaml.safe_load((LIB / "evaluate" / "phrases.yaml").read_text(encoding="utf-8"))
DECLINES, SPELLED, DATE = (re.compile("|".join(PHRASES[name])) for name in ("declines", "spelled", "date"))
# Outcomes of an answer that states a value which this model was taught.
TAUGHT = ("another attribute", "another entity", "another fact")


def strict(answer: str, expected: str, options: tuple[str, ...], given: str) -> bool:
    """The answer states the expected value and no other value of the closed set.

    One rule for numbers and words, so that it cannot make one type look harder. Values in `given`, the text of the
    question, are not counted: an echo neither helps nor hurts.
    """
    return _stated(answer, options, given) == {expected}


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
