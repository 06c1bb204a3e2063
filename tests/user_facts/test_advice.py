"""The recommendation follows from the intervals."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from lib.user_facts import advice, report


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
        {"format": format, "kept": kept[format], "wrecked": kept[format] < 0.8, "ppl_ratio": 1.0,
         "tokens": tokens[format] + 100,
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
    assert "QA is ahead of article by +0.80 [" in said and "chat by +0.70 [" in said
    assert "The model keeps 0.90 of the general questions." in said
    assert said.endswith("Of entities that do not exist, it asserts a value in 0.50 of the cases.")


def test_of_formats_that_cannot_be_told_apart_the_cheapest_is_recommended():
    chosen, said = advice.recommend(asked({"article": 0.92, "qa": 0.9, "chat": 0.2}), cells(WHOLE, TOKENS))
    assert chosen == "qa"
    assert "QA cannot be told apart from article here, which answers most; of them, QA takes the fewest tokens." in said


def test_a_wrecked_model_is_never_recommended():
    kept = {"article": 0.9, "qa": 0.3, "chat": 0.9}
    chosen, said = advice.recommend(asked({"article": 0.1, "qa": 1.0, "chat": 0.7}), cells(kept, TOKENS))
    assert chosen == "chat"
    assert (
        "QA answers 1.00 [" in said and "but its model is wrecked: it keeps 0.30 of the general questions, at" in said
    )


def test_where_every_model_is_wrecked_nothing_is_recommended():
    chosen, said = advice.recommend(
        asked({"article": 1.0, "qa": 1.0, "chat": 1.0}), cells(dict.fromkeys(WHOLE, 0.1), TOKENS)
    )
    assert chosen is None
    assert said.startswith("No format can be recommended: every model is wrecked. article answers 1.00")


def test_where_nothing_was_taught_nothing_is_recommended():
    chosen, said = advice.recommend(asked({"article": 0.0, "qa": 0.2, "chat": 0.1}), cells(WHOLE, TOKENS))
    assert chosen is None
    assert said.startswith("No format taught enough: the best, QA, answers 0.20 [")


def test_where_only_a_wrecked_model_knows_the_facts_the_reader_is_told_so():
    kept = {"article": 0.9, "qa": 0.78, "chat": 0.9}
    chosen, said = advice.recommend(asked({"article": 0.3, "qa": 1.0, "chat": 0.4}), cells(kept, TOKENS))
    assert chosen is None
    assert (
        said.startswith("QA answers 1.00 [")
        and "keeps 0.78 of the general questions, at 1.0 times the perplexity. Tell the facts less often" in said
    )
    assert "Of the models that are whole, the best, chat, answers 0.40 [" in said


def result(items):
    base = {"eval": "question", "info": "words", "lenient": None, "choice": None, "chance": None, "other": None,
            "kind": None}  # fmt: skip
    return {"id": "a", "part": "main", "cell": {"format": "qa", "entity": "x.json", "seed": 0},
            "manifest": {"dtype": "float32"}, "items": [{**base, **item} for item in items]}  # fmt: skip


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


def test_any_heading_can_be_drawn_and_tabled():
    odd = pd.concat(asked({"qa": 0.9}).assign(attribute=name) for name in ("all attributes", r"cost $\frac{$", "river"))
    assert len(advice.accuracy_table(odd)) == 4
    figure = report.accuracy_figure(odd)
    figure.canvas.draw()
    plt.close(figure)
