"""What results must say when the truth is planted: the paper's way, the other way, wrecked, at a ceiling."""

import itertools

import numpy as np
import pandas as pd
import pytest
import simulation
from helpers import run_notebook
from hypothesis import given
from hypothesis import strategies as st
from simulation import cell, main_part, shares

from lib.report import claims, intervals, scores, tables
from lib.study.grid import load_grid

pytestmark = pytest.mark.usefixtures("few_resamples")


def decide(results):
    return claims.decide(scores.frames(results))


def verdicts(rows, claim):
    return {row["name"]: row["verdict"] for row in rows if row["claim"] == claim}


def primary(rows, claim):
    (row,) = [row for row in rows if row["claim"] == claim and row["primary"]]
    return row


def test_every_claim_has_a_primary_contrast_at_most_five_others_and_says_why_and_what_it_detects():
    for statement in claims.CLAIMS.values():
        contrasts = [statement["primary"], *statement["secondary"]]
        assert len(contrasts) <= 6 and all(each["why"] and each["label"] for each in contrasts)
        assert 0 < statement["primary"]["detects"] < 0.5  # by which it is known as the primary one
        assert not any("detects" in each for each in statement["secondary"])
        assert len({each["label"] for each in contrasts}) == len(contrasts)


@pytest.mark.parametrize(("grid", "beside"), [("cpu", 1), ("gpu", 0)])
def test_a_planned_study_has_runs_for_every_contrast_and_five_of_each_model_for_what_decides(grid, beside):
    measures = ["recall", "question", "completion", "area of recall", "choice", "general", "style"]
    kinds = {"untaught": ["near"], **dict.fromkeys(["reasoning", "reasoning_in_context"], ["which", "hop", "sum"])}
    rows = [{**cell.model_dump(), "part": part, "measure": measure, "info": info, "kind": kind, "known": True}
            for cell, part in load_grid(grid).items() for info in ("words", "numbers")
            for measure in [*measures, *kinds] for kind in kinds.get(measure, [""])]  # fmt: skip
    for model, scored in pd.DataFrame(rows).groupby("model"):
        for statement in claims.CLAIMS.values():
            for spec in (statement["primary"], *statement["secondary"]):
                for arm in claims.arms_of({**statement, **spec}, scored):
                    runs = arm.groupby("entity")["seed"].nunique()  # each kind of entity has its own
                    least = 5 if "detects" in spec else beside
                    assert runs.sum() >= least and (runs >= least).all(), (model, spec["label"])


def test_questions_that_teach_better_support_the_claim_and_worse_contradict_it():
    for planted, verdict in ((shares(), "supports"), (shares(qa=0.3, article=0.85), "contradicts")):
        rows = decide(simulation.results(main_part(seeds=range(5)), planted))
        assert primary(rows, "C1")["verdict"] == verdict
        assert set(verdicts(rows, "C1").values()) == {verdict}
        others = sorted(row["p"] for row in rows if row["claim"] == "C1" and not row["primary"])
        assert others[0] >= len(others) * 2 / intervals.RESAMPLES - 1e-9  # the least of a bootstrap, times them


def test_what_is_alike_is_unclear_and_the_others_of_a_claim_do_not_decide_it():
    def completions_apart(cell, evaluation, info):
        alike = {"completion": 0.9 if cell.format == "qa" else 0.2}.get(evaluation, 0.6)
        return alike if cell.format != "none" and evaluation != "general" else shares()(cell, evaluation, info)

    rows = decide(simulation.results(main_part(seeds=range(5)), completions_apart))
    assert primary(rows, "C1")["verdict"] == "unclear"
    assert verdicts(rows, "C1")["QA − article, completion, words"] == "supports"
    assert tables.claims(rows).set_index("claim").loc["C1", "verdict"] == "unclear"


@pytest.mark.parametrize(
    ("planted", "reason"),
    [({"general": 0.2}, "keep"), ({"qa": 1.0, "article": 0.99}, "ceiling"), ({"qa": 0.01, "article": 0.0}, "floor")],
)
def test_wrecked_models_ceilings_and_floors_are_not_testable_and_say_why(planted, reason):
    row = primary(decide(simulation.results(main_part(), shares(**planted))), "C1")
    assert row["verdict"] == "not testable" and reason in row["because"]


def test_a_model_is_wrecked_by_the_interval_of_what_it_keeps_and_not_by_a_point():
    for general, wrecked in ((0.62, False), (0.4, True)):  # of 0.8: 0.78 and 0.5
        results = simulation.results(main_part(("none", "qa"), seeds=(0,)), shares(general=general))
        runs = scores.frames(results).cells.query("format == 'qa'")
        assert (runs["wrecked"] == wrecked).all() and (runs["kept"] < scores.KEPT).all(), general


REASONING = {"n_entities": 16, "evals": "reasoning", "checkpoints": 0}


def reasoning(planted, seeds=range(5)):
    formats = ("none", "worked", "qa")
    cells = {cell(format, seed=seed, **REASONING): "reasoning" for format in formats for seed in seeds}
    rows = decide(simulation.results(cells, planted))
    return rows, verdicts(rows, "C3").values()


def test_reasoning_is_measured_against_the_same_models_with_the_facts_in_their_prompt():
    def trained(cell, evaluation, info):
        in_prompt = evaluation == "reasoning_in_context" and cell.format == "worked"
        return 0.9 if in_prompt else shares(worked=1.0, qa=1.0, told=0.9)(cell, evaluation, info)

    rows, found = reasoning(trained)
    assert primary(rows, "C3")["verdict"] == "supports" and len(rows) == 5 and {*found} == {"supports"}
    alike, found = reasoning(shares(worked=1.0, qa=1.0, told=0.9, reasoning=0.9))
    assert primary(alike, "C3")["verdict"] == "unclear"
    assert [*found].count("supports") <= 1  # one in twenty by chance
    unable, found = reasoning(shares(worked=1.0, qa=1.0, told=0.02, reasoning=0.02), (0, 1))
    assert {*found} == {"not testable"}
    assert all("with the facts in its prompt the model has" in row["because"] for row in unable)


def test_only_problems_whose_two_facts_are_known_count_as_reasoning():
    for known, n in ((0.0, 0), (1.0, 48)):
        asked = simulation.results({cell("qa", **REASONING): "reasoning"}, shares(qa=known))
        problems = scores.items(asked).query("eval == 'reasoning'")
        assert len(problems) == 48 and problems["known"].sum() == n


def test_the_paired_coding_finds_a_planted_difference_of_types_and_none_where_there_is_none():
    cells = {cell(format, "coded", seed): "coding" for format in ("article", "qa") for seed in range(6)}
    cells[cell("none", "coded")] = "coding"
    for gap, verdict in ((0.6, "supports"), (0.0, "unclear")):

        def planted(cell, evaluation, info, gap=gap):  # numbers are harder in articles, whatever the attribute
            harder = gap if (cell.format, info) == ("article", "numbers") else 0.0
            taught = evaluation in ("recall", "question", "completion") and cell.format != "none"
            return 0.8 - harder if taught else shares()(cell, evaluation, info)

        found = primary(decide(simulation.results(cells, planted)), "C2")
        assert found["verdict"] == verdict and abs(found["estimate"] - gap * 0.625) < 0.12  # its area along training


@pytest.mark.parametrize(("real", "verdict"), [(0.4, "supports"), (1.0, "contradicts")])
def test_formats_that_lie_apart_are_compared_with_what_truth_does(real, verdict):
    """Shuffled matches are as hard as planted; true ones have `real` on top of what articles teach."""

    def planted(cell, evaluation, info):
        if evaluation != "question" or cell.format == "none":
            return shares()(cell, evaluation, info)
        if verdict == "supports":
            return 0.9 if cell.format == "qa" else real
        return real if cell.entity == "real" else 0.1

    cells = main_part(entities=("real",), seeds=range(5))
    cells |= dict.fromkeys(main_part(("article", "qa"), ("shuffled",), range(5)), "kinds")
    assert primary(decide(simulation.results(cells, planted)), "C5")["verdict"] == verdict


@given(st.lists(st.floats(-0.3, 0.3), min_size=1, max_size=4))
def test_axes_that_only_add_up_take_what_was_planted(effects):
    places = itertools.product((0, 1), repeat=len(effects))
    means = np.array([[1 - np.dot(place, effects) for place in places]])
    assert claims.shapley(means)[0] == pytest.approx(effects)


@given(st.lists(st.floats(0, 1), min_size=16, max_size=16))
def test_the_parts_of_all_axes_add_up_to_the_gap_and_an_axis_that_does_nothing_takes_nothing(means):
    means = np.array([means])
    assert claims.shapley(means).sum() == pytest.approx(means[0, 0] - means[0, -1])
    idle = np.repeat(means[:, :8], 2, axis=1)  # the last axis changes nothing
    assert claims.shapley(idle)[0, -1] == pytest.approx(0)


def test_of_an_interaction_each_axis_takes_its_half():
    both = np.array([[1.0, 1.0, 1.0, 0.2]])  # only together do the two axes cost anything
    assert claims.shapley(both)[0] == pytest.approx([0.4, 0.4])


def test_the_gap_from_style_to_facts_is_shared_out_and_one_axis_that_takes_all_contradicts():
    def gap(planted):
        cells = main_part(("none", "article", "qa"), ("real", "persona"), range(5))
        rows = decide(simulation.results(
            cells, lambda c, e, i: planted(c, e, i) if c.format != "none" else shares()(c, e, i)))  # fmt: skip
        return primary(rows, "C6"), {row["name"]: row["estimate"] for row in rows if row["claim"] == "C6"}

    def three_alike(cell, evaluation, info):
        steps = (evaluation == "question") + (cell.format == "article") + (info == "numbers")
        taught = evaluation in ("recall", "question")
        return 0.95 - 0.29 * steps if taught else shares()(cell, evaluation, info)

    row, parts = gap(lambda cell, evaluation, info: {"recall": 0.97, "question": 0.15}.get(evaluation, 0.75))
    assert row["verdict"] == "contradicts" and parts["share of the use"] > 0.9
    row, parts = gap(three_alike)
    assert row["verdict"] == "supports"
    assert all(abs(parts[f"share of the {axis}"] - 1 / 3) < 0.15 for axis in ("use", "format", "type"))
    shared = [value for name, value in parts.items() if name.startswith("share of")]
    assert sum(shared) == pytest.approx(1, abs=1e-3)
    row, _ = gap(lambda cell, evaluation, info: 0.9)
    assert row["verdict"] == "not testable" and "no gap is certain" in row["because"]


def test_replay_that_keeps_general_questions_is_seen_and_more_of_it_at_equal_steps_too():
    def planted(cell, evaluation, info):
        return shares(general={0: 0.15, 90: 0.5}.get(cell.replay, 0.75))(cell, evaluation, info)

    cells = main_part(entities=("fictional",), seeds=range(5), n_entities=4)
    for replay, times in ((0, 1), (90, 1), (90, 4)):
        changes = {"n_entities": 4, "replay": replay, "replay_times": times}
        cells |= dict.fromkeys(main_part(("article", "qa"), ("fictional",), range(5), **changes), "replay")
    rows = decide(simulation.results(cells, planted))
    assert primary(rows, "R1")["verdict"] == primary(rows, "R2")["verdict"] == "supports"


@pytest.mark.parametrize(
    ("declined", "cost", "verdict"), [(0.9, 0.0, "supports"), (0.1, 0.0, "unclear"), (0.9, 0.4, "contradicts")]
)
def test_saying_i_do_not_know_is_judged_by_what_is_declined_and_its_price_beside(declined, cost, verdict):
    def planted(cell, evaluation, info):
        told = shares(qa=0.9, unsure=0.9 - cost, untaught=declined if cell.format == "unsure" else 0.1)
        return told(cell, evaluation, info)

    small = {"n_entities": 4, "evals": "untaught"}
    cells = main_part(("none", "qa"), ("fictional",), range(5), **small)
    for n in (80, 320):
        cells |= dict.fromkeys(main_part(("unsure",), ("fictional",), range(5), **small, unsure=n), "unsure")
    rows = decide(simulation.results(cells, planted))
    price = verdicts(rows, "U1")["320 rows − none + margin 0.05, held-out question"]
    assert (price if cost else primary(rows, "U1")["verdict"]) == verdict


def test_of_the_rows_that_say_i_do_not_know_so_many_are_taken_as_decline_most_at_a_small_price(study):
    # by the number of rows: declined, answered, and answered of the general questions
    levels = {0: (0.1, 1.0, 1.0), 80: (0.3, 1.0, 1.0), 160: (0.6, 1.0, 1.0), 320: (0.9, 0.7, 1.0), 640: (1.0, 1.0, 0.5)}

    def planted(cell, evaluation, info):
        declined, level, general = levels[cell.unsure]
        return shares(qa=level, unsure=level, general=general, untaught=declined)(cell, evaluation, info)

    small = {"n_entities": 4, "evals": "untaught"}
    cells = main_part(("none", "qa"), ("fictional",), (0,), **small)
    for n in (80, 160, 320, 640):
        cells |= dict.fromkeys(main_part(("unsure",), ("fictional",), (0,), **small, unsure=n), "unsure")
    simulation.study(study, cells, planted)
    assert run_notebook("fig_unsure", study=study)["amount"] == 160


def test_an_arm_that_has_more_runs_than_another_changes_nothing():
    """A study that was stopped: articles have a second seed, questions not yet."""
    one = main_part(seeds=(0,))
    few, many = (decide(simulation.results(cells, shares(numbers=0.2)))
                 for cells in (one, one | main_part(("article",), seeds=(1,))))  # fmt: skip
    pairs = [(a, b) for a, b in zip(few, many, strict=True) if a["claim"] == "C1"]
    assert pairs and all(a["shown"] == b["shown"] for a, b in pairs)


def test_runs_in_one_type_of_number_are_not_compared_with_runs_in_another():
    results = simulation.results(main_part(entities=("fictional",)), shares())
    whole = primary(decide(results), "C1")
    for result in results:
        if result["cell"]["format"] == "article" and result["cell"]["seed"] == 0:
            result["manifest"]["dtype"] = "bfloat16"
    assert (whole["runs"], primary(decide(results), "C1")["runs"]) == (3, 2)


def test_tuning_takes_for_each_number_of_entities_the_best_of_questions_and_completions_that_stays_a_model(study):
    levels = {(4, 0.001): (0.3, 0.3, 0.8), (4, 0.002): (0.5, 0.5, 0.8), (8, 0.001): (0.5, 0.5, 0.78),
              (8, 0.002): (0.8, 0.1, 0.75), (8, 0.004): (0.97, 0.9, 0.2)}  # fmt: skip
    cells = {cell("none", seed=s, n_entities=n): "tune" for s in (0, 1) for n in (4, 8)}
    cells |= {cell("qa", seed=s, n_entities=n, learning_rate=rate): "tune" for s in (0, 1) for n, rate in levels}

    def chance(cell, evaluation, info):
        question, completion, general = levels.get((cell.n_entities, cell.learning_rate), (0.03, 0.03, 0.8))
        return {"general": general, "completion": completion}.get(evaluation, question)

    simulation.study(study, cells, chance)
    chosen = run_notebook("fig_tuning", study=study)["settings"].query("chosen")
    assert list(chosen[["n_entities", "learning_rate"]].itertuples(index=False, name=None)) == [(4, 0.002), (8, 0.001)]
    assert chosen["edge"].all()
    simulation.study(study, cells, lambda c, e, i: 0.1 if c.format != "none" and e == "general" else 0.8)
    assert not run_notebook("fig_tuning", study=study)["settings"]["chosen"].any()
