from collections import Counter

import pytest
from helpers import all_profiles, base_cell, make_cell, profiles
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import of_cell, untaught
from lib.data.facts import facts_of, places, text_of, texts, world_cup
from lib.data.formats import rows
from lib.paths import UserError

kinds = st.tuples(st.sampled_from(["fictional", "real"]), st.integers(4, 16), st.integers(0, 5))


def like(name, other):
    """Whether a name differs from another by one syllable; of matches, whether they share one team and never met."""
    if name in places():
        return sum(a != b for a, b in zip(places()[name], places()[other], strict=True)) == 1
    met = {frozenset(match.split(" v ")) for match in world_cup().index}
    one, two = ({*match.split(" v ")} for match in (name, other))
    return len(one & two) == 1 and frozenset(one) not in met


@settings(max_examples=20)
@given(kinds)
def test_names_are_never_trained_ones_each_of_one_kind_and_a_near_one_is_nearly_a_trained_one(kind):
    there = profiles(*kind)
    trained, named = {profile[0].name for profile in there}, untaught.names(there, kind[2])
    unseen, near = named["unseen"], named["near"]
    assert len({*unseen, *near} - trained) == len(unseen) + len(near)
    assert {*unseen} <= {profile[0].name for profile in all_profiles(kind[0])}
    for name in near[:60]:
        assert any(like(name, other) for other in trained)
    assert untaught.names(there, kind[2]) == named and untaught.names(there, kind[2] + 1) != named


@settings(max_examples=20)
@given(kinds)
def test_each_kind_is_asked_at_least_24_times_in_held_out_words_of_every_attribute(kind):
    entity, n, seed = kind
    there, named = profiles(*kind), untaught.names(profiles(*kind), seed)
    asked = untaught.asked(there, seed)
    assert Counter(question.kind for question in asked) == dict.fromkeys(("unseen", "near", "other"), untaught.ASKED)
    assert len({question.prompt for question in asked}) == len({question.fact.id for question in asked}) == len(asked)
    wordings = {q: fact.info for fact in there[0] for q in text_of(fact)["heldout_questions"]}
    others = dict(map(tuple, texts(entity)["untaught"]["asked"]))
    for question in asked:
        kind, name = question.kind, question.fact.name
        assert name in (named[kind] if kind in named else {profile[0].name for profile in there})
        (said,) = [q for q in (others if kind == "other" else wordings) if q.format(name=name) == question.prompt]
        assert {**wordings, **others}[said] == question.fact.info and question.fact.value == ""
    cell = base_cell(entity=entity, n_entities=n, seed=seed, evals="untaught")
    assert [question for question in of_cell.questions_for(cell, there) if question.eval == "untaught"] == asked


@settings(max_examples=20)
@given(st.integers(4, 16), st.integers(0, 5), st.integers(5, 60), st.integers(2, 10))
def test_rows_that_say_so_are_as_many_as_asked_for_and_share_no_name_and_no_question_with_what_is_asked(
    n, seed, unsure, paraphrases
):
    there = profiles("fictional", n, seed)
    cell = make_cell(format="unsure", unsure=unsure, n_entities=n, seed=seed, paraphrases=paraphrases)
    made, asked = of_cell.unsure_rows(cell, there), untaught.asked(there, seed)
    assert len({row.turns[0] for row in made}) == len(made) == unsure
    assert {row.turns[1:] for row in made} == {("I do not know.",)} and not any(row.told for row in made)
    named = untaught.names(there, seed)
    told = Counter(name for row in made for name in {*named["unseen"], *named["near"]} if name in row.turns[0])
    for kind, names in named.items():
        assert sum(told[name] for name in names) == 2 * unsure // 5
        assert not {q.fact.name for q in asked if q.kind == kind} & {name for name in names if told[name]}
        assert all(told[name] <= 1 for name in names)
    assert not {row.turns[0] for row in made} & {question.prompt for question in asked}
    taught = {row.turns[0] for row in rows(there, "unsure", 10, seed)}
    assert not {row.turns[0] for row in made} & taught


def test_more_than_can_be_had_is_refused():
    with pytest.raises(UserError, match=r"unsure is 5000, but \d+ such rows can be had: ask for fewer"):
        untaught.rows(profiles("fictional", 4), 5000, 4, 0)
    with pytest.raises(UserError, match="needs entities that are not trained: ask for fewer n_entities"):
        untaught.asked(all_profiles("real"), 0)
    assert of_cell.unsure_rows(make_cell(), profiles("fictional", 2)) == []


def test_facts_are_told_as_questions_beside_what_is_not_known():
    there = profiles("fictional", 4)
    assert rows(there, "unsure", 4, 0) == rows(there, "qa", 4, 0)
    assert not {fact.name for fact in facts_of(there)} & {*untaught.names(there, 0)["near"]}
