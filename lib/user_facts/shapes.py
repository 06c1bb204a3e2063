"""What a table looks like: sheets, records, the column of the names, cells that are no facts, questions and answers."""

import datetime
import io
import json
import re
import warnings
from collections import Counter
from functools import partial
from pathlib import Path
from unicodedata import category, normalize

from lib.data.words import UNSPACED
from lib.paths import UserError
from lib.user_facts.english import PAIRS

FORMULA = re.compile(r"=|(#(REF|N/A|DIV/0|VALUE|NAME|NULL|NUM|SPILL|CALC|FIELD|BLOCKED)[!?]?|Err:\d+)\Z")
JOINER = re.compile("(?<=[^\0-\u02af\\s])[\u200c\u200d](?=[^\0-\u02af\\s])")  # between letters of Persian, or emoji
MEGABYTES = 5  # of a file: a table as large would be trained for weeks
EMPTY = ("", "-", "–", "—", "n/a", "N/A")
PLAIN = {True: "yes", False: "no", None: ""}
WORD = re.compile(f"[{UNSPACED}]{{1,3}}|[^\\s{UNSPACED}]+")  # or three letters of a script without spaces
WORDS = 8  # of an answer: a longer one is not said to the letter, and so cannot be scored


def contents(path: Path) -> str | bytes:
    """The text of a UTF-8 file, and of an Excel file the bytes. Raises UserError for one that cannot be read, is too
    large, or has other bytes."""
    try:
        with path.open("rb") as file:
            data = file.read(MEGABYTES * 10**6 + 1)
        if len(data) > MEGABYTES * 10**6:
            raise UserError(f"{path} has more than {MEGABYTES} MB: give a part of it")
        return data if path.suffix.lower() == ".xlsx" else data.decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): give a CSV or YAML file") from None
    except UnicodeDecodeError as error:
        line, byte = data[: error.start].count(b"\n") + 1, data[error.start]
        raise UserError(f"{path}, line {line}: byte {byte:#04x} is not UTF-8: save the file as UTF-8 text") from None


def sheet(path: Path, left_out: Counter) -> list[list[str]]:
    """The cells of each row of the first sheet of an Excel file, as a person reads them, and none of an empty row. A
    formula that no Excel has computed stays one. Raises UserError for what is no such file."""
    import openpyxl  # takes long, and few tables need it

    data = contents(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a sheet has beside cells
            books = [openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=only) for only in (True, False)]
            left_out["sheets after the first"] += len(books[0].worksheets) - 1
            for book in books:
                book.worksheets[0].reset_dimensions()  # some programs write a wrong one
            values, formulas = (list(book.worksheets[0].iter_rows(values_only=True)) for book in books)
    except Exception:  # openpyxl raises whatever it meets
        raise UserError(f"{path} is no file of Excel that can be read: save the sheet as CSV") from None
    rows = [[_spelled(value) or ("=" if formula is not None and value is None else "")
             for value, formula in zip(*row, strict=True)] for row in zip(values, formulas, strict=True)]  # fmt: skip
    width = max((number for row in rows for number, cell in enumerate(row, 1) if cell.strip()), default=0)
    return [(row + [""] * width)[:width] if any(map(str.strip, row)) else [] for row in rows]


def _spelled(value) -> str:
    """A cell of Excel as text: 3 for 3.0, and a date without midnight."""
    if value is None or isinstance(value, bool):
        return PLAIN[value]
    if isinstance(value, (datetime.datetime, datetime.time)):
        return str(value).removesuffix(" 00:00:00").removesuffix(":00")
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def records(path: Path) -> list:
    """The records of a JSON file, or of one with a record a line, flat and as text: `name.common` is nested."""
    found, lines, text = [], path.suffix.lower() == ".jsonl", contents(path)
    for number, line in enumerate(text.split("\n") if lines else [text], 1):
        flat = partial(_flat, f"{path}, line {number}" if lines else path)
        try:
            read = json.loads(line, parse_int=str, parse_float=str, object_pairs_hook=flat) if line.strip() else []
        except (ValueError, RecursionError) as error:
            quoted = " (single quotes are Python's, not JSON's)" if line.lstrip().startswith("{'") else ""
            at = number if lines else getattr(error, "lineno", 1)
            raise UserError(f"{path}, line {at}: not JSON{quoted}") from None
        found += read if isinstance(read, list) else [read]
    return found


def _flat(where, items) -> dict:
    """An object of JSON without nesting: a list of one is its value, of several None; yes and no for booleans. The
    messages of a conversation stay as they are. Raises UserError for a key that stands twice."""
    flat, turn = [], {"role", "content"}
    as_it_is = {"messages"} | (turn if turn <= {key for key, _ in items} else set())
    for key, value in items:
        while isinstance(value, list) and len(value) == 1 and key not in as_it_is:
            value = value[0]
        if key in as_it_is:
            flat.append((key, value))
        elif isinstance(value, dict):
            flat += [(f"{key}.{inner}", cell) for inner, cell in value.items()]
        else:
            flat.append((key, (None if value else "") if isinstance(value, list) else PLAIN.get(value, value)))
    if twice := [key for key, times in Counter(key for key, _ in flat).items() if times > 1]:
        raise UserError(f"{where}: {twice[0]!r} stands twice in a record: keep one")
    return dict(flat)


def shaped(path: Path, rows: list, columns: dict, name: str | None, left_out: Counter) -> list[tuple[str, ...]]:
    """The name, attribute, value and place of each fact of the `rows`, which are (where it stands, cells by heading).
    The other cells are counted in `left_out`.

    `columns` has the stripped cells of each heading, `name` the columns of the name, with commas between; by default it
    is the one called so, or else the first that does not number the rows: called id, with another number in each row,
    or with 1, 2, 3, … in them. Raises UserError for a first one that has a value twice.
    """
    ids, numbers = set(), [str(number) for number in range(1, len(rows) + 1)]
    for column, cells in columns.items() if "attribute" not in columns else ():
        counts = column == next(iter(columns)) and cells == numbers and len(rows) > 2
        if counts or (column.casefold() == "id" and len({*cells}) == len(cells) and all(map(str.isdecimal, cells))):
            ids.add(column)
    rest = [column for column in columns if column and column not in ids] or [*columns]
    if (nested := [column for column in columns if column.startswith("name.")]) and not name and "name" not in columns:
        raise UserError(f"{path}: the name is nested: name a column with --name {nested[0]}")
    names = name.split(",") if name else ["name"] if "name" in columns else rest[:1]
    facts, first, guessed = [], {}, rows and not name and names != ["name"]
    for where, row in rows:
        called = ", ".join(checked(row.get(column) or "", f"{where}, column {column!r}") for column in names)
        if guessed and (there := first.setdefault(called, where)) != where:
            both = ",".join([*rest, "COLUMN"][:2])
            raise UserError(f"{where}: {called[:40]!r} stands twice in column {names[0]!r}: use --name {both} or leave "
                            f"one out; see {there}")  # fmt: skip
        heading = checked(row["attribute"] or "", f"{where}, column 'attribute'") if "attribute" in row else None
        told = len(facts)
        for column, cell in row.items():
            text, place = (cell or "").strip(), f"{where}, column {column!r}"
            if column in names or column in ("attribute", ""):
                continue
            if column in ids:
                left_out[f"cells of {column!r}, which numbers the rows"] += 1
            elif cell is None:
                left_out["lists of several values"] += 1
            elif text in EMPTY:
                left_out["empty cells"] += 1
            elif text == called:
                left_out["cells that repeat the name"] += 1
            else:
                facts.append((called, heading or column, checked(cell, place), place))
        left_out["names without a fact"] += not heading and len(facts) == told
    if guessed:
        print(f"The column {names[0]!r} is the name: --name takes another.")
    return facts


def pair_columns(path: Path, columns: dict) -> list[str] | None:
    """The columns of questions and of answers, by their headings; None where there are no such ones. Raises UserError
    for questions in place of headings."""
    found = [next((text for text in columns if text.casefold() in known), None) for known in PAIRS["headings"].values()]
    if all(found):
        return found
    for number, (heading, cells) in enumerate(columns.items(), 1):
        asks = [text.endswith(("?", "？")) for text in (heading, *cells)]
        if asks[0] and ("" in columns or sum(asks) > 1):
            raise UserError(f"{path}: there seems to be no header: write the names of the columns into the first row, "
                            f"or name them by number, as --question {number} --answer {number + 1}")  # fmt: skip
    return None


def paired(rows: list, question: str, answer: str, left_out: Counter) -> tuple[list[tuple[str, ...]], dict]:
    """Questions and answers as facts: the question is the name of what has this answer. And all questions of each,
    several where a column `fact` says that they ask for one. Raises UserError for two answers to one question."""
    facts, answers, wordings = [], {}, {}
    for where, row in rows:
        cells = {column: (cell or "").strip() for column, cell in row.items() if column}
        asked, told, fact = (cells.pop(column, "") for column in (question, answer, "fact"))
        left_out.update(f"cells of {column!r}, beside the pairs" for column in cells)
        if asked in EMPTY or told in EMPTY:
            left_out["pairs with an empty cell"] += 1
            continue
        asked, told = checked(asked, f"{where}, column {question!r}"), checked(told, f"{where}, column {answer!r}")
        key = " ".join(normalize("NFKC", asked).casefold().split())
        group = ("fact", fact) if fact else key
        for before, there in (answers[same] for same in (key, group) if same in answers):
            if before != told:
                raise UserError(f"{where}: {asked[:40]!r} is answered by {before[:40]!r} and {told[:40]!r}: keep one; "
                                f"see {there}")  # fmt: skip
        if key in answers:
            left_out["pairs that stand twice"] += 1
        elif len(WORD.findall(told)) > WORDS:
            left_out[f"pairs with an answer of more than {WORDS} words"] += 1
        elif told == asked:
            left_out["cells that repeat the name"] += 1
        elif group in wordings:
            wordings[group].append(asked)
        else:
            facts.append((asked, "answer", told, f"{where}, column {answer!r}"))
            wordings[group] = [asked]
        answers |= {key: (told, where), group: (told, where)}
    print(f"{len(facts)} pairs from {question!r} and {answer!r}. A column 'fact' would join questions for one fact.")
    return facts, {questions[0]: questions for questions in wordings.values()}


def said(record: dict, where: str, left_out: Counter) -> dict | None:
    """A record of `messages` as a question and its answer; None for another conversation, which is counted."""
    others = {key: value for key, value in record.items() if key != "messages"}
    try:
        turns = [(turn["role"], turn["content"]) for turn in record["messages"]]
    except (TypeError, KeyError):
        turns = [(None, None)]
    if not all(isinstance(text, str) for turn in turns for text in turn):
        raise UserError(f"{where}: messages: expected a list, each with a role and with a text as its content")
    asked = [turn for turn in turns if turn[0] != "system"]
    if [role for role, _ in asked] != ["user", "assistant"]:
        left_out["conversations of more than a question and an answer"] += 1
        return None
    left_out["system messages"] += len(turns) - 2
    return others | {"question": asked[0][1], "answer": asked[1][1]}


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
