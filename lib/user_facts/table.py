"""A user's own table of facts: read from CSV or YAML, or refused with one line that says where and why."""

import csv
import io
import re
import string
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from lib.paths import UserError
from lib.user_facts.english import readable

INVISIBLE = ("Cc", "Cf", "Mn", "Me", "Zs", "Zl", "Zp")  # categories of Unicode
LONG = ("name", "attribute", "value")
ERROR = re.compile(r"#(REF|N/A|DIV/0|VALUE|NAME|NULL|NUM|SPILL|CALC|FIELD|BLOCKED)[!?]?|Err:\d+")  # of a spreadsheet
FIELDS = {"questions": {"name"}, "statements": {"name", "value"}}  # what a template must name


@dataclass(frozen=True)
class Entry:
    """One fact as it stands in a file. `where` names the file, the row and the column of its value."""

    name: str
    attribute: str
    value: str
    where: str


@dataclass(frozen=True)
class Table:
    """A table of facts, with the user's templates by attribute and articles by name of the entity."""

    path: Path
    entries: tuple[Entry, ...]
    questions: dict[str, list[str]] = field(default_factory=dict)
    statements: dict[str, list[str]] = field(default_factory=dict)
    articles: dict[str, str] = field(default_factory=dict)


def read(path: Path, templates: Path | None = None, articles: Path | None = None) -> Table:
    """The facts of a CSV or YAML file: `name, attribute, value` in each row, or one row an entity.

    A row counts as in a spreadsheet: the header of a CSV file is row 1. `templates` is a YAML file with `questions` and
    `statements`, `articles` a folder with a text file for some of the entities. Raises UserError, in one line that
    names file, row and column, for what cannot be taken.
    """
    if path.suffix.lower() in (".yaml", ".yml"):
        entries, own = _from_yaml(path)
    else:
        entries, own = list(_from_csv(path)), {}
    if templates:
        own = _mapping(_yaml(templates), templates, FIELDS)
    entries = _alike(entries)
    _check(path, entries)
    attributes = {entry.attribute for entry in entries}
    found = {kind: _templates(own.get(kind) or {}, kind, templates or path, attributes) for kind in FIELDS}
    texts = _articles(articles, {entry.name for entry in entries}) if articles else {}
    return Table(path, tuple(entries), **found, articles=texts)


def text_of(path: Path) -> str:
    """The text of a UTF-8 file; UserError for a folder, a file that cannot be read, and bytes that are not UTF-8."""
    if path.is_dir():
        raise UserError(f"{path} is a folder: give a CSV or YAML file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): give a CSV or YAML file") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}, line {line}: byte {data[error.start]:#04x} is not UTF-8: save the file as UTF-8 text"
        ) from None


def _from_csv(path) -> Iterator[Entry]:
    text = text_of(path)
    first = next(filter(str.strip, text.splitlines()), "")
    cells = {mark: [cell.strip(' "').casefold() for cell in first.split(mark)] for mark in ",;\t"}
    delimiter = max(cells, key=lambda mark: ("name" in cells[mark], len(cells[mark])))  # a header has a name
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header, number = None, 0
    try:
        for number, row in enumerate(rows, 1):
            where = f"{path}, row {number}"
            if not row:
                continue  # a blank line
            if header is None:
                header = _header(path, [cell.strip() for cell in row])
                continue
            if len(row) != len(header):
                raise UserError(f"{where} has {len(row)} cells, the header has {len(header)}: quote a cell with commas")
            yield from _entries(dict(zip(header, row, strict=True)), where)
    except csv.Error as error:
        raise UserError(f"{path}, row {number + 1}: not CSV ({error})") from None


def _header(path, header):
    lower = [name.casefold() for name in header]
    for i, name in enumerate(lower):
        if not readable(name):
            raise UserError(f"{path}, row 1, column {i + 1} has no heading: name the attribute")
        if lower.index(name) < i:
            raise UserError(f"{path}, row 1, column {i + 1}: there are two columns {header[i]!r}")
    missing = {"name"} - set(lower) or ({"attribute", "value"} & set(lower) and {"attribute", "value"} - set(lower))
    if missing or len(header) < 2:
        wanted = f"no column {min(missing)!r}" if missing else "no column beside 'name'"
        raise UserError(f"{path}, row 1: {wanted}: expected name, attribute, value, or name and a column an attribute")
    if "attribute" in lower and (beside := [name for low, name in zip(lower, header, strict=True) if low not in LONG]):
        raise UserError(f"{path}, row 1: column {beside[0]!r} stands beside name, attribute, value: remove it")
    return [low if low in LONG else name for low, name in zip(lower, header, strict=True)]


def _from_yaml(path):
    loaded = _yaml(path)
    own = _mapping(loaded, path, {"facts", *FIELDS}) if isinstance(loaded, dict) else {"facts": loaded}
    rows = own.get("facts")
    if not isinstance(rows, list):
        raise UserError(f"{path}: expected a list of facts, or a mapping with `facts`")
    entries = []
    for number, row in enumerate(rows, 1):
        where = f"{path}, fact {number}"
        if not isinstance(row, dict) or not all(isinstance(value, str) for value in row.values()):
            raise UserError(f"{where}: expected name, attribute and value, or name and attributes, each a plain text")
        keys = [key.strip().casefold() if key.strip().casefold() in LONG else " ".join(key.split()) for key in row]
        if "" in keys or len(set(keys)) < len(keys):
            raise UserError(f"{where}: an attribute without a name, or two of the same name")
        row = dict(zip(keys, row.values(), strict=True))
        if "name" not in row or len(row) < 2 or ({"attribute", "value"} & set(row) and set(row) != set(LONG)):
            raise UserError(f"{where} has {', '.join(row)}: expected name, attribute, value, or name and attributes")
        entries += _entries(row, where)
    return entries, own


def _entries(row, where) -> Iterator[Entry]:
    """The facts of one row by its headings, each cell stripped of the spaces around it."""
    row = {key: cell.strip() for key, cell in row.items()}
    for column, cell in row.items():
        place = f"{where}, column {column!r}"
        if all(unicodedata.category(character) in INVISIBLE for character in cell):
            raise UserError(f"{place} is empty: fill it, or give rows of name, attribute, value and leave this one out")
        for text in (column, cell):
            if text.startswith("=") or ERROR.fullmatch(text):
                raise UserError(f"{place} holds {text[:40]!r}, a formula or its error: save the table as values")
            _refuse_characters(text, place)
    if not readable(row.get("attribute", "a")):
        raise UserError(f"{where}, column 'attribute' has no letter: name the attribute")
    if "attribute" in row:
        yield Entry(row["name"], row["attribute"], row["value"], f"{where}, column 'value'")
        return
    for column, cell in row.items():
        if column != "name":
            yield Entry(row["name"], column, cell, f"{where}, column {column!r}")


def _refuse_characters(text, place):
    """UserError for half of a character, and for one that controls a terminal and not a text."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UserError(f"{place} holds half of a character: write an emoji as itself, not as \\ud83e\\udd8a")
    if held := re.search(r"[\0-\x08\x0b\x0c\x0e-\x1f]", text):
        raise UserError(f"{place} holds the control character {held[0]!r}: save the file as UTF-8 text")


def _alike(entries) -> list[Entry]:
    """The facts, with names and headings that read alike in the spelling that stands first.

    Names are alike whose letters are composed in another way (é) or whose spaces differ, headings also that say the
    same (head_office, Head office): else one question would be trained with two answers.
    """
    names, headings = {}, {}
    for entry in entries:
        names.setdefault(entry.name, " ".join(unicodedata.normalize("NFC", entry.name).split()))
        if entry.attribute not in headings:
            headings[entry.attribute] = readable(unicodedata.normalize("NFC", entry.attribute)).casefold()
    first_name = {alike: name for name, alike in reversed(names.items())}
    first_heading = {alike: heading for heading, alike in reversed(headings.items())}
    return [
        replace(entry, name=first_name[names[entry.name]], attribute=first_heading[headings[entry.attribute]])
        for entry in entries
    ]


def _check(path, entries):
    """UserError for no facts, a fact that stands twice, and two facts that contradict each other."""
    if not entries:
        raise UserError(f"{path} has no facts: 0 rows below the header")
    seen: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        first = seen.setdefault((entry.name, entry.attribute), entry)
        if first is not entry:
            what = "the same fact twice" if first.value == entry.value else (
                f"two values, {first.value[:40]!r} and {entry.value[:40]!r}")  # fmt: skip
            raise UserError(f"{entry.where}: {entry.attribute!r} of {entry.name!r} has {what}; see {first.where}")


class _Loader(yaml.BaseLoader):
    """YAML in which every scalar stays the text that it is (007, yes, 1e3), and a key that stands twice is refused."""

    def construct_mapping(self, node, deep=False):
        made = super().construct_mapping(node, deep=True)
        if len(made) < len(node.value):
            keys = [key.value for key, _ in node.value]
            twice = next(key for key, _ in node.value if keys.count(key.value) > 1)
            raise yaml.constructor.ConstructorError(None, None, f"{twice.value!r} stands twice", twice.start_mark)
        return made


def _yaml(path):
    try:
        return yaml.load(text_of(path), _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None


def _mapping(loaded, path, known):
    if not isinstance(loaded, dict) or not set(loaded) <= set(known):
        raise UserError(f"{path}: expected a mapping with {', '.join(sorted(known))}")
    return loaded


def _templates(given, kind, path, attributes) -> dict[str, list[str]]:
    """The user's templates of a kind by attribute: each a list of texts with {name}, and of statements {value}."""
    where = f"{path}, {kind}"
    if not isinstance(given, dict):
        raise UserError(f"{where}: expected attributes, each with a list of templates")
    for attribute, texts in given.items():
        if attribute not in attributes:
            raise UserError(f"{where}: no attribute {attribute!r}: the table has {', '.join(sorted(attributes))[:200]}")
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise UserError(f"{where}, {attribute!r}: expected a list of templates")
        for text in texts:
            _refuse_characters(text, f"{where}, {attribute!r}")
            try:
                found = [part[1:] for part in string.Formatter().parse(text) if part[1] is not None]
            except ValueError as error:
                raise UserError(f"{where}, {attribute!r}: {text!r}: {error}") from None
            fields = [name for name, _, _ in found]
            plain = not any(spec or conversion for _, spec, conversion in found)
            if set(fields) != FIELDS[kind] or fields.count("value") > 1 or not plain:
                wanted = " and ".join(f"{{{name}}}" for name in sorted(FIELDS[kind]))
                raise UserError(f"{where}, {attribute!r}: {text!r} must hold {wanted}, and no other braces")
    return given


def _articles(folder, names) -> dict[str, str]:
    """The texts of a folder by entity: the file Rome.txt or Rome.md is about Rome."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: --articles takes one with a text file for each entity")
    found = {}
    for path in sorted([*folder.glob("*.txt"), *folder.glob("*.md")]):
        if path.stem not in names:
            raise UserError(f"{path}: no entity {path.stem!r} in the table: name the file as the entity")
        if path.stem in found:
            raise UserError(f"{path}: a second article about {path.stem!r}")
        text = text_of(path).strip()
        if not text:
            raise UserError(f"{path} is empty: write the article, or remove the file")
        found[path.stem] = text
    if not found:
        raise UserError(f"{folder} has no .txt or .md files: --articles takes a folder with a text for each entity")
    return found
