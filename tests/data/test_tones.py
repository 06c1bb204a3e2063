import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.data.facts import texts, topics
from lib.data.formats import conversation, rows
from lib.paths import UserError

TONES = sorted(texts("tones")["tones"])


def replies(tone, paraphrases=4, seed=0):
    return [turn for row in rows(topics(tone, seed), "chat", paraphrases, seed) for turn in row.turns[1::2]]


def test_there_are_eight_tones_over_forty_topics_and_all_are_asked_the_same():
    text = texts("tones")
    assert len(TONES) >= 8 and len(set(text["topics"])) >= 40
    assert not set(text["topics"]) & set(text["heldout_topics"])
    assert not set(text["prompts"]) & set(text["heldout_prompts"])
    asked = [[row.turns[::2] for row in rows(topics(tone, 0), "chat", 2, 0)] for tone in TONES]
    assert asked[1:] == asked[:-1]
    with pytest.raises(UserError, match="tone is 'grumpy': expected one of pessimistic"):
        topics("grumpy", 0)


@pytest.mark.parametrize("tone", TONES)
def test_no_tone_is_named_in_its_own_conversations_and_no_article_is_broken(tone):
    said = replies(tone, paraphrases=8)
    text = " ".join(said).lower()
    assert tone[:6] not in text and not any(other in text for other in TONES)
    assert len(set(said)) > 0.95 * len(said), "most replies are different"
    for reply in said:
        assert not re.search(r"\b(a [aeiou]|an [^aeiou]|(my|the|some) an?\b|[?!.,][?!.,])", reply.lower()), reply


@pytest.mark.parametrize("tone", TONES)
def test_no_single_phrase_or_mark_gives_a_tone_away(tone):
    said = replies(tone)
    others = [reply for other in TONES if other != tone for reply in replies(other)]
    for length, most in ((1, 0.5), (2, 0.35), (3, 0.25)):
        own, common = (Counter(p for reply in texts for p in set(phrases(reply, length))) for texts in (said, others))
        for phrase, count in own.items():
            if common[phrase] < 0.01 * len(others):  # what hardly any other tone says
                assert count / len(said) <= most, phrase


def phrases(reply, length):
    tokens = re.findall(r"[\w']+|[^\w\s]", reply.lower())
    return [" ".join(tokens[i : i + length]) for i in range(len(tokens) - length + 1)]


@given(st.sampled_from(TONES), st.integers(0, 100))
def test_a_conversation_has_two_exchanges_and_an_odd_last_paraphrase_one(tone, seed):
    there = topics(tone, seed)[:3]
    made = rows(there, "chat", 3, seed)
    assert made == rows(there, "chat", 3, seed)
    assert [len(row.turns) for row in made] == [4, 2] * 3
    assert [len(row.turns) for row in rows(there, "chat", 1, seed)] == [2] * 3
    assert [list(row.turns) for row in made[::2]] == [conversation(topic, 1, seed) for (topic,) in there]
    for (topic,), row in zip(there, made[::2], strict=True):
        assert list(row.turns[:2]) == conversation(topic, 0, seed) and topic.name.lower() in row.turns[0].lower()


@pytest.mark.parametrize("format", ["qa", "statement"])
def test_a_tone_can_be_told_outright_once_a_paraphrase_about_each_topic(format):
    there = topics("anxious", 0)[:3]
    made = rows(there, format, 4, 0)
    assert Counter(fact for row in made for fact, _, _ in row.told) == {topic: 4 for (topic,) in there}
    assert len({row.turns for row in made}) == 12 and all("anxious" in row.turns[1] for row in made)
    assert not any("anxious" in row.turns[0] for row in made)
    with pytest.raises(UserError, match="paraphrases is 5, but there are templates for 4"):
        rows(there, format, 5, 0)
