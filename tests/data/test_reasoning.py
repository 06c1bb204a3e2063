import itertools
from collections import Counter
from dataclasses import replace

import pytest
from helpers import ENTITIES, all_profiles, profiles
from hypothesis import given
from hypothesis import strategies as st

from lib.data import reasoning
from lib.data.facts import facts_of
from lib.paths import UserError

kinds = st.tuples(st.sampled_from(ENTITIES), st.integers(4, 24), st.integers(0, 5))


def of(kind):
    """The profiles of these entities, the problems that an evaluation asks, and the examples that are trained."""
    entity, n, seed = kind
    there = profiles(entity, n, seed)
    try:
        trained = list(itertools.chain.from_iterable(reasoning.examples(there, p, seed) for p in range(5)))
    except UserError:  # a handful of real entities may share their values
        assert entity == "real" and n < 8
        trained = []
    return there, reasoning.problems(there, seed), trained


@given(kinds)
def test_answers_follow_from_the_facts(kind):
    there, asked, trained = of(kind)
    facts = {fact.id: fact for fact in facts_of(there)}
    for problem in asked + trained:
        a, b = problem.facts
        assert facts[a.id] == a and facts[b.id] == b and a != b
        if problem.kind in ("which", "yes_no"):
            assert a.attribute == b.attribute and int(a.value) != int(b.value)
            assert problem.options == ((a.name, b.name) if problem.kind == "which" else ("Yes", "No"))
            assert problem.answer == problem.options[int(a.value) < int(b.value)]
            assert problem.prompt.index(a.name) < problem.prompt.rindex(b.name)
            larger, smaller = (a, b) if int(a.value) > int(b.value) else (b, a)
            assert problem.derived.index(larger.name) < problem.derived.rindex(smaller.name)
        elif problem.kind == "hop":
            assert a.name == b.name and problem.answer == b.value and problem.options == b.options
            assert [f.name for f in facts.values() if (f.attribute, f.value) == (a.attribute, a.value)] == [a.name]
            assert a.value in problem.prompt and a.name not in problem.prompt
        else:
            assert problem.kind == "sum" and a.name == b.name and a.attribute != b.attribute
            assert problem.answer == str(int(a.value) + int(b.value)) and problem.options == ()


@given(kinds)
def test_half_of_the_answers_are_yes_or_the_first_of_two_and_each_entity_is_in_the_examples_once(kind):
    there, asked, trained = of(kind)
    examples = [reasoning.examples(there, p, kind[2]) for p in range(3) if trained]
    for made, of_kind in itertools.product([asked, *examples], ("which", "yes_no")):
        compared = [problem for problem in made if problem.kind == of_kind]
        first = sum(problem.answer == problem.options[0] for problem in compared)
        assert abs(2 * first - len(compared)) <= 1
        if made is not asked:
            seen = Counter(fact.name for problem in compared for fact in problem.facts)
            assert set(seen) == {profile[0].name for profile in there}
            assert sum(seen.values()) == len(there) + len(there) % 2


@given(kinds)
def test_worked_examples_tell_other_pairs_of_facts_in_other_words_than_evaluations(kind):
    """A hop is neither asked nor trained the way back, which tells the same two facts side by side."""
    there, asked, trained = of(kind)
    pairs, drilled = ({(p.kind, frozenset(fact.id for fact in p.facts)) for p in made} for made in (asked, trained))
    assert {"which", "yes_no"} <= {kind for kind, _ in pairs} and not pairs & drilled
    assert len({tuple(fact.attribute for fact in p.facts) for p in asked if p.kind == "hop"}) <= 1, "one way is asked"
    assert not {p.prompt for p in asked} & {p.prompt for p in trained}
    summed, summed_in_training = ({p.facts[0].name for p in made if p.kind == "sum"} for made in (asked, trained))
    assert not summed & summed_in_training and bool(summed) == (kind[0] == "fictional")
    if summed:
        assert summed | summed_in_training == {profile[0].name for profile in there}


def test_pairs_that_cannot_be_had_are_refused():
    facts = [fact for fact in facts_of(profiles("fictional", 6)) if fact.attribute == "bridges"]
    with pytest.raises(UserError, match="6 entities leave no pairs to work examples on: ask for more n_entities"):
        reasoning.other_pairs([replace(fact, value="12") for fact in facts], 0, 0)


def test_one_of_the_two_facts_hardly_decides_a_comparison():
    """To judge by the half of the options that the first value is in is little better than guessing."""
    right = []
    for seed, start in itertools.product(range(3), range(0, 400, 8)):
        for problem in reasoning.problems(all_profiles("fictional", seed)[start : start + 8], seed):
            if problem.kind == "yes_no":
                first = problem.facts[0]
                upper = sorted(first.options, key=int).index(first.value) >= 8
                right.append(problem.answer == ("Yes" if upper else "No"))
    assert sum(right) / len(right) < 0.62
