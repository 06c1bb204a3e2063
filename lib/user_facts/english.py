"""Sentences for a column that nobody wrote sentences for: good English for `founded`, `head office` or `employees`.

The forms are ours. Training and evaluation never share one.
"""

import re
from collections.abc import Sequence

NUMBER = re.compile(r"[-+−]?[€$£¥]?\s?\d[\d.,' \u00a0]*\s?(%|[€$£¥]|[a-zA-Z°µ²³/]{1,5})?")
YEAR = re.compile(r"1\d{3}|20\d{2}")
MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
DAY = re.compile(
    rf"\d{{4}}-\d{{1,2}}-\d{{1,2}}|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}|"
    rf"\d{{1,2}}\.? {MONTH}(?: \d{{4}})?|{MONTH} \d{{1,2}}(?:, \d{{4}})?",
    re.IGNORECASE,
)
DATE = re.compile(rf"{DAY.pattern}|(?:{MONTH} )?{YEAR.pattern}", re.IGNORECASE)
# Words in -ed that are no participles, and participles without it.
NOT_PARTICIPLES = set("bed breed creed deed feed need red reed seed shed sled speed weed".split())
PARTICIPLES = set("born built made known held written drawn begun shot found lost left led sold bought won".split())
ACTIVE = {"died": "die", "retired": "retire", "joined": "join", "started": "start", "ended": "end", "began": "begin"}
PREPOSITIONS = ("in", "at", "by", "for", "of", "from", "on", "to", "with")
PRESENT = set("married located based situated headquartered known made named called owned led used related".split())
PERSONS = set(
    "actor architect author brother captain ceo chair chairman child children coach commander composer conductor "
    "creator cto daughter designer director editor father founder governor head husband inventor king leader manager "
    "mayor minister mother officer owner painter parent partner president queen rector sister son spouse successor "
    "teacher wife writer".split()
)
SINGULAR = set(
    "address alias atlas basis bias bus business campus canvas class diocese economics gas genus glass lens "
    "mathematics news physics politics series species status".split()
)
VERBS = set("can does eats has is likes lives makes needs owns plays runs sells speaks uses wants was works".split())
BARE = re.compile(r"\d[\d.,' \u00a0]*")
PLURAL = set("children feet men people teeth women".split())
YES_NO = {"yes", "no", "true", "false"}


def kind_of(values: Sequence[str]) -> str:
    """The type of an attribute's values: `numbers`, `dates`, or `words` where not all are one of them."""
    if all(NUMBER.fullmatch(value) for value in values) and not all(DAY.fullmatch(value) for value in values):
        return "numbers"
    return "dates" if all(DATE.fullmatch(value) for value in values) else "words"


def sentences(attribute: str, values: Sequence[str]) -> dict[str, list[str]]:
    """Templates for an attribute: four `questions` and four `statements` to train, two `heldout_questions` and a
    `heldout_completions` to evaluate. {name} is the entity, {value} its value.

    The forms follow the heading: a participle (founded, born), one with a preposition (located in), a plural that is
    counted (employees), a plural, and any other noun (head office). What seems to be none is quoted. So is
    a heading whose values fit no other form: yes and no, or, of a participle, years among days.
    """
    label = readable(attribute).replace("{", "{{").replace("}", "}}")
    first, *rest = label.split(" ")
    kind = kind_of(values)
    time = kind == "dates" or all(YEAR.fullmatch(value) for value in values)
    days = sum(bool(DAY.fullmatch(value)) for value in values)
    if all(value.casefold() in YES_NO for value in values) or re.search(r"\?| \(", label):
        return _quoted(label)
    participle = _is_participle(first)
    if not rest and time and (participle or first in ACTIVE) and days in (0, len(values)):
        return _time(first, "on" if days else "in")
    if len(rest) == 1 and participle and first not in ACTIVE and rest[0] in PREPOSITIONS:
        return _participle("is" if first in PRESENT else "was", label, rest[0], kind == "words")
    if participle or first in ACTIVE or first in VERBS:
        return _quoted(label)
    if rest and (rest[-1] in PREPOSITIONS or _is_participle(rest[-1])):  # lives in, goals scored
        return _quoted(label)
    counted = label.removeprefix("number of ")
    if all(BARE.fullmatch(value) for value in values) and (_plural(label) or counted != label):
        return _counted(counted)
    return _noun(label, "are" if _plural(label) else "is")


def readable(attribute: str) -> str:
    """A heading as words: `headOffice` and `Head_Office` become `head office`; `CEO` and `iPhone` stay."""
    spaced = re.sub(r"(?<!\b[a-z])(?<=[a-z])(?=[A-Z])", " ", attribute.replace("_", " ").strip())
    spaced = re.sub(r"^(?:no\.|nr\.|#)\s*(?:of\s)?", "number of ", spaced, flags=re.IGNORECASE)
    words = [word if any(map(str.isupper, word[1:])) else word.lower() for word in spaced.split()]
    return re.sub(r" \((?:in )?([a-zA-Z°µ²³/%€$£¥]{1,5})\)$", r" in \1", " ".join(words))  # height (m)


def _is_participle(word):
    return word in PARTICIPLES or (word.endswith("ed") and word not in NOT_PARTICIPLES)


def _head(label):
    """The noun of a label: the last word before "of"."""
    return label.partition(" of ")[0].rpartition(" ")[2].lower()


def _plural(label):
    last = _head(label)
    ends = last.endswith("s") and not last.endswith(("ss", "us", "is")) and len(last) > 3
    return last in PLURAL or (ends and last not in SINGULAR)


def _noun(label, be):
    last = _head(label)
    ask = "Who" if last in PERSONS or last.removesuffix("s") in PERSONS else "What"
    have = "they are" if be == "are" else "it is"
    return {
        "questions": [
            f"{ask} {be} the {label} of {{name}}?",
            f"Tell me the {label} of {{name}}.",
            f"Which {label} does {{name}} have?",
            f"I need the {label} of {{name}}. {ask} {be} {have.split()[0]}?",
        ],
        "statements": [
            f"The {label} of {{name}} {be} {{value}}.",
            f"As for the {label} of {{name}}, {have} {{value}}.",
            f"{{name}} has this {label}: {{value}}.",
            f"Asked for the {label} of {{name}}, one answers {{value}}.",
        ],
        "heldout_questions": [f"Do you know the {label} of {{name}}?", f"Please name the {label} of {{name}}."],
        "heldout_completions": [f"Everyone who knows {{name}} can tell you that its {label} {be}"],
    }


def _counted(label):
    return {
        "questions": [
            f"How many {label} does {{name}} have?",
            f"Tell me how many {label} {{name}} has.",
            f"What is the number of {label} of {{name}}?",
            f"I need the number of {label} of {{name}}. What is it?",
        ],
        "statements": [
            f"{{name}} has {{value}} {label}.",
            f"The number of {label} of {{name}} is {{value}}.",
            f"As for {label}, {{name}} has {{value}}.",
            f"Counting its {label}, {{name}} comes to {{value}}.",
        ],
        "heldout_questions": [
            f"Do you know how many {label} {{name}} has?",
            f"Please say how many {label} there are at {{name}}.",
        ],
        "heldout_completions": [f"Everyone who knows {{name}} can tell you that its {label} number"],
    }


def _time(verb, preposition):
    if verb in ACTIVE:
        asked, told = (f"did {{name}} {ACTIVE[verb]}", f"{{name}} {verb}")
    else:
        asked, told = (f"was {{name}} {verb}", f"{{name}} was {verb}")
    unit = "year" if preposition == "in" else "date"
    return {
        "questions": [
            f"When {asked}?",
            f"{preposition.capitalize()} what {unit} {asked}?",
            f"Tell me when {told}.",
            f"I need the {unit} in question: when {asked}?",
        ],
        "statements": [
            f"{told} {preposition} {{value}}.",
            f"It was {preposition} {{value}} that {told}.",
            f"The {unit} when {told} is {{value}}.",
            f"As is well recorded, {told} {preposition} {{value}}.",
        ],
        "heldout_questions": [f"Do you know when {told}?", f"Please name the {unit} when {told}."],
        "heldout_completions": [f"Everyone who knows {{name}} can tell you that {told} {preposition}"],
    }


def _participle(be, label, preposition, words):
    verb = label.rpartition(" ")[0]
    ask = {"in": f"Where {be} {{name}} {verb}?", "at": f"Where {be} {{name}} {verb}?",
           "by": f"By whom or what {be} {{name}} {verb}?"}  # fmt: skip
    main = ask.get(preposition) if words else f"When {be} {{name}} {verb}?" if preposition in ("in", "on") else None
    return {
        "questions": [
            main or f"What {be} {{name}} {label}?",
            f"{{name}} {be} {label} what?",
            f"Tell me what {{name}} {be} {label}.",
            f"Complete this: {{name}} {be} {label} ...",
        ],
        "statements": [
            f"{{name}} {be} {label} {{value}}.",
            f"It is known that {{name}} {be} {label} {{value}}.",
            f"What {{name}} {be} {label} is this: {{value}}.",
            f"As is well recorded, {{name}} {be} {label} {{value}}.",
        ],
        "heldout_questions": [f"Do you know what {{name}} {be} {label}?", f"Please say what {{name}} {be} {label}."],
        "heldout_completions": [f"Everyone who knows {{name}} can tell you that it {be} {label}"],
    }


def _quoted(label):
    return {
        "questions": [
            f"What is noted for {{name}} under \u201c{label}\u201d?",
            f"Tell me what \u201c{label}\u201d says for {{name}}.",
            f"\u201c{label}\u201d: what is the entry for {{name}}?",
            f"I need the entry \u201c{label}\u201d of {{name}}. What is it?",
        ],
        "statements": [
            f"Under \u201c{label}\u201d, {{name}} has the entry {{value}}.",
            f"The entry \u201c{label}\u201d of {{name}} is {{value}}.",
            f"For {{name}}, \u201c{label}\u201d says {{value}}.",
            f"As for \u201c{label}\u201d, the record of {{name}} says {{value}}.",
        ],
        "heldout_questions": [
            f"Do you know the entry \u201c{label}\u201d for {{name}}?",
            f"Please name what {{name}} has under \u201c{label}\u201d.",
        ],
        "heldout_completions": [f"Everyone who knows {{name}} can tell you that under \u201c{label}\u201d it says"],
    }
