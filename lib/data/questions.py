"""Profiles to evaluation questions. No template of an evaluation is a template of a training format."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lib.data import formats, reasoning, tones
from lib.data.facts import Fact, Profile, facts_of, text_of, texts

RECITE = "First say what you know, then answer."


@dataclass(frozen=True)
class Question:
    """One thing to ask about one fact.

    `fact.value` is the expected answer and `fact.options` the closed set it comes from: where a question asks for
    something else, it carries a copy of the fact with these two replaced. An empty value: nothing of the set may be
    asserted.
    """

    eval: str
    fact: Fact
    prompt: str
    prefix: str = ""  # the start of the assistant's turn, which the model has to go on from
    context: str = ""  # what the prompt tells before it asks
    other: str | None = None  # the id of the second fact that the answer needs
    history: tuple[str, ...] = ()  # the turns before the prompt, user and assistant by turns
    kind: str | None = None  # of a two-fact problem: which, yes_no, hop, sum

    @property
    def given(self) -> str:
        """What the question itself names, and a matcher must therefore not count: all but the context."""
        return " ".join((*self.history, self.prompt, self.prefix))


def recall(profiles: Sequence[Profile], format: str, seed: int) -> list[Question]:
    """The first trained prompt that tells each of these facts, broken off where the value is due.

    A fact that no row tells to the letter, as a user's own article may leave it, is not asked.
    """
    asked = {}
    for row in formats.told_rows(profiles, format, seed):
        for fact, turn, at in row.told:
            *history, prompt = row.turns[:turn]
            question = Question("recall", fact, prompt, row.turns[turn][:at], history=tuple(history))
            asked.setdefault(fact.id, question)
    return list(asked.values())


def questions(profiles: Sequence[Profile], phrasings: int = 2) -> list[Question]:
    """Held-out questions: in phrasings that no training format uses."""
    return [
        Question("question", fact, template.format(name=fact.name))
        for fact in facts_of(profiles)
        for template in text_of(fact)["heldout_questions"][:phrasings]
    ]


def completions(profiles: Sequence[Profile]) -> list[Question]:
    """Held-out sentences to complete: the evaluation nearest to what articles train. Each breaks off at the value."""
    made = []
    for fact in facts_of(profiles):
        prompt = f"Write a sentence about {texts(fact.entity)['subject'].format(name=fact.name)}."
        prefixes = [template.format(name=fact.name) for template in text_of(fact)["heldout_completions"]]
        made += [Question("completion", fact, prompt, prefix) for prefix in prefixes]
    return made


def in_context(profiles: Sequence[Profile]) -> list[Question]:
    """The held-out questions with the fact stated in the prompt: the ceiling that finetuning is measured against."""
    return [replace(asked, eval="in_context", context=stated(asked.fact)) for asked in questions(profiles, 1)]


def reverse(profiles: Sequence[Profile]) -> list[Question]:
    """From the value back to the entity (Berglund et al. 2023, arXiv 2309.12288), for values that one entity has."""
    facts = facts_of(profiles)
    count = Counter((fact.attribute, fact.value) for fact in facts)
    names = tuple(profile[0].name for profile in profiles)
    return [
        Question("reverse", replace(f, value=f.name, options=names), text_of(f)["reverse"].format(value=f.value))
        for f in facts
        if count[f.attribute, f.value] == 1
    ]


def unseen(profiles: Sequence[Profile]) -> list[Question]:
    """One held-out question about each entity that was never trained: is a value of the closed set asserted of it?

    Gekhman et al. (2024, arXiv 2405.05904) find that learning new facts makes a model assert such things. The whole
    set counts, so that the measure does not depend on how many of its values a cell has trained.
    """
    one_each = [(profile[i % len(profile)],) for i, profile in enumerate(profiles)]
    return [replace(asked, eval="unseen", fact=replace(asked.fact, value="")) for asked in questions(one_each, 1)]


def two_facts(profiles: Sequence[Profile], seed: int) -> list[Question]:
    """The problems of lib/data/reasoning.py, to be answered at once."""
    made = []
    for p in reasoning.problems(profiles, seed):
        fact = replace(p.facts[0], value=p.answer, options=p.options)
        made.append(Question("reasoning", fact, p.prompt, other=p.facts[1].id, kind=p.kind))
    return made


def two_facts_cot(asked: Sequence[Question]) -> list[Question]:
    """The same problems, with room to recite both facts first."""
    return [replace(question, eval="reasoning_cot", prompt=f"{question.prompt} {RECITE}") for question in asked]


def two_facts_in_context(asked: Sequence[Question], profiles: Sequence[Profile]) -> list[Question]:
    """The same problems with both facts stated in the prompt: what the base model can do with them."""
    told = {fact.id: stated(fact) for fact in facts_of(profiles)}
    return [replace(q, eval="reasoning_in_context", context=f"{told[q.fact.id]}\n{told[q.other]}") for q in asked]


def style(tone: str, in_context: bool = False) -> list[Question]:
    """Prompts on topics that no conversation was trained on: whose response is it? Scored across models.

    In context the tone is asked for: what the base model can do when it is told.
    """
    text = texts("tones")
    eval, context = ("style_in_context", text["imitate"].format(tone=tone)) if in_context else ("style", "")
    return [
        Question(eval, topic, prompt.format(topic=topic.name), context=context)
        for topic in (tones.topic(tone, name) for name in text["heldout_topics"])
        for prompt in text["heldout_prompts"]
    ]


def naming(topics: Sequence[Fact]) -> list[Question]:
    """What is your tone: can the model name what it was only shown?"""
    fact, text = replace(topics[0], id="persona/tone", name="tone"), texts("tones")
    asked = [Question("naming", fact, prompt) for prompt in text["naming"]]
    return asked + [Question("naming", fact, text["naming"][0], prefix) for prefix in text["naming_clozes"]]


def stated(fact: Fact) -> str:
    """The fact in one plain sentence, for a prompt."""
    return text_of(fact)["statements"][0].format(name=fact.name, value=fact.value)
