"""Generated pages: README.md and report.html of a results folder, and the project's own README and findings.

Every number in them comes from results, through the templates beside this file.
"""

import textwrap
from html import escape
from pathlib import Path

import jinja2
import pandas as pd

from lib.data import general
from lib.paths import RESULTS, ROOT
from lib.report import contrasts, parts, scorer, tables, tuning, walk
from lib.report.claims import CLAIMS, TEMPLATES
from lib.study import store

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
        "best": tables.best(loaded),
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
    return environment().get_template("report.html.j2").render(title=escape(title), body=body)


def markdown(frame: pd.DataFrame, columns: dict[str, str] | None = None, digits: str = ".2f") -> str:
    """A table in markdown: these columns under these headings (default: all), shares in two digits, true as yes."""
    columns = columns or {name: name for name in frame.columns}
    shown = frame[list(columns)].rename(columns=columns)
    shown = shown.astype(object).where(shown.notna(), "")
    escaped = shown.map(lambda value: value.replace("|", "\\|") if isinstance(value, str) else value)
    for name in frame[list(columns)].select_dtypes(bool):
        escaped[columns[name]] = frame[name].map({True: "yes", False: ""})
    return escaped.to_markdown(index=False, floatfmt=digits)


def environment(folder: Path = TEMPLATES) -> jinja2.Environment:
    """The templates of a folder. A name that a template does not get is an error; tables become markdown."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["markdown"] = markdown
    environment.filters["fill"] = lambda text, indent="": textwrap.fill(
        text, 118, subsequent_indent=indent, break_on_hyphens=False
    )
    return environment
