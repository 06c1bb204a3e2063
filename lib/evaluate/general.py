"""What finetuning costs: general questions and the perplexity of an English text, asked of every model."""

import difflib
import functools
import math

from lib.data.encode import prompt_ids
from lib.data.facts import templates
from lib.evaluate import match
from lib.evaluate.ask import Item
from lib.evaluate.generate import generate, inference

MAX_NEW_TOKENS = 32
ALIKE = 0.75


def data() -> dict:
    """The fixed questions, as [question, accepted answers], and the text."""
    return templates("general")


def ask(model, tokenizer) -> list[Item]:
    """Answer the general questions. Any accepted answer counts, whatever else is said: strict is lenient here."""
    asked, items = data()["questions"], []
    answers = generate(model, tokenizer, [prompt_ids(tokenizer, [question]) for question, _ in asked], MAX_NEW_TOKENS)
    for (question, accepted), answer in zip(asked, answers, strict=True):
        right = any(match.lenient(answer, option, (), given=question) for option in accepted)
        expected = " / ".join(accepted)
        items.append(Item("general", f"general/{question}", "words", question, expected, answer.strip(), right, right))
    return items


@functools.cache
def unlike_replay() -> frozenset[str]:
    """The general questions that no replay prompt asks in nearly the same words.

    A model that trains on "What is the capital of Finland?" keeps the form of "What is the capital of France?" with
    it. What is kept of the others is the stricter measure. Alike is a question whose words are those of a prompt to
    three quarters, in the same order (our choice).
    """
    prompts = [prompt.lower().split() for kind in ("instructions", "questions") for prompt in templates("replay")[kind]]
    matcher = difflib.SequenceMatcher(autojunk=False)
    unlike = set()
    for question, _ in data()["questions"]:
        matcher.set_seq2(question.lower().split())
        if not any(_alike(matcher, prompt) for prompt in prompts):
            unlike.add(question)
    return frozenset(unlike)


def perplexity(model, tokenizer) -> float:
    """Perplexity of the fixed text: exp of the mean negative log-likelihood of its tokens but the first, in nats."""
    import torch

    ids = torch.tensor([tokenizer(data()["text"], add_special_tokens=False)["input_ids"]], device=model.device)
    with inference():
        logprobs = model(input_ids=ids).logits[0, :-1].float().log_softmax(-1)
    return math.exp(-logprobs.gather(-1, ids[0, 1:].unsqueeze(-1)).mean().item())


def _alike(matcher, prompt):
    matcher.set_seq1(prompt)
    return matcher.quick_ratio() >= ALIKE and matcher.ratio() >= ALIKE
