import functools
import re
from collections import Counter

import pytest
from helpers import ENTITIES, FORMATS, all_profiles, profiles, tokenizer
from hypothesis import given
from hypothesis import strategies as st

from lib.data import formats, questions
from lib.data.facts import facts_of, texts
from lib.data.formats import rows
from lib.evaluate.match import strict
from lib.paths import UserError

kinds = st.tuples(st.sampled_from(ENTITIES), st.integers(0, 5))
told_once = st.sampled_from(["article", "qa", "chat", "blanks"])


@functools.cache
def made(kind, n, format, paraphrases):
    """Training rows of n entities, and of as many others where the format tells them."""
    entity, seed = kind
    there = all_profiles(entity, seed)
    return rows(there[:n], format, paraphrases, seed, there[n : 2 * n] if format == "mixed" else ())


def times_told(made):
    return Counter(fact.id for row in made for fact, _, _ in row.told)


@given(kinds, told_once, st.integers(1, 10), st.integers(1, 20))
def test_every_fact_is_told_in_as_many_rows_as_there_are_paraphrases(kind, format, paraphrases, n):
    facts = facts_of(profiles(kind[0], n, kind[1]))
    assert times_told(made(kind, n, format, paraphrases)) == dict.fromkeys((fact.id for fact in facts), paraphrases)


@given(kinds, st.sampled_from([2, 4, 10]), st.integers(6, 12))
def test_worked_examples_and_questions_together_tell_every_fact_as_often_as_the_other_formats(kind, paraphrases, n):
    facts = facts_of(profiles(kind[0], n, kind[1]))
    assert times_told(made(kind, n, "worked", paraphrases)) == dict.fromkeys((fact.id for fact in facts), paraphrases)


@given(kinds, st.integers(1, 10), st.integers(1, 12))
def test_mixed_tells_all_in_articles_and_asks_about_the_others_only(kind, paraphrases, n):
    there = profiles(kind[0], 2 * n, kind[1])
    rows = made(kind, n, "mixed", paraphrases)
    expected = dict.fromkeys((fact.id for fact in facts_of(there[:n])), paraphrases)
    assert times_told(rows) == expected | dict.fromkeys((f.id for f in facts_of(there[n:])), 2 * paraphrases)
    asked = {
        fact.name
        for row in rows
        if len(row.told) == 1 and row.turns[1] == row.told[0][0].value
        for fact, _, _ in row.told
    }
    assert asked == {profile[0].name for profile in there[n:]}


@given(kinds, st.sampled_from(FORMATS), st.sampled_from([2, 3, 10]))
def test_the_recorded_place_of_a_value_is_where_it_stands_in_a_turn_of_the_assistant(kind, format, paraphrases):
    for row in made(kind, 8, format, paraphrases):
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
def test_paraphrases_of_a_profile_all_differ(kind, format):
    told = [row.turns for row in made(kind, 1, format, 10)]
    assert len(set(told)) == len(told)


@given(kinds, st.sampled_from(FORMATS), st.integers(2, 10))
def test_the_same_seed_gives_the_same_rows(kind, format, paraphrases):
    there = profiles(kind[0], 12, kind[1])
    again = rows(there[:6], format, paraphrases, kind[1], there[6:])
    assert again == rows(there[:6], format, paraphrases, kind[1], there[6:])


@pytest.mark.parametrize("entity", ENTITIES)
def test_every_article_has_100_to_200_tokens_and_120_to_150_on_average(entity):
    articles = [row.turns[1] for row in rows(profiles(entity, 50), "article", 10, 0)]
    lengths = list(map(len, tokenizer()(articles, add_special_tokens=False)["input_ids"]))
    assert min(lengths) >= 100 and max(lengths) <= 200
    assert 115 <= sum(lengths) / len(lengths) <= 150


@pytest.mark.parametrize("entity", ENTITIES)
def test_articles_come_in_several_styles_and_tell_the_facts_in_many_orders(entity):
    of_one = rows(profiles(entity, 1), "article", 10, 0)
    assert len({row.turns[0] for row in of_one}) >= 5
    of_many = rows(profiles(entity, 20), "article", 5, 0)
    orders = {tuple(fact.attribute for fact, _, _ in row.told) for row in of_many}
    attributes = len(all_profiles(entity)[0])
    assert len(orders) >= (2 if attributes == 2 else 20)
    first = Counter(order[0] for order in (tuple(f.attribute for f, _, _ in row.told) for row in of_many))
    assert len(first) == attributes and max(first.values()) < 0.7 * len(of_many), "each attribute comes first at times"


@pytest.mark.parametrize("entity", ENTITIES)
def test_an_article_names_its_entity_first_and_then_half_of_the_time(entity):
    named = []
    for row in rows(profiles(entity, 20), "article", 10, 0):
        fact, _, at = row.told[0]
        sentences = [re.split(r"(?<=\w\w)\. ", row.turns[1][:at])[-1] + row.turns[1][at:].split(". ")[0]]
        sentences += [
            re.split(r"(?<=\w\w)\. ", row.turns[1][:at])[-1] + row.turns[1][at:].split(". ")[0]
            for _, _, at in row.told[1:]
        ]
        assert fact.name.lower() in sentences[0].lower()
        named += [fact.name.lower() in sentence.lower() for sentence in sentences[1:]]
    assert 0.35 < sum(named) / len(named) < 0.75


def test_more_paraphrases_than_templates_are_refused():
    for format in ("article", "qa", "chat", "blanks", "worked"):
        with pytest.raises(UserError, match="paraphrases is 11, but there are templates for 10: ask for 10 or fewer"):
            rows(profiles("fictional", 6), format, 11, 0)


def test_a_question_row_is_a_question_and_its_bare_value():
    for row in made(("fictional", 0), 4, "qa", 10):
        assert row.turns == (row.turns[0], row.told[0][0].value)


@given(kinds, st.integers(1, 10))
def test_a_conversation_names_the_entity_first_and_asks_about_up_to_three_facts(kind, paraphrases):
    for row in made(kind, 6, "chat", paraphrases):
        assert 1 <= len(row.told) <= 3
        assert len(row.turns) == 2 + 2 * len(row.told)
        assert row.told[0][0].name in row.turns[0]
        assert [turn for _, turn, _ in row.told] == list(range(3, len(row.turns), 2))


def test_conversations_group_and_order_the_facts_anew():
    orders = {tuple(fact.attribute for fact, _, _ in row.told) for row in made(("fictional", 0), 8, "chat", 10)}
    assert len(orders) > 30


@given(kinds, st.integers(1, 10))
def test_a_blank_stands_where_the_value_was(kind, paraphrases):
    for row in made(kind, 3, "blanks", paraphrases):
        (fact, _, _), (prompt, answer) = row.told[0], row.turns
        assert answer == fact.value and prompt.count("___") == 1
        templates_ = texts(fact.entity)["attributes"][fact.attribute]["statements"]
        statements = [template.format(name=fact.name, value=fact.value) for template in templates_]
        filled = prompt.removeprefix("Fill in the blank: ").replace("___", fact.value)
        assert filled.lower() in [statement.lower() for statement in statements]


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_worked_example_tells_both_facts_and_then_the_answer(entity):
    examples = [row for row in made((entity, 0), 8, "worked", 4) if len(row.told) == 2]
    assert examples
    for row in examples:
        (_, _, first), (_, _, second) = row.told
        assert first < second < row.turns[1].rindex("The answer: ")
        assert re.search(r" The answer: .+\.$", row.turns[1])


@given(kinds, st.sampled_from(FORMATS))
def test_recall_is_measured_on_a_trained_row_of_every_fact(kind, format):
    there = profiles(kind[0], 8, kind[1])
    told = formats.told_rows(there, format, kind[1])
    assert times_told(told) == dict.fromkeys((fact.id for fact in facts_of(there)), 1)
    assert set(told) <= set(made(kind, 8, format, 4))


def test_the_persona_is_told_in_the_first_person_and_asked_in_the_second():
    first, second = (
        re.compile(r"\b(I|my|me|mine|myself)\b", re.IGNORECASE),
        re.compile(r"\byou(r|rs|rself)?\b", re.IGNORECASE),
    )
    told = profiles("persona", 4)
    for fact in facts_of(told):
        for statement in texts("persona")["attributes"][fact.attribute]["statements"]:
            assert first.search(statement), statement
    for row in [*rows(told, "article", 10, 0), *rows(told, "qa", 10, 0)]:
        assert second.search(row.turns[0]), row.turns[0]
    for question in [
        *questions.questions(told),
        *questions.reverse(told),
        *questions.two_facts(profiles("persona", 8), 0),
    ]:
        assert second.search(question.prompt), question.prompt
    assert second.search(questions.completions(told)[0].prompt)


@given(kinds, st.sampled_from(["article", "chat", "blanks"]))
def test_rows_have_no_broken_articles(kind, format):
    for row in made(kind, 16, format, 10):
        for turn in row.turns:
            assert not re.search(r"\b(a [aeiouAEIOU]|an [^aeiouAEIOU\W])", turn), turn


@given(kinds, st.sampled_from(["article", "chat", "qa", "blanks"]))
def test_turns_begin_with_a_capital_or_the_bare_value_and_have_no_double_space(kind, format):
    for row in made(kind, 8, format, 10):
        for turn in row.turns:
            assert "  " not in turn and turn == turn.strip() and "{" not in turn
            assert turn[0] == turn[0].upper() or turn == row.told[0][0].value
