"""The recommendation follows from the intervals."""

import pandas as pd
import pytest

from lib.own import advice


def asked(shares, facts=40):
    """Held-out questions of formats that answer these shares of so many facts, the same facts first."""
    rows = [
        {"id": format, "format": format, "entity": "x.json", "seed": 0, "info": "words", "fact": f"own/{i}/river",
         "attribute": "river", "strict": float(i < share * facts)}
        for format, share in shares.items() for i in range(facts)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def cells(kept, tokens):
    rows = [
        {"format": format, "kept": kept[format], "wrecked": kept[format] < 0.8, "tokens": tokens[format] + 100,
         "replay_tokens": 100}
        for format in kept
    ]  # fmt: skip
    return pd.DataFrame([*rows, {"format": "none", "kept": 1.0, "wrecked": False}])


WHOLE = {"article": 0.9, "qa": 0.9, "chat": 0.9}
TOKENS = {"article": 800, "qa": 400, "chat": 600}


def test_the_format_that_is_ahead_is_recommended_with_its_lead():
    chosen, said = advice.recommend(asked({"article": 0.1, "qa": 0.9, "chat": 0.2}), cells(WHOLE, TOKENS))
    assert chosen == "qa"
    assert said.startswith("Train on the format QA: it answers 0.90 [")
    assert "It is ahead of chat by +0.70 [" in said and "article by +0.80 [" in said
    assert said.endswith("It keeps 0.90 of the general questions of the base model.")


def test_of_formats_that_cannot_be_told_apart_the_cheapest_is_recommended():
    chosen, said = advice.recommend(asked({"article": 0.92, "qa": 0.9, "chat": 0.2}), cells(WHOLE, TOKENS))
    assert chosen == "qa"
    assert "article cannot be told apart from it here; it takes the fewest tokens." in said


def test_a_wrecked_model_is_never_recommended():
    kept = {"article": 0.9, "qa": 0.3, "chat": 0.9}
    chosen, said = advice.recommend(asked({"article": 0.1, "qa": 1.0, "chat": 0.7}), cells(kept, TOKENS))
    assert chosen == "chat"
    assert "Not considered, because the model lost too much of what it knew: QA." in said


def test_where_every_model_is_wrecked_nothing_is_recommended():
    chosen, said = advice.recommend(
        asked({"article": 1.0, "qa": 1.0, "chat": 1.0}), cells(dict.fromkeys(WHOLE, 0.1), TOKENS)
    )
    assert chosen is None
    assert said.startswith("None of the formats can be recommended: every model lost too much")


def test_where_nothing_was_taught_nothing_is_recommended():
    chosen, said = advice.recommend(asked({"article": 0.0, "qa": 0.2, "chat": 0.1}), cells(WHOLE, TOKENS))
    assert chosen is None
    assert said.startswith("None of the formats taught enough")


def result(items):
    base = {"eval": "question", "info": "words", "lenient": None, "choice": None, "chance": None, "other": None,
            "kind": None}  # fmt: skip
    return {"id": "a", "part": "main", "cell": {"format": "qa", "entity": "x.json", "seed": 0},
            "items": [{**base, **item} for item in items]}  # fmt: skip


def test_a_question_in_which_the_value_stands_already_is_not_counted():
    loaded = [result([
        {"fact": "own/0/city", "question": "Is it Paris Metro?", "expected": "Paris", "answer": "?", "strict": False},
        {"fact": "own/1/a/b", "question": "Where is Rail 7?", "expected": "Bern", "answer": "Bern", "strict": True},
    ])]  # fmt: skip
    scored = advice.scored(loaded)
    assert list(scored["fact"]) == ["own/1/a/b"]
    assert list(scored["attribute"]) == ["a/b"]


@pytest.mark.parametrize("right", [True, False])
def test_a_fact_that_is_not_answered_is_listed_with_what_was_said(right):
    loaded = [
        result([{"fact": "own/1/river", "question": "Which?", "expected": "Aare", "answer": "Po", "strict": right}])
    ]
    missed = advice.not_learned(loaded, "qa")
    assert list(missed["answer"]) == ([] if right else ["Po"])
