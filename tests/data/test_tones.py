import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.data import tones
from lib.data.facts import take, texts
from lib.data.formats import rows
from lib.paths import UserError

TONES = sorted(texts("tones")["tones"])


def replies(tone, paraphrases=4, seed=0):
    return [turn for row in rows(tones.build(tone, seed), "chat", paraphrases, seed) for turn in row.turns[1::2]]


def test_there_are_eight_tones_over_forty_topics_and_none_of_them_is_asked_about():
    assert len(TONES) >= 8
    trained, held_out = texts("tones")["topics"], texts("tones")["heldout_topics"]
    assert len(set(trained)) >= 40
    assert not set(trained) & set(held_out)
    assert not set(texts("tones")["prompts"]) & set(texts("tones")["heldout_prompts"])


@pytest.mark.parametrize("tone", TONES)
def test_no_tone_is_named_in_its_own_conversations(tone):
    text = " ".join(replies(tone)).lower()
    assert tone[:6] not in text
    assert not any(other in text for other in TONES)


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


@pytest.mark.parametrize("tone", TONES)
def test_replies_have_no_broken_articles(tone):
    for reply in replies(tone, paraphrases=8):
        assert not re.search(r"\b(a [aeiou]|an [^aeiou]|(my|the|some) an?\b|[?!.,][?!.,])", reply.lower()), reply


@given(st.sampled_from(TONES), st.integers(0, 100))
def test_conversations_follow_from_the_seed_and_their_second_exchange_from_the_first(tone, seed):
    topic = tones.build(tone, seed)[0][0]
    first, second = tones.conversation(topic, 0, seed), tones.conversation(topic, 1, seed)
    assert first == tones.conversation(topic, 0, seed)
    assert (len(first), len(second)) == (2, 4)
    assert second[:2] == first
    assert topic.name.lower() in first[0].lower()


def test_all_tones_are_asked_the_same():
    prompts = {
        tuple(turn for row in rows(tones.build(tone, 0), "chat", 2, 0) for turn in row.turns[::2]) for tone in TONES
    }
    assert len(prompts) == 1


def test_a_conversation_has_two_exchanges_and_an_odd_last_paraphrase_one():
    topics = tones.build("anxious", 0)[:3]
    assert [len(row.turns) for row in rows(topics, "chat", 4, 0)] == [4, 4] * 3
    assert [len(row.turns) for row in rows(topics, "chat", 3, 0)] == [4, 2] * 3
    assert [len(row.turns) for row in rows(topics, "chat", 1, 0)] == [2] * 3


def test_most_replies_are_different():
    for tone in TONES:
        said = replies(tone)
        assert len(set(said)) > 0.95 * len(said)


def test_a_tone_that_there_is_not_and_too_many_topics_are_refused():
    with pytest.raises(UserError, match="tone is 'grumpy': expected one of pessimistic"):
        tones.build("grumpy", 0)
    with pytest.raises(UserError, match="n_entities is 41, but only 40 persona entities"):
        take(tones.build("anxious", 0), 41)
