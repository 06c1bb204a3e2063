"""From results to figures and pages, for the real grids with simulated results."""

import json
import shutil
import subprocess
import sys
import uuid

import nbformat
import pandas as pd
import pytest
import simulation
from simulation import shares

from lib.paths import NOTEBOOKS, ROOT, UserError
from lib.report import contrasts, draw, pages, scorer
from lib.study import store
from lib.study.grid import load_grid

FIGURES = sorted(path.stem for path in NOTEBOOKS.glob("fig_*.ipynb"))


@pytest.fixture(scope="module")
def drawn():
    """The cpu grid with one seed, of the main part two, drawn from simulated results."""
    name = f"my-test-{uuid.uuid4().hex[:8]}"
    planted = shares(chat=0.8, blanks=0.8, worked=0.8, mixed=0.5)
    grid = load_grid("cpu").items()
    cells = {cell: part for cell, part in grid if cell.seed == 0 or cell.seed == 1 and part == "main"}
    try:
        simulation.study(name, cells, lambda c, e, i: 1.0 if e == "style" else planted(c, e, i))
        draw.draw(name)
        yield name
    finally:
        shutil.rmtree(store.study_dir(name))


def test_the_whole_study_feeds_every_figure_but_that_of_tuning(drawn):
    loaded = store.load(drawn)
    found = json.loads((store.study_dir(drawn) / "claims.json").read_text())
    assert set(draw.figure_notebooks(loaded, found)) == set(FIGURES) - {"fig_tuning"}
    assert {row["claim"] for row in found} == {"C1", "C2", "C3", "C4", "C5", "C6", "R1", "R2"}


def test_every_figure_and_table_is_there_and_named_on_the_page(drawn):
    folder = store.study_dir(drawn)
    page = (folder / "README.md").read_text()
    assert len(page.splitlines()) <= 120
    for png in (folder / "figures").glob("*.png"):
        assert png.stat().st_size > 10_000 and png.with_suffix(".svg").exists()
        assert f"figures/{png.name}" in page
    assert {path.stem for path in folder.glob("*.csv")} == {"cells", "claims", "formats", "exposures", "costs"}
    for link in ("report.html", "claims.csv", "cells.csv", "notebooks/"):
        assert (folder / link).exists() and f"]({link})" in page


def test_executed_notebooks_keep_their_outputs(drawn):
    for path in (store.study_dir(drawn) / "notebooks").glob("*.ipynb"):
        code = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in code) and any(cell.outputs for cell in code)


def test_a_page_is_newer_than_its_results_until_a_result_is_added(drawn):
    assert draw.is_current(drawn)
    newest = next((store.study_dir(drawn) / "experiments").glob("*.json"))
    text = newest.read_text()
    newest.unlink()
    newest.write_text(text)
    assert not draw.is_current(drawn)


def test_the_summary_names_every_claim_and_the_report(drawn):
    said = draw.summary(drawn)
    assert "report.html" in said and all(f"\n{claim}  " in said for claim in ("C1", "C6", "R1"))


def test_figures_are_the_same_bytes_every_time_and_old_ones_do_not_stay(study):
    simulation.study(study, load_grid("tune"), shares(chat=0.8))
    old = store.study_dir(study) / "figures" / "fig_old.png"
    old.parent.mkdir()
    old.touch()
    draw.draw(study)
    first = {path.name: path.read_bytes() for path in old.parent.iterdir()}
    assert set(first) == {"fig_tuning.png", "fig_tuning.svg"}
    draw.draw(study)
    assert first == {path.name: path.read_bytes() for path in old.parent.iterdir()}


def test_drawing_does_not_import_torch():
    code = "import sys; import lib.report.draw; assert not {'torch', 'transformers', 'unsloth'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_results_of_another_grid_are_refused(study):
    simulation.study(study, load_grid("quick"), shares())
    grid = store.study_dir(study) / "grid.yaml"
    grid.write_text("".join(grid.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(UserError, match="another grid"):
        store.load(study)


def test_a_page_says_how_much_of_its_grid_is_run(study):
    cells = load_grid("quick")
    simulation.study(study, cells, shares())

    def page():
        return pages.results_page({**pages.facts_of(study, store.load(study), []), "figures": set()})

    assert "Not finished" not in page()
    store.cell_path(study, next(iter(cells))).unlink()
    assert f"**Not finished:** {len(cells) - 1} of the {len(cells)} cells of the grid are run." in page()


def test_the_projects_pages_tell_of_a_study_that_is_stopped_wrecked_or_read(study):
    def text(name):
        (page,) = (text for path, text in pages.project_pages(study).items() if path.name == name)
        return page

    cells = load_grid("quick")
    simulation.study(study, cells, shares())
    scorer.draw(study)
    assert "scorer" not in text("findings.md") and "not finished" not in text("findings.md")
    read = pd.read_csv(scorer.path(study), dtype=str, keep_default_na=False)
    read.assign(right="1").to_csv(scorer.path(study), index=False)
    assert f"\n## How often is the scorer wrong?\n\nA reader judged {len(read)} answers" in text("findings.md")

    for cell in cells:  # a base model is the last to be finished
        if cell.format == "none":
            store.cell_path(study, cell).unlink()
    shown = f"{len(cells) - 2} of the {len(cells)} cells"
    assert f"**The study is not finished.** {shown}" in text("findings.md") and "still a model?" not in text(
        "findings.md"
    )
    assert f", {len(cells) - 2} of its {len(cells)} cells.*" in text("README.md")
    for name in ("findings.md", "README.md"):
        assert "No format can be recommended" in text(name) and "nan" not in text(name)


def test_findings_have_every_contrast_in_one_row_and_its_reason_where_it_cannot_be_tested(study):
    simulation.study(study, load_grid("quick"), shares(qa=1.0))
    found = contrasts.decide(store.load(study))
    page = pages.project_pages(study)[pages.PAGES["findings.md.j2"]]
    lines = page.replace("\\|", "/").replace("<br>", "|").splitlines()
    rows = [[cell.strip() for cell in line.split("|")] for line in lines if line.startswith("|")]
    assert {row["verdict"] == "not testable" for row in found} == {True, False}
    for contrast in found:
        (row,) = (row for row in rows if contrast["contrast"].replace("|", "/") in row)
        assert (contrast["why"] or contrast["verdict"]) in row


def test_a_table_says_true_as_yes_and_one_as_a_number():
    shown = pages.markdown(
        pd.DataFrame({"chosen": [True, False], "runs": [1, 0]}), {"chosen": "chosen", "runs": "runs"}
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in shown.splitlines()]
    assert rows[2:] == [["yes", "1"], ["", "0"]]


@pytest.mark.parametrize("page", sorted(pages.PAGES.values()))
def test_the_projects_own_pages_are_what_the_templates_say_today(page):
    assert page.read_text() == pages.project_pages()[page], "run `make pages`"


def test_every_published_result_reads_and_has_the_name_of_its_parameters():
    from lib.paths import RESULTS

    for folder in RESULTS.glob("*/cells"):
        if not folder.parent.name.startswith("my-"):
            assert store.load(folder.parent.name)
