"""Generated pages: README.md and report.html of a results folder, and the project's own README and findings.

Every number in them comes from results, through the templates beside this file.
"""

import html
import re
import textwrap
from pathlib import Path
from unicodedata import category

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from tabulate import tabulate

from lib.evaluate import general
from lib.paths import RESULTS, ROOT
from lib.report import advice, contrasts, parts, scorer, tables, tuning, walk
from lib.report.claims import CLAIMS, TEMPLATES
from lib.study import store

# What HTML, code, mathematics and escapes begin with: as entities, because parsers differ in what a backslash keeps.
ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", "\\": "&#92;", "`": "&#96;", "$": "&#36;"})
# The studies that the project's own pages tell of, the first that is published.
PUBLISHED = ("cpu", "quick")
PAGES = {"README.md.j2": ROOT / "README.md", "findings.md.j2": ROOT / "docs" / "findings.md"}


def results_page(told: dict) -> str:
    """README.md of a results folder, from facts_of and the names of its `figures`."""
    return environment().get_template("results.md.j2").render(told)


def project_pages(study: str | None = None) -> dict[Path, str]:
    """README.md and docs/findings.md of the project, from a study: by default the first that is published."""
    study = study or next(name for name in PUBLISHED if (RESULTS / name / "claims.json").exists())
    loaded = store.load(study)
    told = facts_of(study, loaded, contrasts.decide(loaded)) | {
        "tuned": tuning.settings(store.load("tune")),
        "practical": tables.practical(loaded),
        "advised": advice.recommend(loaded)[1],
        "besides": tables.asked_besides(loaded),
        "unlike": len(general.unlike_replay()),
        "estimate": tables.estimate,
        "walk": walk.table(walk.stations(loaded)),
        "quick_trained": sum(result["training"] is not None for result in store.load("quick")),
    }
    return {path: environment().get_template(name).render(told) for name, path in PAGES.items()}


def facts_of(study: str, loaded: list[dict], found: list[dict]) -> dict:
    """What templates tell of a study: tables, claims, regime, machine and cost."""
    cells = parts.cells(loaded)
    manifests = [result["manifest"] for result in loaded]
    versions = manifests[0]["versions"]
    return {
        "study": study,
        "claims": tables.claims(found),
        "contrasts": found,
        "statements": CLAIMS,
        "formats": tables.formats(loaded),
        "exposures": tables.exposures(loaded),
        "costs": tables.costs(loaded),
        "regime": tables.regime(loaded),
        "base": cells[cells["format"] == "none"][["general", "perplexity"]].median().to_dict(),
        "tuning": tuning.settings(loaded) if (cells["part"] == "tune").any() else None,
        "scorer": scorer.errors(study, loaded),
        "cells": cells,
        "planned": len(store.parts(study)),
        "models": sorted(set(cells["model"])),
        "process_hours": cells["seconds"].sum() / 3600,
        "machines": sorted({f"{m['device_name']} ({m['dtype']}, {m['threads']} thread a cell)" for m in manifests}),
        "commits": sorted({m["git_commit"] or "unknown" for m in manifests}),
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items() if number),
    }


def report(title: str, introduction: str, notebooks: list[Path]) -> str:
    """HTML of the introduction, which is markdown, and of these executed notebooks in order, without their code.

    One page, complete in itself and readable on a phone. Cells of parameters, and those tagged remove-cell, are left
    out. A figure's alternative text is its notebook's heading.
    """
    import nbformat
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    cells = [nbformat.v4.new_markdown_cell(introduction, id="introduction")]
    for path in notebooks:
        of_notebook = nbformat.read(path, as_version=4).cells
        for cell in of_notebook:
            cell.metadata["alt"] = of_notebook[0].source.splitlines()[0].lstrip("# ")
        cells += of_notebook
    dropped = {"enabled": True, "remove_cell_tags": ["remove-cell", "parameters", "injected-parameters"]}
    exporter = HTMLExporter(
        template_name="basic", exclude_input=True, exclude_output_prompt=True, anchor_link_text="",
        config=Config(TagRemovePreprocessor=dropped),
    )  # fmt: skip
    body, _ = exporter.from_notebook_node(nbformat.v4.new_notebook(cells=cells))
    return environment().get_template("report.html.j2").render(title=html.escape(title), body=body)


def escape(text: str) -> Markup:
    """Text as Markdown that shows it to the letter: the one way by which names, values and answers enter a page.

    It can neither run as HTML, nor load, nor format, nor end a row of a table: punctuation that HTML or Markdown reads
    is escaped, a line break becomes a space, and a control character the replacement character. Markdown goes into
    report.html through nbconvert, so this covers both pages.
    """
    shown = "".join("\ufffd" if category(c) in ("Cc", "Cs") and not c.isspace() else c for c in str(text))
    shown = " ".join(shown.split()).translate(ENTITIES)
    return Markup(re.sub(r"(?<![^\W_])_|_(?![^\W_])|[*|~]|\](?=[(\[:])", r"\\\g<0>", shown))


def markdown(frame: pd.DataFrame, columns: dict[str, str] | None = None, digits: str = ".2f") -> Markup:
    """A table in Markdown: these columns under these headings (default: all), shares in two digits, true as yes."""
    columns = columns or {name: name for name in frame.columns}
    shown = frame[list(columns)].astype(object).where(frame[list(columns)].notna(), "")

    def text(value):
        if isinstance(value, bool | np.bool_):
            return "yes" if value else ""
        return format(value, digits) if isinstance(value, float | np.floating) else escape(value)

    numbers = [name for name in columns if is_numeric_dtype(frame[name]) and not is_bool_dtype(frame[name])]
    return Markup(tabulate(
        shown.map(text).to_numpy().tolist(), [escape(name) for name in columns.values()], "pipe", disable_numparse=True,
        colalign=["right" if name in numbers else "left" for name in columns],
    ))  # fmt: skip


def environment(folder: Path = TEMPLATES) -> jinja2.Environment:
    """The templates of a folder. A name that a template does not get is an error. Tables become Markdown, and what is
    not marked as safe is escaped where it enters the page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
        finalize=lambda value: value if isinstance(value, Markup | int | float) else escape(value),
    )  # fmt: skip
    environment.filters["markdown"], environment.filters["text"] = markdown, escape
    environment.filters["fill"] = lambda text, indent="": Markup(
        textwrap.fill(text, 118, subsequent_indent=indent, break_on_hyphens=False)
    )
    return environment
