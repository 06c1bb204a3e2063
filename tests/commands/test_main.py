"""The command line: what a user's mistake gets, and what the cheap commands do without."""

import subprocess
import sys

import pytest
from simulation import ACCURACIES, simulated_study, write_study

from lib import report, results
from lib.__main__ import main
from lib.cell import load_grid
from lib.paths import RESULTS, ROOT

CELL = "model: tiny, entity: real, info: numeric, format: none, n_facts: 2, seed: 0"


TRAINED = (
    "model: tiny, entity: persona, info: numeric, format: qa, n_facts: 6, seed: 0, paraphrases: 2, epochs: 1, "
    "learning_rate: 0.001, lora_rank: 4, batch_size: 4"
)
TONE = TRAINED.replace("info: numeric, format: qa", "info: tone, tone: anxious, format: chat")
# the grid of simulation.simulated_study
SIMULATED = """
- {model: tiny, entity: [fictional, real], info: [numeric, categorical], format: [article, qa], n_facts: 20, seed: 0,
   paraphrases: 2, epochs: 1, learning_rate: 0.001, lora_rank: 4, batch_size: 4}
- {model: tiny, entity: [fictional, real], info: [numeric, categorical], format: none, n_facts: 20, seed: 0}
"""


def grid_of(tmp_path, text):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    return str(path)


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- {" + CELL.replace("n_facts", "n_fact") + "}", "block 1: unknown parameter 'n_fact': did you mean n_facts?"),
        ("- {" + CELL.replace("seed: 0", "seed: one") + "}", "block 1: seed is 'one' (str): expected int"),
        ("- {" + CELL.replace("n_facts: 2, ", "") + "}", "block 1: the cell is missing 1 required"),
        ("- {" + CELL + ", epochs: 3}", "block 1: format: none trains nothing, so epochs must be 0 or left out"),
        ("- {" + CELL + "}\n- 7", "expected a list of blocks of parameters"),
        ("a: b", "expected a list of blocks of parameters"),
        ("- {", "is not YAML"),
        ("- {1: 2}", "1 is no name of a parameter"),
        ("- {" + CELL.replace("info: numeric", "info: []") + "}", "info is an empty list"),
        ("", "expected a list of blocks of parameters"),
        ("- {" + CELL.replace("n_facts: 2", "n_facts: 71") + "}", "n_facts is 71, but only 70 real numeric facts"),
        ("- {" + CELL.replace("tiny", "/no/such/model") + "}", "no model '/no/such/model'"),
        ("- {" + TONE.replace("n_facts: 6", "n_facts: 41") + "}", "n_facts is 41, but only 40 persona tone facts"),
        ("- {" + TONE.replace("anxious", "grumpy") + "}", "tone is 'grumpy': expected one of pessimistic"),
        ("- {" + TRAINED.replace("qa", "mixed").replace("n_facts: 6", "n_facts: 33") + "}", "only 31 of 64 are left"),
        (
            "- {" + TRAINED.replace("n_facts: 6", "n_facts: 65") + "}",
            "n_facts is 65, but only 64 persona numeric facts",
        ),
        ("- {" + TRAINED.replace("qa", "reasoning").replace("n_facts: 6", "n_facts: 1") + "}", "needs n_facts of 4"),
        ("- {" + TRAINED.replace("n_facts: 6", "n_facts: 1") + ", evals: all}", "evals: all compares two facts"),
        ("- {" + TRAINED.replace("lora_rank: 4, ", "") + "}", "lora_rank is missing"),
        ("- {" + TRAINED.replace("n_facts: 6", "n_facts: 64") + ", evals: all}", "entities that are not trained"),
        ("- {" + TRAINED + ", checkpoints: 9}", "checkpoints is 9, but the cell has only 3 steps"),
        ("- {" + TRAINED.replace("paraphrases: 2", "paraphrases: 11") + "}", "there are templates for 10"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_bad_grid_is_one_line_and_writes_nothing(command, text, message, tmp_path, capsys):
    assert main([command, grid_of(tmp_path, text)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert message in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not (RESULTS / "grid").exists()


def test_an_unknown_grid_names_the_known_ones(capsys):
    assert main(["run", "quikc"]) == 2
    assert "no grid 'quikc': known are cpu, gpu, gpu-tune, quick, tune" in capsys.readouterr().err


def test_a_results_folder_that_cannot_be_written_is_named(study, tmp_path, capsys):
    blocked = results.study_dir(study)
    blocked.write_text("a file where the folder should be")
    try:
        assert main(["run", grid_of(tmp_path, "- {" + CELL + "}"), "--study", study]) == 2
        assert f"{blocked} cannot be written" in capsys.readouterr().err
    finally:
        blocked.unlink()


def test_figures_of_a_damaged_result_name_it_and_draw_nothing(study, tmp_path, capsys):
    write_study(study, simulated_study(ACCURACIES))
    path = next((results.study_dir(study) / "cells").glob("*.json"))
    path.write_text("{")
    before = files(results.study_dir(study))
    assert main(["figures", grid_of(tmp_path, SIMULATED), "--study", study]) == 2
    said = capsys.readouterr().err
    assert str(path) in said
    assert len(said.strip().splitlines()) == 1
    assert files(results.study_dir(study)) == before


def test_results_of_another_grid_are_not_pooled_in(study, tmp_path, capsys):
    write_study(study, simulated_study(ACCURACIES))
    assert main(["figures", "quick", "--study", study]) == 2
    assert "holds 12 results of another grid" in capsys.readouterr().err


def test_figures_of_an_unknown_grid_are_refused(study, capsys):
    write_study(study, simulated_study(ACCURACIES))
    assert main(["figures", "nosuch", "--study", study]) == 2
    assert "no grid 'nosuch'" in capsys.readouterr().err


def test_figures_are_redrawn_when_a_result_is_newer_and_only_then(study, tmp_path):
    write_study(study, simulated_study(ACCURACIES))
    assert not report.is_current(study)
    assert main(["figures", grid_of(tmp_path, SIMULATED), "--study", study]) == 0
    assert report.is_current(study)
    write_study(study, simulated_study(ACCURACIES)[:1])
    assert not report.is_current(study)


def test_plan_prints_the_cells_without_running_them(capsys):
    assert main(["plan", "quick"]) == 0
    said = capsys.readouterr().out
    assert f"{len(load_grid('quick'))} cells" in said
    assert "training tokens" in said
    assert "hours expected with" in said
    assert "format        article: 4, qa: 4, none: 4, chat: 2" in said
    assert "learning_rate 0.006: 4, 0.002: 6" in said


def test_status_says_what_is_missing(study, tmp_path, capsys):
    assert main(["status", grid_of(tmp_path, "- {" + CELL + "}"), "--study", study]) == 1
    said = capsys.readouterr().out
    assert "missing" in said
    assert "0 of 1 cells finished" in said


@pytest.mark.parametrize("jobs", ["0", "-1", "two"])
def test_jobs_must_be_a_positive_number(jobs, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["run", "quick", "--jobs", jobs])
    assert stop.value.code == 2
    assert "expected a whole number of at least 1" in capsys.readouterr().err


def test_figures_do_not_import_torch(study, tmp_path):
    write_study(study, simulated_study(ACCURACIES))
    figures = ["figures", grid_of(tmp_path, SIMULATED), "--study", study]
    code = (
        "import sys; from lib.__main__ import main; "
        f"assert main({figures!r}) == 0; "
        "assert not {'torch', 'transformers', 'unsloth'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
