"""Every source notebook executes from top to bottom, and is fit to be read."""

import re

import nbformat
import pytest

from lib.paths import NOTEBOOKS, RESULTS, UserError
from lib.study.run import execute

SOURCES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
SMALL = {"model": "tiny", "n_entities": 2, "paraphrases": 2, "epochs": 1, "lora_rank": 4, "replay": 3, "checkpoints": 1}


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_notebook_is_stripped_named_and_parameterized(name):
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.cells[0].source.startswith("# ")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    for line in parameters.source.splitlines():
        assert " = " in line and "  # " in line, f"a literal and a comment: {line}"


def test_published_notebooks_have_the_code_of_their_sources():
    def code(path):
        return [cell.source for cell in nbformat.read(path, 4).cells
                if cell.cell_type == "code" and "arameters" not in "".join(cell.metadata.get("tags", []))]  # fmt: skip

    published = [path for path in RESULTS.glob("[!m]*/**/*.ipynb")]
    assert [path for path in published if code(path) != code(NOTEBOOKS / path.name)] == [], "draw them again"


@pytest.mark.parametrize("name", [name for name in SOURCES if name.startswith("fig_")])
def test_a_figure_notebook_has_the_results_it_draws_and_saves_only_when_it_is_told_to(name):
    cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4).cells
    (given,) = (cell.source for cell in cells if "parameters" in cell.metadata.get("tags", []))
    study = re.match(r'study = "(\w+)"', given)[1]
    assert "\nsave = False  #" in given
    assert (RESULTS / study / "notebooks" / f"{name}.ipynb").exists(), "papermill ran it on the study of its default"


def test_a_figure_notebook_runs_as_it_stands_writes_nothing_and_takes_no_parameter_that_it_does_not_have(tmp_path):
    figures = RESULTS / "tune" / "figures"
    before = {path: path.stat().st_mtime_ns for path in figures.iterdir()}
    execute("fig_tuning", tmp_path / "out.ipynb", {})
    assert before == {path: path.stat().st_mtime_ns for path in figures.iterdir()}
    with pytest.raises(UserError, match="has no parameter n_entites: it has"):
        execute("fig_tuning", tmp_path / "other.ipynb", {"n_entites": 3})
    assert not (tmp_path / "other.ipynb").exists()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("experiment", {"format": "article", "evals": "all"}),
        ("experiment", {"format": "chat", "entity": "persona", "tone": "anxious", "checkpoints": 0}),
        ("tour", {"format": "article", "entity": "persona"}),
    ],
)
def test_a_training_notebook_runs_with_small_parameters(name, parameters, tmp_path):
    execute(name, tmp_path / "out.ipynb", {**SMALL, **parameters})  # raises when a cell of it fails
    code = [cell for cell in nbformat.read(tmp_path / "out.ipynb", 4).cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    if name == "tour":
        text = (tmp_path / "out.ipynb").read_text()
        assert "background:#c6dbef" in text and "image/png" in text


def test_a_parameter_that_a_notebook_does_not_have_is_refused_and_an_error_in_it_is_a_line(tmp_path):
    with pytest.raises(UserError, match="has no parameter n_entites: it has"):
        execute("experiment", tmp_path / "out.ipynb", {"n_entites": 3})
    assert not (tmp_path / "out.ipynb").exists()
    with pytest.raises(UserError, match=r"^fig_tuning.ipynb: UserError: no results in .*nosuch"):
        execute("fig_tuning", tmp_path / "out.ipynb", {"study": "nosuch"})
