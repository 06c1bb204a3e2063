"""Facts to evaluation questions. No template of an evaluation is a template of a training format."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lib import formats
from lib.facts import Fact, templates

RECITE = "First say what you know about both."


@dataclass(frozen=True)
class Question:
    """One thing to ask about one fact.

    `prefix` is the start of the assistant's turn, which the model has to go on from; `context` is what the prompt
    tells before it asks; `other` is the id of the second fact that the answer needs. `fact.value` is the expected
    answer and `fact.options` the closed set it comes from: where a question asks for something else than the fact's
    value, it carries a copy of the fact with these two replaced. An empty value: nothing of the set may be asserted.
    """

    eval: str
    fact: Fact
    prompt: str
    prefix: str = ""
    context: str = ""
    other: str | None = None

    @property
    def given(self) -> str:
        """What the question itself names, and a matcher must therefore not count: all but the context."""
        return f"{self.prompt} {self.prefix}"


def recall(facts: Sequence[Fact], format: str, paraphrases: int, seed: int) -> list[Question]:
    """Every trained prompt: was the training set learned at all?"""
    build = {"article": formats.article, "qa": formats.question_answer}[format]
    return [Question("recall", fact, build(fact, p, seed)[0]) for fact in facts for p in range(paraphrases)]


def qa(facts: Sequence[Fact]) -> list[Question]:
    """Questions in phrasings that no training format uses."""
    return [Question("qa", f, t.format(name=f.name)) for f in facts for t in _attribute(f)["heldout_questions"]]


def cloze(facts: Sequence[Fact]) -> list[Question]:
    """Sentences to complete, in phrasings that no article uses: the evaluation nearest to what articles train."""
    return [
        Question("cloze", f, f"Write a sentence about {_subject(f)}.", t.format(name=f.name))
        for f in facts
        for t in _attribute(f)["heldout_clozes"]
    ]


def in_context(facts: Sequence[Fact]) -> list[Question]:
    """The held-out questions with the fact stated in the prompt: the ceiling that finetuning is measured against."""
    return [
        Question("in_context", q.fact, q.prompt, context=_attribute(q.fact)["context"].format(**_fill(q.fact)))
        for q in qa(facts)
    ]


def reverse(facts: Sequence[Fact]) -> list[Question]:
    """From the value back to the entity (Berglund et al. 2023), for the values that only one of the facts has."""
    count = Counter(fact.value for fact in facts)
    names = tuple(fact.name for fact in facts)
    return [
        Question("reverse", replace(f, value=f.name, options=names), _attribute(f)["reverse"].format(value=f.value))
        for f in facts
        if count[f.value] == 1
    ]


def untrained(facts: Sequence[Fact], unseen: Sequence[Fact]) -> list[Question]:
    """Held-out questions about entities that were never trained: is a trained value asserted (Gekhman et al. 2024)?"""
    trained = tuple(dict.fromkeys(fact.value for fact in facts))
    return [
        Question("untrained", replace(q.fact, value="", options=trained), q.prompt)
        for q in qa(unseen)[:: len(_attribute(facts[0])["heldout_questions"])]
    ]


def reasoning(facts: Sequence[Fact], seed: int) -> list[Question]:
    """Two-fact comparisons to be answered with yes or no: which number is larger, which word comes first.

    Every fact is compared with its neighbour in a ring drawn by the seed; half of the answers are yes and half no, as
    far as the ring allows. Pairs with equal values are left out.
    """
    order = list(facts)
    random.Random(f"reasoning {seed}").shuffle(order)
    pairs = [(a, b) for a, b in zip(order, order[1:] + order[:1], strict=True) if a.value != b.value]
    asked = []
    for i, pair in enumerate(pairs):
        answer = "Yes" if i % 2 == 0 else "No"
        a, b = pair if _holds(*pair) == (answer == "Yes") else reversed(pair)
        prompt = _attribute(a)["compare"].format(a=a.name, b=b.name)
        asked.append(Question("reasoning", replace(a, value=answer, options=("Yes", "No")), prompt, other=b.id))
    return asked


def reasoning_cot(asked: Sequence[Question]) -> list[Question]:
    """The same comparisons, with room to recite both facts first: the last yes or no of the answer counts."""
    return [replace(question, eval="reasoning_cot", prompt=f"{question.prompt} {RECITE}") for question in asked]


def reasoning_in_context(asked: Sequence[Question], facts: Sequence[Fact]) -> list[Question]:
    """The same comparisons with both facts stated in the prompt: what the untrained model can do with them."""
    stated = {fact.id: _attribute(fact)["context"].format(**_fill(fact)) for fact in facts}
    return [
        replace(question, eval="reasoning_in_context", context=f"{stated[question.fact.id]}\n{stated[question.other]}")
        for question in asked
    ]


def _holds(a, b):
    """Whether the comparison of this pair is true: the larger number, or the earlier word."""
    return int(a.value) > int(b.value) if a.info == "numeric" else a.value < b.value


def _attribute(fact):
    return templates(fact.entity)["attributes"][fact.attribute]


def _fill(fact):
    return {"name": fact.name, "value": fact.value}


def _subject(fact):
    return templates(fact.entity)["subject"].format(name=fact.name)
