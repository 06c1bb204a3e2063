import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.report import intervals
from lib.report.scores import FACT


def table(values, runs=1, entity="fictional", attributes=0):
    """Arms of a contrast: a row a fact, dealt out to so many runs; with attributes, each is in every run."""
    values = np.asarray(values, float).reshape(len(values), -1)
    index = []
    for i in range(len(values)):
        name = f"{entity}/town {i}/{i // runs % attributes if attributes else i}"
        index.append((entity, i % runs, ("words", "numbers")[i // runs % 2], name))
    return pd.DataFrame(values, index=pd.MultiIndex.from_tuples(index, names=FACT))


@pytest.mark.parametrize(("runs", "kinds", "luck_sd"), [(5, 3, 0.0), (5, 3, 0.15), (5, 3, 0.3), (1, 4, 0.0)])
def test_an_interval_covers_a_planted_effect_about_95_percent_of_the_time(runs, kinds, luck_sd, monkeypatch):
    """Twenty facts a run, each run with luck of its own: the design of cpu, and of quick."""
    monkeypatch.setattr(intervals, "RESAMPLES", 600)
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        frames = []
        for kind in range(kinds):
            luck = np.clip(0.5 + rng.normal(0, luck_sd, runs), 0, 1)
            frames.append(table((rng.random(20 * runs) < np.tile(luck, 20)), runs, f"kind {kind}"))
        found = intervals.contrast(pd.concat(frames), (1,))
        covered += found.low <= 0.5 <= found.high
    assert 0.85 <= covered / 100 <= 1


def test_facts_of_runs_that_differ_make_a_wider_interval_than_as_many_independent_facts():
    rng = np.random.default_rng(0)
    values = (rng.random(60) < np.tile([0.2, 0.5, 0.8], 20)).astype(float)
    clustered, single = (intervals.contrast(table(values, runs), (1,)) for runs in (3, 1))
    assert clustered.estimate == single.estimate
    assert clustered.high - clustered.low > 1.5 * (single.high - single.low)
    assert (clustered.runs, single.runs) == (3, 1)


def test_pairing_by_fact_makes_the_interval_of_a_constant_difference_narrow():
    rng = np.random.default_rng(1)
    first = rng.random(40)
    paired = intervals.contrast(table(np.column_stack([first + 0.1, first])), (1, -1))
    assert paired.estimate == pytest.approx(0.1)
    assert paired.high - paired.low < 1e-6


def test_arms_of_different_facts_are_compared_by_their_means():
    values = np.full((20, 2), np.nan)
    values[::2, 0], values[1::2, 1] = 0.75, 0.25
    values[0, 0], values[1, 1] = 0.7, 0.2
    found = intervals.contrast(table(values), (1, -1))
    assert found.estimate == pytest.approx(0.5) and found.low > 0.4


def test_general_questions_that_all_runs_are_asked_are_no_new_questions_in_each_run():
    rng = np.random.default_rng(0)
    right = rng.random(40) < 0.6  # the same in each of five runs
    index = [("real", run, "words", f"general/{i}") for run in range(5) for i in range(40)]
    asked = pd.DataFrame(np.tile(right, 5).astype(float), index=pd.MultiIndex.from_tuples(index, names=FACT))
    every, one = (intervals.contrast(rows, (1,)) for rows in (asked, asked.xs(0, level="seed", drop_level=False)))
    assert (every.facts, every.runs) == (40, 5)
    assert every.high - every.low == pytest.approx(one.high - one.low, rel=0.1)


def test_where_all_facts_agree_the_exact_bound_takes_the_place_of_no_width():
    ones = intervals.contrast(table(np.ones(16)), (1,))
    assert ones.estimate == ones.high == 1 and 0.8 < ones.low < 0.85  # 0.05 ** (1 / 16)
    below = intervals.contrast(table(np.full(16, -1 / 15)), (1,))  # what a wrong choice of sixteen scores
    assert below.low == below.estimate < below.high < 0.2
    zeros = intervals.contrast(table([[1, 1], [0, 0], [1, 1]]), (1, -1))  # three facts say little
    assert zeros.estimate == 0 and zeros.low < -0.5 and zeros.high > 0.5
    assert type(zeros.low) is type(zeros.high) is float  # numpy's print their type into a csv


def test_attributes_that_differ_make_a_wider_interval_the_fewer_they_are():
    rng = np.random.default_rng(0)
    for attributes, wider in ((4, True), (40, False)):
        effect = rng.normal(0.4, 0.3, attributes)
        values = np.array([effect[i // 5 % attributes] for i in range(200)]) + rng.normal(0, 0.02, 200)
        crossed, apart = (intervals.contrast(table(values, 5, attributes=n), (1,)) for n in (attributes, 0))
        assert (crossed.high - crossed.low > 2 * (apart.high - apart.low)) == wider


def test_an_interval_covers_attributes_that_are_drawn_at_random(monkeypatch):
    """Twelve attributes, six of each type, crossed with five runs: what a sentence about formats rests on."""
    monkeypatch.setattr(intervals, "RESAMPLES", 400)
    rng, covered = np.random.default_rng(1), 0
    for _ in range(100):
        effect = np.tile(np.clip(rng.normal(0.3, 0.15, 12), 0, 1), 10)
        values = [rng.random() < effect[i // 5 % 12] for i in range(120)]
        found = intervals.contrast(table(values, 5, attributes=12), (1,))
        covered += found.low <= 0.3 <= found.high
    assert covered >= 88


def test_fewer_than_five_runs_have_students_interval():
    rng = np.random.default_rng(0)
    luck = np.tile(rng.normal(0.5, 0.1, 60), 1)
    few, many = (intervals.contrast(table(luck, runs), (1,)) for runs in (4, 5))
    assert few.high - few.estimate == pytest.approx(few.estimate - few.low)  # symmetric
    assert few.high - few.low > 1.3 * (many.high - many.low)
    assert (few.runs, many.runs) == (4, 5) and few.p < 0.05


def test_an_interval_ends_where_scores_from_zero_to_one_can_differ_no_more():
    one_learned_all, the_other_nothing = [1.0, 0.3], [0.0, 0.3]
    found = intervals.contrast(table([one_learned_all, the_other_nothing] * 30, 2), (1, -1))
    assert found.runs == 2 and (found.low, found.high) == (-1, 1)


def test_p_values_are_small_where_the_interval_is_far_from_zero():
    rng = np.random.default_rng(0)
    far, near = (intervals.contrast(table(rng.random((60, 1)) - shift, 5), (1,)) for shift in (0.0, 0.5))
    assert far.p <= 2 / intervals.RESAMPLES and near.p > 0.05


@given(st.lists(st.floats(0, 1), min_size=3, max_size=20), st.integers(1, 3))
@settings(max_examples=25)
def test_an_interval_holds_its_estimate_and_turns_with_the_sign(values, runs):
    made = table(values, runs)
    found, turned = intervals.contrast(made, (1,)), intervals.contrast(made, (-1,))
    assert found.low - 1e-9 <= found.estimate <= found.high + 1e-9
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low), abs=1e-9)


def test_a_curve_crosses_a_share_between_checkpoints_or_never():
    means = np.array([[0.0, 0.4, 0.6], [0.9, 1.0, 1.0], [0.0, 0.1, 0.2]])
    found = intervals.crossing(np.array([10.0, 20.0, 30.0]), means, 0.5)
    assert found[:2] == pytest.approx([25, 10 * 0.5 / 0.9]) and np.isinf(found[2])


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.floats(0.05, 0.95))
def test_a_higher_share_is_never_crossed_earlier(means, share):
    exposures = np.arange(1.0, len(means) + 1)
    low, high = (intervals.crossing(exposures, np.array([means]), s)[0] for s in (share, min(1, share + 0.05)))
    assert low <= high


def test_exposures_that_are_not_reached_are_censored():
    rows = [{"entity": "fictional", "seed": 0, "info": "words", "fact": f"f{i}", "exposures": at, "question": i < known}
            for at, known in ((8.0, 2), (16.0, 8)) for i in range(10)]  # fmt: skip
    half, most = (intervals.exposures_to(pd.DataFrame(rows), "question", share) for share in (0.5, 0.9))
    assert 8 < half.estimate < 16 and half.low <= half.estimate <= half.high
    assert np.isinf(most.estimate) and np.isinf(most.high)


def test_an_accuracy_has_wilsons_interval_widened_by_runs_and_by_attributes_that_differ():
    def rows(right_in_run, attributes):
        return pd.DataFrame([
            ("fictional", run, f"run{run}", f"fictional/t{i}/{i % attributes}", i % attributes < right)
            for run, right in enumerate(right_in_run) for i in range(10)
        ], columns=["entity", "seed", "id", "fact", "strict"]).assign(format="qa")  # fmt: skip

    plain, runs, by_attribute = (
        intervals.accuracy(made, ["format"]).iloc[0] for made in (rows([5, 5], 10), rows([1, 9], 10), rows([1, 1], 2))
    )
    assert plain["mean"] == runs["mean"] == by_attribute["mean"] == 0.5
    width = [row["high"] - row["low"] for row in (plain, runs, by_attribute)]
    assert width[1] > 1.5 * width[0] and width[2] > 1.5 * width[0]
    assert (runs["runs"], runs["facts"]) == (2, 20)
