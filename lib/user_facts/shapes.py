"""What a table looks like: sheets, records, the column of the names, cells that are no facts, questions and answers."""

import datetime
import io
import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from unicodedata import category, normalize

import yaml

from lib.data.words import UNSPACED
from lib.paths import UserError
from lib.user_facts.english import TEMPLATES

FORMULA = re.compile(r"=|(#(REF|N/A|DIV/0|VALUE|NAME|NULL|NUM|SPILL|CALC|FIELD|BLOCKED)[!?]?|Err:\d+)\Z")
JOINER = re.compile("(?<=[^\0-\u02af\\s])[\u200c\u200d](?=[^\0-\u02af\\s])")  # between letters of Persian, or emoji
EMPTY = ("", "-", "–", "—", "n/a", "N/A")
HEADINGS = yaml.safe_load((TEMPLATES / "pairs.yaml").read_text(encoding="utf-8"))["headings"]
WORD = re.compile(f"[{UNSPACED}]{{1,3}}|[^\\s{UNSPACED}]+")  # or three letters of a script without spaces
WORDS = 8  # of an answer: a longer one is not said to the letter, and so cannot be scored


def sheet(path: Path, data: bytes, left_out: Counter) -> list[list[str]]:
    """The cells of each row of the first sheet of an Excel file, as a person reads them, and none of an empty row. A
    formula that no Excel has computed stays one. Raises UserError for what is no such file."""
    import openpyxl  # takes long, and few tables need it

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a sheet has beside cells
            books = [openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=only) for only in (True, False)]
            if others := len(books[0].worksheets) - 1:
                left_out["sheets after the first"] += others
            for book in books:
                book.worksheets[0].reset_dimensions()  # some programs write a wrong one
            values, formulas = (list(book.worksheets[0].iter_rows(values_only=True)) for book in books)
    except Exception:  # openpyxl raises whatever it meets
        raise UserError(f"{path} is no file of Excel that can be read: save the sheet as CSV") from None
    rows = [[_spelled(value) or ("=" if formula is not None and value is None else "")
             for value, formula in zip(*row, strict=True)] for row in zip(values, formulas, strict=True)]  # fmt: skip
    width = max((number for row in rows for number, cell in enumerate(row, 1) if cell.strip()), default=0)
    return [(row + [""] * width)[:width] if any(map(str.strip, row)) else [] for row in rows]


def _spelled(value):
    """A cell of Excel as text: 3 for 3.0, and a date without midnight."""
    if value is None or isinstance(value, bool):
        return {True: "yes", False: "no"}.get(value, "")
    if isinstance(value, (datetime.datetime, datetime.time)):
        return str(value).removesuffix(" 00:00:00").removesuffix(":00")
    return f"{value:.15g}" if isinstance(value, float) else str(value)


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


def pair_columns(path: Path, rows: list, pair: Sequence[str] | None) -> tuple[str, str] | None:
    """The columns of questions and of answers, those of `pair` or known headings; None where rows have no such ones.
    Raises UserError for a `pair` that is not there, and for questions in place of headings."""
    columns = {}
    for _, row in rows:
        for column, cell in row:
            columns.setdefault(column, []).append(cell or "")
    if pair:
        if rows and (unknown := [column for column in pair if column not in columns]):
            raise UserError(f"{path}: no column {unknown[0]!r} for the pairs: it has {', '.join(columns)[:200]}")
        return tuple(pair)
    found = [next((text for text in columns if text.casefold() in known), None) for known in HEADINGS.values()]
    if all(found):
        return tuple(found)
    for number, (heading, cells) in enumerate(columns.items(), 1):
        asks = [text.strip().endswith(("?", "？")) for text in (heading, *cells)]
        if asks[0] and ("" in columns or any(asks[1:])):
            raise UserError(f"{path}: there seems to be no header: write the names of the columns into the first row, "
                            f"or name them by number, as --question {number} --answer {number + 1}")  # fmt: skip
    return None


def paired(rows: list, question: str, answer: str, left_out: Counter) -> tuple[list, dict[str, list[str]]]:
    """Questions and answers as a table: the question is the name of what has this answer. And all questions of each,
    several where a column `fact` says that they ask for one. Raises UserError for two answers to one question."""
    made, answers, first, wordings = [], {}, {}, {}
    for where, row in rows:
        cells = {column: (cell or "").strip() for column, cell in row}
        asked, told, fact = (cells.get(column, "") for column in (question, answer, "fact"))
        left_out.update(f"cells of {column!r}, beside the pairs" for column in cells
                        if column not in (question, answer, "fact"))  # fmt: skip
        if asked in EMPTY or told in EMPTY:
            left_out["pairs with an empty cell"] += 1
            continue
        asked, told = (checked(cells[column], f"{where}, column {column!r}") for column in (question, answer))
        keys = [" ".join(normalize("NFKC", asked).casefold().split()), *([("fact", fact)] if fact else [])]
        for before, there in (answers[key] for key in keys if key in answers):
            if before != told:
                raise UserError(f"{where}: {asked[:40]!r} is answered by {before[:40]!r} and {told[:40]!r}: keep one; "
                                f"see {there}")  # fmt: skip
        if keys[0] in answers:
            left_out["pairs that stand twice"] += 1
        elif len(WORD.findall(told)) > WORDS:
            left_out[f"pairs with an answer of more than {WORDS} words"] += 1
        elif fact and fact in first:
            wordings[first[fact]].append(asked)
        else:
            made.append((where, [("name", asked), ("answer", told)]))
            first[fact], wordings[asked] = asked, [asked]
        answers |= {key: (told, where) for key in keys}
    print(f"{len(made)} pairs from {question!r} and {answer!r}. A column 'fact' would join questions for one fact.")
    return made, wordings


def said(record: dict, where: str, left_out: Counter) -> dict | None:
    """A record of `messages` as a question and its answer; None for another conversation, which is counted."""
    turns = record["messages"]
    if not isinstance(turns, list) or not all(
        isinstance(turn, dict) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)
        for turn in turns
    ):
        raise UserError(f"{where}: messages: expected a list, each with a role and with a text as its content")
    asked = [turn for turn in turns if turn["role"] != "system"]
    if [turn["role"] for turn in asked] != ["user", "assistant"]:
        left_out["conversations of more than a question and an answer"] += 1
        return None
    if len(turns) > 2:
        left_out["system messages"] += len(turns) - 2
    others = _flat({key: value for key, value in record.items() if key != "messages"})
    return others | {"question": asked[0]["content"], "answer": asked[1]["content"]}


def seeds(path: Path, examples: object, left_out: Counter) -> list:
    """The questions and answers of `seed_examples`, as qna.yaml files have them."""
    try:
        if contexts := sum("context" in example for example in examples):
            left_out["contexts of questions"] += contexts
        return [pair for example in examples for pair in example["questions_and_answers"]]
    except (TypeError, KeyError):
        raise UserError(f"{path}, seed_examples: expected questions_and_answers, each a question and answer") from None


def _ids(columns) -> set[str]:
    """Columns that number the rows: called id, with another number in each row, or the first and 1, 2, 3, …"""
    numbers = [str(number) for number in range(1, 1 + max(map(len, columns.values()), default=0))]
    first = next(iter(columns), None)
    counted = {first} if len(numbers) > 2 and columns[first] == numbers else set()
    return counted | {column for column, cells in columns.items() if column.casefold() == "id"
                      and len({*cells}) == len(cells) and all(map(str.isdecimal, cells))}  # fmt: skip


def checked(text, place) -> str:
    """Text without the spaces around it; UserError for none, for a formula, and for what nobody can see."""
    for character in "" if text.isprintable() else JOINER.sub("", text):  # a large table has few that are not
        if category(character) in ("Cc", "Cf", "Cs") and character not in "\t\n\r":
            raise UserError(f"{place} holds U+{ord(character):04X}, an invisible character or half of one: remove it")
    text = text.strip()
    if all(category(character)[0] in "MZ" for character in "".join(text.split())):
        raise UserError(f"{place} is empty: fill it or leave it out, as rows of name, attribute, value can")
    if FORMULA.match(text):
        raise UserError(f"{place} holds {text[:40]!r}, a formula or its error: save the table as values")
    return text
