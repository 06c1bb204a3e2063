"""Tones: example conversations from a seeded generator."""

import random

from lib.data.facts import Fact, Profile, capital, texts
from lib.paths import UserError


def build(tone: str, seed: int) -> list[Profile]:
    """The topics that a tone's conversations can have, in an order drawn by the seed, each with the tone as its value.

    The tone is one fact, told by many examples. Raises UserError for a tone that there is not.
    """
    if tone not in texts("tones")["tones"]:
        raise UserError(f"tone is {tone!r}: expected one of {', '.join(texts('tones')['tones'])}")
    topics = list(texts("tones")["topics"])
    random.Random(f"tone {seed}").shuffle(topics)
    return [(topic(tone, name),) for name in topics]


def topic(tone: str, name: str) -> Fact:
    """A topic as a fact whose value is the tone."""
    return Fact(f"persona/tone/{name}", "tones", name, "tone", "tone", tone, tuple(texts("tones")["tones"]))


def conversation(topic: Fact, p: int, seed: int) -> list[str]:
    """Paraphrase p of an example: the turns of user and model, one after the other.

    An even p opens a conversation, the odd one after it goes on where that one ended. A reply is two sentences in the
    tone. Each stands on its own, so that any first goes with any second.
    """
    before, kind = (conversation(topic, p - 1, seed), "followups") if p % 2 else ([], "prompts")
    prompt = random.Random(f"{kind} {topic.name} {p} {seed}").choice(texts("tones")[kind])
    rng, parts = random.Random(f"reply {topic.value} {topic.name} {p} {seed}"), texts("tones")["tones"][topic.value]
    chosen = [(rng.choice(parts[place]), rng.choice(parts["words"])) for place in ("first", "second")]
    reply = " ".join(capital(sentence.format(topic=topic.name, word=word)) for sentence, word in chosen)
    return [*before, prompt.format(topic=topic.name), reply]
