"""The report of a user's own facts: one page with a table, a figure, a recommendation and what was not learned."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lib.data.facts import texts
from lib.report import pages, parts, plots
from lib.study import store
from lib.user_facts import advice
from lib.user_facts.facts import TEMPLATES, untold

SHOWN = 12  # attributes in the figure; the table has all
LISTED = 30  # facts that were not learned on the page; the CSV file has all


def write(study: str) -> tuple[str | None, str]:
    """Write README.md, report.html, the figure and the CSV files of a study of one's own facts from its results.

    Returns the recommended format, None where there is none, and the recommendation.
    """
    loaded = store.load(study)
    folder = store.study_dir(study)
    asked, cells = advice.scored(loaded), parts.cells(loaded)
    chosen, said = advice.recommend(asked[asked["format"] != "none"], cells)
    best = chosen or _most(asked)
    accuracy, costs, missed = advice.accuracy_table(asked), advice.cost_table(loaded), advice.not_learned(loaded, best)
    facts = texts(loaded[0]["cell"]["entity"])
    plots.theme()
    figure = accuracy_figure(asked)
    plots.save(figure, study, "accuracy")
    plt.close(figure)
    for name, table in {"accuracy": accuracy, "costs": costs, "not_learned": missed}.items():
        store.write_text(folder / f"{name}.csv", table.to_csv(index=False, float_format="%.6g"))
    page = pages.environment(TEMPLATES).get_template("report.md.j2").render(
        study=study, said=said, accuracy=accuracy, costs=costs, missed=missed.head(LISTED), n_missed=len(missed),
        best=parts.SHORT[best], facts=facts_of(loaded), manifest=loaded[0]["manifest"], cells=cells,
        unasked=_unasked(loaded, asked), untold=untold(facts), source=facts["source"], runs_of_one=advice.RUNS_OF_ONE,
    )  # fmt: skip
    store.write_text(folder / "README.md", page)
    store.write_text(folder / "report.html", pages.report(f"Facts: {study}", page, []))
    return chosen, said


def accuracy_figure(asked: pd.DataFrame):
    """Answered held-out questions by attribute, a mark a format, with 95 % intervals; the base model as a cross."""
    found = advice.by_attribute(asked)
    order = [advice.POOLED, *list(dict.fromkeys(asked["attribute"]))[:SHOWN]]
    formats = [format for format in (*plots.FORMATS, "none") if format in set(found["format"])]
    figure, ax = plt.subplots(figsize=(6.4, 0.5 * len(order) + 1.2))
    for i, format in enumerate(formats):
        rows = found[found["format"] == format].set_index("attribute").reindex(order)
        at = np.arange(len(order)) + (i - (len(formats) - 1) / 2) * 0.17
        colour, marker = plots.FORMATS.get(format, ("0.5", "x"))
        reach = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
        ax.errorbar(rows["mean"], at, xerr=reach, fmt=marker, color=colour, ms=5, capsize=2, lw=1,
                    label=parts.SHORT[format])  # fmt: skip
    ax.set_yticks(range(len(order)), [f"{name[:28]}…" if len(name) > 29 else name for name in order], parse_math=False)
    ax.axhline(0.5, color="black", lw=0.6, ls=":")
    ax.set(ylim=(len(order) - 0.5, -0.5), xlim=(-0.03, 1.03),
           xlabel="held-out questions answered (share of facts, 95 % interval)")  # fmt: skip
    plots.legend(figure, ax)
    return figure


def facts_of(loaded: list[dict]) -> dict:
    """How many facts there are, and the fingerprint of them."""
    return {"n": len(loaded[0]["facts"]["ids"]), "sha256": loaded[0]["manifest"]["facts_sha256"]}


def _most(asked):
    means = asked[asked["format"] != "none"].groupby("format")["strict"].mean()
    return means.idxmax()


def _unasked(loaded, asked):
    """How many facts cannot be asked about, because their value stands in every question."""
    return len(set(loaded[0]["facts"]["ids"]) - set(asked["fact"]))


def summary(study: str, said: str) -> str:
    """The recommendation and the table for the terminal."""
    table = pd.read_csv(store.study_dir(study) / "accuracy.csv")
    return f"{table.to_string(index=False)}\n\n{said}\n{advice.RUNS_OF_ONE}"
