"""What a study says: figures, claims.json, README.md and report.html of its folder, and a summary for the terminal."""

import pandas as pd

from lib import claims, compare, readme, results, tables
from lib.notebooks import execute
from lib.page import page
from lib.paths import ROOT


def draw(study: str, grid: str) -> None:
    """Write claims.json, every figure, report.html and README.md of a study, from its result files alone."""
    loaded = results.load(study)
    folder = results.study_dir(study)
    items = results.items(loaded)
    found = claims.claims(items)
    for notebook in (drawn := figure_notebooks(items)):
        execute(notebook, folder / "executed" / f"{notebook}.ipynb", {"study": study})
    for path in (folder / "figures").glob("fig_*"):
        if path.stem not in drawn:  # these results no longer feed it
            path.unlink()
    results.write_json(folder / "claims.json", found)
    executed = [folder / "executed" / f"{notebook}.ipynb" for notebook in drawn]
    introduction = "\n\n".join(readme.lead(study, grid, loaded, found))
    results.write_text(folder / "report.html", page(f"Results: {study}", introduction, executed))
    results.write_text(folder / "README.md", readme.text(study, grid, loaded, found, drawn))


def is_current(study: str) -> bool:
    """Whether draw has been through since the last result: the README is what it writes last."""
    folder = results.study_dir(study)
    drawn = folder / "README.md"
    newest = max(path.stat().st_mtime_ns for path in (folder / "cells").glob("*.json"))
    return drawn.exists() and drawn.stat().st_mtime_ns > newest


def figure_notebooks(items: pd.DataFrame) -> list[str]:
    """The figure notebooks that these results can feed, in the order of reading."""
    compared = compare.main(items)
    formats, evals = set(compared["format"]), set(items["eval"])
    both = {"article", "qa"} <= formats
    rates = items[items["format"] != "none"].groupby(["format", *compare.CONTROLS])["learning_rate"].nunique()
    feeds = {
        "fig_claims": both,
        "fig_corners": both and bool(compare.walk(items)),
        "fig_formats": both,
        "fig_numbers": both and set(claims.INFOS) <= set(compared["info"]),
        "fig_entities": both and compared["entity"].nunique() > 1,
        "fig_reasoning": both and "reasoning" in evals,
        "fig_controls": both and bool(compare.sweeps(items)),
        "fig_capacity": both and len(compare.capacity(items)) > 0,
        "fig_training": (items["checkpoints"] > 0).any(),
        "fig_forgetting": "forgetting" in evals,
        "fig_learning_rate": not both and rates.max() > 1,
    }
    return [notebook for notebook, fed in feeds.items() if fed]


def summary(study: str) -> str:
    """A short account of a study for the terminal."""
    loaded = results.load(study)
    items = results.items(loaded)
    folder = results.study_dir(study)
    lines = []
    if len(compared := compare.main(items)):
        lines += [tables.strict(compared).to_string(index=False, float_format="{:.2f}".format), ""]
    if found := claims.claims(items):
        lines += [*(_claim_line(row) for row in found), ""]
    if len(style := tables.tones(items)):
        lines += ["tones: attribution corrected for chance, and naming", style.to_string(index=False), ""]
    lines += [f"figure: {_relative(path)}" for path in sorted((folder / "figures").glob("*.png"))]
    lines.append(f"report: {_relative(folder / 'README.md')}")
    return "\n".join(lines)


def _claim_line(row):
    return f"{row['claim']}  {row['contrast']}: {readme.estimate(row)} {row['verdict']}"


def _relative(path):
    return path.relative_to(ROOT)
