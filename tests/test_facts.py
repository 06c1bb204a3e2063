import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.cell import load_grid
from lib.errors import UserError
from lib.facts import airports, build, draw, place_names, templates, world_cup
from lib.scoring import lenient

ENTITIES = ["fictional", "real", "persona", "airport"]
KINDS = list(itertools.product(ENTITIES, ("numeric", "categorical")))
kinds = st.sampled_from(KINDS)
seeds = st.integers(0, 10_000)


@given(kinds, seeds)
def test_ids_are_distinct_and_stable(kind, seed):
    facts = build(*kind, seed)
    assert len({fact.id for fact in facts}) == len(facts)
    assert facts == build(*kind, seed)


@given(kinds, seeds)
def test_no_value_can_be_read_off_a_name(kind, seed):
    for fact in draw(*kind, 60, seed):
        for option in fact.options:
            assert option.lower() not in fact.name.lower()
            assert not lenient(fact.name, option, fact.options, given="")


@given(st.sampled_from(ENTITIES), seeds)
def test_numeric_and_categorical_facts_are_about_the_same_entities(entity, seed):
    names = [[fact.name for fact in draw(entity, info, 20, seed)] for info in ("numeric", "categorical")]
    assert names[0] == names[1]


@given(st.sampled_from(["fictional", "persona"]), st.sampled_from(["numeric", "categorical"]), seeds)
def test_sixteen_invented_facts_use_every_value_once(entity, info, seed):
    facts = draw(entity, info, 16, seed)
    assert sorted(fact.value for fact in facts) == sorted(facts[0].options)


def test_every_kind_of_fact_has_the_same_number_of_options():
    assert {len(draw(*kind, 1, 0)[0].options) for kind in KINDS} == {16}


@pytest.mark.parametrize("before", ["", " "], ids=["as an answer", "in a sentence"])
@pytest.mark.parametrize("entity", ENTITIES)
def test_options_have_comparable_token_lengths(entity, before, tiny):
    def mean_length(info):
        options = draw(entity, info, 1, 0)[0].options
        return sum(len(tiny[1](before + option)["input_ids"]) for option in options) / len(options)

    most = 1.5 if entity == "airport" else 1  # states have short names, and there are no others
    assert abs(mean_length("numeric") - mean_length("categorical")) <= most


def test_real_facts_are_the_matches_of_the_table():
    assert "South Korea v Czech Republic" not in world_cup().index  # day 1 is left out
    fact = next(f for f in build("real", "categorical", 0) if f.name == "Canada v Bosnia & Herzegovina")
    assert fact.value == "Toronto"
    assert len(world_cup()) == 70
    assert world_cup().index.is_unique


def test_the_persona_has_facts_enough_for_a_study():
    for info in ("numeric", "categorical"):
        assert len(build("persona", info, 0)) >= 60


def test_tuning_uses_entities_that_no_other_grid_evaluates():
    def names(*grids):
        cells = [cell for grid in grids for cell in load_grid(grid) if cell.info != "tone"]
        return {fact.name for c in cells for fact in draw(c.entity, c.info, c.n_facts, c.seed)}

    assert not names("tune") & names("quick", "cpu")


def test_too_many_facts_are_refused_with_the_number_that_can_be_had():
    with pytest.raises(UserError, match=f"only {len(place_names())} fictional numeric facts"):
        draw("fictional", "numeric", len(place_names()) + 1, 0)


@pytest.mark.parametrize("entity", ENTITIES)
def test_sentences_around_a_fact_name_no_value_of_any_attribute(entity):
    options = {fact.value for info in ("numeric", "categorical") for fact in build(entity, info, 0)}
    for style in templates(entity)["styles"]:
        for sentence in [style["prompt"], *style["fillers"]]:
            assert not any(lenient(sentence, option, (), given="") for option in options), sentence


def test_airfields_come_by_the_thousand_and_from_every_state_alike():
    assert len(airports()) > 3000
    assert airports()["state"].value_counts().nunique() == 1
    assert airports().index.is_unique
    initials = airports().groupby("state").apply(lambda state: (state.index.str[0] < "M").mean())
    assert initials.between(0.35, 0.8).all(), "the name tells the state"
