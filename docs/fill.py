"""Fills what stands between the markers of README.md and of pages of docs/ from the published results: `make pages`."""

import json
import re
import sys
import textwrap
from collections.abc import Callable

import pandas as pd
from markupsafe import Markup

from lib.paths import RESULTS, ROOT, UserError
from lib.report.pages import environment
from lib.study.store import write_text

PAGES = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in
         ("choosing-a-format", "findings", "internals/performance"))]  # fmt: skip
BLOCK = re.compile(r"(<!-- fill (.*?) -->\n)(.*?)(<!-- end -->)", re.S)


def table(name: str) -> pd.DataFrame:
    """A published table: `cpu/formats` is results/cpu/formats.csv, and `bench/two-cores` the one row of a measurement.
    Raises UserError where there is none."""
    path = RESULTS / f"{name}.csv"
    if (measured := path.with_suffix(".json")).exists():
        return pd.json_normalize(json.loads(measured.read_text(encoding="utf-8")))
    if not path.exists():
        raise UserError(f"no table {path}: draw the study")
    return pd.read_csv(path)


def filled(text: str, read: Callable[[str], pd.DataFrame] = table) -> str:
    """A page with what stands between each `<!-- fill EXPRESSION -->` and `<!-- end -->` replaced by the expression's
    value: one of the templates' language, in which `table("cpu/formats")` is a published table."""

    def block(match):
        value = environment().compile_expression(match[2], undefined_to_none=False)(table=read)
        return f"{match[1]}{value if isinstance(value, Markup) else textwrap.fill(value, 118)}\n{match[4]}"

    return BLOCK.sub(block, text)


if __name__ == "__main__":
    try:
        for path in PAGES:
            write_text(path, filled(path.read_text(encoding="utf-8")))
    except UserError as error:
        sys.exit(f"error: {error}")
