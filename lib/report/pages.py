"""What a study says: its figures, tables and pages, and how text and tables enter a page."""

import html
import os
import re
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unicodedata import category

import jinja2
import pandas as pd
import yaml
from markupsafe import Markup
from tabulate import tabulate

from lib.paths import LIB
from lib.report import claims, scores, tables
from lib.study import run, store

TEMPLATES = LIB / "report" / "templates"
FIGURES = yaml.safe_load((LIB / "report" / "figures.yaml").read_text(encoding="utf-8"))
# What HTML, code, mathematics and escapes begin with: as entities, because parsers differ in what a backslash keeps.
ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", "\\": "&#92;", "`": "&#96;", "$": "&#36;"})
HEADINGS = scores.NAMES["columns"]


def draw(study: str) -> None:
    """Write tables, figures, executed notebooks and pages of a study, from its result files alone.

    Everything is made in a folder beside, and takes the place of what was there when all is done, README.md last. Until
    then the study counts as stale, so that one that was interrupted is drawn again.
    """
    loaded, folder = store.load(study), store.study_dir(study)
    run.sweep(folder)
    if (folder / "README.md").exists():
        os.utime(folder / "README.md", ns=(0, 0))
    with store.writing(folder), tempfile.TemporaryDirectory(dir=folder, prefix=f".drawing-{os.getpid()}-") as scratch:
        _write(study, loaded, Path(scratch))
        for path in {*folder.glob("*.csv")} - {folder / "read.csv", folder / "judged.csv"}:
            path.unlink()  # a table may have no rows any more
        for path in sorted(Path(scratch).iterdir(), key=lambda path: path.name == "README.md"):
            if (folder / path.name).is_dir():
                os.replace(folder / path.name, path.with_name(f"old {path.name}"))  # and goes with the scratch folder
            os.replace(path, folder / path.name)


def _write(study, loaded, new):
    """All files of a study's pages, into the folder `new`."""
    figures, executed = new / "figures", []
    figures.mkdir()
    # the notebooks, one after another in one kernel, which loads the study once; meanwhile the tables are computed here
    ready = f"from lib.report import plots, scores; scores.load({study!r})"
    with ThreadPoolExecutor(1) as pool, run.kernel(ready, env={**os.environ, "OMP_NUM_THREADS": "1"}) as shared:
        frames = scores.frames(loaded)
        names = figure_notebooks(frames)
        written = pool.submit(lambda: [
            store.write_text(new / f"{name}.csv", table.to_csv(index=False, float_format="%.6g"))
            for name, table in made_tables(frames).items()
        ])  # fmt: skip
        for name in names:
            if name == names[-1]:  # it may read the tables, as fig_claims does
                written.result()
            executed.append(path := new / "notebooks" / f"{name}.ipynb")
            run.execute(name, path, {"study": study, "save": str(figures)}, shared)
            store.write_text(path, path.read_text(encoding="utf-8").replace(str(figures), f"results/{study}/figures"))
        written.result()  # raises what went wrong with the tables, also where there is no figure
    paths = [*new.glob("*.csv"), *store.study_dir(study).glob("judged.csv")]
    page = study_page(study, loaded, {path.stem: pd.read_csv(path) for path in paths},
                      {path.stem for path in figures.glob("*.png")})  # fmt: skip
    store.write_text(new / "report.html", report(f"Results: {study}", page.split("\n## Figures")[0], executed))
    store.write_text(new / "README.md", page)


def made_tables(frames: scores.Frames) -> dict[str, pd.DataFrame]:
    """The tables of a study that have rows, by the name of their CSV files; some figure notebooks write one more."""
    rows, main = claims.decide(frames), tables.formats(frames, ["main"], ["format"])
    advised = [tables.recommend(frames)[1]] if len(main) else []
    made = {
        "experiments": frames.cells, "formats": tables.formats(frames), "main": main,
        "claims": pd.DataFrame(rows), "verdicts": tables.claims(rows), "advice": pd.DataFrame({"advice": advised}),
        "tones": tables.tones(frames), "uses": tables.by_use(frames) if advised else main,
        **tables.answers(frames.items),
    }  # fmt: skip
    return {name: table for name, table in made.items() if len(table)}


def is_current(study: str) -> bool:
    """Whether draw has been through since the last result: README.md is what it writes last."""
    drawn = store.study_dir(study) / "README.md"
    newest = max(path.stat().st_mtime_ns for path in drawn.parent.glob("experiments/*.json"))
    return drawn.exists() and drawn.stat().st_mtime_ns > newest


def figure_notebooks(frames: scores.Frames) -> list[str]:
    """The figure notebooks that these results can feed, in the order of reading."""
    return [name for name, figure in FIGURES.items() if all(len(frames.scores.query(need)) for need in figure["needs"])]


def study_page(study: str, loaded: list[dict], made: Mapping[str, pd.DataFrame], figures: set[str]) -> str:
    """README.md of a results folder."""
    manifests, cells = [result["manifest"] for result in loaded], made["experiments"]
    return environment().get_template("results.md.j2").render(
        study=study, tables=made, names=scores.NAMES, captions=FIGURES, figures=figures, finished=len(loaded),
        planned=len(store.parts(study)), models=sorted(set(cells["model"])), hours=cells["seconds"].sum() / 3600,
        machines=sorted({f"{m['device_name']} ({m['dtype']}, {m['threads']} thread each)" for m in manifests}),
        claims_commit=store.git("log", "-1", "--format=%h of %cs", "--", "lib/report/claims.yaml") or "unknown",
        commits=sorted({m["git_commit"] or "unknown" for m in manifests}),
        versions=", ".join(f"{name} {number}" for name, number in manifests[0]["versions"].items() if number),
    )  # fmt: skip


def summary(study: str) -> str:
    """A short account of a drawn study for the terminal, from its files."""
    columns = {
        "formats": ["format", "replay", "replay_times", "unsure", "info", *tables.MEASURES.values()],
        "tuned": ["format", "n_entities", "replay", "learning_rate", "shown", "kept", "chosen", "edge"],
        "verdicts": ["claim", "verdict", "says"],
    }
    paths = {name: store.study_dir(study) / f"{name}.csv" for name in columns}
    found = [pd.read_csv(path)[columns[name]].rename(columns=HEADINGS).fillna("")
             for name, path in paths.items() if path.exists()]  # fmt: skip
    shown = [tabulate(table, "keys", "plain", floatfmt=".3g", showindex=False) for table in found]
    return "\n\n".join([*shown, f"report: results/{study}/README.md and results/{study}/report.html"])


def report(title: str, introduction: str, notebooks: list[Path]) -> str:
    """HTML, complete in itself, of the introduction, which is Markdown, and of these executed notebooks, without code,
    parameters and cells tagged remove-cell. A figure's alternative text is its notebook's heading."""
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
    is escaped, a line break becomes a space. Markdown goes into report.html through nbconvert: this covers both pages.
    """
    shown = "".join("\ufffd" if category(c) in ("Cc", "Cs") and not c.isspace() else c for c in str(text))
    shown = " ".join(shown.split()).translate(ENTITIES)
    return Markup(re.sub(r"(?<![^\W_])_|_(?![^\W_])|[*|~]|\](?=[(\[:])", r"\\\g<0>", shown))


def markdown(frame: pd.DataFrame, columns: dict[str, str] | list[str] | None = None, digits: str = ".2f") -> Markup:
    """A table in Markdown: those of these columns that have something, under these headings (default: all, under
    HEADINGS), shares in two digits, true as yes, and formats by their short names."""
    headings = columns if isinstance(columns, dict) else HEADINGS
    some = frame.columns[frame.notna().any()] if len(frame) else frame.columns
    frame = frame[[name for name in columns or frame if name in some]]

    def text(value):
        if isinstance(value, bool):
            return "yes" if value else ""
        return format(value, digits) if isinstance(value, float) else escape(value)

    shown, numbers = frame.astype(object).where(frame.notna(), "").map(text), frame.select_dtypes("number")
    if "format" in shown:
        shown["format"] = shown["format"].replace(scores.SHORT)
    return Markup(tabulate(
        shown.to_numpy().tolist(), [escape(headings.get(name, name)) for name in frame], "pipe", disable_numparse=True,
        colalign=["right" if name in numbers else "left" for name in frame] if len(frame) else None,
    ))  # fmt: skip


def environment(folder: Path = TEMPLATES) -> jinja2.Environment:
    """The templates of a folder. A name that a template does not get is an error; what is not marked as safe is escaped
    where it enters the page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        finalize=lambda value: value if isinstance(value, Markup | int | float) else escape(value),
    )  # fmt: skip
    environment.filters["markdown"] = markdown
    return environment
