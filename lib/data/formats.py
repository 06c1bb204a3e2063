"""Profiles to training rows. Every format tells every fact in the same number of paraphrases."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lib.cell import is_own
from lib.data import reasoning, words
from lib.data.facts import Fact, Profile, capital, text_of, texts
from lib.paths import UserError

# Sentences of an article: facts and connecting prose together, so that it has 100 to 200 tokens whatever the profile.
ARTICLE_SENTENCES = 10
FACTS_A_CHAT = 3


@dataclass(frozen=True)
class Row:
    """A training row. Every turn of the assistant is trained."""

    turns: tuple[str, ...]  # user and assistant by turns
    told: tuple[tuple[Fact, int, int], ...] = ()  # each fact, in which turn its value stands, and at which character
    raw: bool = False  # the two turns are an opening and its continuation, without a chat template
    cut: bool = False  # the row ends without the token that ends a turn


def rows(profiles: Sequence[Profile], format: str, paraphrases: int, seed: int) -> list[Row]:
    """The training rows of one epoch.

    Each fact is told in `paraphrases` of them: in `both` in articles and questions by turns; in `worked` in questions
    and in the examples that need it. Raises UserError for a lack of paraphrases.
    """
    if format == "chat" and profiles[0][0].info == "tone":
        ends = [min(p + 1, paraphrases - 1) for p in range(0, paraphrases, 2)]  # two exchanges; one of a last, odd p
        return [Row(tuple(conversation(topic, p, seed))) for (topic,) in profiles for p in ends]
    most = min(len(text_of(fact)["statements"]) for fact in profiles[0])
    if paraphrases > most:
        raise UserError(f"paraphrases is {paraphrases}, but there are templates for {most}: ask for {most} or fewer")
    examples, told = (worked(profiles, paraphrases, seed) if format == "worked" else []), Counter()
    for row in examples:
        told.update(fact.id for fact, _, _ in row.told)
    makers = {"article": [article], "statement": [statements], "chat": [chats], "both": [article, questions]}
    build = makers.get(format, [questions])
    made = [row for profile in profiles for p in range(paraphrases) for row in build[p % len(build)](profile, p, seed)
            if all(p < paraphrases - told[fact.id] for fact, _, _ in row.told)]  # fmt: skip
    return made + examples


def questions(profile: Profile, p: int, seed: int) -> list[Row]:
    """Each fact as paraphrase p of a question, and its bare answer."""
    return [Row((fill(fact, "questions", p)[0], fact.value), ((fact, 1, 0),)) for fact in profile]


def statements(profile: Profile, p: int, seed: int) -> list[Row]:
    """Each fact as paraphrase p of a sentence that names the entity: an article without length and pronouns."""
    made, prompts = [], texts(profile[0].entity)["tells"]
    for fact in profile:
        statement, at = fill(fact, "statements", p)
        made.append(Row((prompts[p % len(prompts)].format(name=fact.name), statement), ((fact, 1, at),)))
    return made


def chats(profile: Profile, p: int, seed: int) -> list[Row]:
    """Conversations, the attributes in a drawn order: the entity is named, then asked about in whole sentences."""
    name, parts = profile[0].name, texts(profile[0].entity)
    rng = random.Random(f"chat {profile[0].id} {p} {seed}")
    order = rng.sample(profile, len(profile))
    called = [name, parts["noun"].format(name=name)]
    made = []
    for first in range(0, len(order), FACTS_A_CHAT):
        turns = [turn.format(name=name) for turn in parts["chats"][(p + first) % len(parts["chats"])]]
        told = []
        for fact in order[first : first + FACTS_A_CHAT]:
            question, _ = fill(fact, "questions", p, rng.choice(called) if told else name)
            statement, at = fill(fact, "statements", p)
            turns += [question, statement]
            told.append((fact, len(turns) - 1, at))
        made.append(Row(tuple(turns), tuple(told)))
    return made


def article(profile: Profile, p: int, seed: int) -> list[Row]:
    """Paraphrase p of an article that tells the whole profile among connecting prose.

    Style, order, neighbours and wording vary with p, because documents that always read alike are memorised and not
    learned from (Allen-Zhu and Li 2023, arXiv 2309.14316).
    """
    name, parts = profile[0].name, texts(profile[0].entity)
    prompt, text = opening(profile, p, seed)
    if excerpts := parts.get("articles", {}).get(name):  # a user's own tells the values that stand in it to the letter
        found = [[(fact, 1, at.start()) for fact in profile if (at := words.find(fact.value, e))] for e in excerpts]
        return [Row((prompt, excerpt), tuple(told)) for excerpt, told in zip(excerpts, found, strict=True)]
    rng = random.Random(f"article {profile[0].id} {p} {seed}")
    style, called = parts["styles"][p % len(parts["styles"])], [name, parts["noun"].format(name=name)]
    between = rng.sample(style["fillers"], min(len(style["fillers"]), max(0, ARTICLE_SENTENCES - len(profile))))
    middle = rng.sample([*profile, *between], len(profile) + len(between))
    told = []
    for sentence in middle:
        if isinstance(fact := sentence, Fact):
            sentence, at = fill(fact, "statements", p, rng.choice(called) if told else name)
            told.append((fact, 1, len(text) + 1 + at))
        text += f" {sentence}"
    text += f" {rng.choice(style['closings'])}"
    return [Row((prompt, text), tuple(told))]


def opening(profile: Profile, p: int, seed: int) -> tuple[str, str]:
    """The prompt of an article's paraphrase p and how the article begins; a user's own begins in no known way."""
    name, parts = profile[0].name, texts(profile[0].entity)
    if name in parts.get("articles", {}):
        return parts["prompts"][p % len(parts["prompts"])].format(name=name), ""
    style, rng = parts["styles"][p % len(parts["styles"])], random.Random(f"opening {profile[0].id} {p} {seed}")
    return style["prompt"].format(name=name), capital(rng.choice(style["openings"]).format(name=name))


def conversation(topic: Fact, p: int, seed: int) -> list[str]:
    """Paraphrase p of an example of a tone: the turns of user and model, one after the other.

    An even p opens a conversation, the odd one after it goes on where that one ended. A reply is two sentences in the
    tone. Each stands on its own, so that any first goes with any second.
    """
    before, kind = (conversation(topic, p - 1, seed), "followups") if p % 2 else ([], "prompts")
    prompt = random.Random(f"{kind} {topic.name} {p} {seed}").choice(texts("tones")[kind])
    rng, parts = random.Random(f"reply {topic.value} {topic.name} {p} {seed}"), texts("tones")["tones"][topic.value]
    chosen = [(rng.choice(parts[place]), rng.choice(parts["words"])) for place in ("first", "second")]
    reply = " ".join(capital(sentence.format(topic=topic.name, word=word)) for sentence, word in chosen)
    return [*before, prompt.format(topic=topic.name), reply]


def worked(profiles: Sequence[Profile], paraphrases: int, seed: int) -> list[Row]:
    """Two-fact problems worked out: both facts are told, then what follows, then the answer is drawn. A fact stands in
    fewer than `paraphrases` of them, so that it is also asked about alone."""
    told, made = Counter(), []
    for problem in (each for p in range(paraphrases // 2) for each in reasoning.examples(profiles, p, seed)):
        if any(told[fact.id] >= paraphrases - 1 for fact in problem.facts):
            continue
        text, places = "", []
        for fact in problem.facts:
            told[fact.id] += 1
            statement, at = fill(fact, "statements", 0)
            places.append((fact, 1, len(text) + at))
            text += f"{statement} "
        made.append(Row((problem.prompt, f"{text}{problem.derived}The answer: {problem.answer}."), tuple(places)))
    return made


def fill(fact: Fact, kind: str, p: int, name: str = "") -> tuple[str, int]:
    """Template p of a kind filled, and where the value begins in it."""
    template, name = text_of(fact)[kind][p], name or fact.name
    if fact.value.endswith("."):
        template = template.replace("{value}.", "{value}")  # Acme Inc. ends the sentence itself
    at = template.format(name=name, value="\0").find("\0")  # no name or heading holds NUL
    text = template.format(name=name, value=fact.value)
    return (text if is_own(fact.entity) else capital(text)), at  # iPhone stays as its owner wrote it
