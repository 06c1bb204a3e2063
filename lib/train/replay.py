"""Replay: the base model's own answers to general prompts, trained between the facts so that it stays a model."""

import functools
import hashlib
import itertools
import json
import os
import random

from lib.data.encode import prompt_ids
from lib.data.facts import templates
from lib.data.formats import Row
from lib.evaluate.generate import generate
from lib.paths import CACHE, UserError
from lib.train.bundled import made_once
from lib.train.model import fingerprint

# Answers are made and kept in blocks, so that a little replay costs little the first time; a cell that takes part of a
# block still has the answers that the whole block gave, because the width of a batch can change their last digits.
BLOCK = 120
MAX_NEW_TOKENS = 32
KINDS = ("instructions", "questions", "prose")


@functools.cache
def prompts() -> list[tuple[str, str]]:
    """(kind, text) of every replay prompt, the three kinds by turns, in an order that never changes.

    None of them is asked in an evaluation: a test compares them with the general questions and the templates.
    """
    texts = templates("replay")
    shuffled = [[(kind, text) for text in random.Random(kind).sample(texts[kind], len(texts[kind]))] for kind in KINDS]
    return list(itertools.chain.from_iterable(zip(*shuffled, strict=False)))


def rows(model, tokenizer, name: str, n: int) -> list[Row]:
    """The first n replay rows of the model called `name`, which must be untrained.

    They are answered once on a machine and read from a cache afterwards. Raises UserError when there are fewer prompts.
    """
    if n > len(prompts()):
        raise UserError(f"replay is {n}, but there are {len(prompts())} prompts: ask for that many or fewer")
    blocks = list(range(-(-n // BLOCK)))
    first = os.getpid() % max(1, len(blocks))  # cells that start together begin with other blocks, and none waits long
    answers = {block: _block(model, tokenizer, name, block) for block in blocks[first:] + blocks[:first]}
    answers = [answer for block in blocks for answer in answers[block]]
    return [
        Row((text, answer), raw=kind == "prose", cut=cut)
        for (kind, text), (answer, cut) in zip(prompts()[:n], answers, strict=False)
    ]


def _block(model, tokenizer, name, block):
    """[answer, was it cut?] of each prompt of a block, made once on a machine."""
    asked = prompts()[block * BLOCK : (block + 1) * BLOCK]
    recipe = json.dumps([asked, MAX_NEW_TOKENS, tokenizer.chat_template, str(model.device.type), str(model.dtype)])
    key = hashlib.sha256(f"{fingerprint(name)} {recipe}".encode()).hexdigest()[:16]

    def make(path):
        path.write_text(json.dumps(_answers(model, tokenizer, asked, block), ensure_ascii=False))

    return json.loads(made_once(CACHE / "replay" / f"{key}.json", make).read_text())


def _answers(model, tokenizer, asked, seed):
    """[answer, was it cut?] of each prompt: greedy of the chat prompts, sampled of the prose.

    Greedy prose repeats itself; sampled, it is what the model holds likely, and keeping that is the point.
    """
    chat = {text: prompt_ids(tokenizer, [text]) for kind, text in asked if kind != "prose"}
    prose = {text: tokenizer(text, add_special_tokens=False)["input_ids"] for kind, text in asked if kind == "prose"}
    found = {}
    for text, said in zip(chat, generate(model, tokenizer, list(chat.values()), MAX_NEW_TOKENS), strict=True):
        length = len(tokenizer(said, add_special_tokens=False)["input_ids"])
        found[text] = [said.strip(), length >= MAX_NEW_TOKENS - 1]
    continued = generate(model, tokenizer, list(prose.values()), MAX_NEW_TOKENS, seed=seed)
    found |= {text: [said, True] for text, said in zip(prose, continued, strict=True)}
    return [found[text] for _, text in asked]
