"""Sentences for a column that nobody wrote sentences for: which pattern of english.yaml its heading and values fit."""

import re
from collections.abc import Sequence
from string import Template

import yaml

from lib.paths import LIB

TEMPLATES = LIB / "user_facts" / "templates"
# Sentences by pattern; what stands around the facts of a table; what stands around questions and answers.
ENGLISH, OWN, PAIRS = (yaml.safe_load((TEMPLATES / f"{name}.yaml").read_text(encoding="utf-8"))
                       for name in ("english", "own", "pairs"))  # fmt: skip
WORDS, ACTIVE = {kind: set(words.split()) for kind, words in ENGLISH["words"].items()}, ENGLISH["active"]
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


def sentences(attribute: str, values: Sequence[str]) -> dict[str, list[str]]:
    """Templates for an attribute: four `questions` and `statements` to train, three `heldout_questions` and a
    `heldout_statements` to evaluate. {name} is the entity, {value} its value; training and evaluation share none."""
    pattern, words = _pattern(readable(attribute).replace("{", "{{").replace("}", "}}"), values)
    return {kind: [Template(text).substitute(words) for text in texts] for kind, texts in ENGLISH[pattern].items()}


def readable(attribute: str) -> str:
    """A heading as words: `headOffice` and `Head_Office` become `head office`; `CEO` and `iPhone` stay."""
    spaced = re.sub(r"(?<!\b[a-z])(?<=[a-z])(?=[A-Z])", " ", attribute.replace("_", " ").strip())
    spaced = re.sub(r"^(?:no\.|nr\.|#)\s*(?:of\s)?", "number of ", spaced, flags=re.IGNORECASE)
    words = [word if any(map(str.isupper, word[1:])) else word.lower() for word in spaced.split()]
    return re.sub(r" \((?:in )?([a-zA-Z°µ²³/%€$£¥]{1,5})\)$", r" in \1", " ".join(words))  # height (m)


def _pattern(label, values) -> tuple[str, dict[str, str]]:
    """The pattern that a heading and its values fit, and what its $words are; `quoted` where they fit none."""
    if {value.casefold() for value in values} <= {"yes", "no", "true", "false"} or re.search(r"\?| \(", label):
        return "quoted", {"label": label}
    first, *rest = label.split(" ")
    participles = {word for word in label.split(" ") if word.endswith("ed")} - WORDS["no_participles"]
    participles |= WORDS["participles"]
    participle, active = first in participles, ACTIVE.get(first)
    days = sum(bool(DAY.fullmatch(value)) for value in values)
    times = kind_of(values) == "dates" or all(map(YEAR.fullmatch, values))
    if not rest and (participle or active) and times and days in (0, len(values)):  # founded, died
        asked, told = (f"did {{name}} {active}", f"{{name}} {first}") if active else (
            f"was {{name}} {first}", f"{{name}} was {first}")  # fmt: skip
        on, unit = ("on", "date") if days else ("in", "year")
        return "time", {"asked": asked, "told": told, "on": on, "On": on.title(), "unit": unit}
    if len(rest) == 1 and participle and not active and rest[0] in WORDS["prepositions"]:  # located in
        be, words = "is" if first in WORDS["present"] else "was", kind_of(values) == "words"
        ask = ENGLISH["ask"]["words" if words else "times"].get(rest[0])
        main = f"{ask} {be} {{name}} {first}?" if ask else f"What {be} {{name}} {label}?"
        return "participle", {"label": label, "be": be, "main": main}
    ends_odd = rest and rest[-1] in WORDS["prepositions"] | participles  # lives in, goals scored
    if participle or active or first in WORDS["verbs"] or ends_odd:
        return "quoted", {"label": label}
    noun = label.partition(" of ")[0].rpartition(" ")[2].lower()
    ends_in_s = noun.endswith("s") and not noun.endswith(("ss", "us", "is")) and len(noun) > 3
    plural = noun in WORDS["plurals"] or (ends_in_s and noun not in WORDS["singulars"])
    if all(map(COUNT.fullmatch, values)) and (plural or label.startswith("number of ")):
        return "counted", {"label": label.removeprefix("number of ")}
    who = {noun, noun.removesuffix("s")} & WORDS["persons"]
    be, it = ("are", "they") if plural else ("is", "it")
    return "noun", {"label": label, "ask": "Who" if who else "What", "be": be, "it": it, "it_be": f"{it} {be}"}
