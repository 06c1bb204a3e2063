"""The site, made by `make site`: README, docs, lessons, and the pages and executed notebooks of published studies."""

import re
from pathlib import Path

project, author, copyright = "From style to facts", "the authors of this repository", "Apache 2.0"
extensions, root_doc = ["myst_nb"], "README"
include_patterns = ["*.md", "docs/*.md", "docs/internals/*.md", "notebooks/*.ipynb", "notebooks/solutions/*.ipynb",
                    "results/lessons/*.ipynb", "results/*/README.md", "results/*/notebooks/*.ipynb"]  # fmt: skip
exclude_patterns = [".*", "results/my-*", "**/.ipynb_checkpoints"]
html_theme, html_title, html_copy_source = "furo", project, False
nb_execution_mode = "off"  # executed copies are published; sources are shown as they are
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]  # of cells that run a command

CONTENTS = {
    "Lessons": ["results/lessons/*", "notebooks/04*"],
    "Pages": ["docs/your-facts", "docs/choosing-a-format", "docs/method", "docs/findings", "docs/troubleshooting"],
    "More": ["docs/models", "docs/gpu", "docs/data-card", "docs/internals/*", "CONTRIBUTING", "CHANGELOG"],
    "Studies": ["results/*/README"],
    **{f"Figures of {folder.parent.name}": [f"results/{folder.parent.name}/notebooks/*"]
       for folder in sorted(Path(__file__).parent.parent.glob("results/*/notebooks"))
       if not folder.parent.name.startswith("my-")},
    "Other notebooks": ["notebooks/0[1-3]*", "notebooks/[a-z]*", "notebooks/solutions/*"],
}  # fmt: skip


def setup(app):
    """Sphinx calls this."""
    app.connect("source-read", adapt)


def adapt(app, page, source):
    """Of each page unlink the folders, which a code host shows and a site does not. README gets the table of contents,
    which the theme shows beside every page."""
    source[0] = re.sub(r"\[([^]]+)\]\([\w./-]*/\)", r"\1", source[0])
    if page == root_doc:
        for caption, pages in CONTENTS.items():
            lines = "\n".join(pages)
            source[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n:caption: {caption}\n\n{lines}\n```\n"
