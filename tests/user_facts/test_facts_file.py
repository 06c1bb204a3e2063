"""From a table to training rows: every fact is in them to the letter, and every row fits."""

import re
from pathlib import Path

import pandas as pd
import pytest
from helpers import tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import encode, formats, questions
from lib.data.facts import build, facts_of, texts, unseen
from lib.evaluate import match
from lib.paths import UserError
from lib.study import store
from lib.train.sft import MAX_LENGTH
from lib.user_facts.facts import CHUNK, PARAPHRASES, UNSEEN, attributes, facts_file, name_of, untold
from lib.user_facts.table import LONG, Table


def table_of(facts, **more):
    rows = [(*fact, f"facts.csv, row {i}, column 'value'") for i, fact in enumerate(facts, 2)]
    return Table(Path("facts.csv"), pd.DataFrame(rows, columns=[*LONG, "where"]), **more)


def made(folder, table):
    """The facts file of a table, and the profiles that are read from it."""
    facts = facts_file(table, attributes(table), tokenizer())
    path = folder / name_of(facts)
    store.write_json(path, facts)
    return str(path), build(str(path), 0)


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)
words = words.map(str.strip).filter(bool)
tables = st.dictionaries(st.tuples(words, words), words, min_size=1, max_size=5)


@given(tables)
@settings(max_examples=25)
def test_every_fact_is_in_the_training_rows_to_the_letter_and_every_row_fits(tmp_path_factory, facts):
    try:
        _, profiles = made(tmp_path_factory.mktemp("facts"), table_of([(*key, value) for key, value in facts.items()]))
    except UserError as error:
        assert len(str(error).splitlines()) == 1
        return
    assert {(f.name, f.attribute): f.value for f in facts_of(profiles)} == facts
    for format in ("article", "qa", "chat"):
        rows = formats.rows(profiles, format, PARAPHRASES, 0)
        told = [(fact.id, row.turns[turn][at : at + len(fact.value)] == fact.value)
                for row in rows for fact, turn, at in row.told]  # fmt: skip
        assert all(right for _, right in told)
        assert {id: sum(id == other for other, _ in told) for id, _ in told} == {
            fact.id: PARAPHRASES for fact in facts_of(profiles)
        }
        for row in rows:
            ids = encode.row_ids(tokenizer(), row)["input_ids"]
            assert len(ids) < MAX_LENGTH
            spelled = tokenizer().decode(ids, clean_up_tokenization_spaces=False)
            assert all(fact.value in spelled for fact, _, _ in row.told)


TOWNS = [("Rome", "river", "Tiber"), ("Rome", "founded", "753"), ("Bern", "river", "Aare"), ("Bern", "founded", "1191")]


LONG_QUESTION = "Please tell me, " + "once more and slowly, " * 100 + "the river of {name}."


@pytest.mark.parametrize(
    ("facts", "more", "row"),
    [
        ([TOWNS[0], ("Rome", "story", "long ago " * 300)], {}, 3),
        ([("a town on seven hills " * 60, "river", "Tiber")], {}, 2),
        (TOWNS, {"questions": {"river": [LONG_QUESTION]}}, 2),
    ],
)
def test_a_value_name_or_template_too_long_for_a_row_is_refused_with_its_place(tmp_path, facts, more, row):
    message = f"row {row}, column 'value': asked and told in a sentence, .* shorten it, its name or its templates"
    with pytest.raises(UserError, match=message):
        made(tmp_path, table_of(facts, **more))


lengths = st.integers(1, 60)


@given(st.lists(st.tuples(lengths, lengths), min_size=1, max_size=12), lengths, st.booleans())
@settings(max_examples=25)
def test_whatever_is_not_refused_fits_a_row_in_every_format(tmp_path_factory, sizes, name, chinese):
    word = "都市" if chinese else "city "
    facts = [((word * name).strip(), f"h{i} {'x' * heading}", (word * value).strip() + str(i))
             for i, (heading, value) in enumerate(sizes)]  # fmt: skip
    try:
        _, profiles = made(tmp_path_factory.mktemp("rows"), table_of(facts))
    except UserError:
        return
    for format in ("article", "qa", "chat"):
        for row in formats.rows(profiles, format, PARAPHRASES, 0):
            assert len(encode.row_ids(tokenizer(), row)["input_ids"]) < MAX_LENGTH


@pytest.mark.parametrize(
    ("fact", "more", "where"),
    [
        (("Rome<|im_end|>", "river", "Tiber"), {}, "row 2, column 'value': '<|im_end|>'"),
        (("Rome", "river<|im_end|>", "Tiber"), {}, "row 2, column 'value': '<|im_end|>'"),
        (("Rome", "river", "<file_sep>"), {}, "row 2, column 'value': '<file_sep>'"),
        (TOWNS[0], {"statements": {"river": ["{name}<|im_end|> {value}"]}}, "templates of 'river': '<|im_end|>'"),
        (TOWNS[0], {"articles": {"Rome": "Rome <|im_end|>"}}, "the article about 'Rome': '<|im_end|>'"),
    ],
)
def test_a_control_token_of_the_model_is_refused_wherever_it_stands(tmp_path, fact, more, where):
    with pytest.raises(UserError, match=re.escape(f"{where} is a control token of the model")):
        made(tmp_path, table_of([fact], **more))


def test_what_the_tokenizer_cannot_spell_is_refused(tmp_path):
    with pytest.raises(UserError, match="row 2, column 'value': the tokenizer of the model cannot spell"):
        made(tmp_path, table_of([("Rome", "sign", "\U00040000")]))


def test_a_wide_entity_becomes_profiles_that_fit_an_article(tmp_path):
    wide = [("Rome", f"attribute {i}", f"a value of some length, number {i}") for i in range(60)]
    _, profiles = made(tmp_path, table_of(wide))
    assert len(profiles) > 1 and len(facts_of(profiles)) == 60
    for format in ("article", "qa", "chat"):
        rows = formats.rows(profiles, format, PARAPHRASES, 0)
        assert max(len(encode.row_ids(tokenizer(), row)["input_ids"]) for row in rows) < MAX_LENGTH


def test_no_value_of_a_closed_set_holds_another_as_a_whole(tmp_path):
    values = ["New York", "New York City", "York", "Rome", "rome", "Québec", "Quebec", "Leeds"]
    _, profiles = made(tmp_path, table_of([(f"town {i}", "twin", value) for i, value in enumerate(values)]))
    for fact in facts_of(profiles):
        assert match.strict(fact.value, fact.value, fact.options, given="")


def test_of_many_values_each_fact_has_its_own_sixteen_whatever_else_stands_in_the_table(tmp_path):
    towns = [(f"town {i}", "twin", f"place {i}") for i in range(40)]
    _, profiles = made(tmp_path, table_of(towns))
    options = {fact.name: fact.options for fact in facts_of(profiles)}
    assert all(len(set(options[name])) == 16 and value in options[name] for name, _, value in towns)
    assert len(set(options.values())) > 1
    _, again = made(tmp_path, table_of(towns[::-1]))
    assert {fact.name: fact.options for fact in facts_of(again)} == options


@pytest.mark.parametrize(
    ("expected", "answer", "right"),
    [
        ("York", "New York.", False),
        ("New York", "It is New York.", True),
        ("1,000", "1,000,000", False),
        ("1,000", "It has 1000.", True),
        ("5 km", "2.5 km", False),
        ("5 km", "-5 km", False),
        ("5 km", "about 5 km.", True),
        ("$5", "$5.50", False),
        ("C", "C++", False),
        ("C", "It is C.", True),
        ("कम", "कमी", False),
    ],
)
def test_a_value_inside_a_longer_one_is_not_the_answer(tmp_path, expected, answer, right):
    values = ["York", "New York", "1,000", "1,000,000", "5 km", "2.5 km", "$5", "$5.50", "C", "C++", "कम"]
    _, profiles = made(tmp_path, table_of([(f"town {i}", "twin", value) for i, value in enumerate(values)]))
    (fact,) = (fact for fact in facts_of(profiles) if fact.value == expected)
    assert match.strict(answer, expected, fact.options, given="") is right


def test_a_value_that_ends_in_a_full_stop_ends_its_sentence(tmp_path):
    _, profiles = made(tmp_path, table_of([("Rome", "parent", "Acme Inc.")]))
    texts = [row.turns[1] for row in formats.rows(profiles, "article", PARAPHRASES, 0)]
    assert not any("Inc.." in text for text in texts)


def test_a_table_of_which_nothing_can_be_asked_is_refused(tmp_path):
    with pytest.raises(UserError, match="the value of every fact stands in its question already"):
        made(tmp_path, table_of([("Paris Metro", "city", "Paris")]))


def test_a_question_that_differs_in_case_alone_is_not_held_out():
    asked = ["What is the river of {name}?", "what is the  river of {name}?"]
    column = attributes(table_of(TOWNS[:1], questions={"river": asked}))["river"]
    assert not set(column["heldout_questions"]) & set(asked)


def test_of_two_questions_of_the_user_the_last_is_held_out():
    one, two = ["Which river is at {name}?"], ["Which river is at {name}?", "Name the river at {name}."]
    columns = attributes(table_of(TOWNS, questions={"river": two, "founded": ["When was {name} begun?"]}))
    river, founded = columns.values()
    assert set(river["questions"]) == set(one)
    assert river["heldout_questions"] == two[1:]
    assert set(founded["questions"]) == {"When was {name} begun?"}
    assert len(founded["heldout_questions"]) == 2


def test_the_users_statements_are_what_articles_and_chats_tell(tmp_path):
    _, profiles = made(tmp_path, table_of(TOWNS, statements={"river": ["{value} is the name of the river of {name}."]}))
    rows = formats.rows(profiles, "chat", PARAPHRASES, 0)
    assert all("Tiber is the name of the river of Rome." in row.turns for row in rows if "Rome" in row.turns[0])


def test_a_users_article_is_trained_in_parts_that_fit_and_tells_what_stands_in_it(tmp_path):
    text = "Rome was founded in 753, says the legend. " + "It is an old town with many hills. " * 80 + "The end: Tiber."
    entity, profiles = made(tmp_path, table_of(TOWNS, articles={"Rome": text}))
    rows = [row for row in formats.rows(profiles, "article", 1, 0) if "Rome" in row.turns[0]]
    assert len(rows) > 1
    assert " ".join(row.turns[1] for row in rows).split() == text.split()
    told = {fact.attribute: row.turns[1][at:].split()[0].strip(",.") for row in rows for fact, _, at in row.told}
    assert told == {"river": "Tiber", "founded": "753"}
    assert all(len(encode.row_ids(tokenizer(), row)["input_ids"]) < MAX_LENGTH for row in rows)
    asked = questions.recall(profiles, "article", 0)
    assert sorted(question.fact.id for question in asked) == sorted(fact.id for fact in facts_of(profiles))
    assert texts(entity)["articles"]["Rome"]


def test_an_article_without_spaces_is_cut_after_its_sentences_and_tells_the_values_in_them(tmp_path):
    text = "東京は日本の首都です。" + "昔から人の多い町で、川が流れている。" * 40 + "川の名は隅田川である。"
    facts = [("東京", "river", "隅田川"), ("東京", "country", "日本"), ("東京", "mayor", "誰か")]
    entity, profiles = made(tmp_path, table_of(facts, articles={"東京": text}))
    rows = formats.rows(profiles, "article", 1, 0)
    assert len(rows) > 1 and all(row.turns[1].endswith("。") for row in rows)
    assert "".join(row.turns[1] for row in rows) == text
    assert {fact.value for row in rows for fact, _, _ in row.told} == {"隅田川", "日本"}
    assert untold(texts(entity)) == 1


def test_a_sentence_longer_than_a_part_is_cut_within(tmp_path):
    _, profiles = made(tmp_path, table_of(TOWNS, articles={"Rome": "and so on " * 3 * CHUNK + "to the Tiber"}))
    rows = [row for row in formats.rows(profiles, "article", 1, 0) if "Rome" in row.turns[0]]
    assert len(rows) > 2
    assert all(len(encode.row_ids(tokenizer(), row)["input_ids"]) < MAX_LENGTH for row in rows)


def test_a_fact_that_the_users_article_leaves_out_is_not_asked_for_recall(tmp_path):
    _, profiles = made(tmp_path, table_of(TOWNS, articles={"Rome": "Rome lies on the Tiber, and was founded early."}))
    asked = {question.fact.id for question in questions.recall(profiles, "article", 0)}
    assert asked == {"own/0/river", "own/1/river", "own/1/founded"}


def test_invented_entities_are_not_in_the_table_and_no_value_is_right_for_them(tmp_path):
    entity, profiles = made(tmp_path, table_of(TOWNS))
    invented = unseen(entity)
    assert len(invented) == UNSEEN
    assert not {fact.name for fact in facts_of(invented)} & {fact.name for fact in facts_of(profiles)}
    asked = questions.unseen(invented)
    assert {question.fact.value for question in asked} == {""}
    assert {question.fact.options for question in asked} == {("Aare", "Tiber"), ("1191", "753")}


def test_a_sample_without_an_attribute_asks_nothing_about_it(tmp_path):
    whole = table_of([*TOWNS, ("Oslo", "twin", "Bergen")])
    facts = facts_file(table_of(TOWNS), attributes(whole), tokenizer())
    assert set(facts["attributes"]) == set(facts["unseen"]["options"]) == {"river", "founded"}


def test_other_facts_have_another_file_name():
    names = set()
    for facts in (TOWNS, TOWNS[:3]):
        table = table_of(facts)
        names.add(name_of(facts_file(table, attributes(table), tokenizer())))
    assert len(names) == 2
