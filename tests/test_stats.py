import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from simulation import ACCURACIES, simulated_study

from lib import results, stats


def items_of(accuracies, **settings):
    return results.items(simulated_study(accuracies, **settings))


def arm(values, seeds=1, entity="fictional"):
    """An arm of a contrast: these values, dealt out to so many seeds."""
    index = [(entity, "numeric", i % seeds, f"fact {i}") for i in range(len(values))]
    return pd.Series(np.asarray(values, float), index=pd.MultiIndex.from_tuples(index, names=stats.FACT))


@pytest.mark.parametrize(
    ("seeds", "strata", "run_sd"),
    [(3, 6, 0.0), (3, 6, 0.15), (3, 6, 0.3), (3, 1, 0.0), (3, 1, 0.15), (1, 4, 0.0)],
)
def test_an_interval_covers_a_planted_effect_about_95_percent_of_the_time(seeds, strata, run_sd, monkeypatch):
    """Eight facts a run, each run with luck of its own: the design of the cpu grid, of a part of it, and of quick."""
    monkeypatch.setattr(stats, "RESAMPLES", 1000)
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        runs = []
        for stratum in range(strata):
            luck = np.clip(0.5 + rng.normal(0, run_sd, seeds), 0, 1)
            runs.append(arm((rng.random(8 * seeds) < np.tile(luck, 8)).astype(float), seeds, f"entity {stratum}"))
        found = stats.contrast(pd.concat(runs))
        covered += found.low <= 0.5 <= found.high
    assert 0.90 <= covered / 200 <= 0.995


def test_resampling_facts_alone_would_be_too_sure_of_a_lucky_run():
    rng = np.random.default_rng(0)
    lucky = np.repeat([0.2, 0.5, 0.8], 20)
    values = (rng.random(60) < lucky).astype(float)[np.arange(60).reshape(3, 20).T.ravel()]
    clustered, single = stats.contrast(arm(values, seeds=3)), stats.contrast(arm(values, seeds=1))
    assert clustered.estimate == single.estimate
    assert clustered.high - clustered.low > 1.5 * (single.high - single.low)
    assert clustered.effective < 30 < single.effective <= 60


def test_facts_that_all_agree_still_have_an_interval():
    ones = stats.contrast(arm(np.ones(16)))
    assert (ones.estimate, ones.high) == (1, 1)
    assert 0.6 < ones.low < 0.7  # up to 17 % of facts could disagree, and then fully
    one = stats.contrast(arm(np.ones(1)))
    assert stats.verdict(one.low, one.high) == "inconclusive"
    zeros = stats.contrast(arm(np.zeros(16)))
    assert (zeros.low, zeros.high) == pytest.approx((-0.171, 0.171), abs=1e-3)


samples = st.lists(st.floats(0, 1), min_size=3, max_size=20)


@settings(max_examples=20)
@given(samples, samples)
def test_swapping_the_arms_flips_the_sign(one, other):
    found, swapped = stats.contrast(arm(one), arm(other)), stats.contrast(arm(other), arm(one))
    assert swapped.estimate == pytest.approx(-found.estimate)
    assert found.low - 1e-9 <= found.estimate <= found.high + 1e-9
    width = found.high - found.low
    assert swapped.low == pytest.approx(-found.high, abs=0.15 * width + 1e-9)  # another draw of the same bootstrap
    assert swapped.high == pytest.approx(-found.low, abs=0.15 * width + 1e-9)


@settings(max_examples=20)
@given(samples)
def test_a_paired_contrast_is_the_negative_of_its_mirror(differences):
    found, mirror = stats.contrast(arm(differences)), stats.contrast(-arm(differences))
    assert (mirror.estimate, mirror.low, mirror.high) == pytest.approx((-found.estimate, -found.high, -found.low))


def test_intervals_are_the_same_every_time():
    sample = arm(np.random.default_rng(1).random(30), seeds=3)
    assert stats.contrast(sample) == stats.contrast(sample)


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.1, 0.3, "replicates"), (-0.3, -0.1, "opposite"), (-0.1, 0.1, "inconclusive"),
                                  (0.0, 0.2, "inconclusive")]
)  # fmt: skip
def test_the_verdict_follows_from_the_interval(low, high, expected):
    assert stats.verdict(low, high) == expected


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


@given(st.lists(st.booleans(), min_size=1, max_size=200), st.integers(1, 3))
@example([True] * 7, 1)
@example([False] * 7, 1)
def test_an_accuracy_lies_within_its_interval(right, runs):
    facts = pd.DataFrame({"entity": "real", "info": "numeric", "format": "qa", "strict": right})
    facts = facts.assign(fact=facts.index.astype(str), id=facts.index % runs)
    found = stats.accuracy(facts, ["format"]).iloc[0]
    assert 0 <= found["low"] <= found["mean"] <= found["high"] <= 1


def test_runs_that_differ_widen_the_interval_of_an_accuracy():
    one = items_of(ACCURACIES, n_facts=20)
    lucky, unlucky = (items_of(dict.fromkeys(ACCURACIES, share), n_facts=20) for share in (0.9, 0.1))
    mixed = pd.concat([lucky.assign(seed=1, id="a"), unlucky.assign(seed=2, id="b")])
    found = stats.accuracy(mixed[(mixed["eval"] == "qa") & (mixed["format"] != "none")], ["format"])
    alike = stats.accuracy(
        pd.concat([one.assign(seed=1), one.assign(seed=2, id=one["id"] + "x")]).query("eval == 'qa'"), ["format"]
    )
    assert (found["effective"] < 0.3 * found["facts"]).all()
    assert (alike["effective"] > 0.9 * alike["facts"]).all()


def test_scores_that_can_be_negative_have_a_mean_with_an_interval():
    items = items_of(ACCURACIES)
    found = stats.means(items[(items["eval"] == "qa") & (items["format"] == "qa")], ["info"], "corrected")
    assert ((found["low"] < found["mean"]) & (found["mean"] < found["high"])).all()
    choice = items[(items["eval"] == "qa") & (items["format"] == "qa")].groupby("info")["choice"].mean()
    assert found["mean"].tolist() == pytest.approx(((choice - 1 / 16) / (1 - 1 / 16)).tolist())


def rates_with(*shares):
    return [
        result
        for rate, share in zip((1e-3, 2e-3, 4e-3), shares, strict=True)
        for result in simulated_study(dict.fromkeys(ACCURACIES, share), learning_rates=(rate,))
    ]


def best(made):
    table = stats.learning_rates(results.items(made))
    return table[table["best"]].set_index("format")["learning_rate"].to_dict()


def test_the_best_learning_rate_is_the_lowest_within_one_standard_error_of_the_highest_accuracy():
    assert best(rates_with(0.6, 0.8, 0.6)) == {"article": 2e-3, "qa": 2e-3}
    assert best(rates_with(1.0, 1.0, 1.0)) == {"article": 1e-3, "qa": 1e-3}
    assert best(rates_with(0.9, 1.0, 1.0)) == {"article": 2e-3, "qa": 2e-3}


def test_the_best_learning_rate_is_not_next_to_divergence():
    made = rates_with(0.2, 0.8, 0.6)
    assert best(made) == {"article": 2e-3, "qa": 2e-3}
    for result in made:
        if result["cell"]["learning_rate"] == 4e-3 and result["cell"]["format"] == "article":
            for item in result["items"]:
                item["strict"] = False  # diverged
    assert best(made) == {"article": 1e-3, "qa": 2e-3}


@pytest.mark.parametrize(("differ", "leaves_zero_out"), [(4, False), (5, False), (6, True)])
def test_fewer_differences_than_a_sign_test_needs_do_not_leave_zero_out(differ, leaves_zero_out):
    index = pd.MultiIndex.from_tuples([("real", "numeric", 0, str(i)) for i in range(32)], names=stats.FACT)
    found = stats.contrast(pd.Series([1.0] * differ + [0.0] * (32 - differ), index=index))
    assert (found.low > 0) == leaves_zero_out
