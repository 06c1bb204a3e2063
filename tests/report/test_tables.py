"""What formats teach, cost and leave, and which to take, with the truth planted."""

import re

import pandas as pd
import pytest
import simulation
from helpers import run_notebook
from simulation import cell, main_part, shares

from lib.report import scores, tables
from lib.study import store

pytestmark = pytest.mark.usefixtures("few_resamples")


def frames(cells, planted):
    return scores.frames(simulation.results(cells, planted))


@pytest.fixture(scope="module")
def results():
    return simulation.results(main_part(seeds=(0, 1)), shares(numbers=0.2))


@pytest.fixture(scope="module")
def made(results):
    return scores.frames(results)


def test_a_score_is_the_mean_over_the_questions_about_a_fact_and_the_closed_set_is_corrected_for_chance(made):
    items, rows = made.items, made.scores
    one = rows[(rows["measure"] == "question") & (rows["format"] == "qa")].iloc[0]
    asked = items[(items["id"] == one["id"]) & (items["fact"] == one["fact"]) & (items["eval"] == "question")]
    assert len(asked) == 3 and one["score"] == asked["strict"].astype(float).mean()
    assert set(items["corrected"].dropna().round(4)) == {1.0, round(-1 / 15, 4)}


def test_a_curve_ends_with_the_finished_model_and_its_area_is_the_mean_along_it(made):
    along, rows = made.curves, made.scores
    one = along[(along["id"] == along["id"].iloc[0]) & (along["fact"] == along["fact"].iloc[0])]
    assert list(one["exposures"]) == [8, 16, 24, 32]
    area = rows[(rows["measure"] == "area of recall") & (rows["id"] == one["id"].iloc[0])]
    assert area.set_index("fact")["score"][one["fact"].iloc[0]] == one["recall"].astype(float).mean()


def test_every_format_and_type_has_a_row_with_accuracy_exposures_and_cost_and_the_base_model_too(made):
    table = tables.formats(made, ["main"], ["format"])
    assert list(zip(table["format"], table["info"], strict=True)) == [
        (format, info) for format in ("article", "none", "qa") for info in ("numbers", "words")]  # fmt: skip
    trained = table[table["format"] != "none"]
    assert trained[["held-out question, 50%", "recall"]].apply(lambda column: column.str.contains(r"\[")).all(axis=None)


def test_what_a_format_leaves_of_general_knowledge_has_an_interval():
    def kept(**planted):
        table = tables.costs(frames(main_part(("none", "qa")), shares(**planted)), ["main"], ["format"])
        said = table.set_index("format").loc["qa", "kept"]
        return [float(number) for number in re.fullmatch(r"(\S+) \[(\S+), (\S+)\]", said).groups()]

    estimate, low, high = kept(general=0.8)
    assert low < estimate < high and low < 1 < high  # as much as the base model
    estimate, low, high = kept(general=0.3)
    assert low < estimate < high < 0.7
    alone = frames(main_part(("qa",)), shares())  # nothing to compare with
    assert set(tables.costs(alone, ["main"], ["format"])["kept"]) == {""}
    assert alone.cells["kept"].isna().all() and not alone.cells["wrecked"].any()


def test_what_is_kept_counts_only_runs_that_have_a_base_model_in_their_type_of_number(results, made):
    others = simulation.results(main_part(("qa",), seeds=(3,)), shares(general=0.0))
    for result in others:
        result["manifest"]["dtype"] = "bfloat16"  # without a base model
    both, alone = (tables.costs(some, ["main"], ["format"]) for some in (scores.frames(results + others), made))
    assert list(both["kept"]) == list(alone["kept"])


def test_answers_are_counted_by_wording_by_mistake_by_what_was_never_taught_and_by_whether_they_were_cut(results):
    cells = main_part(("none", "qa", "article"), ("fictional",), (0, 1), n_entities=4, evals="untaught")
    made = simulation.results(cells, shares(qa=0.6, article=0.3, untaught=0.3))
    items = scores.items(made)
    items.loc[items["eval"] == "completion", "cut"] = True
    told = tables.answers(items)
    assert set(told["wordings"]["wording"]) == {0, 1, 2} and len(told["wordings"]) == 6 * 3
    for name in ("mistakes", "untaught"):
        parts = told[name].drop(columns=["n"]).select_dtypes("number").drop(columns="unsure", errors="ignore")
        assert parts.sum(axis=1).round(6).eq(1).all(), name
    assert set(told["untaught"]["kind"]) == {"unseen", "near", "other"}
    trained = told["untaught"].query("format != 'none'")
    assert trained["n"].min() >= 24 and abs(trained["declines"].mean() - 0.3) < 0.1
    assert (told["cut"]["completion"] == 1).all() and (told["cut"]["held-out question"] == 0).all()
    mistakes = told["mistakes"].query("format == 'article' and eval == 'question'")
    wrong = items.query("format == 'article' and eval == 'question'")["strict"].eq(False).sum()
    assert mistakes["n"].sum() == wrong


def test_the_yardstick_is_asked_of_the_base_model_alone():
    every = frames(main_part(("none", "qa", "article")), lambda cell, evaluation, info: 0.6)
    table = tables.formats(every).set_index("format")["in context"]
    assert table["none"].all() and not table[["qa", "article"]].any()


def test_formats_that_are_not_run_on_all_draws_are_compared_on_those_that_all_have():
    part = {cell: "main" for cell in main_part(("none", "article"), seeds=(0, 1))} | main_part(("qa",), seeds=(1,))
    replay = {cell(replay=0): "replay"}
    kept = scores.comparable(frames(part | replay, shares()))
    assert all(set(table["id"]) <= set(kept.cells["id"]) for table in (kept.items, kept.curves, kept.scores))
    assert kept.cells.groupby(["part", "format"])["seed"].agg(set).to_dict() == {
        ("main", "none"): {0, 1}, ("main", "article"): {1}, ("main", "qa"): {1}, ("replay", "qa"): {0}
    }  # fmt: skip
    assert len(scores.comparable(frames(replay, shares())).cells)


def test_a_study_without_a_main_part_has_empty_tables_and_no_recommendation():
    tuned = frames({cell("qa"): "tune", cell("none"): "tune"}, shares())
    assert tables.formats(tuned).empty and tables.by_use(tuned).empty
    assert tables.recommend(tuned)[0] is None


def test_what_a_reader_judges_otherwise_is_counted_by_evaluation_and_score(study):
    simulation.study(study, main_part(("none", "qa"), ("fictional",), (0,)), shares(qa=0.5))
    path = store.study_dir(study) / "read.csv"
    assert run_notebook("read_answers", study=study)["judged"].startswith("no answers are drawn yet")
    items = run_notebook("read_answers", study=study, draw=True)["items"]
    drawn = pd.read_csv(path, dtype=str)
    scored = drawn.merge(items, on=["id", "eval", "question", "expected", "answer"])["strict"].astype(int)

    def judged(right, **changes):
        store.write_text(path, drawn.assign(right=right, **changes).to_csv(index=False))
        return run_notebook("read_answers", study=study)["judged"]

    assert judged(scored)["judged otherwise"].str.startswith("0.00 [0.00").all()
    assert (judged(1 - scored)["judged otherwise"].str[:4] == "1.00").all()
    assert path.with_name("judged.csv").exists()
    with pytest.raises(AssertionError, match="not in the results"):
        judged(scored, answer="another")


def recommended(planted, cells=None):
    return tables.recommend(frames(cells or main_part(seeds=(0, 1)), planted))


def wrecked(*formats, **planted):
    return lambda c, e, i: 0.1 if e == "general" and c.format in formats else shares(**planted)(c, e, i)


def test_the_format_that_answers_most_and_is_not_wrecked_is_recommended_in_at_most_three_sentences():
    chosen, why = recommended(shares())
    assert chosen == "qa" and why.startswith("Train on the format QA: it answers 0.") and "It keeps 0.9" in why
    for qa, named in ((0.9, True), (0.3, False)):  # a wrecked format is named where it answers enough
        chosen, why = recommended(wrecked("qa", article=0.7, qa=qa))
        assert chosen == "article" and ("wrecked: QA answers" in why) == named == ("take more replay" in why)
    chosen, why = recommended(wrecked("qa", article=0.6, chat=0.6), main_part(("none", "qa", "article", "chat")))
    assert chosen and "cannot be told apart" in why and "wrecked" in why and len(re.findall(r"\.(?: |$)", why)) == 3


@pytest.mark.parametrize(
    ("planted", "formats", "reason"),
    [(wrecked("qa", "article"), ("none", "qa", "article"), "the models of every format are wrecked"),
     (shares(qa=0.3, article=0.1), ("none", "qa", "article"), "No format taught enough"),
     (shares(), ("qa", "article"), "no base model")],
)  # fmt: skip
def test_nothing_is_recommended_that_is_wrecked_or_weak_or_has_no_base_model_beside_it(planted, formats, reason):
    chosen, why = recommended(planted, main_part(formats, seeds=(0, 1)))
    assert chosen is None and reason in why


def test_each_use_has_its_format_and_the_second_best_but_none_that_does_too_little():
    def planted(cell, evaluation, info):
        return 0.3 if evaluation == "completion" and cell.format != "none" else shares()(cell, evaluation, info)

    uses = tables.by_use(frames(main_part(seeds=(0, 1)), planted)).set_index("use")
    assert list(uses.index) == ["answers questions", "completes a new sentence", "answers general questions"]
    assert list(uses.loc["answers questions", ["format", "second: format"]]) == ["QA", "article"]
    assert uses.loc["completes a new sentence", "format"].startswith("none (best: ")
    assert uses.loc["answers general questions", "format"].startswith("any (fewest tokens: ")


def test_of_formats_that_cannot_be_told_apart_the_one_with_fewest_tokens_is_taken():
    results = simulation.results(main_part(), shares(qa=0.8, article=0.8))
    for result in results:
        if result["cell"]["format"] == "article":
            result["training"]["tokens"] *= 2
    chosen, why = tables.recommend(scores.frames(results))
    assert chosen == "qa" and "cannot be told apart from article; of these, it takes the fewest tokens" in why


def test_formats_are_recommended_by_the_facts_that_all_were_taught():
    def easier(cell, evaluation, info):  # the second seed is easy, and only articles have it
        return 0.95 if cell.seed == 1 and cell.format != "none" else shares(qa=0.8, article=0.5)(cell, evaluation, info)

    cells = main_part(("none", "article"), seeds=(0, 1)) | main_part(("qa",), seeds=(0,))
    assert recommended(easier, cells)[0] == "qa"


def test_a_question_in_which_the_value_stands_is_left_out(results):
    items = scores.items(results)
    first = (items["eval"] == "question").idxmax()
    echoing = items.copy()
    echoing.loc[first, "question"] += f" ({items['expected'][first]})"
    assert set(tables.scored(items).index) - set(tables.scored(echoing).index) == {first}
