"""Sentences for a column that nobody wrote sentences for: which pattern of english.yaml its heading and values fit."""

import re
from collections.abc import Sequence
from string import Template

import yaml

from lib.paths import LIB

TEMPLATES = LIB / "user_facts" / "templates"
# Sentences by pattern; what stands around the facts of a table; both for facts about the model itself; what stands
# around questions and answers.
ENGLISH, OWN, YOU, PAIRS = (yaml.safe_load((TEMPLATES / f"{name}.yaml").read_text(encoding="utf-8"))
                            for name in ("english", "own", "you", "pairs"))  # fmt: skip
WORDS, FORMS = {kind: set(words.split()) for kind, words in ENGLISH["words"].items()}, ENGLISH["forms"]
NUMBER = re.compile(r"[-+−]?[€$£¥]?\s?\d[\d.,' \u00a0]*\s?(%|[€$£¥]|[a-zA-Z°µ²³/]{1,5})?")
COUNT = re.compile(r"\d[\d.,' \u00a0]*")
YEAR = re.compile(r"1\d{3}|20\d{2}")
MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
DAY = re.compile(
    rf"\d{{4}}-\d{{1,2}}-\d{{1,2}}|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}|"
    rf"\d{{1,2}}\.? {MONTH}(?: \d{{4}})?|{MONTH} \d{{1,2}}(?:, \d{{4}})?",
    re.IGNORECASE,
)
DATE = re.compile(rf"{DAY.pattern}|(?:{MONTH} )?{YEAR.pattern}", re.IGNORECASE)


def kind_of(values: Sequence[str]) -> str:
    """The type of an attribute's values: `numbers`, `dates`, or `words` where not all are one of them."""
    if all(map(NUMBER.fullmatch, values)) and not all(map(DAY.fullmatch, values)):
        return "numbers"
    return "dates" if all(map(DATE.fullmatch, values)) else "words"


def sentences(attribute: str, values: Sequence[str], patterns: dict = ENGLISH) -> dict[str, list[str]]:
    """Templates for an attribute: four `questions` and `statements` to train, three `heldout_questions` and a
    `heldout_statements` to evaluate. {name} is the entity, {value} its value; training and evaluation share none. Of
    YOU's sentences, none names the entity: the model is asked about itself, and tells."""
    pattern, words = _pattern(readable(attribute).replace("{", "{{").replace("}", "}}"), values)
    return {kind: [Template(text).substitute(words) for text in texts] for kind, texts in patterns[pattern].items()}


def readable(attribute: str) -> str:
    """A heading as words: `headOffice` and `Head_Office` become `head office`; `CEO` and `iPhone` stay."""
    spaced = re.sub(r"(?<!\b[a-z])(?<=[a-z])(?=[A-Z])", " ", attribute.replace("_", " ").strip())
    spaced = re.sub(r"^(?:no\.|nr\.|num\b|#)\s*(?:of\s)?", "number of ", spaced, flags=re.IGNORECASE)
    words = [word if any(map(str.isupper, word[1:])) else word.lower() for word in spaced.split()]
    if words[1:] and words[-1].lower() in WORDS["units"] and words[-2] not in WORDS["prepositions"]:
        words.insert(-1, "in")  # height cm
    return re.sub(r" \((?:in )?([a-zA-Z°µ²³/%€$£¥]{1,5})\)$", r" in \1", " ".join(words))  # height (m)


def _pattern(label, values) -> tuple[str, dict[str, str]]:
    """The pattern that a heading and its values fit, and what its $words are; `quoted` where they fit none."""
    if {value.casefold() for value in values} <= {"yes", "no", "true", "false"} or re.search(r"\?| \(", label):
        return "quoted", {"label": label}
    first, *rest = label.split(" ")
    participles = {word for word in label.split(" ") if word.endswith("ed")} - WORDS["no_participles"]
    participles |= WORDS["participles"]
    participle, active = first in participles, ENGLISH["active"].get(first)
    days = sum(bool(DAY.fullmatch(value)) for value in values)
    times = kind_of(values) == "dates" or all(map(YEAR.fullmatch, values))
    if not rest and (participle or active) and times and days in (0, len(values)):  # founded, died
        return ("did" if active else "time"), {"past": first, "do": active, **FORMS["day" if days else "year"]}
    if len(rest) == 1 and participle and not active and rest[0] in WORDS["prepositions"]:  # located in
        tense = FORMS["present" if first in WORDS["present"] else "past"]
        asks = ENGLISH["ask"]["words" if kind_of(values) == "words" else "times"]
        ask = asks.get(label, asks.get(rest[0]))
        return "participle", {"label": label, "ask": ask or "What", "end": first if ask else label, **tense}
    odd = first in WORDS["verbs"] | WORDS["prepositions"] or label in WORDS["no_nouns"]  # lives in, in stock, due
    if odd or participle or active or (rest and rest[-1] in WORDS["prepositions"] | participles):  # goals scored
        return "quoted", {"label": label}
    noun = re.split(" (?:of|in) ", label)[0].rpartition(" ")[2].lower()
    ends_in_s = noun.endswith("s") and not noun.endswith(("ss", "us", "is")) and len(noun) > 3
    plural = noun in WORDS["plurals"] or (ends_in_s and noun not in WORDS["singulars"])
    counts = all(map(COUNT.fullmatch, values)) and noun not in WORDS["amounts"]
    if counts and (plural or label.startswith("number of ")):
        return "counted", {"label": label.removeprefix("number of ")}
    who = {noun, noun.removesuffix("s")} & WORDS["persons"] and kind_of(values) == "words"
    return "noun", {"label": label, "ask": "Who" if who else "What", **FORMS["plural" if plural else "singular"]}
