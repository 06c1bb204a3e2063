"""report.html in a headless Chromium: everything is there, nothing is broken, and it can be read on a phone."""

import shutil

import nbformat
import pytest
from playwright.sync_api import sync_playwright

from lib.paths import RESULTS
from lib.report import pages

PHONE = {"width": 390, "height": 844}  # CSS pixels


@pytest.fixture(scope="module")
def browser():
    system = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=system, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(params=["cpu", "example-facts", "quick", "tune"])
def opened(request, browser):
    shown = browser.new_page(viewport=PHONE)
    complaints = []
    shown.on("console", lambda message: complaints.append(message.text))
    shown.on("request", lambda asked: complaints.append(asked.url) if asked.url.startswith("http") else None)
    shown.goto((RESULTS / request.param / "report.html").as_uri())
    yield request.param, shown, complaints
    shown.close()


def test_the_published_report_has_every_figure_and_no_broken_image(opened):
    study, shown, complaints = opened
    assert complaints == []  # nothing is fetched from anywhere
    images = shown.eval_on_selector_all("img", "all => all.map(i => [i.complete, i.naturalWidth, i.alt])")
    assert len(images) == len(list((RESULTS / study / "figures").glob("*.png")))
    assert all(complete and width > 300 and alt for complete, width, alt in images)
    text = shown.inner_text("body")
    assert "Traceback" not in text and "Error" not in text


def test_a_phone_shows_the_published_report_without_scrolling_the_page_sideways(opened):
    _, shown, _ = opened
    assert shown.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    sizes = shown.eval_on_selector_all("p", "all => all.map(p => parseFloat(getComputedStyle(p).fontSize))")
    assert min(sizes) >= 14
    # a figure as small as the screen could not be read: it scrolls in a box of its own
    boxes = shown.eval_on_selector_all(
        "img", "all => all.map(i => [i.width / i.naturalWidth, i.closest('.output_area, p').clientWidth])"
    )
    assert all(scale >= 0.7 and box < PHONE["width"] for scale, box in boxes)


def test_what_is_tagged_and_the_code_are_left_out(tmp_path):
    cells = [
        nbformat.v4.new_markdown_cell("# Is <it> so?"),
        nbformat.v4.new_markdown_cell("Which study", metadata={"tags": ["remove-cell"]}),
        nbformat.v4.new_code_cell("secret = 1", outputs=[nbformat.v4.new_output("stream", text="seen")]),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "one.ipynb")
    html = pages.report("A < B", "*Hello*", [tmp_path / "one.ipynb"])
    assert "<title>A &lt; B</title>" in html
    assert "<em>Hello</em>" in html and "seen" in html
    assert "Which study" not in html and "secret" not in html
