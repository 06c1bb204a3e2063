"""Every source notebook executes from top to bottom, and is fit to be read."""

import json
import shutil
import subprocess
import sys
import uuid

import nbformat
import pytest
from simulation import ACCURACIES, simulated_grid, simulated_study, write_study

from lib import report, results
from lib.cell import load_grid
from lib.errors import UserError
from lib.notebooks import execute
from lib.paths import NOTEBOOKS, ROOT

SOURCES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
SMALL = {"model": "tiny", "n_facts": 2, "paraphrases": 2, "epochs": 1, "lora_rank": 4}


def read(name):
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_notebook_is_stripped_named_and_parameterized(name):
    notebook = read(name)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.cells[0].source.startswith("# ")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None
    parameters = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(parameters) == 1
    for line in parameters[0].source.splitlines():
        assert " = " in line and "  # " in line, f"a literal and a comment: {line}"


@pytest.mark.parametrize("name", SOURCES)
def test_a_sentence_stands_before_and_after_every_code_cell(name):
    kinds = [cell.cell_type for cell in read(name).cells]
    for i, kind in enumerate(kinds[:-1]):
        if kind == "code":
            assert kinds[i - 1] == "markdown"
            assert kinds[i + 1] == "markdown"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("cell", {"format": "article"}),
        ("cell", {"format": "qa", "evals": "all"}),
        ("cell", {"format": "qa", "budget": "tokens", "checkpoints": 1, "lora_rank": 0}),
        ("cell", {"format": "chat", "entity": "persona", "info": "tone", "tone": "anxious"}),
        ("tour", {"format": "article", "entity": "persona", "info": "numeric"}),
    ],
)
def test_a_training_notebook_runs_with_small_parameters(name, parameters, tmp_path):
    execute(name, tmp_path / "out.ipynb", {**SMALL, **parameters})  # raises when a cell of it fails
    assert all(
        cell.execution_count for cell in nbformat.read(tmp_path / "out.ipynb", 4).cells if cell.cell_type == "code"
    )


def test_the_tour_shows_the_trained_tokens_and_the_answers(tmp_path):
    execute("tour", tmp_path / "out.ipynb", SMALL)
    text = (tmp_path / "out.ipynb").read_text()
    assert "background:#c6dbef" in text
    assert "image/png" in text


def test_figures_are_drawn_from_results_alone(study):
    write_study(study, simulated_study(ACCURACIES))
    report.draw(study, "quick")
    folder = results.study_dir(study)
    drawn = {"fig_claims", "fig_formats", "fig_numbers", "fig_entities"}
    assert {path.name for path in (folder / "figures").iterdir()} == {f"{n}.{s}" for n in drawn for s in ("png", "svg")}
    found = json.loads((folder / "claims.json").read_text())
    assert {row["claim"] for row in found} == {"C1", "C2", "C5"}
    readme = (folder / "README.md").read_text()
    assert all(f"figures/{name}.png" in readme for name in drawn)
    assert found[0]["contrast"] in readme


def test_a_figure_that_the_results_no_longer_feed_does_not_stay(study):
    write_study(study, simulated_study(ACCURACIES))
    old = results.study_dir(study) / "figures" / "fig_corners.png"
    old.parent.mkdir()
    old.touch()
    report.draw(study, "quick")
    assert not old.exists()


@pytest.fixture(scope="module")
def whole_study():
    """The cpu grid, which has other learning rates too, with simulated results."""
    shares = {("article", "numeric"): 0.3, ("article", "categorical"): 0.5, None: 0.8}
    cells = [cell for cell in load_grid("cpu") if cell.n_facts < 120]
    made = simulated_grid(cells, shares)
    name = f"my-test-{uuid.uuid4().hex[:8]}"
    write_study(name, made)
    yield name
    shutil.rmtree(results.study_dir(name))


@pytest.mark.parametrize("name", [name for name in SOURCES if name.startswith("fig_")])
def test_a_figure_notebook_draws_the_whole_study_and_does_not_import_torch(name, whole_study):
    code = [cell.source for cell in read(name).cells if cell.cell_type == "code"]
    code[0] = f"import matplotlib; matplotlib.use('agg'); study = {whole_study!r}"
    code.append("import sys; assert not {'torch', 'transformers', 'unsloth'} & set(sys.modules)")
    run = subprocess.run([sys.executable, "-c", "\n".join(code)], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "Warning" not in run.stderr
    for suffix in ("png", "svg"):
        assert (results.study_dir(whole_study) / "figures" / f"{name}.{suffix}").stat().st_size > 10_000


def test_the_whole_study_feeds_every_figure(whole_study):
    fed = report.figure_notebooks(results.items(results.load(whole_study)))
    assert set(fed) == {name for name in SOURCES if name.startswith("fig_")} - {"fig_learning_rate"}


def test_figures_and_report_are_the_same_bytes_every_time(study):
    def drawn():
        report.draw(study, "quick")
        folder = results.study_dir(study)
        return {path.name: path.read_bytes() for path in [*(folder / "figures").iterdir(), folder / "report.html"]}

    write_study(study, simulated_study(ACCURACIES))
    assert drawn() == drawn()


def test_the_learning_rate_figure_is_drawn_for_a_study_of_rates(study):
    made = simulated_study(ACCURACIES, learning_rates=(1e-3, 2e-3, 4e-3))
    write_study(study, [result for result in made if result["cell"]["format"] != "none"])
    report.draw(study, "tune")
    assert [p.name for p in (results.study_dir(study) / "figures").glob("*.png")] == ["fig_learning_rate.png"]


def test_a_parameter_that_a_notebook_does_not_have_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no parameter n_fact: it has"):
        execute("cell", tmp_path / "out.ipynb", {"n_fact": 3})
    assert not (tmp_path / "out.ipynb").exists()
