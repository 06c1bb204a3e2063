"""Sentences for a column that nobody wrote sentences for."""

import string
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lib.user_facts.english import YOU, kind_of, sentences

KINDS = {
    "numbers": ["12|1,200|-3.5", "12 km|7 km", "€ 5|$12.50|12 €|45 %", "1987|2001"],
    "dates": ["2001-04-01|1999-12-31", "3 March 1977|March 3, 1977", "4 May|June 12|May 1999", "1.4.2001",
              "1987|2001-04-01"],
    "words": ["12|a dozen", "B12"],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "values"), [(kind, values) for kind in KINDS for values in KINDS[kind]])
def test_the_type_of_values_is_inferred(kind, values):
    assert kind_of(values.split("|")) == kind


SAID = [
    ("founded", "1987", "When was X founded?", "X was founded in V."),
    ("born", "3 May 1987", "When was X born?", "X was born on V."),
    ("died", "1987", "When did X die?", "X died in V."),
    ("headOffice", "Leeds", "What is the head office of X?", "The head office of X is V."),
    ("CEO", "Jo", "Who is the CEO of X?", "The CEO of X is V."),
    ("colors", "red", "What are the colors of X?", "The colors of X are V."),
    ("located in", "Leeds", "Where is X located?", "X is located in V."),
    ("founded by", "Jo", "By whom or what was X founded?", "X was founded by V."),
    ("iPhone model", "5", "What is the iPhone model of X?", "The iPhone model of X is V."),
    ("no. of staff", "50-100", "What is the number of staff of X?", "The number of staff of X is V."),
    ("revenue (in USD)", "12", "What is the revenue in USD of X?", "The revenue in USD of X is V."),
    ("height (m)", "12", "What is the height in m of X?", "The height in m of X is V."),
    ("turnout %", "61", "What is the turnout in % of X?", "The turnout in % of X is V."),
    ("founders", "Jo and Al", "Who are the founders of X?", "The founders of X are V."),
    ("NumberOfSeats", "3", "How many seats does X have?", "X has V seats."),
    ("lens", "50 mm", "What is the lens of X?", "The lens of X is V."),
    ("principal", "10,000", "What is the principal of X?", "The principal of X is V."),
    ("price per kg", "12", "What is the price per kg of X?", "The price per kg of X is V."),
]
QUOTED = {"lives in": "Leeds", "goals scored": "3", "speaks": "Latin", "ceo (of x)": "Jo", "is active": "ja",
          "active": "yes|No", "founded": "1987|2001-04-01"}  # fmt: skip
SAID += [(heading, values, f"What is noted for X under “{heading}”?", f"Under “{heading}”, X has the entry V.")
         for heading, values in QUOTED.items()]  # fmt: skip


@pytest.mark.parametrize(("heading", "values", "question", "statement"), SAID)
def test_a_heading_becomes_good_english_and_is_quoted_where_it_fits_no_pattern(heading, values, question, statement):
    made = sentences(heading, values.split("|"))
    assert made["questions"][0].format(name="X") == question
    assert made["statements"][0].format(name="X", value="V") == statement


def test_headings_that_people_have_become_the_sentences_that_an_editor_has_read():
    read = yaml.safe_load((Path(__file__).parent / "headings.yaml").read_text(encoding="utf-8"))
    assert len(read) > 200 and len({heading for heading, *_ in read}) == len(read)
    for heading, one, other, question, statement in read:
        made = sentences(heading, [one, other])
        assert made["questions"][0].format(name="X") == question
        assert made["statements"][0].format(name="X", value=one) == statement


headings = st.text(min_size=1, max_size=20).map(str.strip).filter(bool)


@given(headings, st.lists(st.sampled_from(["12", "1987", "3 May 1999", "Leeds"]), min_size=1, max_size=3))
def test_any_heading_gives_sentences_that_name_the_entity_and_none_is_trained_and_held_out(heading, values):
    assert_apart(sentences(heading, values), {"name"})
    assert_apart(sentences(heading, values, YOU["sentences"]), set())


def assert_apart(made, named):
    counts = {"questions": 4, "statements": 4, "heldout_questions": 3, "heldout_statements": 1}
    assert {kind: len(templates) for kind, templates in made.items()} == counts
    assert len({text for templates in made.values() for text in templates}) == sum(counts.values())
    for kind, templates in made.items():
        for text in templates:
            fields = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
            assert fields == named | ({"value"} if kind.endswith("statements") else set())
    start, _, _ = made["heldout_statements"][0].partition("{value}")
    assert not any(text.startswith(start) for text in made["statements"])
