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
    shuffled = []
    for kind in KINDS:
        prompts = texts("replay")[kind]
        shuffled.append([(kind, prompt) for prompt in random.Random(kind).sample(prompts, len(prompts))])
    return list(itertools.chain.from_iterable(zip(*shuffled, strict=False)))


@functools.cache
def unlike_replay() -> frozenset[str]:
    """The general questions that no replay prompt asks in nearly the same words.

    A model that trains on "What is the capital of Finland?" keeps the form of "What is the capital of France?" with
    it. What is kept of the others is the stricter measure. Alike is a question whose words are those of a prompt to
    three quarters, in the same order (our choice).
    """
    prompts = [prompt.lower().split() for kind in ("instructions", "questions") for prompt in texts("replay")[kind]]
    matcher, unlike = difflib.SequenceMatcher(autojunk=False), set()
    for question, _ in texts("general")["questions"]:
        matcher.set_seq2(question.lower().split())
        for prompt in prompts:
            matcher.set_seq1(prompt)
            if matcher.quick_ratio() >= ALIKE and matcher.ratio() >= ALIKE:
                break
        else:
            unlike.add(question)
    return frozenset(unlike)
