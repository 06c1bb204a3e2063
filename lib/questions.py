"""Facts to evaluation questions. No template of an evaluation is a template of a training format."""

from collections.abc import Sequence
from dataclasses import dataclass

from lib import formats
from lib.facts import Fact, templates


@dataclass(frozen=True)
class Question:
    """One thing to ask about one fact.

    `prefix` is the start of the assistant's turn, which the model has to go on from; `context` is what the prompt
    tells before it asks.
    """

    eval: str
    fact: Fact
    prompt: str
    prefix: str = ""
    context: str = ""

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


def _attribute(fact):
    return templates(fact.entity)["attributes"][fact.attribute]


def _fill(fact):
    return {"name": fact.name, "value": fact.value}


def _subject(fact):
    return templates(fact.entity)["subject"].format(name=fact.name)
