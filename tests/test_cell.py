import itertools
from typing import get_args

import pytest
from conftest import base_cell, make_cell
from hypothesis import given
from hypothesis import strategies as st

from lib import results, stats
from lib.cell import Cell, from_parameters, load_grid
from lib.errors import UserError
from lib.paths import GRIDS, NOTEBOOKS


@given(st.integers(1, 500), st.integers(0, 500), st.floats(1e-6, 1.0))
def test_an_id_follows_from_the_parameters_alone(n_facts, seed, learning_rate):
    one = make_cell(n_facts=n_facts, seed=seed, learning_rate=learning_rate)
    assert one.id == make_cell(n_facts=n_facts, seed=seed, learning_rate=learning_rate).id
    assert one.id != make_cell(n_facts=n_facts + 1, seed=seed, learning_rate=learning_rate).id
    assert one.id != make_cell(n_facts=n_facts, seed=seed + 1, learning_rate=learning_rate).id


def test_an_id_does_not_change_between_versions_of_the_code():
    # a changed id orphans every published result
    assert base_cell().id == "7180bcbf534a"
    assert make_cell().id == "e9d3139db688"


def test_a_whole_learning_rate_is_the_same_cell_as_its_float():
    parameters = {**make_cell().__dict__, "learning_rate": 1}
    assert from_parameters(parameters).id == make_cell(learning_rate=1.0).id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entity": "reel"}, "entity is 'reel': expected one of fictional, real, persona"),
        ({"n_facts": "20"}, "n_facts is '20' (str): expected int"),
        ({"n_facts": 0}, "at least one fact"),
        ({"n_facts": True}, "expected int"),
        ({"epochs": 0}, "format: qa needs epochs greater than 0"),
        ({"format": "none"}, "format: none trains nothing, so paraphrases, epochs"),
        ({"learning_rate": -1.0}, "needs learning_rate greater than 0"),
        ({"learning_rate": float("nan")}, "expected a finite number"),
        ({"learning_rate": "1e-3"}, "write 0.001"),
        ({"seed": -1}, "seed is -1: expected 0 or more"),
        ({"lora_rank": -1}, "lora_rank is -1: expected 0 or more"),
        ({"checkpoints": -1}, "checkpoints is -1: expected 0 or more"),
        ({"info": "tone"}, "info: tone needs a tone"),
        ({"tone": "anxious"}, "info: tone needs a tone, and nothing else does"),
        ({"info": "tone", "tone": "anxious", "format": "chat"}, "info: tone needs entity: persona"),
        ({"info": "tone", "tone": "anxious", "entity": "persona"}, "and format: chat or none"),
        ({"format": "article", "budget": "tokens"}, "budget: tokens matches a cell to its articles"),
        ({"n_facts": 1, "evals": "all"}, "evals: all compares two facts"),
        ({"format": "reasoning", "n_facts": 3}, "format: reasoning needs n_facts of 4 or more"),
        ({"format": "reasoning", "n_facts": 4, "paraphrases": 1}, "2 or more paraphrases"),
    ],
)
def test_a_bad_parameter_is_named(change, message):
    with pytest.raises(UserError) as error:
        make_cell(**change)
    assert message in str(error.value)


def test_a_trained_cell_must_say_its_rank_because_0_trains_every_weight():
    parameters = {name: value for name, value in make_cell().__dict__.items() if name != "lora_rank"}
    with pytest.raises(UserError, match="lora_rank is missing: give the rank of the adapters, or 0"):
        from_parameters(parameters)


def test_the_untrained_model_has_no_checkpoints():
    with pytest.raises(UserError, match="format: none trains nothing, so checkpoints must be 0"):
        base_cell(checkpoints=3)


def test_lists_in_a_block_span_a_product(tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        "- {model: tiny, entity: [fictional, real], info: [numeric, categorical], format: none, n_facts: 2, seed: 0}\n"
    )
    cells = load_grid(str(grid))
    assert len({cell.id for cell in cells}) == 4
    assert {(cell.entity, cell.info) for cell in cells} == {
        (entity, info) for entity in ("fictional", "real") for info in ("numeric", "categorical")
    }


def test_a_cell_that_two_blocks_name_is_run_once(tmp_path):
    grid = tmp_path / "grid.yaml"
    line = "- {model: tiny, entity: real, info: numeric, format: none, n_facts: 2, seed: 0}\n"
    grid.write_text(line + line)
    assert len(load_grid(str(grid))) == 1


@pytest.mark.parametrize("path", sorted(GRIDS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_grid_of_the_project_is_valid(path):
    assert load_grid(path.stem)


def test_the_quick_grid_compares_both_formats_on_the_same_facts_and_exposures():
    cells = [cell for cell in load_grid("quick") if cell.format in ("article", "qa")]
    assert len(load_grid("quick")) >= 10
    assert len({(c.n_facts, c.paraphrases, c.epochs, c.batch_size, c.lora_rank, c.seed) for c in cells}) == 1
    by_format = {f: {(c.entity, c.info) for c in cells if c.format == f} for f in ("article", "qa")}
    assert by_format["article"] == by_format["qa"]
    assert by_format["qa"] == {(c.entity, c.info) for c in load_grid("quick") if c.format == "none"}


# rank and rate of the cells that ask whether articles would do better at others
CAPACITY = {(32, 0.008), (8, 0.004), (8, 0.008), (128, 0.002), (128, 0.004), (0, 0.0003), (0, 0.001)}
# lower rates, that ask whether they leave more of what the model knew
LOWER = {("article", 0.002), ("article", 0.004), ("qa", 0.0005), ("qa", 0.001)}


def test_the_grids_use_the_learning_rates_that_tuning_chose():
    loaded = results.load("tune")
    assert {result["id"] for result in loaded} == {cell.id for cell in load_grid("tune")}
    table = stats.learning_rates(results.items(loaded))
    best = table[table["best"]].set_index("format")["learning_rate"].to_dict()
    for cell in [*load_grid("quick"), *load_grid("cpu")]:
        other_rate = cell.format == "article" and (cell.lora_rank, cell.learning_rate) in CAPACITY
        other_rate |= cell.lora_rank == 32 and (cell.format, cell.learning_rate) in LOWER
        if cell.format != "none" and not other_rate:
            assert cell.learning_rate == best[cell.format], cell
    for format, rate in best.items():
        tried = table[table["format"] == format].set_index("learning_rate")["mean"]
        assert tried.idxmax() < tried.index.max(), f"{format}: accuracy still rises, widen the range"
        # there is no lower one to try where accuracy falls towards the lower ones
        assert tried.index.min() < rate or tried.iloc[0] < tried.iloc[1], f"{format}: the best rate is at an edge"


def test_the_cpu_grid_has_at_most_200_cells_and_three_seeds_in_its_main_part():
    cells = load_grid("cpu")
    assert len(cells) <= 200
    formats = ("none", "article", "qa")
    kinds = itertools.product(("fictional", "real", "persona"), ("numeric", "categorical"), formats, range(3))
    assert set(kinds) <= {(c.entity, c.info, c.format, c.seed) for c in cells if c.n_facts == 8}
    assert {cell.format for cell in cells} == set(get_args(Cell.__annotations__["format"]))
    assert len({cell.tone for cell in cells if cell.tone}) >= 8
    assert {20, 50, 120} <= {cell.n_facts for cell in cells}
    assert {1, 2, 4, 10} <= {cell.paraphrases for cell in cells}
    assert max(cell.checkpoints for cell in cells) >= 5


def test_the_tour_tells_each_format_its_learning_rate():
    text = (NOTEBOOKS / "tour.ipynb").read_text()
    for cell in load_grid("quick"):
        if cell.format in ("article", "qa"):
            assert f"{cell.learning_rate:g} for {cell.format}" in text


def test_tuning_differs_from_the_quick_grid_in_rates_facts_and_nothing_else():
    def settings(name):
        return {
            (c.model, c.n_facts, c.paraphrases, c.epochs, c.lora_rank, c.batch_size)
            for c in load_grid(name)
            if c.format in ("article", "qa")
        }

    assert settings("tune") == settings("quick")
