"""The command line: what a user's mistake gets, what each command does, and what the cheap ones do without."""

import subprocess
import sys
from unittest import mock

import pytest
import simulation

from lib import __main__ as commands
from lib.__main__ import main
from lib.paths import RESULTS, ROOT, UserError
from lib.study import plan, ray, run, store
from lib.study.grid import load_grid

BASE = "part: main, model: tiny, entity: fictional, format: none, n_entities: 2, seed: 0"
TRAINED = (
    "part: main, model: tiny, entity: persona, format: qa, n_entities: 6, seed: 0, paraphrases: 2, epochs: 1, "
    "learning_rate: 0.001, lora_rank: 4, batch_size: 4"
)


@pytest.fixture
def drawn(monkeypatch):
    """The studies that were drawn, in place of drawing them; each is current once it was."""
    names = []
    monkeypatch.setattr("lib.report.pages.draw", names.append)
    monkeypatch.setattr("lib.report.pages.is_current", lambda study: study in names)
    monkeypatch.setattr("lib.report.pages.summary", lambda study: f"the summary of {study}")
    return names


def grid_of(tmp_path, text):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    return str(path)


def simulated(study, tmp_path):
    """A study of one article, one question and one base cell; returns its grid."""
    trained = TRAINED.replace("persona", "fictional").replace("format: qa", "format: [article, qa]")
    grid = grid_of(tmp_path, "- {" + trained + "}\n- {" + BASE.replace("n_entities: 2", "n_entities: 6") + "}")
    simulation.study(study, load_grid(grid), lambda cell, evaluation, info: 0.5)
    return grid


@pytest.mark.parametrize(
    ("commands", "grid", "study", "message"),
    [
        ("plan run", "- {", "", "is not YAML"),
        ("plan run", "- {" + BASE.replace("tiny", "/no/such/model") + "}", "", "no model '/no/such/model'"),
        ("plan run", "- {" + TRAINED + ", checkpoints: 9}", "", "checkpoints is 9, more than the experiment has steps"),
        ("plan run status figures", "quikc", "", "no grid 'quikc': known are cpu, gpu"),
        ("run status figures", "- {" + BASE + "}", "--study=../elsewhere", "expected the name of a folder"),
        ("figures", "- {" + BASE + "}", "", "no results in"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(commands, grid, study, message, tmp_path, capsys):
    for command in commands.split():
        path = grid_of(tmp_path, grid) if "{" in grid else grid
        assert main([command, path, *study.split()]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ") and message in said and len(said.strip().splitlines()) == 1
        assert not (RESULTS / "grid").exists()


def test_a_full_disk_is_one_line(study, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "run", mock.Mock(side_effect=OSError(28, "No space left on device")))
    assert main(["run", grid_of(tmp_path, "- {" + BASE + "}"), "--study", study]) == 2
    assert capsys.readouterr().err == "error: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("arguments", ["nosuch", "run", "run quick --jobs 0", "run quick --engine slurm"])
def test_a_command_line_that_does_not_parse_is_the_users_mistake(arguments, capsys):
    assert main(arguments.split()) == 2
    said = capsys.readouterr()
    assert "Error: " in said.err and not said.out


def test_a_run_trains_asks_draws_once_and_prints_the_summary(study, tmp_path, drawn, capsys):
    cell = TRAINED.replace("n_entities: 6", "n_entities: 2") + ", replay: 2, checkpoints: 1, room: 8"
    grid = grid_of(tmp_path, "- {" + cell + "}")
    for _ in range(2):
        assert main(["run", grid, "--study", study, "--jobs", "1"]) == 0
    assert drawn == [study] and capsys.readouterr().out.count(f"the summary of {study}") == 2
    (result,) = store.load(study)
    assert result["manifest"]["threads"] == run.cores() and result["manifest"]["git_commit"] == store.git_commit()
    assert set(result["evals"]) == {"recall", "question", "completion", "alone", "general"}
    assert result["training"]["once"] == 2
    (point,) = result["training"]["curve"]
    assert len(point["recall"]) == len(result["facts"]["ids"]) == 4
    executed = store.study_dir(study) / "executed" / f"{result['id']}.ipynb"
    assert "from lib.study import steps" in executed.read_text(encoding="utf-8")
    assert main(["figures", grid, "--study", study]) == 0 and drawn == [study, study], "whenever they are asked for"


def test_a_study_with_failed_experiments_is_not_drawn(study, tmp_path, monkeypatch, drawn, capsys):
    monkeypatch.setattr(run, "run", lambda cells, *_: list(cells)[:1])
    grid = grid_of(tmp_path, "- {" + BASE.replace("seed: 0", "seed: [0, 1]") + "}")
    assert main(["run", grid, "--study", study]) == 1
    assert "1 of 2 experiments failed" in capsys.readouterr().err and not drawn


def test_experiments_are_run_with_the_jobs_and_the_engine_that_were_asked_for(study, tmp_path, monkeypatch, drawn):
    seen = []
    monkeypatch.setattr(run, "run", lambda cells, study, jobs, engine: seen.append((dict(cells), jobs, engine)) or [])
    monkeypatch.setattr(ray, "connect", lambda jobs, gpus, memory: (jobs + 10, (gpus, memory)))
    grid = grid_of(tmp_path, "- {" + BASE + "}")
    for engine in (["local"], ["ray", "--gpus", "0.25"]):
        assert main(["run", grid, "--study", study, "--jobs", "3", "--engine", *engine]) == 0
    cells = load_grid(grid)
    assert seen == [(cells, 3, run.local), (cells, 13, (0.25, run.MEMORY))]


def test_an_experiment_whose_result_is_damaged_is_checked_and_given_memory_as_a_new_one(
    study, tmp_path, monkeypatch, drawn, capsys
):
    grid, seen = simulated(study, tmp_path), []
    damaged = list(load_grid(grid))[1]
    store.cell_path(study, damaged).write_text('{"schema": 4')
    monkeypatch.setattr(plan, "check", seen.append)
    monkeypatch.setattr(run, "default_jobs", lambda cells: seen.append(cells) or 1)
    monkeypatch.setattr(run, "run", lambda *_: [])
    assert main(["run", grid, "--study", study]) == 0
    assert seen == [[damaged]] * 2 and "is damaged" in capsys.readouterr().err


def test_a_grid_of_several_models_is_a_study_of_each(tmp_path):
    grid = grid_of(tmp_path, "- {" + BASE.replace("tiny", "[Own/Big-4B@main, tiny]") + "}")
    assert list(commands.studies(grid, None)) == ["grid-big-4b", "grid-tiny"]
    named = commands.studies(grid, "mine")
    assert {name: [cell.model for cell in cells] for name, cells in named.items()} == {
        "mine-big-4b": ["Own/Big-4B@main"], "mine-tiny": ["tiny"],
    }  # fmt: skip
    with pytest.raises(UserError, match="two models have the same last name"):
        commands.studies(grid_of(tmp_path, "- {" + BASE.replace("tiny", "[one/tiny, tiny]") + "}"), None)


def test_status_says_what_is_missing_and_results_of_another_grid_are_not_pooled_in(study, tmp_path, capsys):
    grid = simulated(study, tmp_path)
    assert main(["status", grid, "--study", study]) == 0
    assert f"{study}: 3 of 3 experiments finished" in capsys.readouterr().out
    missing = next(iter(load_grid(grid)))
    store.cell_path(study, missing).unlink()
    assert main(["status", grid, "--study", study]) == 1
    said = capsys.readouterr().out
    assert f"missing  {missing.id}" in said and f"{study}: 2 of 3 experiments finished" in said
    for command in ("run", "figures"):
        assert main([command, grid_of(tmp_path, "- {" + BASE + "}"), "--study", study]) == 2
        assert "holds 2 results of another grid" in capsys.readouterr().err


def test_every_command_says_what_it_does_before_it_imports_what_takes_seconds():
    code = """
import sys
from lib import __main__ as commands

def say(text):
    said.append(text)
    sys.exit(0)

said, commands.say = [], say
lines = "plan quick, run quick, status quick, figures quick, facts x, ask x y".split(", ")
for line in lines:
    commands.main(line.split())
slow = {"torch", "transformers", "unsloth", "pandas", "numpy", "ray", "lib.study"} & set(sys.modules)
assert len(said) == len(lines) and not slow, (said, slow)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_run_with_nothing_to_do_imports_nothing_that_takes_seconds(study, tmp_path):
    code = f"""
import sys
from lib import __main__ as commands
commands.draw = lambda study, only_if_stale: None
for what in ("run", "status"):
    assert commands.main([what, {simulated(study, tmp_path)!r}, "--study", {study!r}]) == 0
slow = {{"torch", "transformers", "unsloth", "pandas", "numpy", "ray", "papermill", "lib.study.plan"}}
assert not slow & set(sys.modules), slow & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
