"""The paper's claims, and ours, as contrasts of results: data here, computed in lib/report/contrasts.py.

The paper gives statements, not estimands: which contrast stands for which statement is our choice. Every contrast is
positive where the statement is right. The statements are in templates/claims.yaml.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import yaml

from lib.paths import LIB
from lib.report.parts import SHORT

TEMPLATES = LIB / "report" / "templates"  # the sentences of all pages, those of the claims included


@dataclass(frozen=True)
class Claim:
    """A statement, and what would change our mind about it."""

    id: str
    says: str
    plain: str  # the same as a question in plain words
    change: str


@dataclass(frozen=True)
class Contrast:
    """A signed sum of mean scores. Each arm is a sign and what its cells or facts have in common.

    `paired`: only facts that all arms have are compared.
    """

    claim: str
    label: str
    measure: str
    arms: tuple[tuple[int, dict], ...]
    paired: bool = True


CLAIMS = {id: Claim(id, **said) for id, said in yaml.safe_load((TEMPLATES / "claims.yaml").read_text()).items()}


def _gap(format, sign=1):
    """Words less numbers."""
    return (sign, {"format": format, "info": "words"}), (-sign, {"format": format, "info": "numbers"})


THINGS = {"fictional": "towns", "real": "matches", "persona": "the persona"}  # what each kind of entity is about
# Contrasts of the main part; those of C4 are these again, in the parts that vary something.
FORMATS = tuple(
    Contrast("C1", f"QA - article, {label}", measure, ((1, {"format": "qa", **of}), (-1, {"format": "article", **of})))
    for measure, label, of in (
        ("question", "held-out question", {}),
        ("completion", "held-out completion", {}),
        ("area of question", "held-out question, mean along training", {}),
        ("question", "held-out question, words", {"info": "words"}),
        ("question", "held-out question, numbers", {"info": "numbers"}),
        *(("completion", f"held-out completion, {things}", {"entity": entity}) for entity, things in THINGS.items()),
    )
)
NUMBERS = (
    *(
        Contrast("C2", f"words - numbers, {label}, {SHORT[format]} format", measure, _gap(format), paired=False)
        for format in ("article", "qa")
        for measure, label in (("question", "held-out question"), ("area of question", "mean along training"),
                               ("area of recall", "recall, mean along training"))
    ),
    *(
        Contrast("C2", f"(words - numbers in article) - (words - numbers in QA), {label}, mean along training", measure,
                 (*_gap("article"), *_gap("qa", -1)), paired=False)
        for measure, label in (("area of question", "held-out question"), ("area of recall", "recall"))
    ),
)  # fmt: skip
# The contrasts that the controls repeat.
REPEATED = (FORMATS[0], FORMATS[2], *NUMBERS[:2], *NUMBERS[3:5])
COST = tuple(
    Contrast("R1", f"with replay - without, general questions, {SHORT[format]} format", "general",
             ((1, {"format": format, "part": "main"}), (-1, {"format": format, "part": "replay", "replay": 0})))
    for format in ("article", "qa")
)  # fmt: skip


def more_replay(amounts: Iterable[int]) -> list[Contrast]:
    """Does more replay keep more? The runs with so many rows of replay against those of the main part."""
    return [
        Contrast("R2", f"{amount} rows of replay - the main part's, general questions, {SHORT[format]} format",
                 "general", ((1, {"format": format, "part": "replay", "replay": amount}),
                             (-1, {"format": format, "part": "main"})))
        for amount in amounts for format in ("article", "qa")
    ]  # fmt: skip


# The contrast that stands for each claim in a table of one row a claim; of C3 and C4, where it is weakest.
HEADLINE = {
    "C1": FORMATS[2].label,
    "C2": NUMBERS[-1].label,  # of recall: to retain is to recall, and articles teach few answers to held-out questions
    "C3": "facts in the prompt, base model - at once, both facts known, QA format",  # of kinds that it can do
    "C4": FORMATS[0].label,
    "C5": "|QA - article| - |fictional - real|, mean along training",
    "C6": "style - knowledge, closed set, without the largest step",
    "R1": COST[1].label,
    "R2": "rows of replay - the main part's, general questions, QA format",
}
# Said with the headline, because it may say something else.
BESIDE = {
    "C1": FORMATS[1].label,
    "C2": NUMBERS[-2].label,
    "C3": f"hop of towns: {HEADLINE['C3']}",
    "R2": "rows of replay - the main part's, general questions, article format",
}
# A real event counts as harder than a style when it falls short by more than this (our margin).
MARGIN = 0.1
