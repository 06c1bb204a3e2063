"""What is asked of every model to see what it forgot, and the prompts that replay trains on: none near another."""

import difflib
import functools
import itertools
import random

from lib.data.facts import texts

KINDS = ("instructions", "questions", "prose")
ALIKE = 0.75


@functools.cache
def replay_prompts() -> list[tuple[str, str]]:
    """(kind, text) of every replay prompt, the three kinds by turns, in an order that never changes.

    None of them is asked in an evaluation: a test compares them with the general questions and the templates.
    """
    prompts = texts("replay")
    shuffled = [[(kind, text) for text in random.Random(kind).sample(prompts[kind], len(prompts[kind]))]
                for kind in KINDS]  # fmt: skip
    return list(itertools.chain.from_iterable(zip(*shuffled, strict=False)))


@functools.cache
def unlike_replay() -> frozenset[str]:
    """The general questions that no replay prompt asks in nearly the same words.

    A model that trains on "What is the capital of Finland?" keeps the form of "What is the capital of France?" with
    it. What is kept of the others is the stricter measure. Alike is a question whose words are those of a prompt to
    three quarters, in the same order (our choice).
    """
    prompts = [prompt.lower().split() for kind in ("instructions", "questions") for prompt in texts("replay")[kind]]
    asked = [question for question, _ in texts("general")["questions"]]
    return frozenset(q for q in asked if not difflib.get_close_matches(q.lower().split(), prompts, 1, ALIKE))
