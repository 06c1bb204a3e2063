"""Replay: the base model's own answers to general prompts, trained between the facts so that it stays a model."""

import functools
import hashlib
import json
import os

from lib.data.encode import prompt_ids
from lib.data.formats import Row
from lib.data.of_cell import replay_prompts
from lib.evaluate.generate import BATCH_SIZE, LEAVE_EVERY, generate
from lib.paths import CACHE, UserError
from lib.train import weights

# Answers are made and kept in blocks, so that a little replay costs little. An experiment that takes a part of one has
# the answers of the whole block: the width of a batch can change their last digits.
BLOCK = 120
MAX_NEW_TOKENS = 32


def rows(model, tokenizer, name: str, n: int) -> list[Row]:
    """The first n replay rows of the model called `name`, which must be untrained.

    They are answered once on a machine and read from a cache afterwards. Raises UserError when there are fewer prompts.
    """
    prompts = replay_prompts()
    if n > len(prompts):
        raise UserError(f"replay is {n}, but there are {len(prompts)} prompts: ask for that many or fewer")
    model_key, answers = weights.sha256(name) or name, {}
    blocks = [prompts[start : start + BLOCK] for start in range(0, n, BLOCK)]
    first = os.getpid() % max(1, len(blocks))  # of those that start together, each begins with another block
    for i in [*range(first, len(blocks)), *range(first)]:
        size = [MAX_NEW_TOKENS, BATCH_SIZE, LEAVE_EVERY]
        recipe = [blocks[i], *size, tokenizer.chat_template, str(model.device.type), str(model.dtype)]
        key = hashlib.sha256(f"{model_key} {json.dumps(recipe)}".encode()).hexdigest()[:16]
        make = functools.partial(_answer, model, tokenizer, blocks[i], i)
        kept = weights.made_once(CACHE / "replay" / f"{key}.json", make)
        answers[i] = json.loads(kept.read_text(encoding="utf-8"))
    return [
        Row((text, answer), raw=kind == "prose", cut=cut)
        for i, asked in enumerate(blocks)
        for (kind, text), (answer, cut) in zip(asked, answers[i], strict=True)
    ][:n]


def _answer(model, tokenizer, asked, seed, path):
    """Write [answer, was it cut?] of each prompt into a file: greedy of the chat prompts, sampled of the prose.

    Greedy prose repeats itself; sampled, it is what the model holds likely, and keeping that is the point.
    """
    chat = [text for kind, text in asked if kind != "prose"]
    prose = [text for kind, text in asked if kind == "prose"]
    said = generate(model, tokenizer, [prompt_ids(tokenizer, [text]) for text in chat], MAX_NEW_TOKENS)
    answers = {text: [answer.strip(), cut] for text, (answer, cut) in zip(chat, said, strict=True)}
    openings = tokenizer(prose, add_special_tokens=False)["input_ids"]
    continued = generate(model, tokenizer, openings, MAX_NEW_TOKENS, seed=seed)
    answers |= {text: [answer, True] for text, (answer, _) in zip(prose, continued, strict=True)}
    path.write_text(json.dumps([answers[text] for _, text in asked], ensure_ascii=False), encoding="utf-8")
