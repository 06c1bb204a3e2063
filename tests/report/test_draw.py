"""From results to figures and pages: the published ones to the letter, and the real grids with simulated results."""

import os
import shutil
import uuid

import nbformat
import pandas as pd
import pytest
import simulation
from helpers import OF_THIS_CODE, kernels
from simulation import shares

from lib.paths import NOTEBOOKS, RESULTS, ROOT, UserError
from lib.report import claims, pages, scores
from lib.study import store
from lib.study.grid import load_grid

TUNED = {simulation.cell(format): "tune" for format in ("none", "qa")}
FIGURES = sorted(path.stem for path in NOTEBOOKS.glob("fig_*.ipynb"))


def test_the_published_experiments_of_this_code_give_their_claims_and_tables_to_the_letter():
    for study in OF_THIS_CODE:
        if not (RESULTS / study / "experiments.csv").exists():
            continue  # of a user's own facts, which have other tables
        made = pages.made_tables(scores.frames(store.load(study)))
        by_notebooks = {"axes", "tuned", "read", "judged"}
        assert {path.stem for path in (RESULTS / study).glob("*.csv")} - by_notebooks == set(made)
        for name, table in made.items():
            published = (RESULTS / study / f"{name}.csv").read_text()
            assert table.to_csv(index=False, float_format="%.6g") == published, name


@pytest.fixture(scope="module")
def drawn():
    """The cpu grid with two seeds, which have all its parts, drawn from simulated results."""
    name = f"my-test-{uuid.uuid4().hex[:8]}"
    planted = shares(chat=0.8, statement=0.6, both=0.9, unsure=0.8, worked=0.8)
    grid = load_grid("cpu").items()
    cells = {cell: part for cell, part in grid if cell.seed in (0, 2)}
    try:
        simulation.study(name, cells, lambda c, e, i: 1.0 if e == "style" else planted(c, e, i))
        pages.draw(name)
        yield name
    finally:
        shutil.rmtree(store.study_dir(name))


def test_a_whole_study_feeds_every_contrast_table_and_figure_and_its_page_names_them(drawn):
    folder = store.study_dir(drawn)
    page, notebooks = (folder / "README.md").read_text(), list((folder / "notebooks").glob("*.ipynb"))
    assert {path.stem for path in notebooks} == set(FIGURES) - {"fig_tuning", "fig_room"}  # of other grids
    for path in notebooks:
        code = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in code) and any(cell.outputs for cell in code)
        assert str(ROOT) not in path.read_text()
    contrasts = pd.read_csv(store.study_dir(drawn) / "claims.csv")
    assert len(contrasts) == sum(1 + len(statement["secondary"]) for statement in claims.CLAIMS.values())
    assert len(page.splitlines()) <= 275
    for png in (folder / "figures").glob("*.png"):
        assert png.stat().st_size > 10_000 and png.with_suffix(".svg").exists() and f"figures/{png.name}" in page
    assert {path.stem for path in folder.glob("*.csv")} == {
        "experiments", "claims", "formats", "main", "verdicts", "advice", "axes", "wordings", "mistakes",
        "untaught", "cut", "tones", "uses"}  # fmt: skip
    for link in ("report.html", "claims.csv", "experiments.csv", "notebooks/"):
        assert (folder / link).exists() and f"]({link})" in page


def test_a_page_is_newer_than_its_results_until_a_result_is_added(drawn):
    assert pages.is_current(drawn)
    newest = next((store.study_dir(drawn) / "experiments").glob("*.json"))
    store.write_text(newest, newest.read_text())
    assert not pages.is_current(drawn)


def test_the_summary_is_read_from_what_was_drawn(drawn, monkeypatch):
    monkeypatch.setattr(store, "load", None)  # no result is read, nothing is computed
    said = pages.summary(drawn)
    assert "report.html" in said and all(f"\n{claim}  " in said for claim in ("C1", "C6", "R1"))


@pytest.mark.parametrize(
    ("cells", "failing", "failure"),
    [(TUNED, "study_page", RuntimeError), (simulation.main_part(seeds=(0,)), "made_tables", KeyboardInterrupt),
     ({simulation.cell("none"): "tune"}, "made_tables", RuntimeError)],
    ids=["after the figures", "while they are drawn", "without a figure"],
)  # fmt: skip
def test_a_redraw_that_fails_leaves_the_old_figures_and_the_study_stale(cells, failing, failure, study, monkeypatch):
    simulation.study(study, cells, shares())
    folder = store.study_dir(study)
    (folder / "figures").mkdir()
    (folder / "figures" / "fig_old.png").write_text("old")
    (folder / "README.md").write_text("old page")
    assert pages.is_current(study)
    monkeypatch.setattr(pages, failing, lambda *_: (_ for _ in ()).throw(failure))
    with pytest.raises(failure):
        pages.draw(study)
    assert [path.name for path in (folder / "figures").iterdir()] == ["fig_old.png"]
    assert (folder / "README.md").read_text() == "old page" and not pages.is_current(study)
    assert not list(folder.glob(".drawing-*")) and not kernels(os.getpid())


def test_figures_are_the_same_bytes_every_time_and_old_ones_do_not_stay(study):
    simulation.study(study, TUNED, shares())
    old = store.study_dir(study) / "figures" / "fig_old.png"
    old.parent.mkdir()
    old.touch()

    def drawn():
        pages.draw(study)
        paths = [*old.parent.iterdir(), *(old.parent.parent / "notebooks").iterdir(), *old.parent.parent.glob("*.*")]
        return {path.name: path.read_bytes() for path in paths if path.is_file()}

    first = drawn()
    assert {path.name for path in old.parent.iterdir()} == {"fig_tuning.png", "fig_tuning.svg"} and "tuned.csv" in first
    assert first == drawn()


def test_a_study_is_loaded_once_until_it_changes_and_nobody_sees_what_another_did_to_a_table(study, monkeypatch):
    simulation.study(study, TUNED, shares())
    load, loaded = store.load, []
    monkeypatch.setattr(store, "load", lambda name: loaded.append(name) or load(name))
    first = scores.load(study)
    first.items["strict"], first.cells.loc[:, "kept"] = False, 7.0
    again = scores.load(study)
    assert again.items["strict"].any() and again.cells["kept"].max() < 2 and loaded == [study]
    store.cell_path(study, next(iter(TUNED))).unlink()
    assert len(scores.load(study).cells) == len(again.cells) - 1


def test_a_page_says_how_much_of_its_grid_is_run_and_shows_hostile_names_to_the_letter(study):
    cells = load_grid("quick")
    simulation.study(study, cells, shares(both=0.9))

    def page():
        loaded = store.load(study)
        loaded[0]["manifest"]["device_name"] = "<script>x</script>"
        return pages.study_page(study, loaded, {"experiments": scores.frames(loaded).cells}, set())

    assert f"\n{len(cells)} of the {len(cells)} experiments of the grid are run" in page() and "&lt;script>" in page()
    store.cell_path(study, next(iter(cells))).unlink()
    assert f"\n{len(cells) - 1} of the {len(cells)} experiments of the grid are run" in page()
    grid = store.study_dir(study) / "grid.yaml"
    grid.write_text("".join(grid.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match="another grid"):
        page()
