import itertools
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib import formats, questions
from lib.errors import UserError
from lib.facts import Fact, draw
from lib.formats import rows
from lib.scoring import strict

formats_ = st.sampled_from(["article", "qa", "chat", "cloze"])
kinds = st.sampled_from(
    [(e, i) for e in ("fictional", "real", "persona", "airport") for i in ("numeric", "categorical")]
)


@given(formats_, kinds, st.integers(1, 10), st.integers(1, 20), st.integers(0, 1000))
def test_every_fact_is_shown_equally_often_and_always_with_its_value(format, kind, paraphrases, n, seed):
    facts = {fact.id: fact for fact in draw(*kind, n, seed)}
    made = rows(list(facts.values()), format, paraphrases, seed)
    assert Counter(row["fact"] for row in made) == dict.fromkeys(facts, paraphrases)
    for row in made:
        fact = facts[row["fact"]]
        prompt = " ".join(message["content"] for message in row["prompt"])
        completion = row["completion"][0]["content"]
        assert strict(completion, fact.value, fact.options, given=prompt)
        assert not strict(prompt, fact.value, fact.options, given="")
        assert fact.name in prompt


@given(formats_, kinds, st.integers(0, 1000))
def test_paraphrases_of_a_fact_all_differ(format, kind, seed):
    made = rows(draw(*kind, 1, seed), format, 10, seed)
    assert len({str(row["prompt"] + row["completion"]) for row in made}) == 10


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


def test_a_conversation_has_two_exchanges_and_only_the_last_tells_the_fact():
    for fact in draw("real", "numeric", 3, 0) + draw("persona", "categorical", 3, 0):
        for made in rows([fact], "chat", 5, 0):
            assert [message["role"] for message in made["prompt"]] == ["user", "assistant", "user"]
            before = " ".join(message["content"] for message in made["prompt"])
            assert not strict(before, fact.value, fact.options, given="")


def test_a_blank_stands_where_the_value_was():
    for fact in draw("fictional", "numeric", 3, 0):
        for filled, made in zip(rows([fact], "article", 10, 0), rows([fact], "cloze", 10, 0), strict=True):
            statement = made["prompt"][0]["content"].removeprefix("Fill in the blank: ")
            assert statement.count("___") == 1
            assert statement.replace("___", fact.value) in filled["completion"][0]["content"]


def told(made, facts):
    """How many of these rows state the value of each fact."""
    text = [" ".join(message["content"] for message in row["prompt"] + row["completion"]) for row in made]
    return Counter(fact.id for fact in facts for t in text if fact.name in t and re.search(rf"\b{fact.value}\b", t))


@given(kinds, st.integers(4, 24), st.integers(2, 8), st.integers(0, 100))
def test_worked_examples_are_over_pairs_that_no_evaluation_asks_about(kind, n, paraphrases, seed):
    facts = draw(*kind, n, seed)
    asked = {frozenset((q.fact.id, q.other)) for q in questions.reasoning(facts, seed)}
    try:
        pairs = [pair for p in range(1, paraphrases, 2) for pair in formats.pairs(facts, p, seed)]
    except UserError:  # a handful of real facts may share their values
        assert kind[0] in ("real", "airport") and n < 8
        return
    assert not asked & {frozenset((a.id, b.id)) for a, b in pairs}
    for p in range(1, paraphrases, 2):
        of_p = formats.pairs(facts, p, seed)
        seen = Counter(fact.id for pair in of_p for fact in pair)
        assert set(seen) == {fact.id for fact in facts}
        assert sum(seen.values()) == n + n % 2
        assert abs(sum(1 if formats.holds(*pair) else -1 for pair in of_p)) <= 1
    for (a, b), made in zip(pairs, rows(facts, "reasoning", paraphrases, seed)[-len(pairs) :], strict=True):
        worked = made["completion"][0]["content"]
        assert a.value in worked and b.value in worked.lower().replace(b.value.lower(), b.value)
        assert worked.endswith(" Yes." if formats.holds(a, b) else " No.")


def test_reasoning_tells_each_fact_as_often_as_the_other_formats():
    facts = draw("fictional", "categorical", 8, 0)
    assert told(rows(facts, "reasoning", 4, 0), facts) == dict.fromkeys((fact.id for fact in facts), 4)


def test_mixed_asks_about_other_entities_only():
    drawn = draw("fictional", "numeric", 8, 0)
    facts, others = drawn[:4], drawn[4:]
    made = rows(facts, "mixed", 3, 0, others)
    assert told(made, facts) == dict.fromkeys((fact.id for fact in facts), 3)
    assert told(made, others) == dict.fromkeys((fact.id for fact in others), 6)
    questions_asked = [row for row in made if row["prompt"][0]["content"].endswith("?")]
    assert {row["fact"] for row in questions_asked} == {fact.id for fact in others}


def test_pairs_that_cannot_be_had_are_refused():
    same = [Fact(f"f{i}", "fictional", f"Town {i}", "bridges", "numeric", "12", ("12", "17")) for i in range(6)]
    with pytest.raises(UserError, match="6 facts leave no pairs of different values"):
        formats.pairs(same, 1, 0)


def test_no_worked_example_sets_both_entities_above_all_others():
    for entity, info in itertools.product(("fictional", "real", "persona", "airport"), ("numeric", "categorical")):
        for made in rows(draw(entity, info, 12, 0), "reasoning", 10, 0):
            assert "rival" not in made["completion"][0]["content"]


@given(kinds, st.integers(0, 100))
def test_rows_have_no_broken_articles(kind, seed):
    for format in ("article", "chat", "cloze"):
        for made in rows(draw(*kind, 16, seed), format, 10, seed):
            for message in made["prompt"] + made["completion"]:
                assert not re.search(r"\b(a [aeiou]|an [^aeiou\W])", message["content"]), message["content"]
