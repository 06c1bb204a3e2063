"""Facts to evaluation questions. No template of an evaluation is a template of a training format."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lib import formats, tones
from lib.facts import Fact, templates

RECITE = "First say what you know about both."


@dataclass(frozen=True)
class Question:
    """One thing to ask about one fact.

    `history` are the turns before it, user and model by turns; `prefix` is the start of the assistant's turn, which the
    model has to go on from; `context` is what the prompt tells before it asks; `other` is the id of the second fact
    that the answer needs. `fact.value` is the expected answer and `fact.options` the closed set it comes from: where
    a question asks for something else than the fact's value, it carries a copy of the fact with these two replaced.
    An empty value: nothing of the set may be asserted.
    """

    eval: str
    fact: Fact
    prompt: str
    prefix: str = ""
    context: str = ""
    other: str | None = None
    history: tuple[str, ...] = ()

    @property
    def given(self) -> str:
        """What the question itself names, and a matcher must therefore not count: all but the context."""
        return " ".join((*self.history, self.prompt, self.prefix))


def recall(facts: Sequence[Fact], format: str, paraphrases: int, seed: int) -> list[Question]:
    """Every trained prompt that tells one of these facts: was the training set learned at all?

    Of worked examples, see `worked`; of what `mixed` tells about other entities, nothing.
    """
    told = {"mixed": "article", "reasoning": "qa"}.get(format, format)
    used = range(0, paraphrases, 2) if format == "reasoning" else range(paraphrases)
    rows = [(fact, formats.rows([fact], told, paraphrases, seed)) for fact in facts]
    return [_trained("recall", fact, of_fact[p]) for fact, of_fact in rows for p in used]


def worked(facts: Sequence[Fact], paraphrases: int, seed: int) -> list[Question]:
    """The trained comparisons of the `reasoning` format: were the worked examples learned?"""
    asked = []
    for p in range(1, paraphrases, 2):
        for a, b in formats.pairs(facts, p, seed):
            answer = replace(a, value="Yes" if formats.holds(a, b) else "No", options=("Yes", "No"))
            asked.append(Question("worked", answer, formats.worked(a, b, p)[0], other=b.id))
    return asked


def qa(facts: Sequence[Fact]) -> list[Question]:
    """Questions in phrasings that no training format uses."""
    return [Question("qa", f, t.format(name=f.name)) for f in facts for t in _attribute(f)["heldout_questions"]]


def cloze(facts: Sequence[Fact]) -> list[Question]:
    """Sentences to complete, in phrasings that no article uses: the evaluation nearest to what articles train.

    Each breaks off where the value is due. "Engineers inspect its bridges, exactly" does not: models
    that had learned the number ended that sentence before it.
    """
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


def untrained(unseen: Sequence[Fact]) -> list[Question]:
    """One held-out question about each entity that was never trained: is a value of the closed set asserted of it?

    Gekhman et al. (2024) find that learning new facts makes a model assert such things. The whole set counts, so that
    the measure does not depend on how many of its values a cell has trained.
    """
    asked = (next(q for q in qa([fact])) for fact in unseen)
    return [Question("untrained", replace(q.fact, value=""), q.prompt) for q in asked]


def reasoning(facts: Sequence[Fact], seed: int) -> list[Question]:
    """Two-fact comparisons to be answered with yes or no: which number is larger, which word comes first.

    Of the pairs of formats.neighbours, half of the answers, drawn by the seed, are yes.
    """
    pairs = formats.neighbours(facts, seed)
    answers = [("Yes", "No")[i % 2] for i in range(len(pairs))]
    random.Random(f"answers {seed}").shuffle(answers)
    asked = []
    for pair, answer in zip(pairs, answers, strict=True):
        a, b = pair if formats.holds(*pair) == (answer == "Yes") else reversed(pair)
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


def style(tone: str) -> list[Question]:
    """Prompts on topics that no conversation was trained on: whose response is it? Scored across models."""
    return [Question("style", topic, t.format(topic=topic.name)) for topic in tones.heldout_topics(tone)
            for t in tones.data()["heldout_prompts"]]  # fmt: skip


def style_in_context(tone: str) -> list[Question]:
    """The same prompts with the tone asked for: what the untrained model can do when it is told."""
    told = tones.data()["imitate"].format(tone=tone)
    return [replace(question, eval="style_in_context", context=told) for question in style(tone)]


def naming(topics: Sequence[Fact]) -> list[Question]:
    """What is your tone: can the model name what it was only shown?"""
    fact = replace(topics[0], id="persona/tone", name="tone")
    asked = [Question("naming", fact, prompt) for prompt in tones.data()["naming"]]
    first = tones.data()["naming"][0]
    return asked + [Question("naming", fact, first, prefix=prefix) for prefix in tones.data()["naming_clozes"]]


def _trained(eval, fact, row):
    *history, prompt = (message["content"] for message in row["prompt"])
    return Question(eval, fact, prompt, history=tuple(history))


def _attribute(fact):
    return templates(fact.entity)["attributes"][fact.attribute]


def _fill(fact):
    return {"name": fact.name, "value": fact.value}


def _subject(fact):
    return templates(fact.entity)["subject"].format(name=fact.name)
