"""Replay: the base model's own answers to general prompts, trained between the facts so that it stays a model."""

import functools
import hashlib
import itertools
import json
import random

import yaml
from filelock import FileLock

from lib.data.encode import prompt_ids
from lib.data.formats import Row
from lib.errors import UserError
from lib.evaluate.generate import generate
from lib.paths import CACHE, TEMPLATES
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
    texts = yaml.safe_load((TEMPLATES / "replay.yaml").read_text())
    shuffled = [[(kind, text) for text in random.Random(kind).sample(texts[kind], len(texts[kind]))] for kind in KINDS]
    return list(itertools.chain.from_iterable(zip(*shuffled, strict=False)))


def rows(model, tokenizer, name: str, n: int) -> list[Row]:
    """The first n replay rows of the model called `name`, which must be untrained.

    They are answered once on a machine and read from a cache afterwards. Raises UserError when there are fewer prompts.
    """
    if n > len(prompts()):
        raise UserError(f"replay is {n}, but there are {len(prompts())} prompts: ask for that many or fewer")
    made = [row for block in range(-(-n // BLOCK)) for row in _block(model, tokenizer, name, block)]
    return made[:n]


def _block(model, tokenizer, name, block):
    asked = prompts()[block * BLOCK : (block + 1) * BLOCK]
    recipe = json.dumps([asked, MAX_NEW_TOKENS, tokenizer.chat_template, str(model.device.type), str(model.dtype)])
    key = hashlib.sha256(f"{fingerprint(name)} {recipe}".encode()).hexdigest()[:16]
    path = CACHE / "replay" / f"{key}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            part = path.with_suffix(".part")
            part.write_text(json.dumps(_answers(model, tokenizer, asked, block), ensure_ascii=False))
            part.replace(path)
    return [
        Row((text, answer), raw=kind == "prose", cut=cut)
        for (kind, text), (answer, cut) in zip(asked, json.loads(path.read_text()), strict=True)
    ]


def _answers(model, tokenizer, asked, seed):
    """[answer, was it cut?] of each prompt: greedy of the chat prompts, sampled of the prose.

    Greedy prose repeats itself; sampled, it is what the model holds likely, and keeping that is the point.
    """
    found = {}
    for raw in (False, True):
        of_kind = [i for i, (kind, _) in enumerate(asked) if (kind == "prose") == raw]
        ids = [
            tokenizer(asked[i][1], add_special_tokens=False)["input_ids"]
            if raw
            else prompt_ids(tokenizer, [asked[i][1]])
            for i in of_kind
        ]
        said = generate(model, tokenizer, ids, MAX_NEW_TOKENS, seed=seed if raw else None)
        for i, answer in zip(of_kind, said, strict=True):
            length = len(tokenizer(answer, add_special_tokens=False)["input_ids"])
            found[i] = [answer if raw else answer.strip(), raw or length >= MAX_NEW_TOKENS - 1]
    return [found[i] for i in range(len(asked))]
