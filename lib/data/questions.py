"""Profiles to evaluation questions. No template of an evaluation is a template of a training format."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lib.data import formats, reasoning
from lib.data.facts import Fact, Profile, facts_of, text_of, texts, topic

ANSWER = {"which": "Answer with the name only.", "sum": "Answer with the number only.", "hop": "Answer briefly."}


@dataclass(frozen=True)
class Question:
    """One thing to ask about one fact.

    `fact.value` is the expected answer and `fact.options` the closed set it comes from: where a question asks for
    something else, it carries a copy of the fact with these two replaced. An empty value: it was never taught.
    """

    eval: str
    fact: Fact
    prompt: str
    prefix: str = ""  # the start of the assistant's turn, which the model has to go on from
    context: str = ""  # what the prompt tells before it asks
    other: str | None = None  # the id of the second fact that the answer needs
    history: tuple[str, ...] = ()  # the turns before the prompt, user and assistant by turns
    kind: str | None = None  # of a two-fact problem: which, hop, sum; of what was never taught: unseen, near, other

    @property
    def turns(self) -> tuple[str, ...]:
        """The conversation up to the answer, user and assistant by turns."""
        return (*self.history, f"{self.context}\n{self.prompt}" if self.context else self.prompt)

    @property
    def given(self) -> str:
        """What the question itself names, and a matcher must therefore not count: all but the context."""
        return " ".join((*self.history, self.prompt, self.prefix))


def recall(profiles: Sequence[Profile], format: str, seed: int) -> list[Question]:
    """The first trained prompt that tells each of these facts, broken off where the value is due.

    A fact that no row tells to the letter, as a user's own article may leave it, is not asked.
    """
    asked = {}
    first = {"both": "article", "unsure": "qa", "worked": "qa"}.get(format, format)
    for row in formats.rows(profiles, first, 1, seed):  # of the first paraphrase one row tells each fact
        for fact, turn, at in row.told:
            *history, prompt = row.turns[:turn]
            question = Question("recall", fact, prompt, row.turns[turn][:at], history=tuple(history))
            asked.setdefault(fact.id, question)
    return list(asked.values())


def questions(profiles: Sequence[Profile]) -> list[Question]:
    """Held-out questions: in wordings, and with first words, that no training row has."""
    return [
        Question("question", fact, template.format(name=fact.name))
        for fact in facts_of(profiles)
        for template in text_of(fact)["heldout_questions"]
    ]


def completions(profiles: Sequence[Profile], seed: int) -> list[Question]:
    """What articles train: an article that was trained begins, then comes a statement of the fact that never was, up to
    the value."""
    made = []
    for profile in profiles:
        prompt, begun = formats.opening(profile, 0, seed)
        for fact in profile:
            for p in range(len(text_of(fact)["heldout_statements"])):
                statement, at = formats.fill(fact, "heldout_statements", p)
                made.append(Question("completion", fact, prompt, f"{begun} {statement[:at]}".strip()))
    return made


def alone(profiles: Sequence[Profile]) -> list[Question]:
    """The first trained statement of each fact without its article, up to the value: is it the wording that a
    completion lacks, or the context?"""
    return [replace(q, eval="alone", prefix=q.prefix.rstrip()) for q in recall(profiles, "statement", 0)]


def in_context(profiles: Sequence[Profile], seed: int) -> list[Question]:
    """The held-out questions with that attribute of all entities stated in the prompt: what finetuning is measured
    against."""
    told = stated(profiles, seed)
    return [replace(q, eval="in_context", context=told[q.fact.attribute]) for q in questions(profiles)]


def stated(profiles: Sequence[Profile], seed: int) -> dict[str, str]:
    """Of each attribute what it is of every entity, a line each, in an order drawn by the seed."""
    told = {}
    for facts in zip(*profiles, strict=True):
        lines = [formats.fill(fact, "statements", 0)[0] for fact in facts]
        random.Random(f"stated {facts[0].attribute} {seed}").shuffle(lines)
        told[facts[0].attribute] = "\n".join(lines)
    return told


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


def two_facts(profiles: Sequence[Profile], seed: int, told: bool = False) -> list[Question]:
    """The problems of lib/data/reasoning.py; `told`: with the facts that they need of all entities in the prompt, which
    is what the models that were taught them are measured against."""
    context, made = stated(profiles, seed) if told else {}, []
    for p in reasoning.problems(profiles, seed):
        attributes = dict.fromkeys(fact.attribute for fact in p.facts)
        made.append(Question(
            "reasoning_in_context" if told else "reasoning", replace(p.facts[0], value=p.answer, options=p.options),
            f"{p.prompt} {ANSWER[p.kind]}", context="\n".join(context[name] for name in attributes) if told else "",
            other=p.facts[1].id, kind=p.kind,
        ))  # fmt: skip
    return made


def style(tone: str, in_context: bool = False) -> list[Question]:
    """Prompts on topics that no conversation was trained on: whose response is it? Scored across models.

    In context the tone is asked for: what the base model can do when it is told.
    """
    text = texts("tones")
    eval, context = ("style_in_context", text["imitate"].format(tone=tone)) if in_context else ("style", "")
    return [
        Question(eval, topic(tone, name), prompt.format(topic=name), context=context)
        for name in text["heldout_topics"]
        for prompt in text["heldout_prompts"]
    ]


def naming(topics: Sequence[Fact]) -> list[Question]:
    """What is your tone: can the model name what it was only shown?"""
    fact, text = replace(topics[0], id="persona/tone", name="tone"), texts("tones")
    asked = [Question("naming", fact, prompt) for prompt in text["naming"]]
    return asked + [Question("naming", fact, text["naming"][0], prefix) for prefix in text["naming_clozes"]]
