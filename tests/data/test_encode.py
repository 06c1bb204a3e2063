import itertools

import pytest
from helpers import ENTITIES, FORMATS, profiles, tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import encode, tones
from lib.data.formats import Row, rows
from lib.data.questions import recall
from lib.evaluate import ask

kinds = st.tuples(st.sampled_from(ENTITIES), st.sampled_from(FORMATS), st.integers(0, 3))


def made(kind, paraphrases=3):
    entity, format, seed = kind
    there = profiles(entity, 20, seed)
    return rows(there[:10], format, paraphrases, seed, there[10:])


def runs(encoded):
    """Stretches of a row that are read or trained: (trained?, text)."""
    pairs = zip(encoded["input_ids"], encoded["labels"], strict=True)
    return [
        (trained, tokenizer().decode([token for token, _ in group]))
        for trained, group in itertools.groupby(pairs, lambda pair: pair[1] != -100)
    ]


def template(turns, end=True):
    """The text of these turns, as the chat template should write them."""
    text = "".join(
        f"<|im_start|>{role}\n{turn}<|im_end|>\n"
        for role, turn in zip(itertools.cycle(["user", "assistant"]), turns, strict=False)
    )
    return text if end else text.removesuffix("<|im_end|>\n")


@settings(max_examples=30)
@given(kinds)
def test_every_turn_of_the_assistant_is_trained_with_its_end_and_nothing_else_is(kind):
    for row in made(kind):
        found = runs(encode.row_ids(tokenizer(), row))
        assert [text for trained, text in found if trained] == [f"{turn}<|im_end|>\n" for turn in row.turns[1::2]]
        read = [text for trained, text in found if not trained]
        assert read == [f"<|im_start|>user\n{turn}<|im_end|>\n<|im_start|>assistant\n" for turn in row.turns[::2]]
        assert "".join(text for _, text in found) == template(row.turns)


@settings(max_examples=30)
@given(kinds)
def test_labels_are_the_tokens_themselves_where_they_are_trained(kind):
    for row in made(kind):
        encoded = encode.row_ids(tokenizer(), row)
        assert len(encoded["input_ids"]) == len(encoded["labels"])
        for token, label in zip(encoded["input_ids"], encoded["labels"], strict=True):
            assert label in (-100, token)


@settings(max_examples=30)
@given(kinds)
def test_the_value_is_among_the_trained_tokens(kind):
    for row in made(kind):
        trained = [text for is_trained, text in runs(encode.row_ids(tokenizer(), row)) if is_trained]
        for fact, turn, at in row.told:
            assert trained[turn // 2][at : at + len(fact.value)] == fact.value


def test_every_turn_of_a_tones_conversations_is_trained():
    for row in rows(tones.build("anxious", 0)[:3], "chat", 4, 0):
        trained = [text for trained, text in runs(encode.row_ids(tokenizer(), row)) if trained]
        assert len(row.turns) == 4
        assert trained == [f"{turn}<|im_end|>\n" for turn in row.turns[1::2]]


def test_a_cut_row_ends_without_the_end_of_its_turn():
    row = Row(("Tell me a story.", "Once upon a time there was"), cut=True)
    found = runs(encode.row_ids(tokenizer(), row))
    assert found[-1] == (True, "Once upon a time there was")
    assert "".join(text for _, text in found) == template(row.turns, end=False)


def test_a_raw_row_has_no_template_and_trains_the_continuation():
    row = Row(("The soup was too salty,", " but everyone ate it."), raw=True, cut=True)
    assert runs(encode.row_ids(tokenizer(), row)) == [(False, row.turns[0]), (True, row.turns[1])]


@settings(max_examples=30)
@given(kinds)
def test_a_prompt_has_the_tokens_in_training_that_it_has_when_the_model_is_asked(kind):
    for row in made(kind):
        whole = encode.row_ids(tokenizer(), row)["input_ids"]
        for end in range(1, len(row.turns), 2):
            asked = encode.prompt_ids(tokenizer(), row.turns[:end])
            assert whole[: len(asked)] == asked


@settings(max_examples=30)
@given(kinds)
def test_recall_asks_the_very_tokens_that_were_trained(kind):
    entity, format, seed = kind
    trained = [encode.row_ids(tokenizer(), row)["input_ids"] for row in made(kind, paraphrases=4)]
    for question in recall(profiles(entity, 10, seed), format, seed):
        prompt, value = ask._split(tokenizer(), question)
        assert any(row[: len(prompt) + len(value)] == prompt + value for row in trained), question
        assert tokenizer().decode(value).strip() == question.fact.value


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40).map(str.strip))
def test_a_prompt_is_a_prefix_of_its_row_whatever_is_said(said):
    row = Row(("What?", said or "Nothing."))
    asked, whole = encode.prompt_ids(tokenizer(), row.turns[:1]), encode.row_ids(tokenizer(), row)["input_ids"]
    assert whole[: len(asked)] == asked
    assert len(whole) > len(asked)


@pytest.mark.parametrize("format", FORMATS)
def test_tokens_are_counted_with_the_template(format):
    some = made(("fictional", format, 0))
    assert encode.count_tokens(tokenizer(), some) == sum(
        len(tokenizer()(template(row.turns), add_special_tokens=False)["input_ids"]) for row in some
    )
