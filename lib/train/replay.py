"""Replay: the base model's own answers to general prompts, trained between the facts so that it stays a model."""

import hashlib
import json
import os

from lib.data.encode import prompt_ids
from lib.data.formats import Row
from lib.data.general import replay_prompts
from lib.evaluate.generate import generate
from lib.paths import CACHE, UserError
from lib.train import weights

# Answers are made and kept in blocks, so that a little replay costs little the first time; an experiment that takes
# part of a block still has the answers that the whole block gave, because the width of a batch can change their last
# digits.
BLOCK = 120
MAX_NEW_TOKENS = 32


def rows(model, tokenizer, name: str, n: int) -> list[Row]:
    """The first n replay rows of the model called `name`, which must be untrained.

    They are answered once on a machine and read from a cache afterwards. Raises UserError when there are fewer prompts.
    """
    prompts = replay_prompts()
    if n > len(prompts):
        raise UserError(f"replay is {n}, but there are {len(prompts)} prompts: ask for that many or fewer")
    blocks = [(i, prompts[i * BLOCK : (i + 1) * BLOCK]) for i in range(-(-n // BLOCK))]
    first = os.getpid() % max(1, len(blocks))  # of those that start together, each begins with another block
    answers = {i: _answers(model, tokenizer, name, asked, seed=i) for i, asked in blocks[first:] + blocks[:first]}
    return [
        Row((text, answer), raw=kind == "prose", cut=cut)
        for i, asked in blocks
        for (kind, text), (answer, cut) in zip(asked, answers[i], strict=True)
    ][:n]


def _answers(model, tokenizer, name, asked, seed):
    """[answer, was it cut?] of each prompt, made once on a machine: greedy of the chat prompts, sampled of the prose.

    Greedy prose repeats itself; sampled, it is what the model holds likely, and keeping that is the point.
    """

    def make(path):
        chat = [text for kind, text in asked if kind != "prose"]
        prose = [text for kind, text in asked if kind == "prose"]
        said = generate(model, tokenizer, [prompt_ids(tokenizer, [text]) for text in chat], MAX_NEW_TOKENS)
        lengths = [len(ids) for ids in tokenizer(said, add_special_tokens=False)["input_ids"]]
        answers = {
            text: [answer.strip(), length >= MAX_NEW_TOKENS - 1]
            for text, answer, length in zip(chat, said, lengths, strict=True)
        }
        openings = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in prose]
        continued = generate(model, tokenizer, openings, MAX_NEW_TOKENS, seed=seed)
        answers |= {text: [answer, True] for text, answer in zip(prose, continued, strict=True)}
        path.write_text(json.dumps([answers[text] for _, text in asked], ensure_ascii=False), encoding="utf-8")

    recipe = json.dumps([asked, MAX_NEW_TOKENS, tokenizer.chat_template, str(model.device.type), str(model.dtype)])
    key = hashlib.sha256(f"{weights.sha256(name) or name} {recipe}".encode()).hexdigest()[:16]
    return json.loads(weights.made_once(CACHE / "replay" / f"{key}.json", make).read_text(encoding="utf-8"))
