"""A user's own table of facts: read from CSV or YAML, or refused with one line that says where and why."""

import csv
import io
import re
import string
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import yaml

from lib.paths import UserError
from lib.user_facts.english import readable

LONG = ("name", "attribute", "value")
MEGABYTES = 5  # of a file: a table as large would be trained for weeks
FORMULA = re.compile(r"=|(#(REF|N/A|DIV/0|VALUE|NAME|NULL|NUM|SPILL|CALC|FIELD|BLOCKED)[!?]?|Err:\d+)\Z")
JOINER = re.compile("(?<=[^\0-\u02af\\s])[\u200c\u200d](?=[^\0-\u02af\\s])")  # between letters of Persian, or emoji
FIELDS = {"questions": {"name"}, "statements": {"name", "value"}}  # what a template must name


@dataclass(frozen=True)
class Table:
    """A user's facts, their templates by attribute, and their articles by name of the entity."""

    path: Path
    facts: pd.DataFrame  # name, attribute, value, where: the file, the row and the column
    questions: dict[str, list[str]] = field(default_factory=dict)
    statements: dict[str, list[str]] = field(default_factory=dict)
    articles: dict[str, str] = field(default_factory=dict)


def read(path: Path, templates: Path | None = None, articles: Path | None = None) -> Table:
    """The facts of a CSV or YAML file: `name, attribute, value` in each row, or one row an entity.

    A row counts as in a spreadsheet: the header of a CSV file is row 1. `templates` is a YAML file with `questions` and
    `statements`, `articles` a folder with a text file for some of the entities. Raises UserError, in one line that
    names file, row and column, for what cannot be taken.
    """
    given, rows = {}, None
    if path.suffix.lower() in (".yaml", ".yml"):
        given = _yaml(path, ("facts", *FIELDS))
        rows = _from_yaml(path, given.pop("facts", None))
    facts = _facts(path, rows or _from_csv(path))
    given = _yaml(templates, FIELDS) if templates else given
    for kind, by_attribute in given.items():
        _check_templates(by_attribute, kind, f"{templates or path}, {kind}", set(facts["attribute"]))
    return Table(path, facts, **given, articles=_articles(articles, set(facts["name"])) if articles else {})


def text_of(path: Path) -> str:
    """The text of a UTF-8 file. Raises UserError for one that cannot be read, is too large, or has other bytes."""
    if path.is_dir():
        raise UserError(f"{path} is a folder: give a CSV or YAML file")
    try:
        with path.open("rb") as file:
            data = file.read(MEGABYTES * 10**6 + 1)
        if len(data) > MEGABYTES * 10**6:
            raise UserError(f"{path} has more than {MEGABYTES} MB: give a part of it")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = data[: error.start].count(b"\n") + 1, data[error.start]
        raise UserError(f"{path}, line {line}: byte {byte:#04x} is not UTF-8: save the file as UTF-8 text") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): give a CSV or YAML file") from None


def _from_csv(path) -> Iterator[tuple[str, dict[str, str]]]:
    """Where each row stands, and its cells by heading."""
    text = text_of(path)
    first = next(filter(str.strip, text.splitlines()), "")
    cells = {mark: [cell.strip(' "').casefold() for cell in first.split(mark)] for mark in ",;\t"}
    delimiter = max(cells, key=lambda mark: ("name" in cells[mark], len(cells[mark])))  # a header has a name
    # no DictReader: it skips blank lines without counting them, and of two headings that are the same it drops one
    rows, header = [], None
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            rows.append(row)
    except csv.Error as error:
        raise UserError(f"{path}, row {len(rows) + 1}: not CSV ({error})") from None
    for number, row in enumerate(rows, 1):
        where = f"{path}, row {number}"
        if row and header is None:
            header = _headings(row, where)
        elif row and len(row) != len(header):
            raise UserError(f"{where} has {len(row)} cells, the header has {len(header)}: quote a cell with commas")
        elif row:
            yield where, dict(zip(header, row, strict=True))


def _from_yaml(path, rows) -> Iterator[tuple[str, dict[str, str]]]:
    if not isinstance(rows, list):
        raise UserError(f"{path}: expected a list of facts, or a mapping with `facts`")
    for number, row in enumerate(rows, 1):
        where = f"{path}, fact {number}"
        if not isinstance(row, dict) or not all(isinstance(text, str) for text in [*row, *row.values()]):
            raise UserError(f"{where}: expected name, attribute and value, or name and attributes, each a plain text")
        yield where, dict(zip(_headings(list(row), where), row.values(), strict=True))


def _headings(given: Sequence[str], where: str) -> list[str]:
    """Headings without spaces around them, `name`, `attribute`, `value` in small letters. Raises UserError."""
    headings = []
    for number, text in enumerate(given, 1):
        place = f"{where}, column {number}"
        heading = _checked(text, place, "has no heading: name the attribute")
        heading = heading.casefold() if heading.casefold() in LONG else heading
        if heading.casefold() in map(str.casefold, headings):
            raise UserError(f"{place}: there are two columns {heading!r}")
        headings.append(heading)
    missing = {"name"} - {*headings} or ({"attribute", "value"} & {*headings} and {*LONG} - {*headings})
    if missing or len(headings) < 2:
        lacks = f"no column {min(missing)!r}" if missing else "no column beside 'name'"
        raise UserError(f"{where}: {lacks}: expected name, attribute, value, or name and a column an attribute")
    if "attribute" in headings and (others := [heading for heading in headings if heading not in LONG]):
        raise UserError(f"{where}: column {others[0]!r} stands beside name, attribute, value: remove it")
    return headings


def _checked(text: str, place: str, if_empty: str) -> str:
    """A name, heading or value without the spaces around it; UserError for a formula and for what nobody can see."""
    for character in JOINER.sub("", text):
        kind = unicodedata.category(character)
        if kind in ("Cc", "Cf", "Cs") and character not in "\t\n\r":
            what = "half of a character (write an emoji as itself)" if kind == "Cs" else "an invisible character"
            raise UserError(f"{place} holds U+{ord(character):04X}, {what}: remove it")
    text = text.strip()
    if all(unicodedata.category(character)[0] in "MZ" or character in "\t\n\r" for character in text):
        raise UserError(f"{place} {if_empty}")
    if FORMULA.match(text):
        raise UserError(f"{place} holds {text[:40]!r}, a formula or its error: save the table as values")
    return text


def _facts(path, rows) -> pd.DataFrame:
    """The facts of a table; UserError for none, one that stands twice, and two that contradict each other.

    Names are one if they are alike after NFKC and but for spaces, headings also if they say the same (head_office, Head
    office): else one question would be trained with two answers. They keep the spelling that stands first.
    """
    facts, names, headings = {}, {}, {}
    empty = "is empty: fill it, or give rows of name, attribute, value and leave this one out"
    for where, row in rows:
        row = {column: _checked(cell, f"{where}, column {column!r}", empty) for column, cell in row.items()}
        name = row.pop("name")
        name = names.setdefault(" ".join(unicodedata.normalize("NFKC", name).split()), name)
        cells = {key: (key, value) for key, value in row.items()}  # where, heading, value
        pairs = {"value": (row["attribute"], row["value"])} if "attribute" in row else cells
        for column, (heading, value) in pairs.items():
            place = f"{where}, column {column!r}"
            key = readable(unicodedata.normalize("NFKC", heading)).casefold()
            if not key:
                raise UserError(f"{place}: {heading!r} has no letter: name the attribute")
            attribute = headings.setdefault(key, heading)
            first, there = facts.setdefault((name, attribute), (value, place))
            if there != place:
                what = "the same fact twice" if first == value else f"two values, {first[:40]!r} and {value[:40]!r}"
                raise UserError(f"{place}: {attribute!r} of {name!r} has {what}; see {there}")
    if not facts:
        raise UserError(f"{path} has no facts: 0 rows below the header")
    return pd.DataFrame([(*key, *fact) for key, fact in facts.items()], columns=[*LONG, "where"])


class _Loader(yaml.BaseLoader):
    """YAML in which every scalar stays the text that it is (007, yes, 1e3), and a key that stands twice is refused."""

    def construct_mapping(self, node, deep=False):
        mapping = super().construct_mapping(node, deep=True)
        if len(mapping) < len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key stands twice", node.start_mark)
        return mapping


def _yaml(path, known) -> dict:
    """A mapping with some of these keys. A list alone is that of the facts."""
    try:
        loaded = yaml.load(text_of(path), _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())[:300]}") from None
    loaded = {"facts": loaded} if isinstance(loaded, list) else loaded
    if not isinstance(loaded, dict) or not set(loaded) <= set(known):
        raise UserError(f"{path}: expected a list of facts, or a mapping with {', '.join(sorted(known))}")
    return loaded


def _check_templates(by_attribute, kind, where, attributes):
    """UserError for templates that fit no attribute, or do not name what those of this kind must."""
    if not isinstance(by_attribute, dict):
        raise UserError(f"{where}: expected attributes, each with a list of templates")
    for attribute, texts in by_attribute.items():
        place = f"{where}, {attribute!r}"
        if attribute not in attributes:
            raise UserError(f"{where}: no attribute {attribute!r}: the table has {', '.join(sorted(attributes))[:200]}")
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise UserError(f"{place}: expected a list of templates")
        for text in texts:
            _checked(text, place, "is empty: leave it out")
            try:
                fields = [found[1:] for found in string.Formatter().parse(text) if found[1] is not None]
            except ValueError as error:
                raise UserError(f"{place}: {text!r}: {error}") from None
            wanted = {(name, "", None) for name in FIELDS[kind]}
            if set(fields) != wanted or fields.count(("value", "", None)) > 1:
                named = " and ".join(f"{{{name}}}" for name in sorted(FIELDS[kind]))
                raise UserError(f"{place}: {text!r} must hold {named}, and no other braces")


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
