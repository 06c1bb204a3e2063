import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation import ACCURACIES, simulated_study

from lib import results, stats
from lib.errors import UserError
from lib.paths import ROOT


def items_of(accuracies, **settings):
    return results.items(simulated_study(accuracies, **settings))


@pytest.mark.parametrize("facts", [16, 32, 64])
def test_an_interval_covers_a_planted_effect_about_95_percent_of_the_time(facts):
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        sample = (rng.random(facts) < 0.8).astype(float) - (rng.random(facts) < 0.4)
        _, low, high = stats.mean_interval(sample)
        covered += low <= 0.4 <= high
    assert 0.90 <= covered / 300 <= 0.985


def test_facts_that_all_agree_still_have_an_interval():
    estimate, low, high = stats.mean_interval(np.ones(16))
    assert (estimate, high) == (1, 1)
    assert 0.6 < low < 0.7  # up to 17 % of facts could disagree, and then fully
    assert stats.verdict(*stats.mean_interval(np.ones(1))[1:]) == "inconclusive"
    assert stats.mean_interval(np.zeros(16))[1:] == pytest.approx((-0.171, 0.171), abs=1e-3)


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=20), st.lists(st.floats(0, 1), min_size=3, max_size=20))
def test_swapping_the_arms_flips_the_sign(one, other):
    estimate, low, high = stats.mean_interval(np.array(one), np.array(other))
    swapped, swapped_low, swapped_high = stats.mean_interval(np.array(other), np.array(one))
    assert swapped == pytest.approx(-estimate)
    assert low - 1e-9 <= estimate <= high + 1e-9
    width = high - low
    assert swapped_low == pytest.approx(-high, abs=0.15 * width + 1e-9)  # another draw of the same bootstrap
    assert swapped_high == pytest.approx(-low, abs=0.15 * width + 1e-9)


def test_intervals_are_the_same_every_time():
    sample = np.random.default_rng(1).random(30)
    assert stats.mean_interval(sample) == stats.mean_interval(sample)


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.1, 0.3, "replicates"), (-0.3, -0.1, "opposite"), (-0.1, 0.1, "inconclusive"),
                                  (0.0, 0.2, "inconclusive")]
)  # fmt: skip
def test_the_verdict_follows_from_the_interval(low, high, expected):
    assert stats.verdict(low, high) == expected


def test_claims_find_a_planted_format_gap_and_its_interaction_with_numbers():
    claims = stats.claims(items_of(ACCURACIES, n_facts=40))
    by_contrast = {row["contrast"]: row for row in claims}
    gap = by_contrast["qa - article, held-out question, strict"]
    assert gap["verdict"] == "replicates"
    assert gap["ci95"][0] < 0.5 < gap["ci95"][1]
    assert gap["facts"] == 160
    assert gap["cells"] == 8
    assert by_contrast["categorical - numeric, held-out question, strict, article format"]["cells"] == 4
    interaction = by_contrast["(qa - article | numeric) - (qa - article | categorical), held-out question, strict"]
    assert interaction["verdict"] == "replicates"
    assert interaction["ci95"][0] < 0.4 < interaction["ci95"][1]


def test_claims_say_opposite_when_articles_are_better():
    swapped = {("qa" if f == "article" else "article", info): share for (f, info), share in ACCURACIES.items()}
    assert stats.claims(items_of(swapped, n_facts=40))[0]["verdict"] == "opposite"


def test_questions_about_one_fact_do_not_make_an_interval_narrower():
    items = items_of(ACCURACIES)
    once = stats.accuracy(items[items["eval"] == "qa"], ["format", "info"])
    repeated = items.loc[items.index.repeat(5)]
    again = stats.accuracy(repeated[repeated["eval"] == "qa"], ["format", "info"])
    assert (again["high"] - again["low"]).tolist() == pytest.approx((once["high"] - once["low"]).tolist())
    assert (again["items"] == 5 * once["items"]).all()


def test_an_accuracy_of_one_still_has_an_interval():
    items = items_of(ACCURACIES)
    recall = stats.accuracy(items[items["eval"] == "recall"], ["format"])
    assert (recall["mean"] == 1).all()
    assert (recall["low"] < 1).all()


def test_only_entities_with_both_formats_and_a_base_are_compared():
    made = simulated_study(ACCURACIES)
    without_base = [r for r in made if not (r["cell"]["entity"] == "real" and r["cell"]["format"] == "none")]
    assert set(stats.comparable(results.items(made))["entity"]) == {"fictional", "real"}
    assert set(stats.comparable(results.items(without_base))["entity"]) == {"fictional"}


@pytest.mark.parametrize(("column", "value"), [("seed", 1), ("model", "other"), ("epochs", 9)])
def test_what_the_intervals_do_not_account_for_is_not_mixed(column, value):
    items = items_of(ACCURACIES)
    with pytest.raises(UserError, match=f"mix values of {column}"):
        stats.comparable(pd.concat([items, items.assign(**{column: value})]))


def test_the_best_learning_rate_has_the_highest_held_out_accuracy():
    low = simulated_study(dict.fromkeys(ACCURACIES, 0.2), learning_rates=(1e-3,))
    high = simulated_study(dict.fromkeys(ACCURACIES, 0.8), learning_rates=(2e-3,))
    table = stats.learning_rates(results.items(low + high))
    assert table[table["best"]].set_index("format")["learning_rate"].to_dict() == {"article": 2e-3, "qa": 2e-3}


def test_the_readme_says_what_the_published_claims_say():
    verdicts = {row["contrast"]: row["verdict"] for row in stats.claims(results.items(results.load("quick")))}
    text = " ".join((ROOT / "README.md").read_text().split())
    assert "question-answer training wins on held-out questions" in text
    assert verdicts["qa - article, held-out question, strict"] == "replicates"
    assert "article training wins on held-out sentences to complete" in text
    assert verdicts["qa - article, held-out cloze, strict"] == "opposite"
    assert "numbers are not detectably harder than words" in text
    assert {verdict for contrast, verdict in verdicts.items() if contrast.startswith("categorical - numeric")} == {
        "inconclusive"
    }


def test_the_published_claims_are_those_of_the_published_items():
    published = json.loads((results.study_dir("quick") / "claims.json").read_text())
    assert published == stats.claims(results.items(results.load("quick")))
