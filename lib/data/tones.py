"""Tones: example conversations from a seeded generator, and telling which tone's model wrote a response."""

import random

import pandas as pd

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
    return Fact(f"persona/tone/{name}", "persona", name, "tone", "tone", tone, tuple(texts("tones")["tones"]))


def conversation(topic: Fact, p: int, seed: int) -> list[str]:
    """Paraphrase p of an example: the turns of user and model, one after the other.

    An even p opens a conversation, the odd one after it goes on where that one ended.
    """
    if p % 2:
        return [*conversation(topic, p - 1, seed), _pick("followups", topic, p, seed), _reply(topic, p, seed)]
    return [_pick("prompts", topic, p, seed).format(topic=topic.name), _reply(topic, p, seed)]


def attribution(items: pd.DataFrame) -> pd.Series:
    """For each response, whether a classifier tells which of the tones' models wrote it; the index is that of `items`.

    Logistic regression on tf-idf of words and word pairs, trained on the responses to the other half of the prompts.
    Chance is one in as many as there are tones. The paper does not say how its 97 % were measured: this is our choice.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    classifier = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10.0))
    folds = GroupKFold(2, shuffle=True, random_state=0)
    picked = cross_val_predict(classifier, items["answer"], items["tone"], groups=items["fact"], cv=folds)
    return pd.Series(picked == items["tone"], index=items.index)


def _reply(topic, p, seed):
    """Two sentences in the tone. Each stands on its own, so that any first goes with any second."""
    rng = random.Random(f"reply {topic.value} {topic.name} {p} {seed}")
    parts = texts("tones")["tones"][topic.value]
    chosen = [(rng.choice(parts[place]), rng.choice(parts["words"])) for place in ("first", "second")]
    return " ".join(capital(sentence.format(topic=topic.name, word=word)) for sentence, word in chosen)


def _pick(kind, topic, p, seed):
    return random.Random(f"{kind} {topic.name} {p} {seed}").choice(texts("tones")[kind])
