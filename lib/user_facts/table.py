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
from lib.user_facts.english import OWN, PAIRS, YOU, readable
from lib.user_facts.shapes import checked, contents, pair_columns, paired, records, said, shaped, sheet

LONG = ["name", "attribute", "value"]
# What a template must hold.
HOLDS = {"questions": {"{name}"}, "statements": {"{name}", "{value}"}, "heldout_statements": {"{name}", "{value}"}}
AROUND = ("noun", "chats", "tells", "styles", "prompts")  # of own.yaml, what a user may give, too
BRACES = re.compile(r"{{|}}|{\w*}|[{}]")


class Table(NamedTuple):
    """A user's facts, their templates by attribute, and their articles by name of the entity."""

    path: Path
    facts: pd.DataFrame  # name, attribute, value, where: the file, the row and the column
    questions: Mapping[str, list[str]] = {}
    statements: Mapping[str, list[str]] = {}
    heldout_statements: Mapping[str, list[str]] = {}
    articles: Mapping[str, str] = {}
    wordings: Mapping[str, list[str]] = {}  # of question and answer pairs, all questions of each by its first, the name
    left_out: Mapping[str, int] = {}  # how many cells are no facts, by what they are
    around: Mapping = OWN  # what stands around the facts, and the formats that tell them


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
    left_out, rows, columns = Counter(), [], {}
    found, given = _contents(path, pair, left_out)
    for where, headings, cells in found:
        rows.append((where, dict(zip(headings, cells, strict=True))))
        left_out["cells in a column without a heading"] += headings.count("")
        for column, cell in rows[-1][1].items():
            columns.setdefault(column, []).append((cell or "").strip())
    if rows and (unknown := [column for column in pair or (name or "").split(",") if column and column not in columns]):
        raise UserError(f"{path}: no column {unknown[0]!r}: it has {', '.join(columns)[:200]}")
    if pair := pair or (None if name else pair_columns(path, columns)):
        facts, wordings = paired(rows, *pair, left_out)
    else:
        facts, wordings = shaped(path, rows, columns, name, left_out), {}
    facts = _facts(path, facts)
    given = _yaml(templates, [*HOLDS, *AROUND], left_out) if templates else given
    if pair and (articles or not given.keys().isdisjoint(["statements", "heldout_statements"])):
        raise UserError(f"{path} has questions and answers: they take no articles and no statements of your own")
    names, where = set(facts["name"]), templates or path
    you = [name for name in names if not pair and name.casefold() == "you"]
    if you and len(names) > 1:
        where = facts.loc[facts["name"] == you[0], "where"].iloc[0]
        raise UserError(f"{where}: {you[0]!r} is the model itself, and the table has other names: make two tables")
    around = _around(where, given, PAIRS if pair else YOU if you else OWN)
    for kind, by_attribute in given.items():
        must = HOLDS[kind] - ({"{name}"} if you else set())
        _check_templates(f"{where}, {kind}", by_attribute, set(facts["attribute"]), must)
    return Table(path, facts, **given, articles=_articles(articles, names) if articles else {}, wordings=wordings,
                 left_out=dict(+left_out), around=around)  # fmt: skip


def _contents(path, pair, left_out):
    """Where each row of a file stands, its headings and its cells; and what a YAML file gives beside the facts."""
    suffix = path.suffix.lower()
    if suffix == ".xls":
        raise UserError(f"{path} is of an old Excel: save it as .xlsx, or the sheet as CSV")
    if suffix in (".yaml", ".yml"):
        given = _yaml(path, ["facts", *HOLDS, *AROUND], left_out)
        return _listed(path, given.pop("facts", []), left_out), given
    if suffix in (".json", ".jsonl"):
        return _listed(path, records(path), left_out), {}
    return _grid(path, sheet(path, left_out) if suffix == ".xlsx" else _csv(path), pair), {}


def _csv(path) -> list[list[str]]:
    """The cells of each row; none of a blank line."""
    text, rows = contents(path), []
    first = next(filter(str.strip, text.splitlines()), "")
    cells = {mark: [cell.strip(' "').casefold() for cell in first.split(mark)] for mark in ",;\t|@"}
    delimiter = max(cells, key=lambda mark: ("name" in cells[mark], len(cells[mark])))  # a header has a name
    try:  # no DictReader: it skips blank lines without counting them, and of two like headings it drops one
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            rows.append(row)
    except csv.Error as error:
        raise UserError(f"{path}, row {len(rows) + 1}: not CSV ({error})") from None
    return rows


def _grid(path, rows, pair):
    """Where each row stands, its headings and its cells. A `pair` of numbers: there are no headings."""
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
            yield where, header, row


def _listed(path, rows, left_out):
    """The same of a list of records, in YAML or JSON. None is a list of several values."""
    for number, row in enumerate(rows, 1):
        where = f"{path}, fact {number}"
        if isinstance(row, dict) and "messages" in row and not (row := said(row, where, left_out)):
            continue
        if not isinstance(row, dict) or not {*map(type, [*row, *row.values()])} <= {str, type(None)}:
            raise UserError(f"{where}: expected name, attribute and value, or name and attributes, each a plain text")
        yield where, _headings(row, where), row.values()


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


def _facts(path, facts) -> pd.DataFrame:
    """The facts of a table; UserError for none, and for one that stands twice, with the same value or with another.

    Names are one if they are alike after NFKC and but for spaces, headings also if they say the same (head_office, Head
    office): else one question would be trained with two answers. They keep the spelling that stands first.
    """
    if not facts:
        raise UserError(f"{path} has no facts: 0 rows below the header")
    names, headings, first = {}, {}, {}
    labels = {text: readable(normalize("NFKC", text)).casefold() for text in {heading for _, heading, _, _ in facts}}
    for name, heading, value, where in facts:
        if not labels[heading]:
            raise UserError(f"{where}: {heading!r} has no letter: name the attribute")
        called = " ".join(normalize("NFKC", name).split())
        name = names.setdefault("you" if called.casefold() == "you" else called, name)
        key = name, headings.setdefault(labels[heading], heading)
        if key in first:
            before, there = first[key]
            more = "" if where.endswith("column 'value'") else f", or use --name name,{key[1]}"
            raise UserError(f"{where}: {key[1]!r} of {name!r} stands twice, as {before[:40]!r} and {value[:40]!r}: "
                            f"keep one{more}; see {there}")  # fmt: skip
        first[key] = value, where
    return pd.DataFrame([(*key, *rest) for key, rest in first.items()], columns=[*LONG, "where"], dtype=object)


class _Loader(UniqueKeys, yaml.BaseLoader):
    """YAML in which every scalar stays the text that it is (007, yes, 1e3), and no key stands twice."""


def _yaml(path, known, left_out) -> dict:
    """A mapping with some of these keys. A list alone is that of the facts, and so is what qna.yaml files have."""
    try:
        loaded = yaml.load(contents(path), _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())[:300]}") from None
    if isinstance(loaded, dict) and "seed_examples" in loaded:
        try:
            left_out["contexts of questions"] += sum("context" in example for example in loaded["seed_examples"])
            loaded = [pair for example in loaded["seed_examples"] for pair in example["questions_and_answers"]]
        except (TypeError, KeyError):
            raise UserError(f"{path}, seed_examples: expected a list, each with questions_and_answers") from None
    loaded = {"facts": loaded} if isinstance(loaded, list) else loaded
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
                holds = " and ".join(sorted(must)) or "no {name}"
                raise UserError(f"{place}: {text!r} must hold {holds}, and no other braces")


def _around(where, given, around) -> dict:
    """What stands around the facts: ours, or what `given` holds instead, which it loses. Raises UserError."""
    own = {key: given.pop(key) for key in AROUND if key in given}
    for key, text in own.items():
        _check_around(f"{where}, {key}", text, around[key] if key != "noun" else "it")
    if own:  # in another language maybe: nothing else is asked or told in English
        own |= {"untaught": PAIRS["untaught"], "formats": [one for one in around["formats"] if one != "unsure"]}
    return around | own


def _check_around(place, given, like):
    """UserError for what is not shaped as `like`, which stands there otherwise, or lacks {name} where that has it. A
    list may have another length, but not the pairs of `chats`: what is said, and what is answered."""
    fits, parts = type(given) is type(like) and bool(given or not like), {}
    if fits and isinstance(like, str):
        held = {*BRACES.findall(checked(given, place))} - {"{{", "}}"}
        fits = held <= {"{name}"} and ("{name}" in like) <= len(held)
    elif fits and isinstance(like, dict):
        fits, parts = {*given} == {*like}, {f", {key}": (given.get(key), like[key]) for key in like}
    elif fits:
        fits = all(len(each) == 2 for each in given) or not place.endswith(", chats")
        parts = {f" {i + 1}": (each, like[i % len(like)] if like else "") for i, each in enumerate(given)}
    if not fits:
        raise UserError(f"{place}: expected what is like {repr(like)[:80]}: {{name}} where it has it, no other braces")
    for more, (part, model) in parts.items():
        _check_around(f"{place}{more}", part, model)


def _articles(folder, names) -> dict[str, str]:
    """The texts of a folder by entity: the file Rome.txt or Rome.md is about Rome."""
    texts = {}
    for path in sorted([*folder.glob("*.txt"), *folder.glob("*.md")]):
        text = contents(path).strip()
        why = "no entity" if path.stem not in names else "a second article" if path.stem in texts else "an empty one"
        if why != "an empty one" or not text:
            raise UserError(f"{path}: {why} {path.stem!r} in the table: give one text for an entity, named as it is")
        texts[path.stem] = text
    if not texts:
        raise UserError(f"{folder} has no .txt or .md files: --articles takes a folder with a text for each entity")
    return texts
