"""A user's own facts: read from CSV, Excel, JSON or YAML, or refused with one line that says where and why."""

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

import pandas as pd
import yaml

from lib.paths import UserError
from lib.study.grid import UniqueKeys
from lib.user_facts.english import readable
from lib.user_facts.shapes import checked, pair_columns, paired, records, said, seeds, shaped, sheet

LONG = ["name", "attribute", "value"]
MEGABYTES = 5  # of a file: a table as large would be trained for weeks
HOLDS = {"questions": {"{name}"}, "statements": {"{name}", "{value}"}}  # what a template must hold
BRACES = re.compile(r"{{|}}|{\w*}|[{}]")


class Table(NamedTuple):
    """A user's facts, their templates by attribute, and their articles by name of the entity."""

    path: Path
    facts: pd.DataFrame  # name, attribute, value, where: the file, the row and the column
    questions: Mapping[str, list[str]] = {}
    statements: Mapping[str, list[str]] = {}
    articles: Mapping[str, str] = {}
    wordings: Mapping[str, list[str]] = {}  # of question and answer pairs, all questions of each by its first, the name
    left_out: Mapping[str, int] = {}  # how many cells are no facts, by what they are


def read(
    path: Path, templates: Path | None = None, articles: Path | None = None, name: str | None = None,
    pair: Sequence[str] | None = None,
) -> Table:  # fmt: skip
    """The facts of a file: `name, attribute, value` in each row, or one row an entity, or a question and its answer.

    A row counts as in a spreadsheet: the header is row 1. `templates` is a YAML file with `questions` and `statements`,
    `articles` a folder with a text for some of the entities, `name` the column that names them, or several with commas
    between, `pair` the columns of questions and answers, as numbers in a file without a header. Raises UserError, in
    one line that names file, row and column, for what cannot be taken.
    """
    left_out, suffix = Counter(), path.suffix.lower()
    is_yaml = suffix in (".yaml", ".yml")
    given = _yaml(path, ["facts", *HOLDS], left_out) if is_yaml else {}
    if suffix == ".xls":
        raise UserError(f"{path} is of an old Excel: save it as .xlsx, or the sheet as CSV")
    if is_yaml or suffix in (".json", ".jsonl"):
        listed = given.pop("facts", []) if is_yaml else records(path, text_of(path))
        rows = list(_listed(path, listed, left_out))
    else:
        cells = sheet(path, bytes_of(path), left_out) if suffix == ".xlsx" else _csv(path)
        rows = list(_grid(path, cells, pair))
    columns, wordings = pair_columns(path, rows, pair) if pair or not name else None, {}
    if columns:
        rows, wordings = paired(rows, *columns, left_out)
    facts = _facts(path, shaped(path, rows, name, left_out))
    given = _yaml(templates, [*HOLDS]) if templates else given
    if columns and (articles or "statements" in given):
        raise UserError(f"{path} has questions and answers: they take no articles and no statements of your own")
    for kind, by_attribute in given.items():
        _check_templates(f"{templates or path}, {kind}", by_attribute, set(facts["attribute"]), HOLDS[kind])
    return Table(path, facts, **given, articles=_articles(articles, set(facts["name"])) if articles else {},
                 wordings=wordings, left_out=dict(left_out))  # fmt: skip


def text_of(path: Path) -> str:
    """The text of a UTF-8 file. Raises UserError for one that cannot be read, is too large, or has other bytes."""
    data = bytes_of(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = data[: error.start].count(b"\n") + 1, data[error.start]
        raise UserError(f"{path}, line {line}: byte {byte:#04x} is not UTF-8: save the file as UTF-8 text") from None


def bytes_of(path: Path) -> bytes:
    """What a file holds. Raises UserError for one that cannot be read, or is too large."""
    try:
        with path.open("rb") as file:
            data = file.read(MEGABYTES * 10**6 + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): give a CSV or YAML file") from None
    if len(data) > MEGABYTES * 10**6:
        raise UserError(f"{path} has more than {MEGABYTES} MB: give a part of it")
    return data


def _csv(path):
    """The cells of each row; none of a blank line."""
    text = text_of(path)
    first = next(filter(str.strip, text.splitlines()), "")
    cells = {mark: [cell.strip(' "').casefold() for cell in first.split(mark)] for mark in ",;\t|@"}
    delimiter = max(cells, key=lambda mark: ("name" in cells[mark], len(cells[mark])))  # a header has a name
    number = 0
    try:  # no DictReader: it skips blank lines without counting them, and of two like headings it drops one
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            number += 1
            yield row
    except csv.Error as error:
        raise UserError(f"{path}, row {number + 1}: not CSV ({error})") from None


def _grid(path, rows, pair):
    """Where each row stands, and its headings with their cells. A `pair` of numbers: there are no headings."""
    header = []
    for number, row in enumerate(rows, 1):
        where = f"{path}, row {number}"
        if row and not header:
            bare = pair and all(map(str.isdecimal, pair)) and not {*pair} <= {*row}
            header = [str(i) for i in range(1, len(row) + 1)] if bare else _headings(row, where)
            row = row if bare else []
        if row and len(row) != len(header):
            raise UserError(f"{where} has {len(row)} cells, the header has {len(header)}: quote a cell with commas")
        if row:
            yield where, list(zip(header, row, strict=True))


def _listed(path, rows, left_out):
    """The same of a list of records, in YAML or JSON."""
    for number, row in enumerate(rows, 1):
        where = f"{path}, fact {number}"
        if isinstance(row, dict) and "messages" in row and not (row := said(row, where, left_out)):
            continue
        plain = isinstance(row, dict) and all(isinstance(text, str) for text in row)
        flat = path.suffix.lower().startswith(".json")  # where None is a list of several values
        if not plain or not all(isinstance(text, str) or (flat and text is None) for text in row.values()):
            raise UserError(f"{where}: expected name, attribute and value, or name and attributes, each a plain text")
        yield where, list(zip(_headings(row, where), row.values(), strict=True))


def _headings(given, where) -> list[str]:
    """Headings without spaces around them, `name`, `attribute`, `value` in small letters. Raises UserError."""
    headings = [text.strip() and checked(text, f"{where}, column {number}") for number, text in enumerate(given, 1)]
    headings = [text.casefold() if text.casefold() in LONG else text for text in headings]
    named = [text for text in headings if text]
    wrong = not {"attribute", "value"}.isdisjoint(headings) and sorted(headings) != sorted(LONG)
    if wrong or len({*named}) < max(2, len(named)):
        expected = "expected name, attribute, value, or name and a column an attribute"
        raise UserError(f"{where}: the columns are {', '.join(map(repr, headings))[:200]}: {expected}")
    return headings


def _facts(path, rows) -> pd.DataFrame:
    """The facts of a table; UserError for none, and for one that stands twice, with the same value or with another.

    Names are one if they are alike after NFKC and but for spaces, headings also if they say the same (head_office, Head
    office): else one question would be trained with two answers. They keep the spelling that stands first.
    """
    facts = []
    for where, row in rows:
        cells = {column: checked(cell, f"{where}, column {column!r}") for column, cell in row}
        facts += [(cells["name"], cells.get("attribute", column), value, f"{where}, column {column!r}")
                  for column, value in cells.items() if column not in ("name", "attribute")]  # fmt: skip
    facts = pd.DataFrame(facts, columns=[*LONG, "where"])
    if facts.empty:
        raise UserError(f"{path} has no facts: 0 rows below the header")
    names = facts["name"].map({name: " ".join(normalize("NFKC", name).split()) for name in facts["name"].unique()})
    headings = {text: readable(normalize("NFKC", text)).casefold() for text in facts["attribute"].unique()}
    headings = facts["attribute"].map(headings)
    for _, heading, _, where in facts[headings == ""].itertuples(index=False):
        raise UserError(f"{where}: {heading!r} has no letter: name the attribute")
    facts["name"] = facts.groupby(names)["name"].transform("first")
    facts["attribute"] = facts.groupby(headings)["attribute"].transform("first")
    for name, attribute, value, where in facts[facts.duplicated(LONG[:2])].itertuples(index=False):
        _, _, first, there = facts[(facts["name"] == name) & (facts["attribute"] == attribute)].iloc[0]
        more = "" if where.endswith("column 'value'") else f", or use --name name,{attribute}"
        raise UserError(f"{where}: {attribute!r} of {name!r} stands twice, as {first[:40]!r} and {value[:40]!r}: keep "
                        f"one{more}; see {there}")  # fmt: skip
    return facts


class _Loader(UniqueKeys, yaml.BaseLoader):
    """YAML in which every scalar stays the text that it is (007, yes, 1e3), and no key stands twice."""


def _yaml(path, known, left_out=None) -> dict:
    """A mapping with some of these keys. A list alone is that of the facts."""
    try:
        loaded = yaml.load(text_of(path), _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())[:300]}") from None
    loaded = {"facts": loaded} if isinstance(loaded, list) else loaded
    if left_out is not None and isinstance(loaded, dict) and "seed_examples" in loaded:
        loaded = {"facts": seeds(path, loaded["seed_examples"], left_out)}
    if not isinstance(loaded, dict) or not set(loaded) <= set(known):
        raise UserError(f"{path}: expected a list of facts, or a mapping with {', '.join(sorted(known))}")
    return loaded


def _check_templates(where, by_attribute, attributes, must):
    """UserError for templates that fit no attribute, or do not hold what they must."""
    if not isinstance(by_attribute, dict):
        raise UserError(f"{where}: expected attributes, each with a list of templates")
    for attribute, texts in by_attribute.items():
        place = f"{where}, {attribute!r}"
        if attribute not in attributes:
            raise UserError(f"{where}: no attribute {attribute!r}: the table has {', '.join(sorted(attributes))[:200]}")
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise UserError(f"{place}: expected a list of templates")
        for text in texts:
            held = [braces for braces in BRACES.findall(checked(text, place)) if braces not in ("{{", "}}")]
            if {*held} != must or held.count("{value}") > 1:
                raise UserError(f"{place}: {text!r} must hold {' and '.join(sorted(must))}, and no other braces")


def _articles(folder, names) -> dict[str, str]:
    """The texts of a folder by entity: the file Rome.txt or Rome.md is about Rome."""
    texts = {}
    for path in sorted([*folder.glob("*.txt"), *folder.glob("*.md")]):
        text = text_of(path).strip()
        if path.stem not in names or path.stem in texts or not text:
            why = "a second article" if path.stem in texts else "an empty one" if path.stem in names else "no entity"
            raise UserError(f"{path}: {why} {path.stem!r} in the table: give one text for an entity, named as it is")
        texts[path.stem] = text
    if not texts:
        raise UserError(f"{folder} has no .txt or .md files: --articles takes a folder with a text for each entity")
    return texts
