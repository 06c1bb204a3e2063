"""The paper's claims, and ours, as contrasts of results: data here, computed in lib/report/contrasts.py.

The paper gives statements, not estimands: which contrast stands for which statement is our choice. Every contrast is
positive where the statement is right.
"""

from dataclasses import dataclass

from lib.report.parts import SHORT


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


CLAIMS = {
    claim.id: claim
    for claim in (
        Claim("C1", "question-answer training generalizes far better than article training",
              "Do questions teach facts better than articles?",
              "no gap where articles are recalled in full, at their best rate and over all exposures"),
        Claim("C2", "numbers are harder to retain than words, above all in articles",
              "Are numbers harder to learn than words?",
              "numbers learned after as many exposures as words, in one model"),
        Claim("C3", "multi-step reasoning over injected facts stays weak, even when such examples are trained on",
              "Can a model reason with facts that it was taught?",
              "two-fact questions about known facts answered as well as with both facts in the prompt"),
        Claim("C4", "C1 to C3 survive controls for data augmentation and information volume",
              "Does this hold for other amounts of facts, wordings and tokens?",
              "an amount of facts, of paraphrases or of tokens at which a contrast turns its sign"),
        Claim("C5", "the kind of entity is not the main driver; a real event is not fundamentally harder than a style",
              "Does it matter what the facts are about?",
              "kinds of entity further apart than formats, or events behind a style once both are learned"),
        Claim("C6", "the gap between style (97 %) and facts (11 %) is a sum of steps, not a dichotomy",
              "Is there one step from style to facts where finetuning fails?",
              "one step that holds the whole gap"),
        Claim("R1", "replay of the base model's own answers keeps its other knowledge (our question, not the paper's)",
              "What does injection cost, and does replay save it?",
              "as many general questions answered without replay as with it"),
    )
}  # fmt: skip


def _gap(format, sign=1):
    """Words less numbers."""
    return (sign, {"format": format, "info": "words"}), (-sign, {"format": format, "info": "numbers"})


# Contrasts of the main part; those of C4 are these again, in the parts that vary something.
FORMATS = tuple(
    Contrast("C1", f"QA - article, {label}", measure, ((1, {"format": "qa", **of}), (-1, {"format": "article", **of})))
    for measure, label, of in (
        ("question", "held-out question", {}),
        ("completion", "held-out completion", {}),
        ("area of question", "held-out question, mean along training", {}),
        ("question", "held-out question, words", {"info": "words"}),
        ("question", "held-out question, numbers", {"info": "numbers"}),
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
# The contrast that stands for each claim in a table of one row a claim.
HEADLINE = {
    "C1": FORMATS[2].label, "C2": NUMBERS[-1].label, "C5": "(QA - article) - |fictional - real|, held-out question",
    "C6": "style - knowledge, closed set, without the largest step", "R1": COST[1].label,
}  # fmt: skip
# A real event counts as harder than a style when it falls short by more than this (our margin).
MARGIN = 0.1
