"""What a study says: figures, claims, tables and pages of its folder, and a summary for the terminal."""

import pandas as pd

from lib.paths import ROOT
from lib.report import contrasts, pages, parts, plots, tables, tuning, walk
from lib.report.claims import CLAIMS
from lib.study import store
from lib.study.notebook import execute

CAPTIONS = {
    "fig_curves": "Learning curves: share of facts known by how often they were told, with 95 % bands.",
    "fig_formats": "What each format teaches at the end of training, with 95 % intervals.",
    "fig_frontier": "Knowledge gained against general knowledge kept: one point a run.",
    "fig_reasoning": "Two-fact questions: the base model with both facts in its prompt, and the trained models.",
    "fig_controls": "Held-out questions by what the controls vary, with 95 % intervals.",
    "fig_walk": "The way from style to facts, one axis at a time, with 95 % intervals.",
    "fig_tuning": "Held-out questions and what is kept, by learning rate and replay; the chosen setting is circled.",
}


def draw(study: str) -> None:
    """Write claims, tables, figures, executed notebooks and pages of a study, from its result files alone."""
    loaded = store.load(study)
    folder = store.study_dir(study)
    found = contrasts.decide(loaded)
    store.write_json(folder / "claims.json", found)
    for name, table in {
        "claims": pd.DataFrame(found),
        "cells": parts.cells(loaded),
        "formats": tables.formats(loaded),
        "exposures": tables.exposures(loaded),
        "costs": tables.costs(loaded),
    }.items():
        if len(table):
            store.write_text(folder / f"{name}.csv", table.to_csv(index=False, float_format="%.6g"))
    plots.theme()
    for path in (folder / "figures").glob("*"):
        path.unlink()
    executed = []
    for notebook in figure_notebooks(loaded, found):
        executed.append(folder / "notebooks" / f"{notebook}.ipynb")
        execute(notebook, executed[-1], {"study": study})
    page = pages.results_page(study, loaded, found, captions(study))
    introduction = page.split("\n## Figures")[0]
    store.write_text(folder / "report.html", pages.report(f"Results: {study}", introduction, executed))
    store.write_text(folder / "README.md", page)


def captions(study: str) -> dict[str, str]:
    """The figures of a study in the order of reading, each with its caption."""
    there = {path.stem for path in (store.study_dir(study) / "figures").glob("*.png")}
    of_claims = {f"claim_{claim}": f"{claim}: {CLAIMS[claim].says}, as contrasts." for claim in CLAIMS}
    return {name: said for name, said in (CAPTIONS | of_claims).items() if name in there}


def is_current(study: str) -> bool:
    """Whether draw has been through since the last result: the README is what it writes last."""
    folder = store.study_dir(study)
    drawn = folder / "README.md"
    newest = max(path.stat().st_mtime_ns for path in (folder / "cells").glob("*.json"))
    return drawn.exists() and drawn.stat().st_mtime_ns > newest


def figure_notebooks(loaded: list[dict], found: list[dict]) -> list[str]:
    """The figure notebooks that these results can feed, in the order of reading."""
    cells = parts.cells(loaded)
    main = cells[(cells["part"] == "main") & (cells["format"] != "none")]
    evals = {name for result in loaded for name in result["evals"]}
    feeds = {
        "fig_curves": (main["checkpoints"] > 0).any(),
        "fig_formats": len(main) > 0,
        "fig_frontier": len(main) > 0 and cells["kept"].notna().any(),
        "fig_reasoning": "reasoning_in_context" in evals,
        "fig_controls": any(part in set(cells["part"]) for part in contrasts.VARIED),
        "fig_walk": bool(walk.stations(loaded)),
        "fig_tuning": "tune" in set(cells["part"]),
        "fig_claims": len(found) > 0,
    }
    return [notebook for notebook, fed in feeds.items() if fed]


def summary(study: str) -> str:
    """A short account of a study for the terminal."""
    loaded = store.load(study)
    found = contrasts.decide(loaded)
    lines = []
    for table in (tables.formats(loaded), tables.exposures(loaded)):
        if len(table):
            lines += [table.to_string(index=False), ""]
    if (parts.cells(loaded)["part"] == "tune").any():
        lines += [
            tuning.settings(loaded).drop(columns=["low", "high"]).to_string(index=False, float_format="{:.3g}".format),
            "",
        ]
    if found:
        lines += [f"{row.claim}  {row.verdict:12}  {row.says}" for row in tables.claims(found).itertuples()] + [""]
    folder = store.study_dir(study).relative_to(ROOT)
    return "\n".join([*lines, f"report: {folder / 'README.md'} and {folder / 'report.html'}"])
