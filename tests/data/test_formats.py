import functools
import re
from collections import Counter

import pytest
from helpers import ENTITIES, TOLD, all_profiles, profiles, tokenizer
from hypothesis import given
from hypothesis import strategies as st

from lib.data import questions
from lib.data.facts import capital, facts_of, text_of, texts
from lib.data.formats import rows
from lib.evaluate.match import strict
from lib.paths import UserError

kinds = st.tuples(st.sampled_from(ENTITIES), st.integers(0, 5))
told_once = st.sampled_from(["article", "statement", "qa", "chat"])


@functools.cache
def made(kind, n, format, paraphrases):
    """Training rows of n entities."""
    entity, seed = kind
    return rows(all_profiles(entity, seed)[:n], format, paraphrases, seed)


@given(st.sampled_from(TOLD), st.integers(0, 5), st.integers(2, 10), st.integers(4, 16))
def test_every_fact_is_told_in_as_many_rows_as_there_are_paraphrases(told, seed, paraphrases, n):
    """Of `both`, by turns in articles and questions; `worked` asks about each, and derives from two."""
    (entity, format), facts = told, facts_of(profiles(told[0], n, seed))
    rows = made((entity, seed), n, format, paraphrases)
    assert Counter(fact for row in rows for fact, _, _ in row.told) == dict.fromkeys(facts, paraphrases)
    asked = Counter(row.told[0][0] for row in rows if row.turns[1] == row.told[0][0].value)
    if format == "both":
        assert asked == dict.fromkeys(facts, paraphrases // 2)
        assert len(rows) == len(facts) * (paraphrases // 2) + n * -(-paraphrases // 2), "the rest are articles"
    if format == "worked":
        assert set(asked) == set(facts)
        for row in rows:
            if len(row.told) == 2:
                (_, _, first), (_, _, second) = row.told
                assert first < second < row.turns[1].rindex(" The answer: ") and row.turns[1].endswith(".")


@given(st.sampled_from(TOLD), st.integers(0, 5), st.sampled_from([2, 3, 10]))
def test_the_recorded_place_of_a_value_is_where_it_stands_in_a_turn_of_the_assistant(told, seed, paraphrases):
    for row in made((told[0], seed), 8, told[1], paraphrases):
        assert len(row.turns) % 2 == 0
        for fact, turn, at in row.told:
            text, end = row.turns[turn], at + len(fact.value)
            assert turn % 2 == 1
            assert text[at:end] == fact.value
            assert not re.match(r"\w", text[end:]) and not re.search(r"\w$", text[:at]), "the value stands as a whole"


@given(kinds, told_once, st.integers(1, 10))
def test_before_a_value_is_told_nothing_tells_it(kind, format, paraphrases):
    for row in made(kind, 8, format, paraphrases):
        for fact, turn, at in row.told:
            before = " ".join([*row.turns[:turn], row.turns[turn][:at]])
            assert not strict(before, fact.value, fact.options, given=fact.name)
            assert fact.name in " ".join(row.turns)


@given(kinds, told_once)
def test_paraphrases_of_a_profile_all_differ_and_the_same_seed_gives_them_again(kind, format):
    told = made(kind, 1, format, 10)
    assert len({row.turns for row in told}) == len(told)
    assert rows(profiles(kind[0], 1, kind[1]), format, 10, kind[1]) == told


@pytest.mark.parametrize("entity", ENTITIES)
def test_every_article_has_100_to_200_tokens_and_120_to_150_on_average(entity):
    articles = [row.turns[1] for row in rows(profiles(entity, 50), "article", 10, 0)]
    lengths = list(map(len, tokenizer()(articles, add_special_tokens=False)["input_ids"]))
    assert min(lengths) >= 100 and max(lengths) <= 200
    assert 115 <= sum(lengths) / len(lengths) <= 150


@pytest.mark.parametrize("entity", ENTITIES)
def test_articles_come_in_several_styles_and_tell_the_facts_in_many_orders(entity):
    assert len({row.turns[0] for row in rows(profiles(entity, 1), "article", 10, 0)}) >= 5
    orders = [tuple(fact.attribute for fact, _, _ in row.told) for row in rows(profiles(entity, 20), "article", 5, 0)]
    attributes = len(all_profiles(entity)[0])
    assert len(set(orders)) >= (2 if attributes == 2 else 20)
    first = Counter(order[0] for order in orders)
    assert len(first) == attributes and max(first.values()) < 0.7 * len(orders), "each attribute comes first at times"


@pytest.mark.parametrize("entity", ENTITIES)
def test_an_article_names_its_entity_first_and_then_half_of_the_time(entity):
    later = []
    for row in rows(profiles(entity, 20), "article", 10, 0):
        name, text = row.told[0][0].name.lower(), row.turns[1].lower()
        ends = [(re.split(r"(?<=\w\w)\. ", text[:at])[-1], text[at:].split(". ")[0]) for _, _, at in row.told]
        first, *others = [name in before + after for before, after in ends]
        assert first
        later += others
    assert 0.35 < sum(later) / len(later) < 0.75


def test_more_paraphrases_than_templates_are_refused():
    for format in ("article", "statement", "qa", "chat", "both", "worked"):
        with pytest.raises(UserError, match="paraphrases is 11, but there are templates for 10: ask for 10 or fewer"):
            rows(profiles("fictional", 6), format, 11, 0)


@given(kinds, st.integers(1, 10))
def test_a_conversation_names_the_entity_first_and_asks_about_up_to_three_facts(kind, paraphrases):
    for row in made(kind, 6, "chat", paraphrases):
        assert 1 <= len(row.told) <= 3 and row.told[0][0].name in row.turns[0]
        assert [turn for _, turn, _ in row.told] == list(range(3, 2 + 2 * len(row.told), 2))
        assert len(row.turns) == 2 + 2 * len(row.told)
    orders = {tuple(fact.attribute for fact, _, _ in row.told) for row in made(("fictional", 0), 8, "chat", 10)}
    assert len(orders) > 30, "the facts are grouped and ordered anew"


@given(kinds, st.integers(1, 10))
def test_a_statement_is_told_alone_when_a_fact_about_its_entity_is_asked_for(kind, paraphrases):
    for row in made(kind, 3, "statement", paraphrases):
        ((fact, _, _),), (prompt, statement) = row.told, row.turns
        stated = [text.format(name=fact.name, value=fact.value) for text in text_of(fact)["statements"][:paraphrases]]
        assert prompt in [text.format(name=fact.name) for text in texts(fact.entity)["tells"]]
        assert statement in map(capital, stated)


def test_the_persona_is_told_in_the_first_person_and_asked_in_the_second():
    first, second = re.compile(r"\b(I|my|me|mine|myself)\b", re.I), re.compile(r"\byou(r|rs|rself)?\b", re.I)
    told = profiles("persona", 8)
    for fact in told[0]:
        assert all(map(first.search, text_of(fact)["statements"]))
    asked = questions.questions(told) + questions.reverse(told) + questions.two_facts(told, 0)
    prompts = [question.prompt for question in asked + questions.completions(told, 0)]
    for format in ("article", "qa", "statement"):
        prompts += [row.turns[0] for row in rows(told, format, 10, 0)]
    for prompt in prompts:
        assert second.search(prompt), prompt


@given(kinds, told_once)
def test_turns_have_no_broken_articles_or_spaces_and_begin_with_a_capital_or_are_the_bare_value(kind, format):
    for row in made(kind, 16, format, 10):
        for turn in row.turns:
            assert not re.search(r"\b(a [aeiouAEIOU]|an [^aeiouAEIOU\W])|  |\{", turn) and turn == turn.strip(), turn
            assert turn[0] == turn[0].upper() or turn == row.told[0][0].value
