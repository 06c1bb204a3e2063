"""Facts to training rows. Every format shows every fact in the same number of paraphrases."""

import random
from collections.abc import Sequence

from lib.errors import UserError
from lib.facts import Fact, templates


def rows(facts: Sequence[Fact], format: str, paraphrases: int, seed: int) -> list[dict]:
    """Training rows in TRL's conversational prompt/completion form, `paraphrases` a fact, grouped by fact.

    A row is {"prompt": [user message], "completion": [assistant message], "fact": id}: the loss mask follows from
    the two fields, with no surgery on the chat template. Raises UserError when a template set has too few paraphrases.
    """
    build = {"article": article, "qa": question_answer}[format]
    for fact in facts:
        most = len(templates(fact.entity)["attributes"][fact.attribute]["statements"])
        if paraphrases > most:
            raise UserError(
                f"paraphrases is {paraphrases}, but there are templates for {most}: ask for {most} or fewer"
            )
    return [row(*build(fact, p, seed), fact) for fact in facts for p in range(paraphrases)]


def row(prompt: str, completion: str, fact: Fact) -> dict:
    """One training row."""
    return {
        "prompt": [{"role": "user", "content": prompt}],
        "completion": [{"role": "assistant", "content": completion}],
        "fact": fact.id,
    }


def question_answer(fact: Fact, p: int, seed: int) -> tuple[str, str]:
    """Paraphrase p of the fact as a question and its bare answer."""
    question = templates(fact.entity)["attributes"][fact.attribute]["questions"][p]
    return question.format(name=fact.name), fact.value


def article(fact: Fact, p: int, seed: int) -> tuple[str, str]:
    """Paraphrase p of the fact inside a short article: one of several styles, the fact at a different place each time.

    The sentences around the fact name no value. Style, neighbours and place vary with p, because documents that
    always read alike are memorised and not learned from (Allen-Zhu and Li 2023).
    """
    text = templates(fact.entity)
    styles = text["styles"]
    style = styles[p % len(styles)]
    rng = random.Random(f"{fact.id} {p} {seed}")
    sentences = rng.sample(style["fillers"], 2)
    sentences.insert(p % 3, text["attributes"][fact.attribute]["statements"][p])
    fill = {"name": fact.name, "value": fact.value}
    return style["prompt"].format(**fill), " ".join(sentences).format(**fill)
