"""What a study says: figures, claims, tables and pages of its folder, and a summary for the terminal."""

import pandas as pd

from lib.paths import ROOT
from lib.report import contrasts, pages, parts, walk
from lib.study import store
from lib.study.notebook import execute


def draw(study: str) -> None:
    """Write claims, tables, figures, executed notebooks and pages of a study, from its result files alone."""
    loaded = store.load(study)
    folder = store.study_dir(study)
    found = contrasts.decide(loaded)
    store.write_json(folder / "claims.json", found)
    told = pages.facts_of(study, loaded, found)
    tables = {name: told[name] for name in ("cells", "formats", "exposures", "costs")} | {"claims": pd.DataFrame(found)}
    for name, table in tables.items():
        if len(table):
            store.write_text(folder / f"{name}.csv", table.to_csv(index=False, float_format="%.6g"))
    for path in (folder / "figures").glob("*"):
        path.unlink()
    executed = []
    for notebook in figure_notebooks(loaded, found):
        executed.append(folder / "notebooks" / f"{notebook}.ipynb")
        execute(notebook, executed[-1], {"study": study})
    page = pages.results_page({**told, "figures": {path.stem for path in (folder / "figures").glob("*.png")}})
    introduction = page.split("\n## Figures")[0]
    store.write_text(folder / "report.html", pages.report(f"Results: {study}", introduction, executed))
    store.write_text(folder / "README.md", page)


def is_current(study: str) -> bool:
    """Whether draw has been through since the last result: the README is what it writes last."""
    folder = store.study_dir(study)
    drawn = folder / "README.md"
    newest = max(path.stat().st_mtime_ns for path in (folder / "experiments").glob("*.json"))
    return drawn.exists() and drawn.stat().st_mtime_ns > newest


def figure_notebooks(loaded: list[dict], found: list[dict]) -> list[str]:
    """The figure notebooks that these results can feed, in the order of reading."""
    cells = parts.cells(loaded)
    main = parts.trained(cells, "main")
    feeds = {
        "fig_curves": (main["checkpoints"] > 0).any(),
        "fig_formats": len(main) > 0,
        "fig_frontier": len(main) > 0 and cells["kept"].notna().any(),
        "fig_reasoning": any("reasoning_in_context" in result["evals"] for result in loaded),
        "fig_controls": cells["part"].isin(contrasts.VARIED).any(),
        "fig_walk": walk.stations(loaded),
        "fig_tuning": (cells["part"] == "tune").any(),
        "fig_claims": found,
    }
    return [notebook for notebook, fed in feeds.items() if fed]


def summary(study: str) -> str:
    """A short account of a study for the terminal."""
    loaded = store.load(study)
    told = pages.facts_of(study, loaded, contrasts.decide(loaded))
    shown = [told[name].to_string(index=False) for name in ("formats", "exposures") if len(told[name])]
    if told["tuning"] is not None:
        settings = told["tuning"].drop(columns=["question", "low", "high"])
        shown.append(settings.to_string(index=False, float_format="{:.3g}".format))
    shown.append("\n".join(f"{row.claim}  {row.verdict:12}  {row.says}" for row in told["claims"].itertuples()))
    folder = store.study_dir(study).relative_to(ROOT)
    return "\n\n".join([*filter(None, shown), f"report: {folder / 'README.md'} and {folder / 'report.html'}"])
