"""The report of a table whose names, headings, values and answers are made to break a page, in a headless Chromium."""

import csv
import os
import shutil
from collections import Counter

import pytest
import simulation
from playwright.sync_api import sync_playwright

from lib.paths import NOTEBOOKS, RESULTS, ROOT
from lib.report import pages
from lib.report.scores import SHORT
from lib.study import store
from lib.user_facts import report
from lib.user_facts import study as studies
from lib.user_facts.table import read

RUN = "window.hit=1;document.title='hit'"
BAD = [
    f"<script>{RUN}</script>",
    f'<img src=x onerror="{RUN}">',
    "</style></table><iframe src='https://example.invalid/'>",
    "a | b || c",
    "`code` ``` $x$ \\(y\\)",
    f"[x](javascript:{RUN}) ![y](https://example.invalid/y.png) *_z_*",
    "one\nline\r\n\n# two",
    "&lt;b&gt; {{ x }} {% y %}",
]
HEADINGS = [f"river {text}" for text in BAD[:4]]
ANSWER = "".join([*BAD, "\0 \x1b[31m red \x1b]8;;https://example.invalid\x07 \x85 \x9b31m \u202e \ud7ff"])


@pytest.fixture
def reported(study, tmp_path):
    """The folder of a study with a report of such a table; its results are stand-ins, each wrong answer the worst."""
    path = tmp_path / f"it's `x` $y; {BAD[1].replace('/', ' ')}.csv"
    with path.open("w", newline="") as file:
        rows = [(name, *(f"{name} {i} {BAD[-1 - i]}" for i in range(len(HEADINGS)))) for name in BAD]
        csv.writer(file).writerows([("name", *HEADINGS), *rows])
    given = {"facts": os.path.relpath(path, NOTEBOOKS), "model": "tiny", "exposures": 4, "replay": 16}
    own = studies.prepare(read(path), "tiny", 4, 16, study=study)
    store.write_json(RESULTS / own.cells[0].entity, own.facts)
    store.write_parts(study, dict.fromkeys(own.cells, "main"))
    for cell in own.cells:
        result = simulation.result(cell, study, simulation.shares(qa=0.95, both=0.4, unsure=0.3, general=0.85))
        for i, item in enumerate(result["items"]):
            item["answer"] = item["answer"] if item["strict"] else ANSWER if i % 5 else "no idea"
        store.write_json(store.cell_path(study, cell), result)
    chosen, summary = report.write(study, own.facts, given, {"empty cells": 2})
    assert chosen == "qa" and "Train on the format QA" in summary and report.LIMITS in summary
    return store.study_dir(study)


def test_nothing_in_a_table_or_an_answer_runs_loads_or_breaks_a_table(reported, tmp_path):
    readme = tmp_path / "readme.html"
    readme.write_text(pages.report("README", (reported / "README.md").read_text(), []))
    system = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=system, args=["--no-sandbox"])
        for path in (reported / "report.html", readme):
            page, events = browser.new_page(), []
            page.on("console", lambda message, events=events: events.append(message.text))
            page.on("dialog", lambda dialog, events=events: events.append(dialog.message))
            page.on("request", lambda request, events=events: events.append(request.url))
            page.goto(path.as_uri())
            page.wait_for_timeout(300)
            assert [event for event in events if not event.startswith("data:")] == [path.as_uri()]
            assert page.evaluate("window.hit") is None and "hit" not in page.title()
            # a bare URL may become a link to where it says; nothing may be loaded from there
            assert page.eval_on_selector_all("main script, main iframe, main a[href^=java]", "all => all.length") == 0
            shown = page.eval_on_selector_all(
                "table", "all => all.map(t => [...t.rows].map(r => [...r.cells].map(c => c.innerText)))"
            )
            widths = [{len(row) for row in rows[1:]} for rows in shown if len(rows) > 1]
            assert all(len(width) == 1 for width in widths), "no row of a table has lost or won a cell"
            text = page.inner_text("main")
            assert "<script>" in text and "a | b || c" in text
            if path == readme:
                assert len(shown) == 2 and len(shown[1]) == 2 + len(HEADINGS), "uses, and shares"
            else:
                names = [row[1] for row in shown[1][1:]]
                assert len(names) == 20 and names[0] == BAD[0]
                assert_wordings_and_mistakes(shown, reported.name)
                assert "Before you run" not in text and "Exercises" not in text
        browser.close()


def assert_wordings_and_mistakes(shown, study):
    """The share that is right of each wording, and the most frequent wrong answers of each format, are the results'."""
    items = {SHORT[result["cell"]["format"]]: [item for item in result["items"] if item["eval"] == "question"]
             for result in store.load(study)}  # fmt: skip
    (worded,) = [table for table in shown if "for example" in table[0]]
    head, *rows = [row[1:] for row in worded]
    assert {*head[2:]} == {*items} and [row[0] for row in rows] == ["1", "2", "3"]
    assert "<script>" in rows[0][1] and len({row[1] for row in rows}) == 3
    for format, *told in zip(head[2:], *[row[2:] for row in rows], strict=True):
        for wording, share in enumerate(told):
            asked = [item["strict"] for item in items[format]][wording::3]
            assert float(share) == pytest.approx(sum(asked) / len(asked), abs=0.01)
    (wrong,) = [table[1:] for table in shown if table[0][-1] == "times"]
    assert all(answer == "no idea" or len(answer) <= 60 and answer[0] + answer[-1] == "<…" for _, _, answer, _ in wrong)
    for format, asked in items.items():
        often = Counter(item["answer"] for item in asked if not item["strict"]).most_common(3)
        assert [int(times) for _, of, _, times in wrong if of == format] == [times for _, times in often]


def test_the_card_escapes_what_stands_in_a_table_of_markdown(study):
    cell = simulation.cell()
    simulation.study(study, {cell: "main"}, simulation.shares())
    path = store.cell_path(study, cell)
    path.write_text(path.read_text().replace('"git_commit": "abc"', '"git_commit": "a | b <script>"'))
    store.write_text(RESULTS / study / "adapters" / cell.id / "adapter_config.json", "{}")
    card = (report.save(study, "qa") / "README.md").read_text()
    assert r"| code | a \| b &lt;script> |" in card.splitlines()
    assert "4-bit file" in card and str(ROOT) not in card and card.count("```") == 2
