"""From a table to training rows: every fact is in them to the letter, and every row fits."""

import re
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml
from helpers import tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import formats, questions, untaught
from lib.data.encode import CONTEXT, row_ids
from lib.data.facts import build, facts_of, texts
from lib.evaluate import match
from lib.paths import ROOT, UserError
from lib.study import store
from lib.user_facts import english
from lib.user_facts.facts import BYTES, CHUNK, PARAPHRASES, attributes, facts_file, untold
from lib.user_facts.facts import _mixed as near
from lib.user_facts.table import AROUND, HOLDS, LONG, Table, read

FORMATS = ("article", "statement", "qa", "chat", "both")  # those that a table of one's own may be told in
TOWNS = [("Rome", "river", "Tiber"), ("Rome", "founded", "753"), ("Bern", "river", "Aare"), ("Bern", "founded", "1191")]


def table_of(facts, **more):
    rows = [(*fact, f"facts.csv, row {i}, column 'value'") for i, fact in enumerate(facts, 2)]
    around = english.PAIRS if "wordings" in more else english.OWN
    return Table(Path("facts.csv"), pd.DataFrame(rows, columns=[*LONG, "where"]), **{"around": around, **more})


def made(folder, facts, **more):
    """The facts file of a table, and the profiles that are read from it."""
    table = table_of(facts, **more)
    path = folder / f"{len(list(folder.iterdir()))}.json"  # by their path, facts are read once
    store.write_json(path, facts_file(table, tokenizer()))
    return str(path), build(str(path), 0)


def fitting(profiles, format, paraphrases=PARAPHRASES):
    """The rows of a format, of which each fits, and tells each of its facts to the letter."""
    rows = formats.rows(profiles, format, paraphrases, 0)
    for row in rows:
        ids = row_ids(tokenizer(), row)["input_ids"]
        assert len("".join(row.turns).encode()) <= BYTES and len(ids) < CONTEXT
        spelled = tokenizer().decode(ids, clean_up_tokenization_spaces=False)
        for fact, turn, at in row.told:
            assert row.turns[turn][at : at + len(fact.value)] == fact.value and fact.value in spelled
    return rows


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)
words = words.map(str.strip).filter(bool)
lengths = st.integers(1, 60)
wide = st.builds(  # one entity with facts of these lengths of heading and value
    lambda word, name, sizes: {((word * name).strip(), f"h{i} {'x' * heading}"): f"{word * value}{i}"
                               for i, (heading, value) in enumerate(sizes)},
    st.sampled_from(["city ", "都市"]), lengths, st.lists(st.tuples(lengths, lengths), min_size=1, max_size=12),
)  # fmt: skip


@given(st.dictionaries(st.tuples(words, words), words, min_size=1, max_size=5) | wide)
@settings(max_examples=50)
def test_every_fact_is_in_rows_that_fit_to_the_letter_unless_it_is_refused_in_one_line(tmp_path_factory, facts):
    try:
        _, profiles = made(tmp_path_factory.mktemp("facts"), [(*key, value) for key, value in facts.items()])
    except UserError as error:
        assert len(str(error).splitlines()) == 1
        return
    assert {(f.name, f.attribute): f.value for f in facts_of(profiles)} == facts
    for format in FORMATS:
        told = Counter(fact.id for row in fitting(profiles, format) for fact, _, _ in row.told)
        assert told == {fact.id: PARAPHRASES for fact in facts_of(profiles)}


def test_a_wide_entity_becomes_profiles_that_fit_an_article(tmp_path):
    wide = [("Rome", f"attribute {i}", f"a value of some length, number {i}") for i in range(60)]
    _, profiles = made(tmp_path, wide)
    assert len(profiles) > 1 and [fact.attribute for fact in facts_of(profiles)] == [heading for _, heading, _ in wide]
    assert all(fitting(profiles, format) for format in FORMATS)


def test_a_fact_is_not_refused_that_fits_with_some_of_the_row_to_spare(tmp_path):
    (profile,) = made(tmp_path, [("Rome", "story", " ".join(["long"] * 240))])[1]
    rows = [row for format in FORMATS for row in fitting([profile], format)]
    assert 0.85 < max(len("".join(row.turns).encode()) for row in rows) / BYTES < 1


LONG_QUESTION = "Please tell me, " + "once more and slowly, " * 100 + "the river of {name}."
LONG_STYLE = english.OWN["styles"][0] | {"openings": ["Here is {name}, " * 120]}
ASKED = [("Where?", "answer", "Hall 7")]
REFUSED = [
    ([TOWNS[0], ("Rome", "story", "long ago " * 300)], {}, "row 3, column 'value': asked and told in a sentence, "),
    (TOWNS, {"questions": {"river": [LONG_QUESTION]}}, "shorten it, its name or its templates"),
    (TOWNS, {"around": english.OWN | {"tells": ["Tell me of {name}, " * 120]}}, "shorten it, its name or its"),
    (TOWNS, {"around": english.OWN | {"prompts": ["Write on {name}, " * 120]}, "articles": {"Rome": "Old."}}, "its"),
    (TOWNS, {"around": english.OWN | {"styles": [LONG_STYLE]}}, "shorten it, its name or its templates"),
    ([("Rome<|im_end|>", "river", "Tiber")], {}, "row 2, column 'value': '<|im_end|>' is a control token of the model"),
    ([("Rome", "river", "<file_sep>")], {}, "row 2, column 'value': '<file_sep>' is a control token of the model"),
    (TOWNS, {"statements": {"river": ["{name}<|im_end|> {value}"]}}, "templates of 'river': '<|im_end|>' is a control"),
    (TOWNS, {"around": english.OWN | {"tells": ["{name}<|im_end|>"]}}, "facts.csv, templates, tells: '<|im_end|>' is"),
    (TOWNS, {"articles": {"Rome": "Rome <|im_end|>"}}, "the article about 'Rome': '<|im_end|>' is a control token"),
    ([("Rome", "sign", "\U00040000")], {}, "row 2, column 'value': the tokenizer of the model cannot spell"),
    ([("Paris Metro", "city", "Paris")], {}, "the value of every fact stands in its question already"),
    (ASKED, {"wordings": {"Where?": ["Where?", "Where <|im_end|> now?"]}}, "the question 'Where <|im_end|> now?': "),
    (ASKED, {"wordings": {"Where?": ["Where?", "Where is it, " * 150]}}, "row 2, column 'value': asked and told"),
]


@pytest.mark.parametrize(("facts", "more", "message"), REFUSED)
def test_what_cannot_be_trained_or_asked_is_refused_with_its_place(tmp_path, facts, more, message):
    with pytest.raises(UserError, match=re.escape(message)):
        made(tmp_path, facts, **more)


def test_of_many_values_each_fact_has_its_own_sixteen_whatever_else_stands_in_the_table(tmp_path):
    towns = [(f"town {i}", "twin", f"place {i}") for i in range(40)]
    options, again = ({f.name: f.options for f in facts_of(made(tmp_path, t)[1])} for t in (towns, towns[::-1]))
    assert all(len(set(options[name])) == 16 and value in options[name] for name, _, value in towns)
    assert len(set(options.values())) > 1 and again == options


def test_a_value_inside_a_longer_one_is_not_the_answer(tmp_path):
    values = ["York", "New York", "New York City", "1,000", "1,000,000", "5 km", "2.5 km", "$5", "$5.50", "C", "C++",
              "कम", "Québec", "Quebec", *(f"place {i}" for i in range(40))]  # fmt: skip
    for fact in facts_of(made(tmp_path, [(f"town {i}", "twin", value) for i, value in enumerate(values)])[1]):
        assert match.strict(fact.value, fact.value, fact.options, given="")
        longer = [value for value in values if fact.value in value and fact.value != value]
        assert not any(match.strict(value, fact.value, fact.options, given="") for value in longer)


def test_of_two_questions_of_the_user_the_last_is_held_out_unless_it_differs_in_case_alone():
    two = ["Which river is at {name}?", "Name the river at {name}."]
    alike = ["When was {name} begun?", "when was  {name} begun?"]
    river, founded = attributes(table_of(TOWNS, questions={"river": two, "founded": alike})).values()
    assert set(river["questions"]) == {two[0]} and river["heldout_questions"] == two[1:]
    assert len(founded["heldout_questions"]) == 3 and not set(founded["heldout_questions"]) & set(alike)


def test_a_held_out_statement_of_the_user_is_completed_and_none_that_is_trained(tmp_path):
    told, held_out = "{name} lies on the {value}.", "Boats on the {value} call at {name}."
    table = {"statements": {"river": [told]}, "heldout_statements": {"river": [held_out, told.replace("lies", "LIES")]}}
    _, profiles = made(tmp_path, TOWNS, **table)
    asked = [question.prefix for question in questions.completions(profiles, 0) if question.fact.attribute == "river"]
    assert len(asked) == 2 and all(prefix.endswith("Boats on the") for prefix in asked)


# Words of English sentences, but those that German has, too.
ENGLISH = {*re.findall(r"[^\W\d_]+", str((english.ENGLISH, english.OWN, untaught.DECLINED)).lower())}
ENGLISH -= {"am", "an", "in"}


def test_the_german_example_of_the_page_is_trained_and_asked_without_an_english_word(tmp_path):
    page = (ROOT / "docs" / "your-facts.md").read_text(encoding="utf-8")
    table, templates = re.findall(r"```\w*\n(.*?)```", page.partition("### In another language")[2], re.DOTALL)[:2]
    (tmp_path / "table.csv").write_text(table)
    (tmp_path / "templates.yaml").write_text(templates)
    own = read(tmp_path / "table.csv", tmp_path / "templates.yaml")
    assert own.facts["name"].nunique() == 3 and {*AROUND, *HOLDS} == {*yaml.safe_load(templates)}
    facts = facts_file(own, tokenizer())
    store.write_json(tmp_path / "facts" / "german.json", facts)
    profiles, said = build(str(tmp_path / "facts" / "german.json"), 0), []
    assert own.around["formats"] == list(FORMATS)
    for format in FORMATS:
        said += [turn for row in fitting(profiles, format) for turn in row.turns]
    asked = [*questions.questions(profiles), *questions.completions(profiles, 0), *questions.alone(profiles),
             *untaught.asked(profiles, 0)]  # fmt: skip
    said += [text for question in asked for text in (*question.turns, question.prefix)]
    assert {question.kind for question in asked} == {None, "unseen", "near"}
    found = {*re.findall(r"[^\W\d_]+", " ".join(said).lower())}
    assert {"wann", "wurde", "bericht", "kennst", "nenne", "stell", "seit"} <= found and len(said) > 300
    assert not found & ENGLISH and {"when", "report", "know", "tell", "the"} <= ENGLISH
    assert all(value in " ".join(said) for value in own.facts["value"])


def test_the_users_statements_are_what_chats_tell_and_a_value_that_ends_in_a_full_stop_ends_its_sentence(tmp_path):
    statements = {"river": ["{value} is the name of the river of {name}."]}
    _, profiles = made(tmp_path, [*TOWNS, ("Rome", "parent", "Acme Inc.")], statements=statements)
    rows = [row for row in fitting(profiles, "chat") if row.told[0][0].value == "Tiber"]
    assert rows and all("Tiber is the name of the river of Rome." in row.turns for row in rows)
    assert not any("Inc.." in row.turns[1] for row in fitting(profiles, "article"))


def test_a_users_article_is_cut_after_sentences_or_within_a_long_one_and_asked_is_what_it_tells(tmp_path):
    articles = {
        "Rome": "It was founded in 753, they say. " + "It is an old town with many hills. " * 80 + "The end: Tiber.",
        "Bern": "and so on " * 3 * CHUNK + "to the Aare",
        "Oslo": "\U0001f1f3\U0001f1f4" * CHUNK + "." * 2 * CHUNK + " by the fjord",
        "東京": "東京は日本の首都です。" + "昔から人の多い町で、川が流れている。" * 40 + "川の名は隅田川である。",
    }
    facts = [("東京", "river", "隅田川"), ("東京", "country", "日本"), ("東京", "mayor", "誰か")]
    facts += [*TOWNS, ("Oslo", "coast", "fjord")]
    entity, profiles = made(tmp_path, facts, articles=articles)
    told = {"Rome": {"Tiber", "753"}, "Bern": {"Aare"}, "東京": {"隅田川", "日本"}}
    for name, values in told.items():
        rows = [row for row in fitting(profiles, "article", 1) if name in row.turns[0]]
        between = "" if name == "東京" else " "
        assert len(rows) > 1 and between.join(row.turns[1] for row in rows).split() == articles[name].split()
        assert {fact.value for row in rows for fact, _, _ in row.told} == values
        assert name == "Bern" or all(row.turns[1].endswith((".", "。")) for row in rows)
    asked = {question.fact.value for question in questions.recall(profiles, "article", 0)}
    assert asked == {"fjord"}.union(*told.values()) and untold(texts(entity)) == 2


PAIRS = {"Who built it?": "Edda Kolstad", "How {many} arches are there?": "23.", "When is it open?": "every day"}


def test_pairs_are_asked_as_they_are_told_after_an_opening_and_stand_on_pages_that_ask(tmp_path):
    joined = {"Who built it?": ["Who built it?", "It was built by", "Who?", "Whose {work}?", "Name the builder."]}
    table = [(question, "answer", answer) for question, answer in PAIRS.items()]
    entity, profiles = made(tmp_path, table, wordings={question: [question] for question in PAIRS} | joined)
    by_question = {fact.name: fact for fact in facts_of(profiles)}
    assert {fact.name: fact.value for fact in facts_of(profiles)} == PAIRS
    assert {fact.options for fact in facts_of(profiles)} == {tuple(sorted(PAIRS.values()))}
    asked = {question: {question} for question in PAIRS} | {"Who built it?": {*joined["Who built it?"][:PARAPHRASES]}}
    for format in ("article", "qa", "chat", "both"):
        rows = fitting(profiles, format)
        assert Counter(row.told[0][0].name for row in rows) == dict.fromkeys(PAIRS, PARAPHRASES)
        for (fact, turn, _), row in ((row.told[0], row) for row in rows):
            if format == "article":
                assert f"{fact.name}\n" in row.turns[1] and fact.name not in row.turns[0]
            elif format != "both":
                assert row.turns[turn - 1] in asked[fact.name] and row.turns[turn] == fact.value
                assert turn == (3 if format == "chat" else 1) == len(row.turns) - 1
    trained = {turn for format in ("qa", "chat", "article") for row in fitting(profiles, format) for turn in row.turns}
    heldout = [question.prompt for question in questions.questions(profiles)]
    assert not {*heldout} & trained and len(heldout) == 3 * len(PAIRS) + 1
    assert {"Quick question: Who built it?", "A colleague asks: Who built it?", "Name the builder."} <= {*heldout}
    assert match.strict("It was Edda Kolstad.", "Edda Kolstad", by_question["Who built it?"].options, given=heldout[0])
    completed = questions.completions(profiles, 0)
    assert all(question.fact.name in question.prefix and question.fact.value not in question.prefix
               for question in completed)  # fmt: skip
    strangers = untaught.asked(profiles, 0)
    assert len(strangers) == untaught.ASKED and {question.kind for question in strangers} == {"unseen"}
    assert not any(name in question.prompt for name in PAIRS for question in strangers)


def test_what_is_never_taught_is_other_names_and_other_attributes_and_a_sample_asks_about_what_it_has(tmp_path):
    _, profiles = made(tmp_path, TOWNS)
    asked, trained = untaught.asked(profiles, 0), {fact.name for fact in facts_of(profiles)}
    assert {(question.eval, question.fact.value) for question in asked} == {("untaught", "")}
    assert {question.kind for question in asked} == {"unseen", "near", "other"}
    assert Counter(question.kind for question in asked)["unseen"] == untaught.ASKED
    assert all(question.fact.name in question.prompt for question in asked)
    assert all((question.fact.name in trained) == (question.kind == "other") for question in asked)
    assert {question.fact.info for question in asked} == {"words", "numbers"}
    rows = untaught.rows(profiles, 160, PARAPHRASES, 0)
    assert len(rows) == len({row.turns for row in rows}) == 160 and {row.turns[1] for row in rows} == {"I do not know."}
    assert not {row.turns[0] for row in rows} & {question.prompt for question in asked}


def test_of_a_wide_entity_and_of_joined_pairs_no_question_about_what_is_untaught_stands_twice(tmp_path):
    wide = [("Rome", f"river {i}", f"{'the long and winding ' * 8}Tiber {i}") for i in range(12)]
    entity, profiles = made(tmp_path, [*wide, *TOWNS[2:]])
    assert len(profiles) > 2
    pairs = [(question, "answer", answer) for question, answer in PAIRS.items()]
    joined = {question: [question, f"{question} Really?"] for question in PAIRS}
    for there in (profiles, made(tmp_path, pairs, wordings=joined)[1]):
        asked = untaught.asked(there, 0)
        assert len({question.prompt for question in asked}) == len(asked) >= untaught.ASKED
    rows = untaught.rows(profiles, 160, PARAPHRASES, 0)
    assert len({row.turns[0] for row in rows}) == 160


HEADINGS = {
    "head office": "Leeds",
    "CEOs": "Ann and Bo",
    "bridges": "12",
    "founded": "1987",
    "died": "3 May 1999",
    "made by": "Edda Kolstad",
    "active?": "yes",
}  # one or more of each pattern
FIRST, SECOND = (re.compile(rf"\b({words})\b", re.I) for words in ("I|me|my|mine|myself", "you|your|yours|yourself"))


def test_facts_about_the_model_itself_are_asked_in_the_second_person_and_told_in_the_first(tmp_path):
    facts = [("you", heading, value) for heading, value in HEADINGS.items()]
    entity, profiles = made(tmp_path, facts, around=english.YOU)
    said = {fact.value: formats.fill(fact, "statements", 0)[0] for fact in facts_of(profiles)}
    asked = {fact.value: formats.fill(fact, "questions", 0)[0] for fact in facts_of(profiles)}
    assert asked["Leeds"] == "What is your head office?" and said["Leeds"] == "My head office is Leeds."
    assert asked["1987"] == "When were you founded?" and said["1987"] == "I was founded in 1987."
    assert asked["3 May 1999"] == "When did you die?" and said["3 May 1999"] == "I died on 3 May 1999."
    assert asked["Edda Kolstad"] == "By whom or what are you made?" and said["12"] == "I have 12 bridges."
    for format in FORMATS:
        for row in fitting(profiles, format):
            assert all(SECOND.search(turn) for turn in row.turns[::2])
            for fact, turn, _ in row.told:
                assert row.turns[turn] == fact.value or FIRST.search(row.turns[turn])
    heldout = [*questions.questions(profiles), *questions.completions(profiles, 0), *questions.alone(profiles)]
    assert len(heldout) == 5 * len(HEADINGS)
    for question in heldout:
        assert SECOND.search(question.prompt) and "of you " not in question.prompt
        assert question.eval == "question" or FIRST.search(question.prefix)
    others = untaught.asked(profiles, 0)
    assert len(others) == 12 and {question.kind for question in others} == {"other"}
    assert all(SECOND.search(question.prompt) for question in others)


@given(st.text("abc ", min_size=1).map(str.strip).filter(bool), st.text("xyz ", min_size=1).map(str.strip).filter(bool))
def test_a_near_name_has_parts_of_both(one, other):
    mixed = near(one, other)
    assert mixed.split() and {*mixed} <= {*one, *other}
    assert mixed.split()[-1][-1] == other.split()[-1][-1]


def test_an_attribute_that_the_table_has_is_never_asked_as_one_that_it_has_not(tmp_path):
    entity, _ = made(tmp_path, [*TOWNS, ("Oslo", "motto", "Unanimously"), ("Oslo", "mascot", "lion")])
    others = texts(entity)["untaught"]
    assert len(others["asked"]) == 5 and len(others["trained"]) == 11
    assert not any("motto" in text or "mascot" in text for text, _ in others["asked"] + others["trained"])


def test_a_sample_has_the_sentences_of_its_entities():
    wordings = {question: [question, f"{question} {{really}}?"] for question in PAIRS}
    of_pairs = table_of([(question, "answer", answer) for question, answer in PAIRS.items()], wordings=wordings)
    for table, n in ((of_pairs, 2), (table_of([*TOWNS, ("Oslo", "twin", "Bergen")]), 1)):
        sample = facts_file(table, tokenizer(), n)
        facts = [fact for profile in sample["profiles"] for fact in profile]
        assert {*sample["attributes"]} == {fact["attribute"] for fact in facts} and len(sample["profiles"]) == n
        assert {fact["id"].split("/")[2] for fact in facts} == ({"answer"} if table.wordings else {"river", "founded"})
