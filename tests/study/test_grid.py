import pytest
import yaml
from helpers import base_cell, make_cell, profiles
from hypothesis import given
from hypothesis import strategies as st

from lib.paths import GRIDS, UserError
from lib.study import plan, store
from lib.study.grid import EXPERIMENTS, PARTS, load_grid

CELL = "model: tiny, entity: real, format: none, n_entities: 2, seed: 0"


@pytest.fixture
def grid(tmp_path):
    def write(text):
        path = tmp_path / "grid.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- {part: main, model: tiny, entity: [fictional, real], format: none, n_entities: 2, seed: [0, 1]}",
         [("fictional", 0, "main"), ("fictional", 1, "main"), ("real", 0, "main"), ("real", 1, "main")]),
        (f"- {{part: main, {CELL}}}\n- {{part: room, {CELL}}}", [("real", 0, "main")]),
        (f"- &base\n  {{part: main, {CELL}}}\n- &next\n  <<: *base\n  seed: 1\n  part: replay\n- *next\n",
         [("real", 0, "main"), ("real", 1, "replay")]),
    ],
    ids=["a list is an axis", "what stands twice has the part of the first", "a block can take up another"],
)  # fmt: skip
def test_a_grid_is_the_experiments_of_its_blocks_in_their_order(grid, text, expected):
    assert [(cell.entity, cell.seed, part) for cell, part in load_grid(grid(text)).items()] == expected


def seeds(values):
    return "- {part: main, " + CELL.replace("seed: 0", f"seed: {values}") + "}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"- {{part: mian, {CELL}}}", "block 1: part is 'mian': expected one of main, kinds, replay"),
        (f"- {{{CELL}}}", "block 1: part is None: expected one of main"),
        (f"- {{part: main, {CELL}}}\n- {{part: [main], {CELL}}}", "block 2: part is ['main']"),
        (f"- {{part: main, {CELL}}}\n- {{part: main, {CELL}, sead: 1}}", "block 2: unknown parameter 'sead': known"),
        (seeds("one"), "block 1: seed is 'one'"),
        (seeds("[]"), "block 1: seed is an empty list"),
        (seeds("[[0]]"), "lists in lists, line 1"),
        (f"- {{part: main, {CELL}, epochs: 3}}", "format: none trains nothing, so epochs must be 0 or left out"),
        (f"- {{part: main, {CELL}}}\n- 7", "expected a list of blocks of parameters"),
        ("", "expected a list of blocks of parameters"),
        ("- {", "is not YAML"),
        ("\xff".encode("latin-1"), "is not YAML"),
        (f"- {{part: main, {CELL}, seed: 1}}", "seed twice in one block, line 1"),
        (seeds("9" * 5000), "is not YAML"),
        (seeds("9" * 4000), "block 1: seed is 9999"),
        (seeds("0x" + "9" * 5000), "block 1: Exceeds the limit"),
        (f"{seeds(list(range(3000)))}\n{seeds(list(range(3000, 6000)))}", f"block 2: more than {EXPERIMENTS:,} exp"),
        (seeds(f"{[0] * 300}, tone: {[0] * 300}"), f"more than {EXPERIMENTS:,} experiments"),
        ("[" * 200_000, "lists in lists, line 1"),
        ("\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{f'*a{n - 1},' * 9}]" for n in range(1, 19))]), "expected a list"),
        ("- {x: &a [x], y: &b [*a, *a], part: [*b, *b]}", "lists in lists, line 1"),
        ("- &a {part: *a}", "block 1: part is {'part': {...}}"),
        ("- &a {<<: *a}", ""),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_mistake_is_one_line_that_names_the_file_and_the_block(grid, text, message):
    path = grid(text)
    with pytest.raises(UserError) as error:
        load_grid(path)
    said = str(error.value)
    assert message in said and path in said and len(said.splitlines()) == 1 and len(said) < 500 + len(path)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = SCALARS | st.lists(SCALARS, max_size=4) | st.dictionaries(st.text(max_size=3), SCALARS, max_size=2)


@given(st.lists(st.dictionaries(st.sampled_from([*make_cell().model_dump(), "part", "x"]), VALUES, max_size=6)))
def test_whatever_a_grid_says_it_is_read_or_refused_in_one_line(tmp_path_factory, changes):
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    blocks = [{"part": "main", **make_cell().model_dump(exclude_defaults=True), **change} for change in changes]
    path.write_text(yaml.safe_dump(blocks, allow_unicode=True), encoding="utf-8")
    try:
        assert set(load_grid(str(path)).values()) <= set(PARTS)
    except UserError as error:
        assert len(str(error).splitlines()) == 1 and str(path) in str(error)


@given(st.lists(st.tuples(
    st.builds(make_cell, seed=st.integers(0, 9), lora_rank=st.integers(0, 2), learning_rate=st.floats(1e-9, 1e9),
              model=st.sampled_from(["tiny", "own/模型", "~/a b: 'c' # d", "1e3", "null"])) | st.builds(base_cell),
    st.sampled_from(PARTS),
)))  # fmt: skip
def test_the_list_of_a_study_is_a_grid_that_reads_back(tmp_path_factory, cells):
    cells = dict(cells)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "RESULTS", tmp_path_factory.getbasetemp())
        store.write_parts("written", cells)
        if cells:
            assert load_grid(str(store.study_dir("written") / "grid.yaml")) == cells
            assert store.parts("written") == {cell.id: part for cell, part in cells.items()}


@pytest.mark.parametrize("path", sorted(GRIDS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_grid_of_the_project_is_valid_and_could_be_run(path):
    cells = load_grid(path.stem)
    assert set(cells.values()) <= set(PARTS)
    plan.check([cell for i, cell in enumerate(cells) if i % max(1, len(cells) // 20) == 0])


def test_tuning_uses_entities_that_no_other_grid_trains():
    def names(*grids):
        cells = [cell for grid in grids for cell in load_grid(grid) if not cell.tone]
        return {(c.entity, profile[0].name) for c in cells for profile in profiles(c.entity, c.n_entities, c.seed)}

    assert not names("tune") & {name for name in names("quick") if name[0] == "fictional"}
