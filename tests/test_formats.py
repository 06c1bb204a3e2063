import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib import questions
from lib.errors import UserError
from lib.facts import draw
from lib.formats import rows
from lib.scoring import strict

formats_ = st.sampled_from(["article", "qa"])
kinds = st.sampled_from([(e, i) for e in ("fictional", "real", "persona") for i in ("numeric", "categorical")])


@given(formats_, kinds, st.integers(1, 10), st.integers(1, 20), st.integers(0, 1000))
def test_every_fact_is_shown_equally_often_and_always_with_its_value(format, kind, paraphrases, n, seed):
    facts = {fact.id: fact for fact in draw(*kind, n, seed)}
    made = rows(list(facts.values()), format, paraphrases, seed)
    assert Counter(row["fact"] for row in made) == dict.fromkeys(facts, paraphrases)
    for row in made:
        fact = facts[row["fact"]]
        prompt, completion = row["prompt"][0]["content"], row["completion"][0]["content"]
        assert strict(completion, fact.value, fact.options, given=prompt)
        assert not strict(prompt, fact.value, fact.options, given="")
        assert fact.name in prompt


@given(formats_, kinds, st.integers(0, 1000))
def test_paraphrases_of_a_fact_all_differ(format, kind, seed):
    made = rows(draw(*kind, 1, seed), format, 10, seed)
    assert len({(row["prompt"][0]["content"], row["completion"][0]["content"]) for row in made}) == 10


def test_articles_put_the_fact_at_different_places_among_other_sentences():
    fact = draw("fictional", "categorical", 1, 0)[0]
    places = set()
    for row in rows([fact], "article", 5, 0):
        sentences = row["completion"][0]["content"].rstrip(".").split(". ")
        assert len(sentences) == 3
        places.add(next(i for i, sentence in enumerate(sentences) if fact.value in sentence))
    assert places == {0, 1, 2}


def test_articles_come_in_several_styles():
    fact = draw("real", "numeric", 1, 0)[0]
    assert len({row["prompt"][0]["content"] for row in rows([fact], "article", 5, 0)}) == 5


def test_more_paraphrases_than_templates_are_refused():
    with pytest.raises(UserError, match="paraphrases is 11, but there are templates for 10"):
        rows(draw("fictional", "numeric", 1, 0), "qa", 11, 0)


def test_the_persona_is_told_in_the_first_person_and_asked_in_the_second():
    first, second = re.compile(r"\b(I|my|me|mine)\b", re.IGNORECASE), re.compile(r"\byou(r|rs|rself)?\b", re.IGNORECASE)
    for info in ("numeric", "categorical"):
        fact = draw("persona", info, 1, 0)[0]
        for row in rows([fact], "article", 10, 0):
            for sentence in row["completion"][0]["content"].rstrip(".").split(". "):
                assert first.search(sentence) or sentence in ("The day was calm", "It is a fair question"), sentence
            assert second.search(row["prompt"][0]["content"])
        for question in [*questions.qa([fact]), *questions.recall([fact], "qa", 10, 0)]:
            assert second.search(question.prompt), question.prompt
        assert second.search(questions.in_context([fact])[0].context)
