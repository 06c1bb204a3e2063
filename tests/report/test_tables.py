import re

import pandas as pd
import pytest
import simulation
from simulation import cell, main_part, shares

from lib.report import parts, tables


@pytest.fixture(scope="module")
def results():
    return simulation.results(main_part(seeds=(0, 1)), shares(numbers=0.2))


def test_a_score_is_the_mean_over_the_questions_about_a_fact(results):
    scores, items = parts.scores(results), parts.items(results)
    one = scores[(scores["measure"] == "question") & (scores["format"] == "qa")].iloc[0]
    asked = items[(items["id"] == one["id"]) & (items["fact"] == one["fact"]) & (items["eval"] == "question")]
    assert len(asked) == 2 and one["score"] == asked["strict"].astype(float).mean()


def test_a_curve_ends_with_the_finished_model_and_its_area_is_the_mean_along_it(results):
    along = parts.curves(results)
    one = along[(along["id"] == along["id"].iloc[0]) & (along["fact"] == along["fact"].iloc[0])]
    assert list(one["exposures"]) == [8, 16, 24, 32]
    scores = parts.scores(results)
    area = scores[(scores["measure"] == "area of recall") & (scores["id"] == one["id"].iloc[0])]
    assert area.set_index("fact")["score"][one["fact"].iloc[0]] == one["recall"].astype(float).mean()


def test_the_closed_set_is_corrected_for_chance(results):
    items = parts.items(results)
    chosen = items.dropna(subset=["corrected"])
    assert set(chosen["corrected"].round(4)) == {1.0, round(-1 / 15, 4)}


def test_every_format_and_type_has_a_row_with_accuracy_exposures_and_cost(results):
    practical = tables.practical(results)
    assert list(zip(practical["format"], practical["facts"], strict=True)) == [
        ("article", "numbers"), ("article", "words"), ("QA", "numbers"), ("QA", "words"),
    ]  # fmt: skip
    assert practical["half known after"].str.contains(r"\[").all()
    assert set(tables.formats(results)["format"]) == {"article", "qa"}
    assert len(tables.exposures(results)) == 4


def test_what_a_format_leaves_of_general_knowledge_has_an_interval():
    def kept(**planted):
        (shown,) = tables.costs(simulation.results(main_part(("none", "qa")), shares(**planted)))["kept"]
        return [float(number) for number in re.fullmatch(r"(\S+) \[(\S+), (\S+)\]", shown).groups()]

    estimate, low, high = kept()
    assert low < estimate < high and low < 1 < high  # as much as the base model
    estimate, low, high = kept(general=0.3)
    assert low < estimate < high < 0.7
    alone = simulation.results(main_part(("qa",)), shares())
    assert set(tables.costs(alone)["kept"]) == {""}  # nothing to compare with


def test_what_is_kept_counts_only_runs_that_have_a_base_model_in_their_type_of_number():
    results = simulation.results(main_part(("none", "qa")), shares())
    others = simulation.results(main_part(("qa",), seeds=(3,)), shares(general=0.0))
    for result in others:
        result["manifest"]["dtype"] = "bfloat16"  # without a base model
    assert list(tables.costs(results + others)["kept"]) == list(tables.costs(results)["kept"])


def test_the_yardstick_is_asked_of_the_base_model_alone():
    results = simulation.results(main_part(("none", "qa", "article"), evals="all"), lambda cell, evaluation, info: 0.6)
    besides = tables.asked_besides(results).set_index("format")
    assert besides.loc["none", "in_context"] and not besides.loc["qa", "in_context"]


def test_what_is_still_right_counts_nothing_that_is_newly_right():
    def other_questions(cell, evaluation, info):
        return 0.5 if evaluation == "general" else 0.6

    regime = tables.regime(simulation.results(main_part(("none", "qa")), other_questions))
    assert regime["still"] < 0.8 < regime["kept"]  # as many as before, and others


def test_the_regime_is_the_median_of_the_trained_runs_of_the_main_part(results):
    regime = tables.regime(results)
    assert regime["runs"] == 8 and regime["wrecked"] == 0 and 0.8 < regime["kept"] <= 1.2
    assert tables.regime(simulation.results({cell("none"): "main"}, shares())) is None
    assert tables.regime(simulation.results(main_part(("qa",)), shares())) is None


def test_a_study_without_a_base_model_has_no_verdict_on_wreckage():
    cells = parts.cells(simulation.results(main_part(("qa",)), shares()))
    assert cells["kept"].isna().all() and not cells["wrecked"].any()


def test_the_controls_are_told_by_the_one_in_which_the_claim_is_weakest():
    def control(name, low, verdict="replicates"):
        contrast = f"{name}: QA - article, held-out question"
        return {"claim": "C4", "contrast": contrast, "estimate": low + 0.1, "ci95": [low, low + 0.2],
                "verdict": verdict, "why": ""}  # fmt: skip

    found = [control("8 entities", 0.7), control("10 wordings", 0.3), control("rate", -0.5, "not testable")]
    (told,) = tables.claims(found).itertuples()
    assert told.headline == "10 wordings: QA - article, held-out question" and told.verdict == "replicates"
    assert told.repeated == 3 and told.untested == ["rate"] and told.of_numbers == []
    (told,) = tables.claims([*found, control("one wording", -0.1, "inconclusive")]).itertuples()
    assert told.headline == "one wording: QA - article, held-out question" and told.verdict == "inconclusive"
    (told,) = tables.claims([*found, control("rate 0.004", -0.9, "opposite")]).itertuples()
    assert told.verdict == "mixed" and told.against == [
        ("rate 0.004: QA - article, held-out question", "-0.80 [-0.90, -0.70]")
    ]


def test_kinds_of_problem_and_worked_examples_that_cannot_be_tested_are_named():
    def problem(kind, format, verdict):
        contrast = f"{kind}: facts in the prompt, base model - at once, both facts known, {format} format"
        return {"claim": "C3", "contrast": contrast, "estimate": 0.5, "ci95": [0.3, 0.7], "verdict": verdict, "why": ""}

    found = [problem("hop", "article", "inconclusive"), problem("hop", "QA", "replicates"),
             problem("hop", "worked examples", "not testable"), problem("sum", "QA", "not testable")]  # fmt: skip
    (told,) = tables.claims(found).itertuples()
    assert told.untested == ["sum"] and told.untested_worked and told.verdict == "replicates"
    (told,) = tables.claims([*found, problem("sum", "worked examples", "opposite")]).itertuples()
    assert told.untested == [] and not told.untested_worked


def test_formats_that_are_not_run_on_all_draws_are_compared_on_those_that_all_have():
    part = {cell: "main" for cell in main_part(("none", "article"), seeds=(0, 1))} | main_part(("qa",), seeds=(1,))
    replay = {cell(replay=0): "replay"}
    kept = parts.comparable(simulation.results(part | replay, shares()))
    seeds = {(of["part"], of["cell"]["format"]): set() for of in kept}
    for of in kept:
        seeds[of["part"], of["cell"]["format"]].add(of["cell"]["seed"])
    assert seeds == {
        ("main", "none"): {0, 1}, ("main", "article"): {1}, ("main", "qa"): {1}, ("replay", "qa"): {0}
    }  # fmt: skip
    assert parts.comparable(simulation.results(replay, shares())) != []


def test_tables_of_a_study_without_a_main_part_are_empty():
    tuned = simulation.results({cell("qa"): "tune", cell("none"): "tune"}, shares())
    assert tables.formats(tuned).empty and tables.costs(tuned).empty and tables.practical(tuned).empty
    assert isinstance(tables.exposures(tuned), pd.DataFrame)
