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
from lib.user_facts.table import read

FACTS = [
    ("Rome", "river", "Tiber"),
    ("Rome", "founded", "753 BC"),
    ("Bern", "river", "Aare"),
    ("Bern", "founded", "1191"),
]
LONG = "name,attribute,value\n" + "".join(f"{name},{attribute},{value}\n" for name, attribute, value in FACTS)
WIDE = "name,river,founded\nRome,Tiber,753 BC\nBern,Aare,1191\n"
YAML = "- {name: Rome, river: Tiber, founded: 753 BC}\n- {name: Bern, river: Aare, founded: 1191}\n"


def put(tmp_path, text, name="facts.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def facts(table):
    return sorted(table.facts[["name", "attribute", "value"]].itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (LONG, "facts.csv"),
        (WIDE, "facts.csv"),
        (WIDE.replace(",", ";"), "facts.csv"),
        (WIDE.replace(",", "\t"), "facts.tsv"),
        ("\n" + WIDE.replace(",", ";"), "facts.csv"),
        ("\ufeff" + WIDE.replace("\n", "\r\n"), "facts.csv"),
        (WIDE.replace("name,", " Name ,") + "\n\n", "facts.csv"),
        (YAML, "facts.yaml"),
        ("facts:\n" + YAML, "facts.yml"),
        ("".join(f"- {{name: {n}, attribute: {a}, value: {v}}}\n" for n, a, v in FACTS), "facts.yaml"),
    ],
)
def test_long_and_wide_tables_of_both_file_types_hold_the_same_facts(tmp_path, text, name):
    assert facts(read(put(tmp_path, text, name))) == sorted(FACTS)


def test_what_yaml_would_turn_into_something_else_stays_the_text_that_it_is(tmp_path):
    table = read(put(tmp_path, "- {name: Bond, number: 007, alive: yes, height: 1e3, born: 1920-11-11}\n", "f.yaml"))
    assert list(table.facts["value"]) == ["007", "yes", "1e3", "1920-11-11"]


def test_commas_quotes_braces_emoji_and_newlines_in_values_stay(tmp_path):
    value = 'a "b", {c} 🦊\nsecond line; 東京'
    text = io.StringIO()
    csv.writer(text).writerows([("name", "motto"), ("Rome", value)])
    table = read(put(tmp_path, text.getvalue()))
    assert table.facts["value"][0] == value
    assert table.facts["where"][0].endswith("facts.csv, row 2, column 'motto'")


BAD = [
    ("name,attribute\nRome,river\n", "facts.csv, row 1: no column 'value'"),
    ("town,river\nRome,Tiber\n", "facts.csv, row 1: no column 'name'"),
    ("name\nRome\n", "row 1: no column beside 'name'"),
    ("name,,river\nRome,x,Tiber\n", "row 1, column 2 has no heading"),
    ("name,river,River\nRome,Tiber,Po\n", "row 1, column 3: there are two columns 'River'"),
    (
        "name,attribute,value,source\nRome,river,Tiber,map\n",
        "row 1: column 'source' stands beside name, attribute, value",
    ),
    ("name,river\nRome,\n", "facts.csv, row 2, column 'river' is empty"),
    ("name,river\n ,Tiber\n", "facts.csv, row 2, column 'name' is empty"),
    ("name,river\nRome,Tiber\nBern,=A1\n", "row 3, column 'river' holds '=A1', a formula or its error"),
    ("name,river\nRome,#REF!\n", "row 2, column 'river' holds '#REF!'"),
    ("name,river\nRome,Ti\0ber\n", "row 2, column 'river' holds U+0000, an invisible character"),
    ("name,river\nRome,Tiber\nRome,Po\n", "row 3, column 'river': 'river' of 'Rome' has two values, 'Tiber' and 'Po'"),
    (LONG + "Rome,river,Tiber\n", "row 6, column 'value': 'river' of 'Rome' has the same fact twice; see"),
    ("name,river\nRome,Tiber,Po\n", "facts.csv, row 2 has 3 cells, the header has 2"),
    ('name,river\nRome,"Tiber\n', "facts.csv, row 2: not CSV"),
    ("name,river\nRome,a\x1b[31mb\n", "row 2, column 'river' holds U+001B, an invisible character"),
    ("name,ri\0ver\nRome,Tiber\n", "holds U+0000, an invisible character"),
    ("name,=A1\nRome,Tiber\n", "holds '=A1', a formula or its error"),
    ("name,river\nRome,#SPILL!\n", "holds '#SPILL!', a formula or its error"),
    ("name,river\nRome,\u200b\n", "row 2, column 'river' holds U+200B, an invisible character: remove it"),
    ("name,river\nA\u200b,Tiber\n", "row 2, column 'name' holds U+200B,"),
    ("name,river\nA\u200d,Tiber\n", "row 2, column 'name' holds U+200D,"),
    ("name,ri\u202ever\nRome,Tiber\n", "row 1, column 2 holds U+202E,"),
    ("name,river\nRome,Ti\u0085ber\n", "row 2, column 'river' holds U+0085,"),
    ("name,river\nRome,\u0301\n", "row 2, column 'river' is empty"),
    ("name,_\nRome,Tiber\n", "row 2, column '_': '_' has no letter"),
    ("name,attribute,value\nRome,_,Tiber\n", "row 2, column 'value': '_' has no letter"),
    ("name,river\n", "facts.csv has no facts: 0 rows below the header"),
    ("", "facts.csv has no facts"),
    (b"name,river\nRome,Tiber\nBern,Z\xfcrich\n", "facts.csv, line 3: byte 0xfc is not UTF-8"),
    ("name,river\nRome,Tiber\n".encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
]
BAD_YAML = [
    ("a: [", "facts.yaml is not YAML"),
    ("just text", "expected a list of facts"),
    ("towns: []", "or a mapping with facts, questions, statements"),
    ("- {name: Rome, river: [Tiber, Po]}", "fact 1: expected name, attribute and value"),
    ("- {town: Rome, river: Tiber}", "fact 1: no column 'name'"),
    ("- {name: Rome, attribute: river}", "fact 1: no column 'value'"),
    ("- {name: Rome, river: Tiber, river: Po}", "a key stands twice"),
    ('- {name: Rome, "\\ud83e": x}', "holds U+D83E, half of a character"),
    ("- {name: Rome, river: ''}", "fact 1, column 'river' is empty"),
    ("[]", "has no facts"),
    ("[" * 1000, "facts.yaml is not YAML"),
    ("- &a [x]\n- &b [*a, *a, *a]\n- &c [*b, *b, *b]\n- [*c, *c, *c]\n", "fact 1: expected name, attribute and value"),
    ("- &a {name: Rome, river: Tiber}\n" + "- *a\n" * 1000, "fact 2, column 'river': 'river' of 'Rome' has the same"),
    ("- &a {name: Rome, river: *a}", "facts.yaml is not YAML: found unconstructable recursive node"),
    ("x" * 6_000_000, "has more than 5 MB: give a part of it"),
]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [*(("facts.csv", *bad) for bad in BAD), *(("facts.yaml", *bad) for bad in BAD_YAML)],
)
def test_a_bad_table_gets_one_line_with_file_row_and_column(tmp_path, name, text, message):
    with pytest.raises(UserError) as caught:
        read(put(tmp_path, text, name))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_and_a_file_that_is_not_there_are_refused(tmp_path):
    with pytest.raises(UserError, match="is a folder: give a CSV or YAML file"):
        read(tmp_path)
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "none.csv")


BAD_TEMPLATES = [
    ('questions: {river: ["\\ud83e {name}?"]}', "questions, 'river' holds U+D83E, half of a character"),
    ("questions: {lake: ['Which lake is at {name}?']}", "questions: no attribute 'lake': the table has founded, river"),
    ("questions: {river: 'Which?'}", "questions, 'river': expected a list of templates"),
    ("questions: {river: ['Which river?']}", "must hold {name}, and no other braces"),
    ("statements: {river: ['{name} lies on a river.']}", "must hold {name} and {value}"),
    ("statements: {river: ['{name} {value} {value}']}", "must hold {name} and {value}"),
    ("statements: {river: ['{name} {value} {x']}", "statements, 'river'"),
    ("facts: []", "or a mapping with questions, statements"),
]


@pytest.mark.parametrize(("text", "message"), BAD_TEMPLATES)
def test_templates_must_fit_the_table(tmp_path, text, message):
    with pytest.raises(UserError) as caught:
        read(put(tmp_path, WIDE), templates=put(tmp_path, text, "templates.yaml"))
    assert message in str(caught.value)


def test_articles_are_read_by_the_name_of_the_entity(tmp_path):
    (tmp_path / "texts").mkdir()
    put(tmp_path / "texts", "Rome lies on the Tiber.", "Rome.txt")
    assert read(put(tmp_path, WIDE), articles=tmp_path / "texts").articles == {"Rome": "Rome lies on the Tiber."}
    put(tmp_path / "texts", "What?", "Paris.md")
    with pytest.raises(UserError, match="Paris.md: no entity 'Paris' in the table"):
        read(put(tmp_path, WIDE), articles=tmp_path / "texts")


def test_an_articles_folder_without_texts_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no .txt or .md files"):
        read(put(tmp_path, WIDE), articles=tmp_path)


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


def alike(name, heading):
    """What is the same for names and headings that read alike."""
    return " ".join(normalize("NFKC", name).split()), readable(normalize("NFKC", heading)).casefold()


@given(rows, st.sampled_from(["name,attribute,value", "name,river,lake", "river,name,lake"]))
def test_any_table_is_read_to_the_letter_or_refused_in_one_line(tmp_path_factory, rows, header):
    text = io.StringIO()
    csv.writer(text).writerows([header.split(","), *rows])
    path = put(tmp_path_factory.mktemp("read"), text.getvalue())
    table = read_or_refused(path)
    if table:
        columns = header.split(",")
        cells = [{key: cell.strip() for key, cell in zip(columns, row, strict=True)} for row in rows]
        if "attribute" in columns:
            expected = [(cell["name"], cell["attribute"], cell["value"]) for cell in cells]
        else:
            expected = [(cell["name"], key, cell[key]) for cell in cells for key in columns if key != "name"]
        assert list(table.facts["value"]) == [value for _, _, value in expected]
        got = [alike(fact.name, fact.attribute) for fact in table.facts.itertuples()]
        assert got == [alike(name, heading) for name, heading, _ in expected]
        assert set(table.facts["name"]) <= {name for name, _, _ in expected}


def test_headings_and_names_that_read_alike_are_one(tmp_path):
    rows = ["Rome,head_office,Tiber", "Bern,Head office,Aare", "Be\u0301ziers,river,Orb", "B\u00e9ziers,age,old"]
    text = "\n".join(["name,attribute,value", *rows])
    facts = read(put(tmp_path, text)).facts
    assert list(facts["attribute"]) == ["head_office", "head_office", "river", "age"]
    assert facts["name"][2] == facts["name"][3] == "Be\u0301ziers"


def test_what_joins_letters_of_persian_and_parts_of_an_emoji_is_no_invisible_character(tmp_path):
    names = ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U0001f469\u200d\U0001f33e"]
    table = read(put(tmp_path, "name,river\n" + "".join(f"{name},x\n" for name in names)))
    assert list(table.facts["name"]) == names


@pytest.mark.parametrize(
    "text",
    [
        "name,head_office,head office\nRome,Tiber,Po\n",
        "name,attribute,value\nRome,river,Tiber\nRome,River,Po\n",
        "name,river\nAcme Corp,Tiber\nAcme\u00a0 Corp,Po\n",
        "name,river\nB\u00e9ziers,Orb\nBe\u0301ziers,Lirou\n",
        "name,river\nRiver VII,Orb\nRiver \u2166,Lirou\n",
    ],
)
def test_what_reads_alike_and_has_two_values_is_a_contradiction(tmp_path, text):
    with pytest.raises(UserError, match="has two values, "):
        read(put(tmp_path, text))


@given(st.binary(max_size=200), st.sampled_from(["facts.csv", "facts.yaml"]))
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory, data, name):
    read_or_refused(put(tmp_path_factory.mktemp("bytes"), data, name))


@given(st.dictionaries(names, st.dictionaries(names, cells, max_size=3), max_size=4))
def test_any_yaml_is_read_or_refused_in_one_line(tmp_path_factory, entities):
    listed = [{"name": name, **values} for name, values in entities.items()]
    read_or_refused(put(tmp_path_factory.mktemp("yaml"), yaml.safe_dump(listed, allow_unicode=True), "facts.yaml"))
