import itertools
from collections import Counter
from dataclasses import replace

import pytest
from helpers import ENTITIES, all_profiles, tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data.facts import build, facts_of, shuffled, take, text_of, texts, world_cup
from lib.evaluate.match import states
from lib.paths import UserError

entities = st.sampled_from(ENTITIES)
seeds = st.integers(0, 5)  # builds are cached
INVENTED = [(entity, name) for entity in ("fictional", "persona", "coded") for name in texts(entity)["attributes"]]


def values(entity, attribute, seed=0):
    """The value of this attribute for every entity, in order."""
    return [fact.value for fact in facts_of(all_profiles(entity, seed)) if fact.attribute == attribute]


@pytest.mark.parametrize(
    ("entity", "n", "words", "numbers"),
    [("fictional", 3000, 3, 3), ("real", 50, 2, 2), ("persona", 60, 1, 1), ("coded", 60, 3, 3)],
)
def test_profiles_are_distinct_have_as_many_words_as_numbers_and_no_more_are_promised(entity, n, words, numbers):
    there = all_profiles(entity)
    assert len({profile[0].name for profile in there}) == len(take(there, len(there))) >= n
    with pytest.raises(UserError, match=f"n_entities is {len(there) + 1}, but only {len(there)} {entity} entities"):
        take(there, len(there) + 1)
    facts = facts_of(there)
    assert len({fact.id for fact in facts}) == len(facts)
    for profile in there:
        assert Counter(fact.info for fact in profile) == {"words": words, "numbers": numbers}
        assert len({fact.attribute for fact in profile}) == words + numbers
        assert len({fact.name for fact in profile}) == 1


@pytest.mark.parametrize("entity", ENTITIES)
@settings(max_examples=3)
@given(seed=st.integers(6, 10_000))
def test_a_seed_gives_the_same_profiles_again_and_another_seed_others(entity, seed):
    once, again, other = build(entity, seed), build.__wrapped__(entity, seed), all_profiles(entity, seed % 5)
    assert once == again
    assert [profile[0].name for profile in once] != [profile[0].name for profile in other]


@given(entities, seeds)
def test_a_closed_set_has_sixteen_values_with_the_true_one_which_their_order_does_not_tell(entity, seed):
    orders = {}
    for fact in facts_of(all_profiles(entity, seed)[:100]):
        assert len(fact.options) == len(set(fact.options)) == 16 and fact.value in fact.options
        assert orders.setdefault(frozenset(fact.options), fact.options) == fact.options
        if fact.attribute == "first_scorer":
            assert list(fact.options) == sorted(fact.options)


def test_a_closed_set_drawn_from_a_longer_table_has_its_values_whatever_the_seed():
    sets = {fact.options for fact in facts_of(all_profiles("real")) if fact.attribute == "first_scorer"}
    assert len(sets) > 1 and set(itertools.chain.from_iterable(sets)) == set(values("real", "first_scorer"))
    of_seed = [{fact.id: fact.options for fact in facts_of(all_profiles("real", seed))} for seed in range(6)]
    assert of_seed[1:] == of_seed[:-1]


@given(st.sampled_from(INVENTED), seeds, st.integers(0, 3))
def test_every_sixteen_invented_entities_use_every_value_once(kind, seed, block):
    sixteen = values(*kind, seed)[16 * block : 16 * (block + 1)]
    assert sorted(sixteen) == sorted(set(values(*kind, seed))) and len(set(sixteen)) == 16


@given(seeds)
def test_the_attributes_of_a_town_are_drawn_apart_from_each_other(seed):
    for one, other in itertools.combinations(texts("fictional")["attributes"], 2):
        pairs = list(zip(values("fictional", one, seed)[:160], values("fictional", other, seed)[:160], strict=True))
        assert len(set(pairs)) > 80, "one value tells another"
    sets = [{str(v) for v in text["values"]} for text in texts("fictional")["attributes"].values()]
    assert sum(map(len, sets)) == len(set().union(*sets)) == 6 * 16, "a value tells its attribute"


@given(seeds)
def test_an_attribute_of_a_courier_is_words_in_one_run_and_numbers_in_the_next_in_the_same_sentences(seed):
    one, next_ = (facts_of(all_profiles("coded", of)[:16]) for of in (seed, seed + 1))
    assert Counter(fact.info for fact in one[:6]) == {"words": 3, "numbers": 3}
    for fact, other in zip(one, next_, strict=True):
        assert fact.attribute == other.attribute and {fact.info, other.info} == {"words", "numbers"}
        assert text_of(fact) is text_of(other)
        for each in (fact, other):
            assert {option.isdigit() for option in each.options} == {each.info == "numbers"}


@given(st.integers(2, 24), seeds)
def test_shuffled_values_are_those_of_other_entities_each_told_once_in_the_same_sentences(n, seed):
    there = take(all_profiles("real", seed), n)
    for profile, moved in zip(there, shuffled(there, seed), strict=True):
        assert [fact.id for fact in moved] == [fact.id for fact in profile]
        assert all(text_of(fact) == text_of(other) for fact, other in zip(profile, moved, strict=True))
    assert shuffled(there, seed) == shuffled(there, seed)
    for before, after in zip(zip(*there, strict=True), zip(*shuffled(there, seed), strict=True), strict=True):
        assert Counter((f.value, f.options) for f in before) == Counter((f.value, f.options) for f in after)
    marked = [tuple(replace(fact, value=fact.name) for fact in profile) for profile in there]
    assert all(fact.value != fact.name for fact in facts_of(shuffled(marked, seed))), "no entity keeps its own"


@pytest.mark.parametrize("entity", ENTITIES)
def test_no_value_can_be_read_off_a_name(entity):
    for fact in facts_of(all_profiles(entity)[:60]):
        for option in fact.options:
            assert option.lower() not in fact.name.lower()
            assert not states(fact.name, option)


@pytest.mark.parametrize("before", ["", " "], ids=["as an answer", "in a sentence"])
@pytest.mark.parametrize("entity", ["fictional", "persona", "coded"])
def test_words_and_numbers_have_comparable_token_lengths(entity, before):
    of_info = {"words": [], "numbers": []}
    for text in texts(entity)["attributes"].values():
        for info, values in ({text["info"]: text["values"]} if "info" in text else text["values"]).items():
            lengths = [len(tokenizer()(f"{before}{value}")["input_ids"]) for value in values]
            assert max(lengths) <= 4 and max(lengths) - min(lengths) <= 2, "no value is much longer than another"
            of_info[info] += lengths
    words, numbers = (sum(lengths) / len(lengths) for lengths in of_info.values())
    assert abs(numbers - words) <= 1


def test_real_facts_are_those_of_the_table():
    assert "South Korea v Czech Republic" not in world_cup().index  # day 1 is left out
    facts = {fact.id: fact.value for fact in facts_of(all_profiles("real"))}
    assert facts["real/Canada v Bosnia & Herzegovina/host_city"] == "Toronto"
    assert len(world_cup()) == len(all_profiles("real")) and not world_cup().isna().any().any()
