import json
import os
import subprocess
import time
from unittest import mock

import pytest
import simulation
from helpers import base_cell, make_cell, python, wait_for

from lib.paths import UserError
from lib.study import store


@pytest.fixture
def written(study):
    (made,) = simulation.study(study, {make_cell(): "main"}, lambda *_: 0.5)
    del made["part"]
    return store.cell_path(study, make_cell()), made


def test_results_come_back_as_they_were_written_with_their_parts_in_the_order_of_their_ids(study):
    cells = sorted([*(make_cell(seed=seed) for seed in range(4)), base_cell()], key=lambda cell: cell.id)
    results = [{**simulation.result(cell, study, lambda *_: 0.5), "part": "main"} for cell in cells]
    assert simulation.study(study, dict.fromkeys(reversed(cells), "main"), lambda *_: 0.5) == results
    assert results[cells.index(base_cell())]["training"] is None


@pytest.mark.parametrize(("value", "failure"), [(float("nan"), ValueError), (4, KeyboardInterrupt)])
def test_a_write_that_fails_or_is_interrupted_leaves_the_old_file_and_no_scraps(value, failure, written, monkeypatch):
    path, made = written

    monkeypatch.setattr("os.replace", mock.Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(failure):
        store.write_json(path, {**made, "schema": value})
    assert store.read(path) == made
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o777 == 0o644  # others may read it


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text[: len(text) // 2], "(JSON: Invalid JSON"),
        (lambda text: "[]", "(JSON: Input should be an object)"),
        (lambda text: "[" * 100_000, "(JSON: Invalid JSON: recursion limit"),
        (lambda text: text.replace('"strict": true', '"strict": "yes"'), "strict: Input should be a valid boolean"),
        (lambda text: text.replace('"seed": 0', '"seed": 1'), "it holds the parameters of experiment"),
        (lambda text: text.replace('"seed": 0', '"sead": 0'), "(cell.seed: Field required)"),
        ({"cell": []}, "(cell: "),
        ({"items": [{"eval": "question"}]}, "(items.0.fact: Field required)"),
        ({"facts": {"ids": 3}}, "(facts.ids: Input should be a valid array)"),
        ({"manifest": {"seconds": "1"}}, "(manifest.seconds: Input should be a valid number)"),
        ({"training": {"losses": None}}, "(training."),
    ],
)
def test_damage_is_named_with_the_file_and_the_remedy(written, damage, reason):
    path, made = written
    path.write_text(json.dumps(made | damage) if isinstance(damage, dict) else damage(path.read_text()))
    with pytest.raises(UserError) as error:
        store.read(path)
    said = str(error.value)
    assert reason in said and str(path) in said and "delete it and run the study again" in said


def test_a_result_of_another_schema_is_no_damage_and_what_is_no_file_in_its_place_is(written):
    path, made = written
    path.write_text(json.dumps(made | {"schema": 3}))
    with pytest.raises(UserError, match=r"is of another version of this code \(schema 3\): see CHANGELOG.md"):
        store.read(path)
    store.write_json(path.with_name("0123456789ab.json"), made)
    with pytest.raises(UserError, match="holds the parameters of experiment"):
        store.read(path.with_name("0123456789ab.json"))
    for make, remove in ((os.mkfifo, os.unlink), (os.mkdir, os.rmdir)):
        path.unlink(missing_ok=True)
        make(path)
        with pytest.raises(UserError, match="is damaged .not a file"):
            store.read(path)
        remove(path)


def test_a_write_that_is_killed_leaves_the_old_file_or_the_new_one(written):
    path, made = written
    code = "from lib.study import store\nfrom pathlib import Path\nimport itertools\n" + (
        f"for n in itertools.count(): store.write_text(Path({str(path)!r}), str(n % 10) * 3_000_000)"
    )
    for wait in range(3):
        writer = subprocess.Popen(python(code))
        wait_for(lambda: path.stat().st_size == 3_000_000)
        time.sleep(wait / 25)
        writer.kill()
        writer.wait()
        assert len(set(path.read_text())) == 1 and path.stat().st_size == 3_000_000
        path.write_text("old")


def test_results_are_read_and_written_in_a_locale_that_is_not_utf8(study, tmp_path):
    code = r"""
from pathlib import Path
from lib.study import store
folder = Path(sys.argv[1])
store.write_json(folder / "a.json", {"text": "\u65e5\u672c"})
assert (folder / "a.json").read_bytes().decode("utf-8") == '{\n "text": "\u65e5\u672c"\n}\n'
"""
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(python(code, str(tmp_path)), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_study_without_results_or_parts_or_with_results_of_another_grid_says_what_to_do(written, study):
    path, _ = written
    with pytest.raises(UserError, match=r"holds 1 results of another grid .*move them away or choose another --study"):
        store.write_parts(study, {make_cell(seed=7): "main"})
    assert store.parts(study) == {make_cell().id: "main"}
    (store.study_dir(study) / "grid.yaml").unlink()
    with pytest.raises(UserError, match=f"no grid .*grid.yaml.*python -m lib figures <grid> --study {study}"):
        store.load(study)
    path.unlink()
    with pytest.raises(UserError, match="python -m lib run"):
        store.load(study)


@pytest.mark.parametrize("name", ["", "..", "a/b", "/tmp", ".hidden"])
def test_a_study_is_a_folder_of_results_and_nothing_else(name):
    with pytest.raises(UserError, match="expected the name of a folder"):
        store.study_dir(name)
