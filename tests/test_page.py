"""report.html in a headless Chromium: everything is there, nothing is broken, and it can be read on a phone."""

import json
import shutil

import nbformat
import pytest
from playwright.sync_api import sync_playwright

from lib import claims, page, readme, report, results

PHONE = {"width": 390, "height": 844}  # CSS pixels
PUBLISHED = ["quick", "cpu"]


@pytest.fixture(scope="module")
def browser():
    system = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=system, args=["--no-sandbox"])
        yield started
        started.close()


def opened(browser, path, viewport=PHONE):
    shown = browser.new_page(viewport=viewport)
    complaints = []
    shown.on("console", lambda message: complaints.append(message.text))
    shown.on("request", lambda request: complaints.append(request.url) if request.url.startswith("http") else None)
    shown.goto(path.as_uri())
    return shown, complaints


@pytest.mark.parametrize("study", PUBLISHED)
def test_the_published_report_has_every_figure_and_no_broken_image(study, browser):
    shown, complaints = opened(browser, results.study_dir(study) / "report.html")
    assert complaints == []  # nothing is fetched from anywhere
    figures = report.figure_notebooks(results.items(results.load(study)))
    images = shown.eval_on_selector_all("img", "all => all.map(i => [i.complete, i.naturalWidth, i.alt])")
    assert len(images) == len(figures)
    assert all(complete and width > 300 and alt for complete, width, alt in images)
    text = shown.inner_text("body")
    assert "Traceback" not in text and "Error" not in text
    rows = {row["contrast"]: row for row in json.loads((results.study_dir(study) / "claims.json").read_text())}
    verdicts = shown.inner_text("table")  # the first of the page
    told = [rows[contrast] for contrast in claims.HEADLINE.values() if contrast in rows]
    assert told and all(readme.estimate(row) in verdicts and row["verdict"] in verdicts for row in told)


@pytest.mark.parametrize("study", PUBLISHED)
def test_a_phone_shows_the_published_report_without_scrolling_the_page_sideways(study, browser):
    shown, _ = opened(browser, results.study_dir(study) / "report.html")
    assert shown.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    sizes = shown.eval_on_selector_all("p", "all => all.map(p => parseFloat(getComputedStyle(p).fontSize))")
    assert min(sizes) >= 14
    # a figure as small as the screen could not be read: it scrolls in a box of its own
    boxes = shown.eval_on_selector_all(
        "img", "all => all.map(i => [i.width / i.naturalWidth, i.closest('.output_area').clientWidth])"
    )
    assert all(scale >= 0.7 and box < PHONE["width"] for scale, box in boxes)


def test_what_is_tagged_and_the_code_are_left_out(tmp_path):
    cells = [
        nbformat.v4.new_markdown_cell("# Is <it> so?"),
        nbformat.v4.new_markdown_cell("Which study", metadata={"tags": ["remove-cell"]}),
        nbformat.v4.new_code_cell("secret = 1", outputs=[nbformat.v4.new_output("stream", text="seen")]),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "one.ipynb")
    html = page.page("A < B", "*Hello*", [tmp_path / "one.ipynb"])
    assert "<title>A &lt; B</title>" in html
    assert "<em>Hello</em>" in html and "seen" in html
    assert "Which study" not in html and "secret" not in html
