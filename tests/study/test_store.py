import json
import os
import subprocess
import time

import pytest
from helpers import base_cell, make_cell, python, wait_for
from simulation import result as simulated

from lib.paths import UserError
from lib.study import store


@pytest.fixture
def written(study):
    cell = make_cell()
    made = simulated(cell, study, lambda *_: 0.5)
    store.write_json(store.cell_path(study, cell), made)
    store.write_parts(study, {cell: "main"})
    return store.cell_path(study, cell), made


def test_results_come_back_as_they_were_written_with_their_parts_in_the_order_of_their_ids(study):
    cells = [*(make_cell(seed=seed) for seed in range(4)), base_cell()]
    results = {cell.id: simulated(cell, study, lambda *_: 0.5) for cell in cells}
    for cell in cells:
        store.write_json(store.cell_path(study, cell), results[cell.id])
    store.write_parts(study, dict.fromkeys(cells, "main"))
    assert store.load(study) == [{**results[id], "part": "main"} for id in sorted(results)]
    assert results[base_cell().id]["training"] is None


@pytest.mark.parametrize(("value", "failure"), [(float("nan"), ValueError), (4, KeyboardInterrupt)])
def test_a_write_that_fails_or_is_interrupted_leaves_the_old_file_and_no_scraps(value, failure, written, monkeypatch):
    path, made = written

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", stop)
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


def test_a_result_of_another_schema_is_no_damage(written):
    path, made = written
    path.write_text(json.dumps(made | {"schema": 3}))
    with pytest.raises(UserError, match=r"is of another version of this code \(schema 3\): see CHANGELOG.md"):
        store.read(path)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_result_in_its_place_is_damaged(written, make):
    path, _ = written
    with pytest.raises(UserError, match="holds the parameters of experiment"):
        store.read(path.rename(path.with_name("0123456789ab.json")))
    make(path)
    with pytest.raises(UserError, match="is damaged .not a file"):
        store.read(path)


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


def test_a_study_without_results_or_parts_says_how_to_get_them(written, study):
    path, _ = written
    (store.study_dir(study) / "grid.yaml").unlink()
    with pytest.raises(UserError, match=f"no grid .*grid.yaml.*python -m lib figures <grid> --study {study}"):
        store.load(study)
    path.unlink()
    with pytest.raises(UserError, match="python -m lib run"):
        store.load(study)


def test_results_of_another_grid_are_refused(written, study):
    with pytest.raises(UserError, match=r"holds 1 results of another grid .*move them away or choose another --study"):
        store.write_parts(study, {make_cell(seed=7): "main"})
    assert store.parts(study) == {make_cell().id: "main"}


@pytest.mark.parametrize("name", ["", "..", "a/b", "/tmp", ".hidden"])
def test_a_study_is_a_folder_of_results_and_nothing_else(name):
    with pytest.raises(UserError, match="expected the name of a folder"):
        store.study_dir(name)
