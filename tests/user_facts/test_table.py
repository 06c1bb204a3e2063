"""A user's table is read whatever its shape, and refused with one line that says where."""

import csv
import io
from pathlib import Path
from unicodedata import normalize

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lib.paths import UserError
from lib.user_facts.english import readable
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


def refused(path, message, **more):
    """The table is refused in one line that says this."""
    with pytest.raises(UserError) as caught:
        read(path, **more)
    assert message in str(caught.value) and "\n" not in str(caught.value)


SAME = [
    ("facts.csv", LONG),
    ("facts.csv", WIDE),
    ("facts.csv", "\n" + WIDE.replace(",", ";")),
    ("facts.tsv", WIDE.replace(",", "\t")),
    ("facts.csv", "\ufeff" + WIDE.replace("\n", "\r\n")),
    ("facts.csv", WIDE.replace("name,", " Name ,") + "\n\n"),
    ("facts.yaml", YAML),
    ("facts.yaml", "".join(f"- {{name: {n}, attribute: {a}, value: {v}}}\n" for n, a, v in FACTS)),
]


@pytest.mark.parametrize(("name", "text"), SAME)
def test_long_and_wide_tables_of_both_file_types_hold_the_same_facts(tmp_path, name, text):
    table = read(put(tmp_path, text, name))
    assert sorted(table.facts[["name", "attribute", "value"]].itertuples(index=False, name=None)) == sorted(FACTS)


def test_what_yaml_would_turn_into_something_else_stays_the_text_that_it_is(tmp_path):
    table = read(put(tmp_path, "- {name: Bond, number: 007, alive: yes, height: 1e3, born: 1920-11-11}\n", "f.yaml"))
    assert list(table.facts["value"]) == ["007", "yes", "1e3", "1920-11-11"]


def test_commas_quotes_braces_newlines_and_what_joins_letters_of_persian_and_emoji_stay(tmp_path):
    value = 'a "b", {c} 🦊\nsecond line; 東京 \u0645\u06cc\u200c\u062e\u0648 \U0001f469\u200d\U0001f33e'
    table = read(put(tmp_path, csv_of([("name", "motto"), ("Rome", value)])))
    assert table.facts["value"][0] == value
    assert table.facts["where"][0].endswith("facts.csv, row 2, column 'motto'")


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
TWICE = "'river' of 'Rome' stands twice, as 'Tiber' and"
BAD = [
    ("name,attribute\nRome,river\n", f"facts.csv, row 1: the columns are 'name', 'attribute': {COLUMNS}"),
    ("town,river\nRome,Tiber\nRome,Po\n", "row 3: 'Rome' stands twice in column 'town': use --name town,river"),
    ("question,answer\nWho?,I\n", "question and answer pairs, which are not read yet"),
    ("a;Who is it?;b;\n", "row 1: there seems to be no header"),
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
    ("[" * 1000, "facts.yaml is not YAML"),
    ("- &a [x]\n- &b [*a, *a, *a]\n- &c [*b, *b, *b]\n- [*c, *c, *c]\n", "fact 1: expected name, attribute and value"),
    ("- &a {name: Rome, river: Tiber}\n" + "- *a\n" * 1000, "fact 2, column 'river': 'river' of 'Rome' stands twice"),
    ("- &a {name: Rome, river: *a}", "facts.yaml is not YAML: found unconstructable recursive node"),
    ("x" * 6_000_000, "has more than 5 MB: give a part of it"),
]


@pytest.mark.parametrize(
    ("name", "text", "message"), [("facts.csv", *bad) for bad in BAD] + [("facts.yaml", *bad) for bad in BAD_YAML]
)
def test_a_bad_table_gets_one_line_with_its_place_and_so_does_a_folder(tmp_path, name, text, message):
    refused(put(tmp_path, text, name), message)
    refused(tmp_path, "cannot be read (Is a directory): give a CSV or YAML file")


BAD_TEMPLATES = [
    ('questions: {river: ["\\ud83e {name}?"]}', "questions, 'river' holds U+D83E, an invisible character"),
    ("questions: [river]", "questions: expected attributes, each with a list of templates"),
    ("questions: {lake: ['Which lake is at {name}?']}", "questions: no attribute 'lake': the table has founded, river"),
    ("statements: {river: ['{name} {value} {value}']}", "must hold {name} and {value}"),
    ("statements: {river: ['{name} {value} {x']}", "must hold {name} and {value}, and no other braces"),
    ("facts: []", "or a mapping with questions, statements"),
]


@pytest.mark.parametrize(("text", "message"), BAD_TEMPLATES)
def test_templates_must_fit_the_table(tmp_path, text, message):
    refused(put(tmp_path, WIDE), message, templates=put(tmp_path, text, "templates.yaml"))


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
rows = st.lists(st.tuples(cells, cells, cells), max_size=6)


def read_or_refused(path):
    """The table, or None where it was refused in one line; anything else that is raised fails the test."""
    try:
        return read(path)
    except UserError as error:
        assert len(str(error).splitlines()) == 1
        return None


@given(rows, st.sampled_from(["name,attribute,value", "name,river,lake", "river,name,lake"]))
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
            [(normalize("NFKC", n).split(), readable(normalize("NFKC", a)).casefold(), v) for n, a, v in facts]
            for facts in (got, written)
        ]
        ids = sum(n for why, n in table.left_out.items() if "numbers the rows" in why)
        assert len(got) + sum(n for why, n in table.left_out.items() if why != "names without a fact") == len(every)
        assert ids or (alike[0] == alike[1] and {name for name, _, _ in got} <= {name for name, _, _ in written})


SHAPES = [
    ("f.csv", "id,Town,lake,\n1,Rome,–,x\n2,Bern,Bern,x\n3,Oslo,Mjøsa,x\n", None, [("Oslo", "lake", "Mjøsa")], 10),
    ("f.csv", "town@river\nRome@Tiber | Aniene\n", None, [("Rome", "river", "Tiber | Aniene")], 0),
    ("f.csv", "name,team,desk\nIda,A,4\nIda,B,5\n", "name,team", [("Ida, A", "desk", "4"), ("Ida, B", "desk", "5")], 0),
    ("f.json", '[{"name": {"en": "Rome"}, "river": ["Tiber"], "hills": [1, 2], "port": false, "age": 1.50}]', "name.en",
     [("Rome", "river", "Tiber"), ("Rome", "port", "no"), ("Rome", "age", "1.50")], 1),
    ("f.jsonl", '{"town": "Rome", "river": "Tiber"}\n', None, [("Rome", "river", "Tiber")], 0),
]  # fmt: skip


@pytest.mark.parametrize(("file", "text", "name", "facts", "left_out"), SHAPES)
def test_tables_are_read_as_people_have_them_and_what_is_left_out_is_counted(
    tmp_path, file, text, name, facts, left_out
):
    table = read(put(tmp_path, text, file), name=name)
    assert list(table.facts[["name", "attribute", "value"]].itertuples(index=False, name=None)) == facts
    assert sum(table.left_out.values()) == left_out


def test_json_that_is_broken_nested_or_a_file_of_excel_gets_one_line(tmp_path):
    refused(put(tmp_path, "{'name': 'Rome'}", "f.jsonl"), "line 1: not JSON (single quotes are Python's")
    refused(put(tmp_path, '[{"name": {"en": "Rome"}, "a": 1}]', "f.json"), "--name name.en")
    refused(put(tmp_path, b"PK", "f.xlsx"), "is an Excel file: save the sheet as CSV")


def test_headings_and_names_that_read_alike_are_one(tmp_path):
    rows = ["Rome,head_office,Tiber", "Bern,Head office,Aare", "Be\u0301ziers,river,Orb", "B\u00e9ziers,age,old"]
    facts = read(put(tmp_path, "\n".join(["name,attribute,value", *rows]))).facts
    assert list(facts["attribute"]) == ["head_office", "head_office", "river", "age"]
    assert facts["name"][2] == facts["name"][3] == "Be\u0301ziers"


listed = st.lists(st.fixed_dictionaries({"name": names, "river": cells}, optional={"lake": cells}), max_size=4)


@given(st.binary(max_size=200) | listed.map(yaml.safe_dump), st.sampled_from(["facts.csv", "facts.yaml"]))
def test_any_bytes_and_any_yaml_are_read_or_refused_in_one_line(tmp_path_factory, data, name):
    read_or_refused(put(tmp_path_factory.mktemp("bytes"), data, name))
