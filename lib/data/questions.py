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
    # the first paraphrase: one row tells each fact
    for row in formats.rows(profiles, {"mixed": "article", "worked": "qa"}.get(format, format), 1, seed):
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
    return [
        Question("completion", fact, f"Write a sentence about {subject}.", template.format(name=fact.name))
        for fact in facts_of(profiles)
        for subject in [texts(fact.entity)["subject"].format(name=fact.name)]
        for template in text_of(fact)["heldout_completions"]
    ]


def in_context(profiles: Sequence[Profile]) -> list[Question]:
    """The held-out questions with the fact stated in the prompt: the ceiling that finetuning is measured against."""
    made = []
    for asked in questions(profiles, 1):
        stated = text_of(asked.fact)["statements"][0].format(name=asked.fact.name, value=asked.fact.value)
        made.append(replace(asked, eval="in_context", context=stated))
    return made


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


def two_facts(profiles: Sequence[Profile], seed: int, eval: str = "reasoning") -> list[Question]:
    """The problems of lib/data/reasoning.py: `reasoning`, to be answered at once; `reasoning_cot`, with room to recite
    both facts first; `reasoning_in_context`, with both stated in the prompt: what the base model can do with them."""
    told = {asked.fact.id: asked.context for asked in in_context(profiles)}
    made = []
    for p in reasoning.problems(profiles, seed):
        fact = replace(p.facts[0], value=p.answer, options=p.options)
        prompt = f"{p.prompt} {RECITE}" if eval == "reasoning_cot" else p.prompt
        context = "\n".join(told[fact.id] for fact in p.facts) if eval == "reasoning_in_context" else ""
        made.append(Question(eval, fact, prompt, context=context, other=p.facts[1].id, kind=p.kind))
    return made


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
