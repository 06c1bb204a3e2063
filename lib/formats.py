"""Facts to training rows. Every format shows every fact in the same number of paraphrases."""

import itertools
import random
from collections.abc import Sequence

from lib import tones
from lib.errors import UserError
from lib.facts import Fact, templates

# How a worked comparison puts its two values: the answer yes, the answer no.
DERIVED = {"numeric": ("is more than", "is less than"), "categorical": ("comes before", "comes after")}


def rows(facts: Sequence[Fact], format: str, paraphrases: int, seed: int, others: Sequence[Fact] = ()) -> list[dict]:
    """Training rows in TRL's conversational prompt/completion form.

    A row is {"prompt": [messages], "completion": [assistant message], "fact": id}: the loss mask follows from the two
    fields, with no surgery on the chat template. Each fact is told in `paraphrases` rows; `others` are the facts that
    `mixed` tells besides. Raises UserError when a template set has too few paraphrases or no pairs are left to train.
    """
    _check_paraphrases(facts[0], paraphrases)
    if format == "reasoning":
        told = [row(question_answer(fact, p, seed), fact) for fact in facts for p in range(0, paraphrases, 2)]
        return told + [
            row(worked(*pair, p), pair[0]) for p in range(1, paraphrases, 2) for pair in pairs(facts, p, seed)
        ]
    if format == "mixed":
        told = rows([*facts, *others], "article", paraphrases, seed)
        return told + rows(others, "qa", paraphrases, seed)
    build = {"article": article, "qa": question_answer, "chat": chat, "cloze": cloze}[format]
    return [row(build(fact, p, seed), fact) for fact in facts for p in range(paraphrases)]


def row(turns: Sequence[str], fact: Fact) -> dict:
    """One training row from the turns of a conversation, user and model by turns; the last is trained."""
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)]
    return {"prompt": messages[:-1], "completion": messages[-1:], "fact": fact.id}


def question_answer(fact: Fact, p: int, seed: int) -> list[str]:
    """Paraphrase p of the fact as a question and its bare answer."""
    return [_template(fact, "questions", p), fact.value]


def chat(fact: Fact, p: int, seed: int) -> list[str]:
    """Paraphrase p in a conversation: an exchange that names the entity, then the question, answered in a sentence."""
    if fact.info == "tone":
        return tones.conversation(fact, p, seed)
    openings = templates(fact.entity)["chats"]
    opening = [turn.format(name=fact.name) for turn in openings[p % len(openings)]]
    return [*opening, _template(fact, "questions", p), _template(fact, "statements", p)]


def cloze(fact: Fact, p: int, seed: int) -> list[str]:
    """Paraphrase p as a statement with a blank, and the bare value that fills it."""
    blank = _template(fact, "statements", p, value="___")
    return [f"Fill in the blank: {blank}", fact.value]


def article(fact: Fact, p: int, seed: int) -> list[str]:
    """Paraphrase p of the fact inside a short article: one of several styles, the fact at a different place each time.

    The sentences around the fact name no value. Style, neighbours and place vary with p, because documents that
    always read alike are memorised and not learned from (Allen-Zhu and Li 2023).
    """
    styles = templates(fact.entity)["styles"]
    style = styles[p % len(styles)]
    rng = random.Random(f"{fact.id} {p} {seed}")
    sentences = [sentence.format(name=fact.name) for sentence in rng.sample(style["fillers"], 2)]
    sentences.insert(p % 3, _template(fact, "statements", p))
    return [style["prompt"].format(name=fact.name), " ".join(sentences)]


def worked(a: Fact, b: Fact, p: int) -> list[str]:
    """A comparison of two facts, worked out: both are told, then compared, then the answer is drawn.

    They are told in statement p - 1 (p is odd): one at an odd place may set its entity above others, which cannot be
    said of both.
    """
    text = templates(a.entity)["attributes"][a.attribute]
    question = text["compare_trained"][p // 2 % len(text["compare_trained"])].format(a=a.name, b=b.name)
    derived, answer = (DERIVED[a.info][0], "Yes") if holds(a, b) else (DERIVED[a.info][1], "No")
    value = a.value[0].upper() + a.value[1:]
    told = f"{_template(a, 'statements', p - 1)} {_template(b, 'statements', p - 1)}"
    return [question, f"{told} {value} {derived} {b.value}. {answer}."]


def holds(a: Fact, b: Fact) -> bool:
    """Whether the comparison that an attribute asks for is true of this pair: the larger number, the earlier word."""
    return int(a.value) > int(b.value) if a.info == "numeric" else a.value < b.value


def neighbours(facts: Sequence[Fact], seed: int) -> list[tuple[Fact, Fact]]:
    """The pairs that evaluations compare: every fact with one, drawn by the seed, of the next higher value.

    Of pairs drawn at random, three in four are decided by one value alone (a large one is larger than most); of
    neighbours hardly more than half, so that the second fact is needed.
    """
    rng = random.Random(f"reasoning {seed}")
    values = sorted({fact.value for fact in facts}, key=int if facts[0].info == "numeric" else str)
    of_value = {value: [fact for fact in facts if fact.value == value] for value in values}
    return [(a, rng.choice(of_value[up])) for low, up in itertools.pairwise(values) for a in of_value[low]]


def pairs(facts: Sequence[Fact], p: int, seed: int) -> list[tuple[Fact, Fact]]:
    """Pairs to train on for paraphrase p, of which no evaluation asks: every fact once (an odd one out twice).

    Half of the answers are yes. Raises UserError when no such pairs are found.
    """
    asked = {frozenset((a.id, b.id)) for a, b in neighbours(facts, seed)}
    rng = random.Random(f"pairs {p} {seed}")
    order = rng.sample(facts, len(facts))
    for _ in range(10_000):
        drawn = list(zip(order[::2], order[1::2] + order[:1] * (len(order) % 2), strict=True))
        wrong = [i for i, (a, b) in enumerate(drawn) if a.value == b.value or frozenset((a.id, b.id)) in asked]
        if not wrong:
            return [(a, b) if holds(a, b) == (i % 2 == 0) else (b, a) for i, (a, b) in enumerate(drawn)]
        i, j = 2 * wrong[0], rng.randrange(len(order))
        order[i], order[j] = order[j], order[i]
    raise UserError(f"{len(facts)} facts leave no pairs of different values to work examples on: ask for more facts")


def _template(fact, kind, p, value=None):
    text = templates(fact.entity)["attributes"][fact.attribute][kind][p]
    return text.format(name=fact.name, value=fact.value if value is None else value)


def _check_paraphrases(fact, paraphrases):
    if fact.info == "tone":  # whose generator does not run out
        return
    most = len(templates(fact.entity)["attributes"][fact.attribute]["statements"])
    if paraphrases > most:
        raise UserError(f"paraphrases is {paraphrases}, but there are templates for {most}: ask for {most} or fewer")
