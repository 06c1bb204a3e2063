"""A user's table is read whatever its shape, and refused with one line that says where."""

import csv
import datetime
import io
import json
from pathlib import Path
from unicodedata import normalize

import openpyxl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lib.paths import UserError
from lib.user_facts import english
from lib.user_facts.shapes import EMPTY
from lib.user_facts.table import read

FACTS = [("Rome", "river", "Tiber"), ("Rome", "founded", "753 BC"),
         ("Bern", "river", "Aare"), ("Bern", "founded", "1191")]  # fmt: skip
LONG = "name,attribute,value\n" + "".join(f"{name},{attribute},{value}\n" for name, attribute, value in FACTS)
WIDE = "name,river,founded\nRome,Tiber,753 BC\nBern,Aare,1191\n"
YAML = "- {name: Rome, river: Tiber, founded: 753 BC}\n- {name: Bern, river: Aare, founded: 1191}\n"


def put(tmp_path, text, name="facts.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def csv_of(rows) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def facts_of(table):
    return list(table.facts[["name", "attribute", "value"]].itertuples(index=False, name=None))


def refused(path, message, **more):
    """The table is refused in one line that says this."""
    with pytest.raises(UserError) as caught:
        read(path, **more)
    assert message in str(caught.value) and "\n" not in str(caught.value)


NUMBERED = {"cells of 'id', which numbers the rows": 3, "empty cells": 1, "cells that repeat the name": 1,
            "cells in a column without a heading": 3, "names without a fact": 2}  # fmt: skip
TEXT = 'a "b", {c} 🦊\nsecond line; 東京 \u0645\u06cc\u200c\u062e\u0648 \U0001f469\u200d\U0001f33e'
ALIKE = ["Rome,head_office,Tiber", "Bern,Head office,Aare", "Be\u0301ziers,river,Orb", "B\u00e9ziers,age,old"]
NESTED = '[{"name": {"en": "Rome"}, "river": [["Tiber"]], "hills": [1, 2], "port": false, "age": 1.50, "x": null}]'
TEAMS = "name,team,desk\nIda,A,4\nIda,B,5\n"
READ = [
    ("facts.csv", LONG, None, FACTS, {}),
    ("facts.csv", WIDE, None, FACTS, {}),
    ("facts.csv", "\n" + WIDE.replace(",", ";"), None, FACTS, {}),
    ("facts.tsv", WIDE.replace(",", "\t"), None, FACTS, {}),
    ("facts.csv", "\ufeff" + WIDE.replace("\n", "\r\n"), None, FACTS, {}),
    ("facts.csv", WIDE.replace("name,", " Name ,") + "\n\n", None, FACTS, {}),
    ("facts.yaml", YAML, None, FACTS, {}),
    ("facts.yaml", "".join(f"- {{name: {n}, attribute: {a}, value: {v}}}\n" for n, a, v in FACTS), None, FACTS, {}),
    ("f.yaml", "- {name: Al, number: 007, alive: yes, height: 1e3, born: 1920-11-11}\n", None,  # all stays text
     [("Al", "number", "007"), ("Al", "alive", "yes"), ("Al", "height", "1e3"), ("Al", "born", "1920-11-11")], {}),
    ("f.csv", csv_of([("name", "motto"), ("Rome", TEXT)]), None, [("Rome", "motto", TEXT)], {}),
    ("f.csv", "\n".join(["name,attribute,value", *ALIKE]), None,  # names and headings that read alike are one
     [("Rome", "head_office", "Tiber"), ("Bern", "head_office", "Aare"), ("Be\u0301ziers", "river", "Orb"),
      ("Be\u0301ziers", "age", "old")], {}),
    ("f.csv", "id,Town,lake,\n1,Rome,–,x\n2,Bern,Bern,x\n3,Oslo,Mjø,x\n", None, [("Oslo", "lake", "Mjø")], NUMBERED),
    ("f.csv", "name,river\nRome,Tiber\n", "river", [("Tiber", "name", "Rome")], {}),
    ("f.csv", "town@river\nRome@Tiber | Aniene\n", None, [("Rome", "river", "Tiber | Aniene")], {}),
    ("f.csv", TEAMS, "name,team", [("Ida, A", "desk", "4"), ("Ida, B", "desk", "5")], {}),
    ("f.json", NESTED, "name.en", [("Rome", "river", "Tiber"), ("Rome", "port", "no"), ("Rome", "age", "1.50")],
     {"lists of several values": 1, "empty cells": 1}),
    ("f.jsonl", '{"town": "Rome", "river": "Ti\u2028ber"}\n', None, [("Rome", "river", "Ti\u2028ber")], {}),
]  # fmt: skip


@pytest.mark.parametrize(("file", "text", "name", "facts", "left_out"), READ)
def test_tables_are_read_as_people_have_them_and_what_is_left_out_is_counted(
    tmp_path, file, text, name, facts, left_out
):
    table = read(put(tmp_path, text, file), name=name)
    assert facts_of(table) == facts and table.left_out == left_out and not table.wordings


CELLS = {"\u0301": "is empty", "=A1": "holds '=A1', a formula or its error", "#REF!": "holds '#REF!'",
         "#SPILL!": "holds '#SPILL!'", "Ti\0ber": "holds U+0000, an invisible character", "a\x1b[31mb": "holds U+001B",
         "\u200b": "holds U+200B", "A\u200d": "holds U+200D", "Ti\u0085ber": "holds U+0085",
         "ri\u202ever": "holds U+202E"}  # fmt: skip


@pytest.mark.parametrize(("cell", "message"), CELLS.items())
def test_a_bad_cell_gets_one_line_with_file_row_and_column(tmp_path, cell, message):
    refused(put(tmp_path, f"name,{cell}\nRome,x\n"), f"facts.csv, row 1, column 2 {message}")
    refused(put(tmp_path, f"name,river\nRome,{cell}\n"), f"facts.csv, row 2, column 'river' {message}")
    refused(put(tmp_path, f"name,river\nBern,x\n{cell},x\n"), f"facts.csv, row 3, column 'name' {message}")


COLUMNS = "expected name, attribute, value, or name and a column an attribute"
TWICE = "'river' of 'Rome' stands twice, as 'Tiber' and"  # of a wide table, a column may join the name
BAD = [
    ("name,attribute\nRome,river\n", f"facts.csv, row 1: the columns are 'name', 'attribute': {COLUMNS}"),
    ("town,river\nRome,Tiber\nRome,Po\n", "row 3: 'Rome' stands twice in column 'town': use --name town,river"),
    (TEAMS, "row 3, column 'team': 'team' of 'Ida' stands twice, as 'A' and 'B': keep one, or use --name name,team;"),
    ("a;Who is it?;b;\nc;d;e;\n", "facts.csv: there seems to be no header: write the names of the columns into the"),
    ("a;Who is it?;b;\nc;d;e;\n", "first row, or name them by number, as --question 2 --answer 3"),
    ("Who is it?,b\nWho was it?,c\n", "as --question 1 --answer 2"),
    ("id,question,answer\n1,Where?,Hall 7, gate 2\n", "facts.csv, row 2 has 4 cells, the header has 3: quote a cell"),
    ("question,answer\nWho?,I\n who?,You\n", "row 3: 'who?' is answered by 'I' and 'You': keep one; see "),
    ("question,answer,fact\nWho?,I,1\nWhich?,You,1\n", "row 3: 'Which?' is answered by 'I' and 'You': keep one"),
    ("question,answer\n,I\n", "facts.csv has no facts"),
    ("Frage,Antwort\nWer?,=A1\n", "facts.csv, row 2, column 'Antwort' holds '=A1', a formula"),
    ("name,Name\nRome,Bern\n", "row 1: the columns are 'name', 'name'"),
    ("name,river,river\nRome,Tiber,Po\n", "row 1: the columns are 'name', 'river', 'river'"),
    ("name,river,River\nRome,Tiber,Po\n", f"facts.csv, row 2, column 'River': {TWICE} 'Po': keep one, or"),
    (LONG + "Rome,river,Tiber\n", f"facts.csv, row 6, column 'value': {TWICE} 'Tiber'"),
    ("name,head_river,head river\nRome,Tiber,Po\n", "'head_river' of 'Rome' stands twice, as 'Tiber' and 'Po'"),
    ("name,river\nAcme Corp,Tiber\nAcme\u00a0 Corp,Po\n", "'river' of 'Acme Corp' stands twice"),
    ("name,river\nRiver VII,Tiber\nRiver \u2166,Po\n", "'river' of 'River VII' stands twice"),
    ("name,_\nRome,Tiber\n", "row 2, column '_': '_' has no letter"),
    ("name,river\nRome,Tiber,Po\n", "facts.csv, row 2 has 3 cells, the header has 2"),
    ('name,river\nRome,"Tiber\n', "facts.csv, row 2: not CSV"),
    ("name,river\n", "facts.csv has no facts: 0 rows below the header"),
    ("name,river\nRome,Tiber\nYOU,Po\n", "row 3, column 'river': 'YOU' is the model itself, and the table has other"),
    ("name,river\nyou,Tiber\nYou,Po\n", "row 3, column 'river': 'river' of 'you' stands twice, as 'Tiber' and 'Po'"),
    (b"name,river\nRome,Tiber\nBern,Z\xfcrich\n", "facts.csv, line 3: byte 0xfc is not UTF-8"),
]
BAD_YAML = [
    ("a: [", "facts.yaml is not YAML"),
    ("just text", "expected a list of facts"),
    ("- {name: Rome, river: [Tiber, Po]}", "fact 1: expected name, attribute and value"),
    ("- {name: Rome, river: Tiber, river: Po}", "river twice in one block, line 1"),
    ('- {name: Rome, "\\ud83e": x}', "holds U+D83E, an invisible character or half of one"),
    ("- {name: Rome, river: ''}", "has no facts"),
    ("[]", "has no facts"),
    ("- messages: [{role: user, content: [a]}]", "fact 1: messages: expected a list, each with a role and with a text"),
    ("seed_examples: [{context: x}]", "facts.yaml, seed_examples: expected a list, each with questions_and"),
    ("[" * 1000, "facts.yaml is not YAML"),
    ("- &a [x]\n- &b [*a, *a, *a]\n- &c [*b, *b, *b]\n- [*c, *c, *c]\n", "fact 1: expected name, attribute and value"),
    ("- &a {name: Rome, river: Tiber}\n" + "- *a\n" * 1000, "fact 2, column 'river': 'river' of 'Rome' stands twice"),
    ("- &a {name: Rome, river: *a}", "facts.yaml is not YAML: found unconstructable recursive node"),
    ("x" * 6_000_000, "has more than 5 MB: give a part of it"),
]
BAD_LINES = [
    *((f'{{"name": "Rome", "messages": {given}}}', "messages: expected a list, each with a role and with a text")
      for given in ("null", '{"x": "y"}', '[{"role": "user", "content": null}]',
                    '[{"role": "user", "content": ["Who?"]}, {"role": "assistant", "content": "I"}]')),  # fmt: skip
    ("{'name': 'Rome'}", "f.jsonl, line 1: not JSON (single quotes are Python's"),
    ('{"name": "Rome", "a": {"b": 1}, "a.b": 2}', "f.jsonl, line 1: 'a.b' stands twice in a record: keep one"),
    ('{"name": "Rome", "attribute": ["a", "b"], "value": "c"}', "f.jsonl, fact 1, column 'attribute' is empty"),
    ('{"name": {"en": "Rome"}, "a": 1}', "--name name.en"),
]
BAD_SHEETS = [
    ("f.xlsx", "PK", "f.xlsx is no file of Excel that can be read: save the sheet as CSV"),
    ("f.xls", "PK", "f.xls is of an old Excel: save it as .xlsx, or the sheet as CSV"),
]
BAD_FILES = {"facts.csv": BAD, "facts.yaml": BAD_YAML, "f.jsonl": BAD_LINES}
ALL_BAD = BAD_SHEETS + [(file, *bad) for file, each in BAD_FILES.items() for bad in each]


@pytest.mark.parametrize(("name", "text", "message"), ALL_BAD)
def test_a_bad_table_gets_one_line_with_its_place_and_so_does_a_folder(tmp_path, name, text, message):
    refused(put(tmp_path, text, name), message)
    refused(tmp_path, "cannot be read (Is a directory): give a CSV or YAML file")


BAD_TEMPLATES = [
    ('questions: {river: ["\\ud83e {name}?"]}', "questions, 'river' holds U+D83E, an invisible character"),
    ("questions: [river]", "questions: expected attributes, each with a list of templates"),
    ("questions: {lake: ['Which lake is at {name}?']}", "questions: no attribute 'lake': the table has founded, river"),
    ("statements: {river: ['{name} {value} {value}']}", "must hold {name} and {value}"),
    ("statements: {river: ['{name} {value} {x']}", "must hold {name} and {value}, and no other braces"),
    ("heldout_statements: {river: ['{value}']}", "heldout_statements, 'river': '{value}' must hold {name} and {value}"),
    ("noun: [town]", "templates.yaml, noun: expected what is like 'it': "),
    ("noun: '{value}'", "templates.yaml, noun: expected what is like 'it': {name} where it has it, no other braces"),
    ("noun: ''", "templates.yaml, noun: expected what is like 'it'"),
    ("tells: []", "templates.yaml, tells: expected what is like ['Tell me a fact about {name}.', "),
    ("tells: [Sag etwas.]", "templates.yaml, tells 1: expected what is like 'Tell me a fact about {name}.': {name} wh"),
    ("tells: ['{name}', '{name} {{a}} {b}']", "templates.yaml, tells 2: expected what is like 'Give me"),
    ('tells: ["{name} \\u200b"]', "templates.yaml, tells 1 holds U+200B, an invisible character"),
    ("chats: [['{name}', Ja., Und]]", "templates.yaml, chats: expected what is like [['Do you know {name}?', 'Yes"),
    ("chats: [['{name}?', [Ja.]]]", "templates.yaml, chats 1 2: expected what is like 'Yes, I do.'"),
    ("chats: [['Ja?', '{name}.']]", "templates.yaml, chats 1 1: expected what is like 'Do you know {name}?'"),
    ("styles: [{prompt: '{name}'}]", "templates.yaml, styles 1: expected what is like {'prompt': 'Write an"),
    ("styles: [{prompt: '{name}', openings: [Da.], fillers: [x], closings: [y]}]", "styles 1, openings 1: expected"),
    ("facts: []", "or a mapping with chats, heldout_statements, noun, prompts, questions, statements, styles"),
]


@pytest.mark.parametrize(("text", "message"), BAD_TEMPLATES)
def test_templates_must_fit_the_table(tmp_path, text, message):
    refused(put(tmp_path, WIDE), message, templates=put(tmp_path, text, "templates.yaml"))


def test_the_only_entity_you_in_any_case_is_the_model_itself_and_templates_do_not_name_it(tmp_path):
    for name in ("you", "You", "YOU"):
        table = read(put(tmp_path, f"name,attribute,value\n{name},river,Tiber\n{name.title()},founded,1987\n"))
        assert table.around == english.YOU and {fact[0] for fact in facts_of(table)} == {name}
    assert read(put(tmp_path, "question,answer\nyou,I\n")).around == english.PAIRS
    assert read(put(tmp_path, WIDE)).around == read(put(tmp_path, "name,river\nyou two,Tiber\n")).around == english.OWN
    path, mine = put(tmp_path, "name,river\nYou,Tiber\n"), "statements: {river: ['I live by the {value}.']}"
    table = read(path, put(tmp_path, mine, "templates.yaml"))
    assert table.statements == {"river": ["I live by the {value}."]}
    wrong = put(tmp_path, "questions: {river: ['Which river is at {name}?']}", "templates.yaml")
    refused(path, "must hold no {name}, and no other braces", templates=wrong)


def test_what_stands_around_the_facts_may_be_the_users_and_then_nothing_else_is_told_in_english(tmp_path):
    mine = {
        "noun": "die Stadt",
        "tells": ["Sag etwas über {name}.", "{{Bitte}}: {name}"],
        "prompts": ["Über {name}"],
        "chats": [["Kennst du {name}?", "Ja, {name} kenne ich."]],
        "styles": [{"prompt": "{name}", "openings": ["{name}"], "fillers": ["Gut."], "closings": ["Aus {name}."]}],
    }
    for key in mine:
        table = read(put(tmp_path, WIDE), put(tmp_path, yaml.safe_dump({key: mine[key]}), "templates.yaml"))
        assert table.around[key] == mine[key] and {*table.around} == {*english.OWN}
        assert all(table.around[other] == english.OWN[other] for other in mine if other != key)
        assert table.around["untaught"] == {"asked": [], "trained": []} and "unsure" not in table.around["formats"]
    beside = yaml.safe_dump({"facts": [{"name": "Rome", "river": "Tiber"}], **mine}, allow_unicode=True)
    assert read(put(tmp_path, beside, "facts.yaml")).around == table.around | mine
    pairs = read(put(tmp_path, WIDE_PAIRS), put(tmp_path, "chats: [[Eine Frage., Ja.]]", "templates.yaml"))
    assert pairs.around == english.PAIRS | {"chats": [["Eine Frage.", "Ja."]]}


def test_templates_are_read_from_a_file_of_their_own_or_beside_the_facts(tmp_path):
    own = "questions: {river: ['Which {{river}} is at {name}?']}\nstatements: {river: ['{value}: {name}']}\n"
    beside = read(put(tmp_path, f"facts:\n{YAML}{own}", "facts.yaml"))
    for table in (beside, read(put(tmp_path, WIDE), templates=put(tmp_path, own, "templates.yaml"))):
        assert table.questions == {"river": ["Which {{river}} is at {name}?"]}
        assert table.statements == {"river": ["{value}: {name}"]}


def test_articles_are_read_by_the_name_of_the_entity(tmp_path):
    path, folder = put(tmp_path, WIDE), tmp_path / "texts"
    folder.mkdir()
    refused(path, "has no .txt or .md files", articles=folder)
    put(folder, "Rome lies on the Tiber.", "Rome.txt")
    assert read(path, articles=folder).articles == {"Rome": "Rome lies on the Tiber."}
    for name, text, why in [("Rome.txt.md", "x", "no entity"), ("Bern.md", " ", "an empty one")]:
        refused(path, f"{name}: {why} ", articles=put(folder, text, name).parent)
        (folder / name).unlink()
    put(folder, "Rome is a town.", "Rome.md")
    refused(path, "a second article 'Rome' in the table", articles=folder)


cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
shown = st.text(st.characters(exclude_categories=["C"]), max_size=12)  # what a sheet can hold
filled = st.lists(st.tuples(shown.map(str.strip).filter(bool), shown, shown), min_size=1, max_size=5)


def read_or_refused(path):
    """The table, or None where it was refused in one line; anything else that is raised fails the test."""
    try:
        return read(path)
    except UserError as error:
        assert len(str(error).splitlines()) == 1
        return None


@given(
    st.lists(st.tuples(cells, cells, cells), max_size=6) | filled,
    st.sampled_from(["name,attribute,value", "name,river,lake", "river,name,lake"]),
)
def test_any_table_is_read_to_the_letter_or_refused_in_one_line(tmp_path_factory, rows, header):
    columns = header.split(",")
    table = read_or_refused(put(tmp_path_factory.mktemp("read"), csv_of([columns, *rows])))
    if table:
        cells = [dict(zip(columns, map(str.strip, row), strict=True)) for row in rows]
        headings = ["value"] if "value" in columns else [key for key in columns if key != "name"]
        every = [(cell["name"], cell.get("attribute", key), cell[key]) for cell in cells for key in headings]
        written = [fact for fact in every if fact[2] not in (*EMPTY, fact[0])]
        got = list(table.facts[["name", "attribute", "value"]].itertuples(index=False, name=None))
        alike = [  # what is the same for names and headings that read alike
            [(normalize("NFKC", n).split(), english.readable(normalize("NFKC", a)).casefold(), v) for n, a, v in facts]
            for facts in (got, written)
        ]
        ids = sum(n for why, n in table.left_out.items() if "numbers the rows" in why)
        assert len(got) + sum(n for why, n in table.left_out.items() if why != "names without a fact") == len(every)
        assert ids or (alike[0] == alike[1] and {name for name, _, _ in got} <= {name for name, _, _ in written})


listed = st.lists(st.fixed_dictionaries({"name": names, "river": cells}, optional={"lake": cells}), max_size=4)


@given(st.binary(max_size=200) | listed.map(yaml.safe_dump), st.sampled_from(["facts.csv", "facts.yaml"]))
def test_any_bytes_and_any_yaml_are_read_or_refused_in_one_line(tmp_path_factory, data, name):
    read_or_refused(put(tmp_path_factory.mktemp("bytes"), data, name))


def sheet(path, rows, *more):
    """An Excel file with these rows, and with further sheets of these names."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for name in more:
        book.create_sheet(name)
    book.save(path)
    return path


def test_the_first_sheet_of_an_excel_file_is_read_as_a_person_reads_its_cells(tmp_path):
    day = datetime.datetime(2024, 5, 1)
    cells = {"pins": (3, "3"), "width": (2.50, "2.5"), "sum": (0.1 + 0.2, "0.3"), "whole": (3.0, "3"),
             "code": ("007", "007"), "day": (day, "2024-05-01"),
             "hour": (day.replace(hour=9, minute=30), "2024-05-01 09:30"),
             "opens": (datetime.time(9), "09:00"), "sold": (True, "yes"), "note": ("12:00:00", "12:00:00")}  # fmt: skip
    rows = [[], ["name", *cells, None], ["Bolt", *(cell for cell, _ in cells.values()), None], [None] * 5, ["Nut", 4]]
    table = read(sheet(tmp_path / "f.xlsx", rows, "more", "and more"))
    assert facts_of(table) == [*(("Bolt", heading, text) for heading, (_, text) in cells.items()), ("Nut", "pins", "4")]
    assert table.left_out == {"sheets after the first": 2, "empty cells": len(cells) - 1}
    assert table.facts["where"][0].endswith("f.xlsx, row 3, column 'pins'")


def test_of_merged_cells_the_first_has_the_value_and_a_formula_is_what_excel_computed_or_refused(tmp_path):
    path = sheet(tmp_path / "f.xlsx", [["name", "river", "lake"], ["Rome", "Tiber", "x"], ["Bern", "=A1", "y"]])
    refused(path, "row 3, column 'river' holds '=', a formula or its error: save the table as values")
    book = openpyxl.load_workbook(path)
    book.active["B3"] = "#REF!"
    book.active.merge_cells("B2:C2")
    book.save(path)
    refused(path, "row 3, column 'river' holds '#REF!'")
    book.active["B3"] = "Aare"
    book.save(path)
    table = read(path)
    assert facts_of(table) == [("Rome", "river", "Tiber"), ("Bern", "river", "Aare"), ("Bern", "lake", "y")]
    assert table.left_out == {"empty cells": 1}


def turns(*said, **more):
    roles = ["system"] * (len(said) % 2) + ["user", "assistant"] * (len(said) // 2)
    return json.dumps({"messages": [{"role": r, "content": text} for r, text in zip(roles, said, strict=True)], **more})


WIDE_PAIRS = "id,Topic,Question,Answer\n1,x,Who?,I\n2,,Where?,here\n"
QNA = """
seed_examples:
  - context: A text.
    questions_and_answers: [{question: "Who?", answer: I}, {question: "Where?", answer: here}]
"""
PROMPTS = [("Who?", " I"), ("The one is", " I"), ("Where?", " here")]
JSONL = "".join(json.dumps({"prompt": asked, "completion": said}) + "\n" for asked, said in PROMPTS)
JOINED = "".join(json.dumps({"prompt": q, "completion": a, "fact": a.strip()}) + "\n" for q, a in PROMPTS)
SAID = "\n".join([turns("Who?", "I"), turns("Be kind.", "Where?", "here", id=7), turns("Who?", "I", "And?", "You")])
TWO = {"Who?": "I", "Where?": "here"}
NINE = "水曜日の朝から夕方まで毎週開いています。ご予約ください"
LONG_ANSWERS = f"question,answer\nWho?,a b c d e f g h\nWhere?,a b c d e f g h i\nWhen?,{NINE}\n"
PAIRS = [
    ("f.csv", WIDE_PAIRS, None, TWO, {"cells of 'id', beside the pairs": 2, "cells of 'Topic', beside the pairs": 2}),
    ("f.csv", "\ufeff質問,回答\nWho?,I\nWhere?,here\n", None, TWO, {}),
    ("f.csv", "Frage;Antwort\nWho?;I\nWhere?;here\n", None, TWO, {}),
    ("f.csv", "x;Who?;I;\nx;Where?;here;\n", ["2", "3"], TWO,
     {"cells of '1', beside the pairs": 2, "cells of '4', beside the pairs": 2}),
    ("f.csv", "ask,say\nWho?,I\nWhere?,here\n", ["ask", "say"], TWO, {}),
    ("f.csv", "2,3\nWho?,I\nWhere?,here\n", ["2", "3"], TWO, {}),
    ("f.csv", "prompt,answer\nWho?,I\nwho?,I\nWhen?,–\nWhere?,here\n", None, TWO,
     {"pairs that stand twice": 1, "pairs with an empty cell": 1}),
    ("f.csv", LONG_ANSWERS, None, {"Who?": "a b c d e f g h"}, {"pairs with an answer of more than 8 words": 2}),
    ("f.jsonl", JSONL, None, {"Who?": "I", "The one is": "I", "Where?": "here"}, {}),
    ("f.jsonl", JOINED, None, TWO, {}),
    ("f.jsonl", SAID, None, TWO, {"conversations of more than a question and an answer": 1, "system messages": 1,
                                  "cells of 'id', beside the pairs": 1}),
    ("f.yaml", QNA, None, TWO, {"contexts of questions": 1}),
    ("f.yaml", "- question: Who?\n  answer: I\n- {answer: here, question: 'Where?'}\n", None, TWO, {}),
]  # fmt: skip


@pytest.mark.parametrize(("file", "text", "pair", "pairs", "left_out"), PAIRS)
def test_questions_and_answers_are_facts_of_their_questions(tmp_path, file, text, pair, pairs, left_out):
    table = read(put(tmp_path, text, file), pair=pair)
    assert facts_of(table) == [(question, "answer", answer) for question, answer in pairs.items()]
    assert table.left_out == left_out
    joined = {"Who?": ["Who?", "The one is"]} if text is JOINED else {}
    assert table.wordings == {question: [question] for question in pairs} | joined


def test_pairs_take_questions_of_ones_own_and_nothing_else_and_a_name_says_that_a_table_has_none(tmp_path):
    path, folder = put(tmp_path, WIDE_PAIRS), tmp_path / "texts"
    assert facts_of(read(path, name="id"))[:3] == [("1", "Topic", "x"), ("1", "Question", "Who?"), ("1", "Answer", "I")]
    own = put(tmp_path, "questions: {answer: ['{name}', 'Sag: {name}']}", "own.yaml")
    assert read(path, templates=own).questions == {"answer": ["{name}", "Sag: {name}"]}
    refused(path, "take no articles and no statements of your own", articles=folder)
    told = put(tmp_path, "statements: {answer: ['{name} {value}']}", "told.yaml")
    refused(path, "take no articles and no statements of your own", templates=told)
    refused(path, "no column 'who': it has id, Topic, Question, Answer", pair=["who", "Answer"])


def in_all_shapes(folder, headings, rows):
    """The table, or the line that refuses it, of these rows as CSV, JSONL and Excel: the same."""
    lines = "".join(json.dumps(dict(zip(headings, row, strict=True))) + "\n" for row in rows)
    paths = [put(folder, csv_of([headings, *rows])), put(folder, lines, "f.jsonl"),
             sheet(folder / "f.xlsx", [headings, *rows])]  # fmt: skip
    tables = [read_or_refused(path) for path in paths]
    same = [table and (facts_of(table), table.left_out, table.wordings) for table in tables]
    assert same[0] == same[1] == same[2]
    return tables[0]


@given(filled, st.sampled_from(["name,attribute,value", "name,river,lake", "river,name,lake"]))
def test_no_fact_is_lost_or_changed_in_csv_json_lines_or_excel(tmp_path_factory, rows, header):
    in_all_shapes(tmp_path_factory.mktemp("same"), header.split(","), rows)  # of CSV, a test above says it


@given(filled.map(lambda rows: [(question, answer, "x") for question, answer, _ in rows]))
def test_no_pair_is_lost_or_changed_in_csv_json_lines_or_excel(tmp_path_factory, rows):
    table = in_all_shapes(tmp_path_factory.mktemp("pairs"), ["question", "answer", "topic"], rows)
    if table:
        echoes = table.left_out.get("cells that repeat the name", 0)
        left_out = sum(n for why, n in table.left_out.items() if why.startswith("pairs"))
        assert len(table.facts) + left_out + echoes == len(rows) == table.left_out["cells of 'topic', beside the pairs"]
        assert {(q, a) for q, _, a in facts_of(table)} <= {(q.strip(), a.strip()) for q, a, _ in rows}
