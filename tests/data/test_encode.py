import itertools

from helpers import TOLD, profiles, recalled, tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import encode
from lib.data.facts import facts_of
from lib.data.formats import Row, rows
from lib.data.questions import recall

kinds = st.tuples(st.sampled_from(TOLD), st.integers(0, 3))


def made(kind):
    (entity, format), seed = kind
    return rows(profiles(entity, 10, seed), format, 4, seed)


def runs(encoded):
    """Stretches of a row that are read or trained: (trained?, text)."""
    pairs = zip(encoded["input_ids"], encoded["labels"], strict=True)
    return [
        (trained, tokenizer().decode([token for token, _ in group]))
        for trained, group in itertools.groupby(pairs, lambda pair: pair[1] != -100)
    ]


def template(turns):
    """The text of these turns, as the chat template should write them."""
    said = zip(itertools.cycle(["user", "assistant"]), turns, strict=False)
    return "".join(f"<|im_start|>{role}\n{turn}<|im_end|>\n" for role, turn in said)


@settings(max_examples=30)
@given(kinds)
def test_every_turn_of_the_assistant_is_trained_with_its_end_and_nothing_else_is(kind):
    some = made(kind)
    encoded = [encode.row_ids(tokenizer(), row) for row in some]
    for row, one in zip(some, encoded, strict=True):
        assert all(label in (-100, token) for token, label in zip(one["input_ids"], one["labels"], strict=True))
        trained = [text for is_trained, text in runs(one) if is_trained]
        assert trained == [f"{turn}<|im_end|>\n" for turn in row.turns[1::2]]
        assert "".join(text for _, text in runs(one)) == template(row.turns)
        for end in range(1, len(row.turns), 2):  # a prompt has the tokens that it has when the model is asked
            asked = encode.prompt_ids(tokenizer(), row.turns[:end])
            assert one["input_ids"][: len(asked)] == asked
    assert encode.count_tokens(tokenizer(), some) == sum(len(one["input_ids"]) for one in encoded)


def test_a_cut_row_ends_without_the_end_of_its_turn_and_a_raw_row_has_no_template():
    row = Row(("Tell me a story.", "Once upon a time there was"), cut=True)
    (_, read), trained = runs(encode.row_ids(tokenizer(), row))
    assert trained == (True, row.turns[1]) and f"{read}{row.turns[1]}<|im_end|>\n" == template(row.turns)
    row = Row(("The soup was too salty,", " but everyone ate it."), raw=True, cut=True)
    assert runs(encode.row_ids(tokenizer(), row)) == [(False, row.turns[0]), (True, row.turns[1])]


@settings(max_examples=30)
@given(kinds)
def test_recall_asks_the_very_tokens_that_were_trained(kind):
    (entity, format), seed = kind
    trained = [encode.row_ids(tokenizer(), row)["input_ids"] for row in made(kind)]
    there = profiles(entity, 10, seed)
    asked = recall(there, format, seed)
    assert sorted(question.fact.id for question in asked) == sorted(fact.id for fact in facts_of(there))
    for question, (prompt, value) in zip(asked, recalled(tokenizer(), asked), strict=True):
        assert any(row[: len(prompt) + len(value)] == prompt + value for row in trained), question
        assert tokenizer().decode(value).strip() == question.fact.value


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40).map(str.strip))
def test_a_prompt_is_a_prefix_of_its_row_whatever_is_said(said):
    row = Row(("What?", said or "Nothing."))
    asked, whole = encode.prompt_ids(tokenizer(), row.turns[:1]), encode.row_ids(tokenizer(), row)["input_ids"]
    assert whole[: len(asked)] == asked
    assert len(whole) > len(asked)
