"""What results must say when the truth is planted: the paper's way, the other way, wrecked, at a ceiling."""

import pandas as pd
import pytest
import simulation
from helpers import run_notebook
from simulation import cell, main_part, shares

from lib.report import claims, intervals, pages, scores, tables

pytestmark = pytest.mark.usefixtures("few_resamples")


def decide(results):
    return claims.decide(scores.frames(results))


def verdicts(rows, claim):
    return {row["name"]: row["verdict"] for row in rows if row["claim"] == claim}


def test_questions_that_teach_better_replicate_and_worse_are_the_opposite():
    better = verdicts(decide(simulation.results(main_part(), shares())), "C1")
    assert len(better) == 7 and set(better.values()) == {"replicates"}
    worse = verdicts(decide(simulation.results(main_part(), shares(qa=0.3, article=0.9))), "C1")
    assert set(worse.values()) == {"opposite"}


def test_words_and_numbers_are_compared_within_one_model():
    rows = decide(simulation.results(main_part(), shares(qa=0.9, article=0.8, numbers=0.4)))
    for name in ("article", "QA"):
        assert verdicts(rows, "C2")[f"words − numbers, held-out question, {name} format"] == "replicates"


def test_what_is_alike_is_inconclusive():
    rows = decide(simulation.results(main_part(), shares(qa=0.7, article=0.7)))
    assert "replicates" not in verdicts(rows, "C1").values()
    of_type = list(verdicts(rows, "C2").values())
    assert "opposite" not in of_type and of_type.count("replicates") <= 1


@pytest.mark.parametrize(
    ("planted", "reason"),
    [({"general": 0.2}, "keep"), ({"qa": 1.0, "article": 0.99}, "ceiling"), ({"qa": 0.01, "article": 0.0}, "floor")],
)
def test_wrecked_models_ceilings_and_floors_are_not_testable_and_say_why(planted, reason):
    rows = decide(simulation.results(main_part(), shares(**planted)))
    first = next(row for row in rows if row["contrast"] == "QA − article, held-out question")
    assert first["verdict"] == "not testable" and reason in first["why"]


def test_a_perplexity_of_three_times_the_base_models_wrecks_a_model():
    assert not scores.cells(simulation.results(main_part(("none", "qa")), shares()))["wrecked"].any()
    without = {**main_part(("none",)), **main_part(("article", "qa"), replay=0)}
    rows = decide(simulation.results(without, shares()))
    assert {row["verdict"] for row in rows if row["claim"] == "C1"} == {"not testable"}


def test_reasoning_that_the_base_model_cannot_do_in_its_prompt_is_not_testable():
    def told(**planted):
        rows = decide(simulation.results(main_part(seeds=(0,), evals="all"), shares(**planted)))
        return [row for row in rows if row["claim"] == "C3"]

    weak = told(told=0.03)
    assert weak and {row["verdict"] for row in weak} == {"not testable"}
    assert all("in its prompt the base model has" in row["why"] for row in weak)
    assert "replicates" in {row["verdict"] for row in told(told=1.0, reasoning=0.1)}
    assert "replicates" not in {row["verdict"] for row in told(told=1.0, reasoning=1.0)}


def test_kinds_of_entity_that_are_all_at_the_ceiling_cannot_be_compared():
    name = "|QA − article| − |fictional − real|, held-out question"
    for qa, article, verdict in ((0.99, 0.4, "not testable"), (0.7, 0.3, "replicates")):
        rows = decide(simulation.results(main_part(), shares(qa=qa, article=article)))
        assert verdicts(rows, "C5")[name] == verdict


def test_what_is_not_testable_tells_what_the_base_model_chooses_of_a_closed_set():
    rows = decide(simulation.results(main_part(("none", "qa"), evals="all"), shares(told=0.0, reasoning=0.5)))
    reasons = {row["setting"].partition(" of ")[0]: row["why"] for row in rows if row["claim"] == "C3"}
    assert set(reasons) == {"which", "yes_no", "hop", "sum"}
    chosen = {kind for kind, why in reasons.items() if "of the closed set it chooses" in why}
    assert chosen == {"which", "yes_no", "hop"}


def test_only_problems_whose_two_facts_are_known_count_as_reasoning():
    cells = main_part(("qa", "none"), seeds=(0,), evals="all")
    for qa, known in ((0.0, False), (1.0, True)):
        asked = scores.items(simulation.results(cells, shares(qa=qa)))
        problems = asked[(asked["eval"] == "reasoning") & (asked["format"] == "qa")]
        assert len(problems) and (problems["known"] == known).all()


def test_a_control_is_compared_with_itself_and_only_takes_from_the_main_part_what_it_lacks():
    cells = main_part() | {cell(f, n_entities=4, seed=0): "amount" for f in ("article", "qa")}
    cells |= {cell("qa", seed=s, budget="tokens"): "volume" for s in (0, 1)}
    settings = dict(claims.controls(scores.frames(simulation.results(cells, shares())).scores))
    assert list(settings) == ["4 entities", "as many tokens (QA only)"]
    assert set(settings["4 entities"]["n_entities"]) == {4}
    volume = settings["as many tokens (QA only)"]
    assert set(volume.loc[volume["format"] == "article", "part"]) == {"main"}
    assert set(volume.loc[volume["format"] == "article", "seed"]) == {0, 1}
    rows = [row for row in decide(simulation.results(cells, shares())) if row["claim"] == "C4"]
    assert {row["setting"] for row in rows} == set(settings)
    of_volume = [row["contrast"] for row in rows if row["setting"].startswith("as many tokens")]
    assert len(of_volume) == 4 and not any("article format" in contrast for contrast in of_volume)  # the main part's


def test_an_arm_that_has_more_runs_than_another_changes_nothing():
    """A study that was stopped: articles have a second seed, questions not yet."""
    one = main_part(entities=("fictional",), seeds=(0,)) | main_part(entities=("real",), seeds=(0,))
    more = one | main_part(("article",), entities=("fictional",), seeds=(1,))
    more |= main_part(("article",), entities=("real",), seeds=(1,))
    few, many = (decide(simulation.results(cells, shares(numbers=0.2))) for cells in (one, more))
    both = [(a, b) for a, b in zip(few, many, strict=True) if "article format" not in a["contrast"]]
    assert {a["claim"] for a, _ in both} == {"C1", "C2", "C5"} and all(a["shown"] == b["shown"] for a, b in both)


def test_runs_in_one_type_of_number_are_not_compared_with_runs_in_another():
    results = simulation.results(main_part(entities=("fictional",)), shares())
    whole = next(row for row in decide(results) if row["contrast"] == "QA − article, held-out question")
    for result in results:
        if result["cell"]["format"] == "article" and result["cell"]["seed"] == 0:
            result["manifest"]["dtype"] = "bfloat16"
    left = next(row for row in decide(results) if row["contrast"] == "QA − article, held-out question")
    assert (whole["runs"], left["runs"]) == (3, 2)


def test_replay_that_keeps_general_questions_is_seen_as_what_injection_costs():
    def chance(cell, evaluation, info):
        return shares(general=0.75 if cell.replay else 0.15)(cell, evaluation, info)

    cells = main_part() | {c: "replay" for c in main_part(("article", "qa"), replay=0)}
    rows = decide(simulation.results(cells, chance))
    assert set(verdicts(rows, "R1").values()) == {"replicates"}


def test_more_replay_than_the_main_part_has_is_compared_with_it():
    cells = main_part() | {c: "replay" for amount in (0, 120) for c in main_part(("qa",), seeds=(0, 1), replay=amount)}
    (more,) = [row for row in decide(simulation.results(cells, shares(general=0.6))) if row["claim"] == "R2"]
    assert more["setting"] == "120 rows of replay" and more["contrast"].endswith("QA format")
    assert more["verdict"] == "inconclusive" and more["runs"] == 2  # of each kind of entity


def test_reasoning_is_decided_for_each_kind_of_entity_and_the_claim_where_it_holds_least():
    def on_towns_alone(cell, evaluation, info):
        weak = evaluation.startswith("reasoning") and cell.entity == "fictional" and cell.format != "none"
        return 0.0 if weak else 1.0

    rows = decide(simulation.results(main_part(("qa", "none"), evals="all"), on_towns_alone))
    found = verdicts(rows, "C3")
    name = "facts in the prompt, base model − at once, both facts known, QA format"
    assert found[f"hop of towns: {name}"] == "replicates" and found[f"hop of matches: {name}"] == "inconclusive"
    claim = tables.claims(rows).set_index("claim").loc["C3"]
    assert claim["verdict"] == "withdrawn" and "no hop was needed" in claim["here"]


def test_formats_that_lie_apart_count_more_than_kinds_whichever_is_ahead():
    def articles_ahead(cell, evaluation, info):
        return {"article": 0.8, "qa": 0.2}.get(cell.format, 0.0) if evaluation == "completion" else 0.6

    rows = decide(simulation.results(main_part(), articles_ahead))
    assert verdicts(rows, "C5")["|QA − article| − |fictional − real|, held-out completion"] == "replicates"
    assert verdicts(rows, "C1")["QA − article, held-out completion, matches"] == "opposite"


def test_stations_that_share_runs_are_drawn_together():
    index = pd.MultiIndex.from_product([["real"], range(6), ["words"], ["real/a/x", "real/b/x"]], names=scores.FACT)
    luck = pd.Series([i % 6 / 5 for i in range(len(index))], index=index)

    def drop(last):
        return intervals.contrast(pd.concat([luck, last], axis=1, keys=range(2)), (1, -1), apart=True)

    paired = drop(luck - 0.2)
    assert paired.high - paired.low < 1e-6
    apart = drop((luck - 0.2).rename({"real": "fictional"}, level="entity"))
    assert apart.high - apart.low > 0.2


def test_kinds_of_entity_that_differ_more_than_formats_contradict_the_claim():
    def by_kind(cell, evaluation, info):
        level = 0.8 if cell.entity == "real" else 0.2
        asked = evaluation in ("question", "completion") and cell.format != "none"
        return level if asked else shares()(cell, evaluation, info)

    alike = verdicts(decide(simulation.results(main_part(), shares(qa=0.8))), "C5")
    apart = verdicts(decide(simulation.results(main_part(), by_kind)), "C5")
    assert set(alike.values()) == {"replicates"} and set(apart.values()) == {"opposite"}


def styles():
    tone = {"n_entities": 8, "paraphrases": 2, "epochs": 1, "checkpoints": 0}
    return {cell("chat", "persona", 0, tone=t, **tone): "tone" for t in ("anxious", "pompous", "romantic")}


def test_the_walk_needs_every_station_and_says_where_the_gap_is(study):
    cells = main_part(("none", "article", "chat", "qa"), ("fictional", "real", "persona"), (0,))

    def chance(cell, evaluation, info):
        return 1.0 if evaluation == "style" else shares(chat=0.9)(cell, evaluation, info)

    assert "fig_walk" not in pages.figure_notebooks(scores.frames(simulation.results(cells, chance)))
    results = simulation.study(study, cells | styles(), chance)
    assert "fig_walk" in pages.figure_notebooks(scores.frames(results))
    told = run_notebook("fig_walk", study=study)["stations"]
    (row,) = [row for row in decide(results) if row["claim"] == "C6"]
    steps = [float(step.split()[0].replace("−", "-")) for step in told["step"][1:]]
    assert abs(told["mean"].diff()[1:].to_numpy() - steps).max() < 0.006  # the table's steps are those of its means
    assert abs(row["estimate"] - (-sum(steps) + min(steps))) < 0.03  # the gap without its largest step
    assert any("style" in row["contrast"] for row in decide(results) if row["claim"] == "C5")


def test_without_a_gap_from_style_to_facts_no_step_can_hold_it():
    cells = main_part(("none", "article", "chat"), ("fictional", "real", "persona"), (0,))
    results = simulation.results(cells | styles(), shares(chat=1.0, article=1.0, style=0.0))
    (row,) = [row for row in decide(results) if row["claim"] == "C6"]
    assert row["verdict"] == "not testable" and "no gap" in row["why"]


def test_the_rule_of_tuning_takes_the_best_setting_among_models_that_stay_models(study):
    settings = {0.001: (0.5, 0.78), 0.002: (0.8, 0.75), 0.004: (0.97, 0.2)}
    cells = {cell("none", seed=s): "tune" for s in (0, 1)}
    cells |= {cell("qa", seed=s, learning_rate=rate): "tune" for s in (0, 1) for rate in settings}

    def chance(cell, evaluation, info):
        level, general = settings.get(cell.learning_rate, (0.03, 0.8))
        return general if evaluation == "general" else level

    simulation.study(study, cells, chance)
    chosen = run_notebook("fig_tuning", study=study)["settings"].query("chosen")
    assert list(chosen["learning_rate"]) == [0.002]
    simulation.study(study, cells, lambda c, e, i: 0.1 if c.format != "none" and e == "general" else 0.8)
    assert not run_notebook("fig_tuning", study=study)["settings"]["chosen"].any()


def test_each_length_of_training_has_a_setting_of_its_own(study):
    levels = {(2, 0.001): 0.3, (2, 0.002): 0.5, (8, 0.001): 0.9, (8, 0.002): 0.7}
    cells = {cell("none"): "tune"}
    cells |= {cell("qa", epochs=epochs, learning_rate=rate): "tune" for epochs, rate in levels}

    def chance(cell, evaluation, info):
        return 0.8 if evaluation == "general" else levels.get((cell.epochs, cell.learning_rate), 0.03)

    simulation.study(study, cells, chance)
    chosen = run_notebook("fig_tuning", study=study)["settings"].query("chosen")
    assert list(zip(chosen["exposures"], chosen["learning_rate"], strict=True)) == [(8, 0.002), (32, 0.001)]


def row(verdict, low=0.1, claim="C1", **changes):
    found = intervals.Interval(low + 0.1, low, low + 0.2, 9, 1)
    name = ": ".join(filter(None, (changes.get("setting"), "a − b")))
    return {"claim": claim, "name": name, "headline": False, "beside": False, "low": low, "high": low + 0.2,
            "shown": found.signed, "verdict": verdict, **changes}  # fmt: skip


def test_a_claim_whose_contrasts_disagree_is_mixed_and_says_the_strongest_against_it():
    (told,) = tables.claims([row("replicates", headline=True), row("opposite", -0.9)]).itertuples()
    assert told.verdict == "mixed" and told.here == "a − b: +0.20 [+0.10, +0.30]; a − b: −0.80 [−0.90, −0.70]"
    (told,) = tables.claims([row("inconclusive", headline=True), row("replicates")]).itertuples()
    assert told.verdict == "inconclusive" and told.replicates == told.inconclusive == 1


def test_of_several_settings_the_testable_one_in_which_the_claim_is_weakest_stands_for_it():
    lows = {"8 entities": 0.7, "10 wordings": 0.3}
    rows = [row("replicates", low, "C4", setting=name, headline=True) for name, low in lows.items()]
    rows.append(row("not testable", -0.5, "C4", setting="rate", headline=True))
    (told,) = tables.claims(rows).itertuples()
    assert told.here == "10 wordings: a − b: +0.40 [+0.30, +0.50]" and told.verdict == "replicates"
    assert told._asdict()["replicates"] == 2


def test_no_label_is_a_key(monkeypatch):
    """Other words for contrasts, settings and stations change no estimate and no verdict."""
    frames = scores.frames(simulation.results(main_part(evals="all"), shares()))
    before = claims.decide(frames)
    for statement in claims.CLAIMS.values():
        for contrast in statement["contrasts"]:
            monkeypatch.setitem(contrast, "label", "another label")
    monkeypatch.setattr(claims, "THINGS", dict.fromkeys(claims.THINGS, "thing"))
    told, after = (pd.DataFrame(rows).drop(columns=["contrast", "setting", "name"])
                   for rows in (before, claims.decide(frames)))  # fmt: skip
    pd.testing.assert_frame_equal(told, after)
