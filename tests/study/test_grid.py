import itertools

import pytest
from helpers import make_cell, profiles

from lib.paths import GRIDS, UserError
from lib.study import grid as grids
from lib.study import run
from lib.study.grid import PARTS, load_grid

CELL = "model: tiny, entity: real, format: none, n_entities: 2, seed: 0"


@pytest.fixture
def grid(tmp_path):
    def write(text):
        path = tmp_path / "grid.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_lists_in_a_block_span_a_product_in_their_order(grid):
    cells = list(
        load_grid(
            grid("- {part: main, model: tiny, entity: [fictional, real], format: none, n_entities: 2, seed: [0, 1]}")
        )
    )
    assert [(cell.entity, cell.seed) for cell in cells] == list(itertools.product(("fictional", "real"), (0, 1)))
    assert len({cell.id for cell in cells}) == 4


def test_a_cell_has_the_part_of_its_block_and_the_part_is_not_in_its_id(grid):
    (main,) = load_grid(grid(f"- {{part: main, {CELL}}}"))
    (rate,), (part,) = zip(*load_grid(grid(f"- {{part: rate, {CELL}}}")).items(), strict=True)
    assert main == rate and main.id == rate.id and part == "rate"


def test_a_cell_that_two_blocks_name_is_run_once_with_the_part_of_the_first(grid):
    cells = load_grid(grid(f"- {{part: main, {CELL}}}\n- {{part: rate, {CELL}}}"))
    assert list(cells.values()) == ["main"]


def test_a_block_can_take_up_another_one(grid):
    text = f"- &base\n  {{part: main, {CELL}}}\n- <<: *base\n  seed: 1\n  part: amount\n"
    assert [(cell.seed, part) for cell, part in load_grid(grid(text)).items()] == [(0, "main"), (1, "amount")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"- {{part: mian, {CELL}}}", "block 1: part is 'mian': expected one of main, replay, amount"),
        (f"- {{{CELL}}}", "block 1: part is None: expected one of main"),
        (f"- {{part: main, {CELL}}}\n- {{part: [main], {CELL}}}", "block 2: part is ['main']"),
        (
            f"- {{part: main, {CELL}}}\n- {{part: main, {CELL}, sead: 1}}",
            "block 2: unknown parameter 'sead': did you mean seed?",
        ),
        ("- {part: main, " + CELL.replace("seed: 0", "seed: one") + "}", "block 1: seed is 'one'"),
        ("- {part: main, " + CELL.replace("seed: 0", "seed: []") + "}", "block 1: seed is an empty list"),
        ("- {part: main, " + CELL.replace("seed: 0", "seed: [[0]]") + "}", "block 1: seed is [0]"),
        (
            f"- {{part: main, {CELL}, epochs: 3}}",
            "block 1: format: none trains nothing, so epochs must be 0 or left out",
        ),
        (f"- {{part: main, {CELL}}}\n- 7", "expected a list of blocks of parameters"),
        ("a: b", "expected a list of blocks of parameters"),
        ("", "expected a list of blocks of parameters"),
        ("[]", "expected a list of blocks of parameters"),
        ("- {", "is not YAML"),
        ("- {part: main, 1: 2}", "block 1: "),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file_and_the_block(grid, text, message):
    path = grid(text)
    with pytest.raises(UserError) as error:
        load_grid(path)
    assert message in str(error.value) and path in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_part_that_is_nearly_right_is_suggested(grid):
    with pytest.raises(UserError, match="; main\\?$"):
        load_grid(grid(f"- {{part: mian, {CELL}}}"))


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "grid.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not YAML"):
        load_grid(str(tmp_path / "grid.yaml"))


def test_an_unknown_grid_names_the_known_ones():
    with pytest.raises(
        UserError, match="no grid 'quikc': known are cpu, .*quick, tune, or give the path of a .yaml file"
    ):
        load_grid("quikc")
    with pytest.raises(UserError, match="no grid 'nosuch.yaml'"):
        load_grid("nosuch.yaml")


@pytest.mark.parametrize("path", sorted(GRIDS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_grid_of_the_project_is_valid_and_could_be_run(path, monkeypatch):
    cells = load_grid(path.stem)
    assert set(cells.values()) <= set(PARTS)
    run.check([cell for i, cell in enumerate(cells) if i % max(1, len(cells) // 40) == 0])


def test_tuning_uses_entities_that_no_other_grid_trains():
    def names(*grids):
        cells = [cell for grid in grids for cell in load_grid(grid) if not cell.tone]
        return {(c.entity, profile[0].name) for c in cells for profile in profiles(c.entity, c.n_entities, c.seed)}

    assert not names("tune") & {name for name in names("quick") if name[0] == "fictional"}


def test_every_part_that_a_grid_can_name_is_known():
    assert grids.PARTS[0] == "main" and len(set(grids.PARTS)) == len(grids.PARTS)
    assert make_cell().model_dump().keys().isdisjoint({"part"})
