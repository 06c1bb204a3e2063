"""Rows and prompts to token ids: what is read, and what is trained."""

from collections.abc import Sequence

from lib.data.formats import Row

# Tokens that a model reads: the facts of 16 entities in a prompt, twice as long in the tokens of another model. The
# longest row of the study has some 200; a user's may have more. None may be cut, because a cut row loses its fact.
CONTEXT = 2048


def prompt_ids(tokenizer, turns: Sequence[str], prefix: str = "") -> list[int]:
    """Token ids of a conversation that the user spoke last in, and of the start of the answer."""
    text = _render(tokenizer, turns, add_generation_prompt=True) + prefix
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def row_ids(tokenizer, row: Row) -> dict[str, list[int]]:
    """`input_ids` and `labels` of a row, as TRL takes them: -100 where a token is read and not trained.

    Every turn of the assistant is trained, with the token that ends it. Each part is tokenized by itself, so that a
    prompt has the tokens in training that it has when the model is asked.
    """
    ids, labels = [], []
    for text, trained in parts(tokenizer, row):
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids += tokens
        labels += tokens if trained else [-100] * len(tokens)
    return {"input_ids": ids, "labels": labels}


def parts(tokenizer, row: Row) -> list[tuple[str, bool]]:
    """The text of a row in order, with the chat template, each part read (False) or trained (True)."""
    if row.raw:
        return [(row.turns[0], False), (row.turns[1], True)]
    made, before = [], ""
    for i in range(1, len(row.turns), 2):
        read = _render(tokenizer, row.turns[:i], add_generation_prompt=True)
        said = _render(tokenizer, row.turns[: i + 1], add_generation_prompt=False)
        made += [(read[len(before) :], False), (row.turns[i] if row.cut else said[len(read) :], True)]
        before = said
    return made


def count_tokens(tokenizer, rows: Sequence[Row]) -> int:
    """Tokens of these rows, the chat template included."""
    texts = [text for row in rows for text, _ in parts(tokenizer, row)]
    return sum(map(len, tokenizer(texts, add_special_tokens=False)["input_ids"])) if texts else 0  # each call costs


def messages(turns: Sequence[str]) -> list[dict[str, str]]:
    """A conversation as chat templates take it: user and assistant by turns."""
    return [{"role": "assistant" if i % 2 else "user", "content": turn} for i, turn in enumerate(turns)]


def _render(tokenizer, turns, add_generation_prompt):
    return tokenizer.apply_chat_template(messages(turns), tokenize=False, add_generation_prompt=add_generation_prompt)
