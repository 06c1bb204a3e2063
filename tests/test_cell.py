import ast
import json

import nbformat
import pytest
from helpers import base_cell, make_cell
from hypothesis import given
from hypothesis import strategies as st

from lib.cell import Cell, from_parameters
from lib.paths import NOTEBOOKS, UserError

COMPLETE = make_cell().model_dump()


@given(st.integers(1, 500), st.integers(0, 500), st.floats(1e-6, 1.0), st.integers(0, 3))
def test_a_cell_comes_back_from_what_it_is_stored_as_with_its_id(n_entities, seed, learning_rate, replay):
    cell = make_cell(n_entities=n_entities, seed=seed, learning_rate=learning_rate, replay=replay)
    again = from_parameters(json.loads(json.dumps(cell.model_dump())))
    assert again == cell and hash(again) == hash(cell) and again.id == cell.id
    assert len(cell.id) == 12 and int(cell.id, 16) >= 0


@pytest.mark.parametrize(
    ("cell", "id"),
    [
        (base_cell(), "241e72244e93"),
        (make_cell(), "7fa4d0332ab2"),
        (make_cell(format="article", replay=120, checkpoints=4, lora_rank=0, evals="untaught"), "3b82c1224ca8"),
        (make_cell(entity="persona", format="chat", tone="anxious"), "3fabd89b65f0"),
    ],
)
def test_an_id_does_not_change_between_versions_of_the_code(cell, id):
    # a changed id orphans every published result
    assert cell.id == id


def test_every_parameter_is_in_the_id_unless_it_is_at_its_default():
    others = {
        "model": "smollm2-135m", "entity": "real", "format": "chat", "n_entities": 3, "seed": 1, "paraphrases": 3,
        "epochs": 2, "learning_rate": 2e-3, "lora_rank": 8, "batch_size": 8, "replay": 5, "replay_times": 2,
        "checkpoints": 1, "room": 48, "evals": "untaught",
    }  # fmt: skip
    assert {*others, "tone", "unsure"} == set(Cell.model_fields)
    cells = [make_cell(), *(make_cell(**{name: value}) for name, value in others.items())]
    cells += [make_cell(format="unsure", unsure=rows) for rows in (5, 6)]
    assert len({cell.id for cell in cells}) == len(cells)
    assert make_cell(tone="", replay=0, replay_times=1, unsure=0, room=96, evals="core").id == make_cell().id
    assert from_parameters({**COMPLETE, "learning_rate": 1}).id == make_cell(learning_rate=1.0).id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entity": "reel"}, "entity is 'reel': expected one of fictional, real"),
        ({"n_entities": "20"}, "n_entities is '20': Input should be a valid integer"),
        ({"n_entites": 3}, "unknown parameter 'n_entites': known are model, entity"),
        ({"epochs": 0, "batch_size": 0}, "format: qa needs epochs, batch_size greater than 0"),
        ({"format": "none", "replay": 1}, "so paraphrases, epochs, learning_rate, batch_size, lora_rank, replay must"),
        ({"seed": 2**32}, "seed is 4294967296: Input should be less than 4294967296"),
        ({"learning_rate": float("inf")}, "learning_rate is inf: Input should be a finite number"),
        ({"learning_rate": "1e-3"}, "valid number (YAML reads 1e-3 as text: write 0.001)"),
        ({"seed": [1]}, "seed is [1]: Input should be a valid integer"),
        ({"tone": "anxious", "format": "chat"}, "a tone needs entity: persona and format: statement, qa, chat or none"),
        ({"tone": "anxious", "entity": "persona", "format": "both"}, "a tone needs entity: persona and format: statem"),
        ({"tone": "anxious", "entity": "persona", "format": "chat", "checkpoints": 1}, "leave checkpoints out"),
        ({"evals": "all"}, "evals is 'all': Input should be 'core', 'untaught' or 'reasoning'"),
        ({"entity": "shuffled", "evals": "untaught"}, "evals: untaught needs entity: fictional or real"),
        ({"n_entities": 3, "evals": "reasoning"}, "n_entities is 3: two-fact problems need 4 or more, to have pairs"),
        ({"n_entities": 3, "format": "worked"}, "n_entities is 3: two-fact problems need 4 or more, to have pairs"),
        ({"format": "worked", "n_entities": 4, "paraphrases": 1}, "worked needs 2 or more paraphrases"),
        ({"format": "worked", "n_entities": 4, "entity": "coded"}, "worked compares, and coded entities do not"),
        ({"format": "both", "paraphrases": 1}, "both needs 2 or more paraphrases: it tells each fact in two ways"),
        ({"entity": "shuffled", "n_entities": 1}, "entity: shuffled needs 2 or more n_entities"),
        ({"format": "unsure"}, "unsure goes with format: unsure, and is then greater than 0"),
        ({"unsure": 10}, "unsure goes with format: unsure, and is then greater than 0"),
        ({"format": "unsure", "unsure": 10, "entity": "real"}, "format: unsure needs entity: fictional"),
        ({"entity": "my/facts.json", "evals": "untaught"}, "a table of one's own needs evals: core and"),
        ({"entity": "my/facts.json", "format": "worked"}, "a table of one's own needs evals: core and"),
        ({"room": 0}, "room is 0: Input should be greater than or equal to 1"),
        ({1: 2}, "1"),
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_parameter_is_named_in_one_line(change, message):
    with pytest.raises(UserError) as error:
        from_parameters({**COMPLETE, **change})
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["model", "entity", "format", "n_entities", "seed", "lora_rank"])
def test_a_missing_parameter_is_named(name):
    # a trained one must say its rank, because 0 trains every weight
    with pytest.raises(UserError, match=f"^{name} is missing"):
        from_parameters({key: value for key, value in COMPLETE.items() if key != name})


def test_a_cell_is_told_in_a_few_words():
    assert str(make_cell()) == "qa fictional n=2 seed=0"
    assert str(make_cell(replay=120)) == "qa fictional n=2 seed=0 replay=120"
    assert str(base_cell(entity="persona", tone="anxious")) == "none anxious n=2 seed=0"


def test_the_notebook_of_a_cell_declares_its_parameters_and_study_and_output_as_literals():
    notebook = nbformat.read(NOTEBOOKS / "experiment.ipynb", as_version=4)
    (parameters,) = [cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    declared = {line.targets[0].id: ast.literal_eval(line.value) for line in ast.parse(parameters).body}
    assert list(declared) == [*Cell.model_fields, "study", "output"]
    assert from_parameters({name: declared[name] for name in Cell.model_fields}).model == "smollm2-135m"
