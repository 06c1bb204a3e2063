"""What a study says: its figures, tables and pages, and how text and tables enter a page."""

import html
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unicodedata import category

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from tabulate import tabulate

from lib.paths import LIB, ROOT
from lib.report import claims, scores, tables
from lib.study import store
from lib.study.run import execute

TEMPLATES = LIB / "report" / "templates"
# What HTML, code, mathematics and escapes begin with: as entities, because parsers differ in what a backslash keeps.
ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", "\\": "&#92;", "`": "&#96;", "$": "&#36;"})
COSTS = ["format", "replay", "general", "kept", "kept_median", "kept_unlike", "ppl_ratio", "tokens a fact", "runs",
         "of"]  # fmt: skip
TUNED = ["format", "n_entities", "exposures", "replay", "learning_rate", "shown", "words", "numbers", "recall", "kept",
         "ppl_ratio", "runs", "chosen"]  # fmt: skip
HEADINGS = {"n_entities": "entities", "learning_rate": "rate", "shown": "held-out question", "info": "facts",
            "ppl_ratio": "perplexity ratio", "kept_median": "kept, median run", "kept_unlike": "kept, unlike replay",
            "plain": "claim", "says": "the paper"}  # fmt: skip


def draw(study: str) -> None:
    """Write claims, tables, figures, executed notebooks and pages of a study, from its result files alone.

    Everything is made in a folder beside, and takes the place of what was there when all of it is done; README.md comes
    last. Until then the study counts as stale, so that one that was interrupted is drawn again.
    """
    loaded, folder = store.load(study), store.study_dir(study)
    if (folder / "README.md").exists():
        os.utime(folder / "README.md", ns=(0, 0))
    with store.writing(folder), tempfile.TemporaryDirectory(dir=folder, prefix=".drawing-") as scratch:
        new = Path(scratch)
        _write(study, loaded, new)
        for name in ("figures", "notebooks"):
            _swap(new / name, folder / name)
        for path in sorted(new.glob("*.*"), key=lambda path: path.name == "README.md"):
            os.replace(path, folder / path.name)


def _write(study, loaded, new):
    """All files of a study's pages, into the folder `new`."""
    frames = scores.frames(loaded)
    notebooks = figure_notebooks(frames)
    for name in ("figures", "notebooks"):
        (new / name).mkdir()
    parameters = {"study": study, "save": str(new / "figures")}
    with ThreadPoolExecutor(2) as pool:  # kernels are processes; meanwhile the tables are computed here
        drawn = [pool.submit(execute, name, new / "notebooks" / f"{name}.ipynb", parameters) for name in notebooks]
        rows = claims.decide(frames)
        store.write_json(new / "claims.json", rows)
        csv = {"experiments": frames.cells, "formats": tables.formats(frames), "claims": pd.DataFrame(rows),
               "tuned": tables.tuned(frames) if "fig_tuning" in notebooks else pd.DataFrame()}  # fmt: skip
        for name, table in csv.items():
            if len(table):
                store.write_text(new / f"{name}.csv", table.to_csv(index=False, float_format="%.6g"))
        if rows:  # it reads claims.json
            notebooks.append("fig_claims")
            drawn.append(pool.submit(execute, "fig_claims", new / "notebooks" / "fig_claims.ipynb", parameters))
        for executed in drawn:
            executed.result()
    for path in (new / "notebooks").glob("*.ipynb"):
        text = path.read_text(encoding="utf-8").replace(str(new / "figures"), f"results/{study}/figures")
        path.write_text(text, encoding="utf-8")
    page = study_page(study, loaded, frames, csv, {path.stem for path in (new / "figures").glob("*.png")})
    executed = [new / "notebooks" / f"{name}.ipynb" for name in notebooks]
    store.write_text(new / "report.html", report(f"Results: {study}", page.split("\n## Figures")[0], executed))
    store.write_text(new / "README.md", page)


def _swap(new, old):
    """Put a folder in the place of another; what only the old one has and no figure notebook makes stays."""
    for path in old.glob("*") if old.name == "notebooks" else ():
        if not path.name.startswith("fig_"):
            shutil.copy2(path, new / path.name)
    with tempfile.TemporaryDirectory(dir=new.parent) as gone:
        if old.exists():
            os.replace(old, Path(gone) / old.name)
        os.replace(new, old)


def is_current(study: str) -> bool:
    """Whether draw has been through since the last result: README.md is what it writes last."""
    folder = store.study_dir(study)
    drawn = folder / "README.md"
    newest = max(path.stat().st_mtime_ns for path in (folder / "experiments").glob("*.json"))
    return drawn.exists() and drawn.stat().st_mtime_ns > newest


def figure_notebooks(frames: scores.Frames) -> list[str]:
    """The figure notebooks that these results can feed, in the order of reading; fig_claims comes with the claims."""
    main = scores.trained(frames.cells, "main")
    feeds = {
        "fig_curves": (main["checkpoints"] > 0).any(),
        "fig_formats": len(main) > 0,
        "fig_frontier": len(main) > 0 and frames.cells["kept"].notna().any(),
        "fig_reasoning": (frames.scores["measure"] == "reasoning_in_context").any(),
        "fig_controls": frames.cells["part"].isin(claims.VARIED).any(),
        "fig_walk": len(claims.walk(frames)) > 0,
        "fig_tuning": (frames.cells["part"] == "tune").any(),
    }
    return [notebook for notebook, fed in feeds.items() if fed]


def study_page(study: str, loaded: list[dict], frames: scores.Frames, csv: Mapping, figures: set[str]) -> str:
    """README.md of a results folder."""
    manifests = [result["manifest"] for result in loaded]
    return environment().get_template("results.md.j2").render(
        study=study, claims=tables.claims(json.loads(csv["claims"].to_json(orient="records"))), csv=csv,
        regime=tables.regime(frames), read=reading(study, frames), statements=claims.CLAIMS, figures=figures,
        finished=len(loaded), planned=len(store.parts(study)), models=sorted(set(frames.cells["model"])), costs=COSTS,
        hours=frames.cells["seconds"].sum() / 3600, tuned=TUNED,
        machines=sorted({f"{m['device_name']} ({m['dtype']}, {m['threads']} thread each)" for m in manifests}),
        commits=sorted({m["git_commit"] or "unknown" for m in manifests}),
        versions=", ".join(f"{name} {number}" for name, number in manifests[0]["versions"].items() if number),
    )  # fmt: skip


def reading(study: str, frames: scores.Frames) -> pd.DataFrame | None:
    """How often the scorer errs by read.csv, see tables.judged; None where nothing was read."""
    path = store.study_dir(study) / "read.csv"
    return tables.judged(pd.read_csv(path, dtype=str, keep_default_na=False), frames) if path.exists() else None


def summary(study: str) -> str:
    """A short account of a drawn study for the terminal, from its files."""
    folder, shown = store.study_dir(study), []
    for name, columns in (("formats", ["format", "replay", "info", *tables.MEASURES.values()]), ("tuned", TUNED)):
        if (path := folder / f"{name}.csv").exists():
            table = pd.read_csv(path, keep_default_na=False)
            shown.append(table[[c for c in columns if c in table]].rename(columns=HEADINGS).to_string(index=False))
    said = tables.claims(json.loads((folder / "claims.json").read_text(encoding="utf-8")))
    shown.append("\n".join(f"{row.claim}  {row.verdict:12}  {row.says}" for row in said.itertuples()))
    place = folder.relative_to(ROOT)
    return "\n\n".join([*filter(None, shown), f"report: {place / 'README.md'} and {place / 'report.html'}"])


def report(title: str, introduction: str, notebooks: list[Path]) -> str:
    """HTML of the introduction, which is Markdown, and of these executed notebooks in order, without their code.

    One page, complete in itself and readable on a phone. Cells of parameters, and those tagged remove-cell, are left
    out. A figure's alternative text is its notebook's heading.
    """
    import nbformat
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    cells = [nbformat.v4.new_markdown_cell(introduction, id="introduction")]
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4).cells
        for cell in notebook:
            cell.metadata["alt"] = notebook[0].source.splitlines()[0].lstrip("# ")
        cells += notebook
    dropped = {"enabled": True, "remove_cell_tags": ["remove-cell", "parameters", "injected-parameters"]}
    exporter = HTMLExporter(
        template_name="basic", exclude_input=True, exclude_output_prompt=True, anchor_link_text="",
        config=Config(TagRemovePreprocessor=dropped),
    )  # fmt: skip
    body, _ = exporter.from_notebook_node(nbformat.v4.new_notebook(cells=cells))
    return environment().get_template("report.html.j2").render(title=Markup(html.escape(title)), body=Markup(body))


def escape(text: str) -> Markup:
    """Text as Markdown that shows it to the letter: the one way by which names, values and answers enter a page.

    It can neither run as HTML, nor load, nor format, nor end a row of a table: punctuation that HTML or Markdown reads
    is escaped, a line break becomes a space, and a control character the replacement character. Markdown goes into
    report.html through nbconvert, so this covers both pages.
    """
    shown = "".join("\ufffd" if category(c) in ("Cc", "Cs") and not c.isspace() else c for c in str(text))
    shown = " ".join(shown.split()).translate(ENTITIES)
    return Markup(re.sub(r"(?<![^\W_])_|_(?![^\W_])|[*|~]|\](?=[(\[:])", r"\\\g<0>", shown))


def markdown(frame: pd.DataFrame, columns: dict[str, str] | list[str] | None = None, digits: str = ".2f") -> Markup:
    """A table in Markdown: these columns, under these headings (default: all, under HEADINGS), shares in two digits,
    true as yes. Columns that the table has not are left out."""
    named = columns if isinstance(columns, dict) else {name: HEADINGS.get(name, name) for name in columns or frame}
    named = {name: heading for name, heading in named.items() if name in frame}
    if not named:
        return Markup("")

    def text(value):
        if isinstance(value, bool | np.bool_):
            return "yes" if value else ""
        return format(value, digits) if isinstance(value, float | np.floating) else escape(value)

    shown = frame[list(named)].astype(object).where(frame[list(named)].notna(), "").map(text)
    numbers = [name for name in named if is_numeric_dtype(frame[name]) and not is_bool_dtype(frame[name])]
    return Markup(tabulate(
        shown.to_numpy().tolist(), list(map(escape, named.values())), "pipe", disable_numparse=True,
        colalign=["right" if name in numbers else "left" for name in named] if len(frame) else None,
    ))  # fmt: skip


def environment(folder: Path = TEMPLATES) -> jinja2.Environment:
    """The templates of a folder. A name that a template does not get is an error. Tables become Markdown, and what is
    not marked as safe is escaped where it enters the page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
        finalize=lambda value: value if isinstance(value, Markup | int | float) else escape(value),
    )  # fmt: skip
    environment.filters["markdown"] = markdown
    return environment
