"""Every page that is published or generated: text to the letter, blocks that are current, Markdown that renders."""

import re

import pandas as pd
import pytest
from helpers import script
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from lib.paths import RESULTS, ROOT, UserError
from lib.report import pages

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CHANGELOG.md",
         *sorted(path for path in RESULTS.glob("*/README.md") if not path.parent.name.startswith("my-"))]  # fmt: skip
fill = script("docs/fill.py")
RENDER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HOSTILE = ("<script>alert(1)</script> <img src=x onerror=alert(1)> </style> | `code` [x](javascript:alert(1)) "
           "![i](http://x.invalid/y.png) *b* _c_ $m$ ~~s~~ \\| \x00\x1b[31m\x85 first\r\nsecond")  # fmt: skip


def rendered(text: str):
    """The kinds of all tokens, and the text of the paragraphs and cells without code."""
    tokens = [child for token in RENDER.parse(text) for child in (token, *(token.children or []))]
    return {token.type for token in tokens}, [token.content for token in tokens if token.type == "text"]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_renders_without_stray_stars_accidental_lists_or_unfilled_markers(page):
    text = page.read_text()
    _, shown = rendered(text)
    assert [line for line in shown if "*" in line or "**" in line] == []
    assert [match[2] for match in fill.BLOCK.finditer(text) if not match[3].strip()] == []
    assert "{{" not in re.sub(r"`[^`]*`", "", text) and "{%" not in text
    lines = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S).splitlines()
    item = re.compile(r"\s*([-+*]|\d+\.) |  ")
    pairs = zip(lines, lines[1:], strict=False)
    assert [after for before, after in pairs if re.match(r"\s*[-+*] ", after) and before.strip()
            and not item.match(before)] == []  # a sentence that was broken at its minus  # fmt: skip


@pytest.mark.parametrize("page", fill.PAGES, ids=lambda path: path.name)
def test_the_blocks_of_the_projects_pages_are_current(page):
    assert page.read_text() == fill.filled(page.read_text()), "run `make pages`"


def test_blocks_are_filled_again_and_an_unknown_table_is_refused():
    page = '<!-- fill table("x/y").a[0] -->\nold\n<!-- end -->\n<!-- fill table("x/y") | markdown -->\n<!-- end -->\n'
    once = fill.filled(page, lambda name: pd.DataFrame({"a": ["new"]}))
    assert "old" not in once and "\nnew\n<!-- end -->" in once and "| new |" in once
    with pytest.raises(UserError, match="no table"):
        fill.filled(page)


def test_hostile_text_is_shown_to_the_letter_in_a_table_that_stays_whole():
    table = pages.markdown(pd.DataFrame({HOSTILE: [HOSTILE, "b"], "n": [1.5, 2.0]}))
    assert len(table.splitlines()) == 4 and not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", table)
    kinds, _ = rendered(table)
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "code_inline", "em_open", "s_open"}
    assert RENDER.render(table).count("<td") == 4
    page = pages.environment().from_string("# {{ name }}\n").render(name=HOSTILE)
    assert rendered(page)[0] == {"heading_open", "inline", "heading_close", "text", "text_special"} & rendered(page)[0]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3))
def test_any_text_stays_in_its_cell_and_becomes_no_markup(values):
    kinds, _ = rendered(table := pages.markdown(pd.DataFrame({"a": values}, dtype=object)))
    assert kinds <= {"table_open", "thead_open", "tr_open", "th_open", "inline", "text", "th_close", "tr_close",
                     "thead_close", "tbody_open", "td_open", "td_close", "tbody_close", "table_close",
                     "text_special"}  # fmt: skip
    assert RENDER.render(table).count("<td") == len(values)


def test_a_table_says_true_as_yes_and_one_as_a_number():
    shown = pages.markdown(pd.DataFrame({"chosen": [True, False], "runs": [1, 0]}))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in shown.splitlines()]
    assert rows[2:] == [["yes", "1"], ["", "0"]]
