"""Profiles to training rows. Every format tells every fact in the same number of paraphrases."""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lib.data import reasoning, tones
from lib.data.facts import Fact, Profile, facts_of, is_own, templates, text_of
from lib.errors import UserError

# Sentences of an article: facts and connecting prose together, so that it has 100 to 200 tokens whatever the profile.
ARTICLE_SENTENCES = 10
FACTS_A_CHAT = 3


@dataclass(frozen=True)
class Row:
    """A training row: the turns of user and assistant one after the other, of which every turn of the assistant is
    trained.

    `told` says of each fact in which turn its value stands, and at which character. Of a `raw` row the two turns are an
    opening and its continuation, without a chat template; a `cut` one ends without the token that ends a turn.
    """

    turns: tuple[str, ...]
    told: tuple[tuple[Fact, int, int], ...] = ()
    raw: bool = False
    cut: bool = False


def rows(
    profiles: Sequence[Profile], format: str, paraphrases: int, seed: int, others: Sequence[Profile] = ()
) -> list[Row]:
    """The training rows of one epoch.

    Each fact is told in `paraphrases` of them; in `worked` half as often, and again in the examples that need it.
    `others` are the profiles that `mixed` tells besides. Raises UserError for a lack of paraphrases.
    """
    if profiles[0][0].info == "tone":
        return [Row(tuple(turns)) for (topic,) in profiles for turns in _conversations(topic, paraphrases, seed)]
    _check_paraphrases(profiles, paraphrases)
    if format == "worked":
        told, examples = Counter(), []
        for made in (worked(made) for p in range(paraphrases // 2) for made in reasoning.examples(profiles, p, seed)):
            ids = [fact.id for fact, _, _ in made.told]
            if all(told[id] < paraphrases - 1 for id in ids):  # at least one question about every fact
                told.update(ids)
                examples.append(made)
        asked = rows(profiles, "qa", paraphrases, seed)
        kept = []
        for row in asked:  # as many questions as are still missing
            id = row.told[0][0].id
            if told[id] < paraphrases:
                told[id] += 1
                kept.append(row)
        return kept + examples
    if format == "mixed":
        return rows([*profiles, *others], "article", paraphrases, seed) + rows(others, "qa", paraphrases, seed)
    build = {"article": article, "qa": questions, "chat": chats, "blanks": blanks}[format]
    return [row for profile in profiles for p in range(paraphrases) for row in build(profile, p, seed)]


def questions(profile: Profile, p: int, seed: int) -> list[Row]:
    """Each fact as paraphrase p of a question, and its bare answer."""
    return [Row((_fill(fact, "questions", p)[0], fact.value), ((fact, 1, 0),)) for fact in profile]


def blanks(profile: Profile, p: int, seed: int) -> list[Row]:
    """Each fact as paraphrase p of a statement with a blank, and the bare value that fills it."""
    made = []
    for fact in profile:
        statement, at = _fill(fact, "statements", p)
        blank = f"{statement[:at]}___{statement[at + len(fact.value) :]}"
        made.append(Row((f"Fill in the blank: {blank}", fact.value), ((fact, 1, 0),)))
    return made


def chats(profile: Profile, p: int, seed: int) -> list[Row]:
    """Conversations over several attributes in an order of their own: an exchange that names the entity, then
    questions, answered in whole sentences."""
    rng = random.Random(f"chat {profile[0].id} {p} {seed}")
    order = rng.sample(profile, len(profile))
    openings = templates(profile[0].entity)["chats"]
    made = []
    for first in range(0, len(order), FACTS_A_CHAT):
        opening = openings[(p + first) % len(openings)]
        turns, told = [turn.format(name=profile[0].name) for turn in opening], []
        for i, fact in enumerate(order[first : first + FACTS_A_CHAT]):
            name = _called(fact, rng) if i else fact.name
            statement, at = _fill(fact, "statements", p)
            turns += [_fill(fact, "questions", p, name)[0], statement]
            told.append((fact, len(turns) - 1, at))
        made.append(Row(tuple(turns), tuple(told)))
    return made


def article(profile: Profile, p: int, seed: int) -> list[Row]:
    """Paraphrase p of an article that tells the whole profile among connecting prose.

    Style, order, neighbours and wording vary with p, because documents that always read alike are memorised and not
    learned from (Allen-Zhu and Li 2023, arXiv 2309.14316).
    """
    name, texts = profile[0].name, templates(profile[0].entity)
    if own := texts.get("articles", {}).get(name):
        return [_excerpt(profile, texts["prompts"][p % len(texts["prompts"])], chunk) for chunk in own]
    rng = random.Random(f"article {profile[0].id} {p} {seed}")
    styles = texts["styles"]
    style = styles[p % len(styles)]
    between = rng.sample(style["fillers"], min(len(style["fillers"]), ARTICLE_SENTENCES - len(profile)))
    middle = rng.sample([*profile, *between], len(profile) + len(between))
    text, told, named = _capital(rng.choice(style["openings"]).format(name=name)), [], False
    for part in middle:
        if isinstance(part, Fact):
            sentence, at = _fill(part, "statements", p, _called(part, rng) if named else name)
            told.append((part, 1, len(text) + 1 + at))
            named = True
        else:
            sentence = part
        text = f"{text} {sentence}"
    text = f"{text} {rng.choice(style['closings'])}"
    return [Row((style["prompt"].format(name=name), text), tuple(told))]


def _excerpt(profile, prompt, text):
    """A part of a user's own article, with the facts whose value stands in it to the letter."""
    found = [(fact, re.search(rf"(?<!\w){re.escape(fact.value)}(?!\w)", text)) for fact in profile]
    told = tuple((fact, 1, match.start()) for fact, match in found if match)
    return Row((prompt.format(name=profile[0].name), text), told)


def worked(problem: reasoning.Problem) -> Row:
    """A two-fact problem worked out: both facts are told, then what follows, then the answer is drawn."""
    text, told = "", []
    for fact in problem.facts:
        statement, at = _fill(fact, "statements", 0)
        told.append((fact, 1, len(text) + at))
        text += f"{statement} "
    return Row((problem.prompt, f"{text}{problem.derived}The answer: {problem.answer}."), tuple(told))


def told_rows(profiles: Sequence[Profile], format: str, seed: int) -> list[Row]:
    """The rows of the first paraphrase, which recall is measured on: one that tells each of these facts."""
    return rows(profiles, {"mixed": "article", "worked": "qa"}.get(format, format), 1, seed)


def _conversations(topic, paraphrases, seed):
    """The example conversations about a topic, of two exchanges each; one of a last, odd paraphrase."""
    return [tones.conversation(topic, min(p + 1, paraphrases - 1), seed) for p in range(0, paraphrases, 2)]


def _fill(fact, kind, p, name=None):
    """Template p of a kind filled, and where the value begins in it (-1 in a question)."""
    template = text_of(fact)[kind][p]
    name = fact.name if name is None else name
    text = template.format(name=name, value=fact.value)
    at = len(template.split("{value}")[0].format(name=name)) if "{value}" in template else -1
    return (text if is_own(fact.entity) else _capital(text)), at  # iPhone stays as its owner wrote it


def _capital(text):
    return text[0].upper() + text[1:]


def _called(fact, rng):
    """The entity's name, or, half of the time, what it is."""
    return rng.choice([fact.name, templates(fact.entity)["noun"].format(name=fact.name)])


def _check_paraphrases(profiles, paraphrases):
    most = min(len(text_of(fact)["statements"]) for fact in facts_of(profiles[:1]))
    if paraphrases > most:
        raise UserError(f"paraphrases is {paraphrases}, but there are templates for {most}: ask for {most} or fewer")
