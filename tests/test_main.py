"""The command line: what a user's mistake gets, what each command does, and what the cheap ones do without."""

import os
import subprocess
import sys

import pytest
import simulation

from lib import __main__ as commands
from lib.__main__ import main
from lib.paths import RESULTS, ROOT, UserError
from lib.study import ray, run, store
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
    ("text", "message"),
    [
        ("- {", "is not YAML"),
        ("- {" + BASE.replace("tiny", "/no/such/model") + "}", "no model '/no/such/model'"),
        ("- {" + BASE.replace("n_entities: 2", "n_entities: 99999") + "}", "n_entities is 99999"),
        ("- {" + TRAINED + ", checkpoints: 9}", "checkpoints is 9, more than the experiment has steps"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_bad_grid_is_one_line_and_writes_nothing(command, text, message, tmp_path, capsys):
    assert main([command, grid_of(tmp_path, text)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and message in said and len(said.strip().splitlines()) == 1
    assert not (RESULTS / "grid").exists()


def test_an_unknown_grid_or_a_study_that_is_a_path_is_refused(tmp_path, capsys):
    for command in ("plan", "run", "status", "figures"):
        assert main([command, "quikc"]) == 2
        assert "no grid 'quikc': known are cpu, gpu" in capsys.readouterr().err
    for command in ("run", "status", "figures"):
        assert main([command, grid_of(tmp_path, "- {" + BASE + "}"), "--study", "../elsewhere"]) == 2
        assert "expected the name of a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("failure", "code", "message"),
    [
        (OSError(28, "No space left on device"), 2, "error: [Errno 28] No space left on device\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted: what is finished is kept, run the same command to go on\n"),
    ],
)
def test_a_full_disk_or_an_interrupt_is_one_line(failure, code, message, study, tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise failure

    monkeypatch.setattr("lib.study.run.run", fail)
    assert main(["run", grid_of(tmp_path, "- {" + BASE + "}"), "--study", study]) == code
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("arguments", ["nosuch", "run", "run quick --jobs 0", "run quick --engine slurm"])
def test_a_command_line_that_does_not_parse_is_the_users_mistake(arguments, capsys):
    assert main(arguments.split()) == 2
    said = capsys.readouterr()
    assert "Error: " in said.err and not said.out


def test_a_run_trains_asks_draws_once_and_prints_the_summary(study, tmp_path, drawn, capsys):
    cell = TRAINED.replace("n_entities: 6", "n_entities: 2") + ", replay: 2, checkpoints: 1"
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
    monkeypatch.setattr("lib.study.run.run", lambda cells, *_: list(cells)[:1])
    grid = grid_of(tmp_path, "- {" + BASE.replace("seed: 0", "seed: [0, 1]") + "}")
    assert main(["run", grid, "--study", study]) == 1
    assert "1 of 2 experiments failed" in capsys.readouterr().err
    assert drawn == []


def test_experiments_are_run_with_the_jobs_and_the_engine_that_were_asked_for(study, tmp_path, monkeypatch, drawn):
    seen = []
    monkeypatch.setattr(run, "run", lambda cells, study, jobs, engine: seen.append((dict(cells), jobs, engine)) or [])
    monkeypatch.setattr(ray, "connect", lambda jobs, gpus, memory: (jobs + 10, (gpus, memory)))
    grid = grid_of(tmp_path, "- {" + BASE + "}")
    for engine in (["local"], ["ray", "--gpus", "0.25"]):
        assert main(["run", grid, "--study", study, "--jobs", "3", "--engine", *engine]) == 0
    cells = load_grid(grid)
    assert seen == [(cells, 3, run.local), (cells, 13, (0.25, run.MEMORY))]


def test_figures_of_a_study_that_is_not_there_make_no_folder(study, tmp_path, capsys):
    assert main(["figures", grid_of(tmp_path, "- {" + BASE + "}"), "--study", study]) == 2
    assert "no results in" in capsys.readouterr().err
    assert not store.study_dir(study).exists()


def test_a_grid_of_several_models_is_a_study_of_each(tmp_path):
    grid = grid_of(tmp_path, "- {" + BASE.replace("tiny", "[Own/Big-4B@main, tiny]") + "}")
    assert list(commands.studies(grid, None)) == ["grid-big-4b", "grid-tiny"]
    named = commands.studies(grid, "mine")
    assert {name: [cell.model for cell in cells] for name, cells in named.items()} == {
        "mine-big-4b": ["Own/Big-4B@main"], "mine-tiny": ["tiny"],
    }  # fmt: skip
    with pytest.raises(UserError, match="two models have the same last name"):
        commands.studies(grid_of(tmp_path, "- {" + BASE.replace("tiny", "[one/tiny, tiny]") + "}"), None)


@pytest.mark.parametrize("command", ["run", "figures"])
def test_results_of_another_grid_are_not_pooled_in(command, study, tmp_path, capsys):
    simulated(study, tmp_path)
    assert main([command, grid_of(tmp_path, "- {" + BASE + "}"), "--study", study]) == 2
    assert "holds 3 results of another grid" in capsys.readouterr().err


def test_status_says_what_is_missing(study, tmp_path, capsys):
    grid = simulated(study, tmp_path)
    assert main(["status", grid, "--study", study]) == 0
    assert f"{study}: 3 of 3 experiments finished" in capsys.readouterr().out
    missing = next(iter(load_grid(grid)))
    store.cell_path(study, missing).unlink()
    assert main(["status", grid, "--study", study]) == 1
    said = capsys.readouterr().out
    assert f"missing  {missing.id}" in said and f"{study}: 2 of 3 experiments finished" in said


def test_every_command_says_what_it_does_before_it_imports_what_takes_seconds():
    code = """
import sys
from lib import __main__ as commands

def say(text):
    said.append(text)
    sys.exit(0)

said, commands.say = [], say
lines = "plan quick, run quick, status quick, figures quick, pages, facts x, ask x y".split(", ")
for line in lines:
    commands.main(line.split())
slow = {"torch", "transformers", "unsloth", "pandas", "numpy", "ray", "lib.study"} & set(sys.modules)
assert len(said) == len(lines) and not slow, (said, slow)
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_a_run_with_nothing_to_do_imports_nothing_that_takes_seconds(study, tmp_path):
    grid = simulated(study, tmp_path)
    code = """
import sys
from lib import __main__ as commands
commands.draw = lambda study, only_if_stale: None
assert commands.main(sys.argv[1:]) == 0
slow = {"torch", "transformers", "unsloth", "pandas", "numpy", "ray", "papermill", "lib.study.plan"} & set(sys.modules)
assert not slow, slow
"""
    for what in ("run", "status"):
        command = [sys.executable, "-c", code, what, grid, "--study", study]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_figures_are_drawn_where_torch_cannot_be_imported(study, tmp_path):
    for name in ("torch", "transformers", "unsloth"):  # also in the kernels of the notebooks
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('figures must not import {name}')")
    command = [sys.executable, "-m", "lib", "figures", simulated(study, tmp_path), "--study", study]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "report: " in run.stdout
    assert (store.study_dir(study) / "README.md").exists()
