"""Every source notebook executes from top to bottom, and is fit to be read."""

import os
import re

import nbformat
import pytest
import simulation
from helpers import BLOCK, OF_THIS_CODE

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
    def code(path):  # experiment.qa.ipynb is one of experiment.ipynb
        return [cell.source for cell in nbformat.read(path, 4).cells
                if cell.cell_type == "code" and "arameters" not in "".join(cell.metadata.get("tags", []))]  # fmt: skip

    published = [path for study in [*OF_THIS_CODE, "lessons"] for path in (RESULTS / study).rglob("*.ipynb")]
    sources = {path: NOTEBOOKS / f"{path.name.split('.')[0]}.ipynb" for path in published}
    assert [path for path in published if code(path) != code(sources[path])] == [], "draw them again"


@pytest.mark.parametrize("name", [name for name in SOURCES if name.startswith("fig_")])
def test_a_figure_notebook_has_the_results_it_draws_and_saves_only_when_it_is_told_to(name):
    cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4).cells
    (given,) = (cell.source for cell in cells if "parameters" in cell.metadata.get("tags", []))
    study = re.match(r'study = "(\w+)"', given)[1]
    assert "\nsave = False  #" in given
    assert study not in OF_THIS_CODE or (RESULTS / study / "notebooks" / f"{name}.ipynb").exists()


def test_a_figure_notebook_writes_nothing_unless_it_is_told_to(study, tmp_path):
    simulation.study(study, {simulation.cell(format): "tune" for format in ("none", "qa")}, simulation.shares())
    execute("fig_tuning", tmp_path / "out.ipynb", {"study": study})
    assert {path.name for path in (RESULTS / study).iterdir()} == {"experiments", "grid.yaml"}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("experiment", {"format": "article", "evals": "untaught", "n_entities": 4}),
        ("experiment", {"format": "chat", "entity": "persona", "tone": "anxious", "checkpoints": 0}),
        ("02_teach_it", {}),
        ("solutions/02_teach_it", {"checkpoints": None}),
    ],
)
def test_a_training_notebook_runs_with_small_parameters(name, parameters, tmp_path):
    given = {key: value for key, value in {**SMALL, **parameters}.items() if value is not None}
    execute(name, tmp_path / "out.ipynb", given)  # raises when a cell of it fails
    code = [cell for cell in nbformat.read(tmp_path / "out.ipynb", 4).cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert name != "02_teach_it" or "image/png" in (tmp_path / "out.ipynb").read_text()


LESSONS = ["01_one_fact_many_formats", "03_read_the_answers"]


@pytest.mark.parametrize("name", [*LESSONS, *(f"solutions/{name}" for name in [*LESSONS, "04_your_facts"])])
def test_a_notebook_that_trains_nothing_runs_without_torch(name, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(BLOCK.format(others={"torch"}))
    execute(name, tmp_path / "out.ipynb", {}, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    cells = nbformat.read(tmp_path / "out.ipynb", 4).cells
    assert all(cell.execution_count for cell in cells if cell.cell_type == "code")
    text = (tmp_path / "out.ipynb").read_text()
    assert name != LESSONS[0] or "<mark>[" in text
    assert "04" not in name or "all, " in text, "the plan"


def test_a_lesson_has_a_sentence_before_each_cell_and_ends_with_links_that_exist():
    for path in NOTEBOOKS.glob("0*.ipynb"):
        cells = nbformat.read(path, 4).cells
        for before, cell in zip(cells, cells[1:], strict=False):
            assert "code" not in (before.cell_type, cell.cell_type) or before.cell_type != cell.cell_type
        assert cells[-1].cell_type == "markdown" and "Next: [" in cells[-1].source
        links = re.findall(r"\]\(([^)]+)\)", cells[-1].source)
        assert len(links) >= 2 and all((NOTEBOOKS / link).exists() for link in links)


def test_a_parameter_that_a_notebook_does_not_have_is_refused_and_an_error_in_it_is_a_line(tmp_path):
    with pytest.raises(UserError, match="has no parameter n_entites: it has"):
        execute("experiment", tmp_path / "out.ipynb", {"n_entites": 3})
    assert not (tmp_path / "out.ipynb").exists()
    with pytest.raises(UserError, match=r"^fig_tuning.ipynb: UserError: no results in .*nosuch"):
        execute("fig_tuning", tmp_path / "out.ipynb", {"study": "nosuch"})
