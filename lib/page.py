"""report.html: the executed figure notebooks of a study as one page, complete in itself and readable on a phone."""

from html import escape
from pathlib import Path

import nbformat

# Figures keep a width at which their text can be read, and scroll sideways in their own box; so do tables.
STYLE = """
body { max-width: 60rem; margin: 0 auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; }
h1 { margin-top: 3rem; line-height: 1.2; }
img { width: 60rem; max-width: none; height: auto; }
p { overflow-wrap: anywhere; }
table { width: max-content; border-collapse: collapse; font-size: 0.8rem; }
th, td { max-width: 18rem; padding: 0.2rem 0.5rem; border-bottom: 1px solid #ccc; text-align: left; }
td { vertical-align: top; }
.output_area, .rendered_html { overflow-x: auto; }
"""


def page(title: str, introduction: str, notebooks: list[Path]) -> str:
    """HTML of the introduction, which is markdown, and of these executed notebooks in order, without their code.

    Cells of parameters, and those tagged remove-cell, are left out. A figure's alternative text is its notebook's
    heading.
    """
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    cells = [nbformat.v4.new_markdown_cell(introduction, id="introduction")]
    for path in notebooks:
        shown = nbformat.read(path, as_version=4).cells
        heading = shown[0].source.splitlines()[0].lstrip("# ")
        for cell in shown:
            cell.metadata["alt"] = heading
        cells += shown
    notebook = nbformat.v4.new_notebook(cells=cells)
    dropped = ["remove-cell", "parameters", "injected-parameters"]
    config = Config(TagRemovePreprocessor={"enabled": True, "remove_cell_tags": dropped})
    exporter = HTMLExporter(
        template_name="basic", exclude_input=True, exclude_output_prompt=True, anchor_link_text="", config=config
    )
    body, _ = exporter.from_notebook_node(notebook)
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n<main>\n{body}\n</main>\n</html>\n"
    )
