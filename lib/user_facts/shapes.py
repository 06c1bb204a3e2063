"""What a table looks like: records of JSON, the column of the names, and cells that are no facts."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unicodedata import category

from lib.paths import UserError

FORMULA = re.compile(r"=|(#(REF|N/A|DIV/0|VALUE|NAME|NULL|NUM|SPILL|CALC|FIELD|BLOCKED)[!?]?|Err:\d+)\Z")
JOINER = re.compile("(?<=[^\0-\u02af\\s])[\u200c\u200d](?=[^\0-\u02af\\s])")  # between letters of Persian, or emoji
EMPTY = ("", "-", "–", "—", "n/a", "N/A")
PAIRS = ({"question", "prompt", "frage", "質問"}, {"answer", "completion", "response", "antwort", "回答"})


def pairs(where) -> UserError:
    """The refusal of a file of question and answer pairs."""
    return UserError(f"{where}: question and answer pairs, which are not read yet: give a table with a row an entity")


def records(path, text) -> list:
    """The records of a JSON file, or of one with a record a line, flat and as text: `name.common` is nested."""
    lines = path.suffix.lower() == ".jsonl"
    found = []
    for number, line in enumerate(text.splitlines() if lines else [text], 1):
        try:
            read = json.loads(line, parse_int=str, parse_float=str, object_pairs_hook=_once) if line.strip() else []
        except (ValueError, RecursionError) as error:
            quoted = " (single quotes are Python's, not JSON's)" if line.lstrip().startswith("{'") else ""
            at = number if lines else getattr(error, "lineno", 1)
            raise UserError(f"{path}, line {at}: not JSON{quoted}") from None
        found += read if isinstance(read, list) else [read]
    return [_flat(record) if isinstance(record, dict) and "messages" not in record else record for record in found]


def _once(items) -> dict:
    if len(dict(items)) < len(items):
        raise ValueError("a key stands twice")
    return dict(items)


def _flat(record, before="") -> dict:
    """A record without nesting: a list of one is its value, of several None; yes and no for booleans."""
    flat = {}
    for key, value in record.items():
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(value, dict):
            inner = _flat(value, f"{before}{key}.")
        else:
            plain = {True: "yes", False: "no", None: ""}.get(value, value) if not isinstance(value, list) else None
            inner = {before + key: plain if value != [] else ""}
        if flat.keys() & inner.keys():
            raise UserError(f"{min(flat.keys() & inner.keys())!r} stands twice in a record: keep one")
        flat |= inner
    return flat


def shaped(path: Path, rows: list, name: str | None, left_out: Counter) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Of each row of (where it stands, its headings and cells) those that are facts, after the `name`. The others are
    counted in `left_out`. `name` has the columns of the name, with commas between; by default it is the one called so,
    or else the first. Raises UserError for no such column, and for a first one that has a value twice."""
    columns = {}
    for _, row in rows:
        for column, cell in row:
            columns.setdefault(column, []).append((cell or "").strip())
    ids = set() if "attribute" in columns else _ids(columns)
    rest = [column for column in columns if column and column not in ids]
    nested = [column for column in columns if column.startswith("name.")]
    if nested and not name and "name" not in columns:
        raise UserError(f"{path}: the name is nested: name a column with --name {nested[0]}")
    names = name.split(",") if name else ["name"] if "name" in columns else rest[:1]
    if rows and (unknown := [column for column in names if column not in columns]):
        raise UserError(f"{path}: no column {unknown[0]!r} for the name: it has {', '.join(columns)[:200]}")
    if rows and not name and names != ["name"]:
        first = {}
        for where, row in rows:
            if (value := (dict(row).get(names[0]) or "").strip()) in first:
                both = ",".join([*rest, "COLUMN"][:2])
                raise UserError(f"{where}: {value[:40]!r} stands twice in column {names[0]!r}: use --name {both} or "
                                f"leave one out; see {first[value]}")  # fmt: skip
            first[value] = where
        print(f"The column {names[0]!r} is the name: --name takes another.")
    for where, row in rows:
        cells = dict(row)
        called = ", ".join(checked(cells.get(column) or "", f"{where}, column {column!r}") for column in names)
        facts = []
        for column, cell in row:
            if column in names:
                continue
            text = (cell or "").strip()
            if column == "attribute":
                facts.append((column, cell))
            elif column == "":
                left_out["cells in a column without a heading"] += 1
            elif column in ids:
                left_out[f"cells of {column!r}, which numbers the rows"] += 1
            elif cell is None:
                left_out["lists of several values"] += 1
            elif text in EMPTY:
                left_out["empty cells"] += 1
            elif text == called:
                left_out["cells that repeat the name"] += 1
            else:
                facts.append((column, cell))
        if not facts:
            left_out["names without a fact"] += 1
        yield where, [("name", called), *facts]


def _ids(columns) -> set[str]:
    """Columns that number the rows: called id, with another number in each row, or the first and 1, 2, 3, …"""
    numbers = [str(number) for number in range(1, 1 + max(map(len, columns.values()), default=0))]
    first = next(iter(columns), None)
    counted = {first} if len(numbers) > 2 and columns[first] == numbers else set()
    return counted | {column for column, cells in columns.items() if column.casefold() == "id"
                      and len({*cells}) == len(cells) and all(map(str.isdecimal, cells))}  # fmt: skip


def checked(text, place) -> str:
    """Text without the spaces around it; UserError for none, for a formula, and for what nobody can see."""
    for character in JOINER.sub("", text):
        if category(character) in ("Cc", "Cf", "Cs") and character not in "\t\n\r":
            raise UserError(f"{place} holds U+{ord(character):04X}, an invisible character or half of one: remove it")
    text = text.strip()
    if all(category(character)[0] in "MZ" for character in "".join(text.split())):
        raise UserError(f"{place} is empty: fill it or leave it out, as rows of name, attribute, value can")
    if FORMULA.match(text):
        raise UserError(f"{place} holds {text[:40]!r}, a formula or its error: save the table as values")
    return text
