"""The claims, on simulated studies with planted effects and on the published ones."""

import json

import pytest
from simulation import ACCURACIES, simulated_grid, simulated_study

from lib import claims, compare, results, stats
from lib.cell import load_grid
from lib.paths import ROOT


def items_of(accuracies, **settings):
    return results.items(simulated_study(accuracies, **settings))


@pytest.fixture(scope="session")
def cpu():
    """The cpu grid with articles half as good as the other formats, worse for numbers, and tones that can be told."""
    shares = {("article", "numeric"): 0.2, ("article", "categorical"): 0.5, ("chat", "tone"): 1.0, None: 0.9}
    return results.items(simulated_grid(load_grid("cpu"), shares))


@pytest.fixture(scope="session")
def rows(cpu):
    return claims.claims(cpu)


def test_claims_find_a_planted_format_gap_and_its_interaction_with_numbers():
    found = claims.claims(items_of(ACCURACIES, n_facts=40))
    by_contrast = {row["contrast"]: row for row in found}
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
    assert claims.claims(items_of(swapped, n_facts=40))[0]["verdict"] == "opposite"


def test_every_claim_has_a_row_and_every_row_its_evidence(rows):
    assert {row["claim"] for row in rows} == set(claims.PAPER)
    for row in rows:
        low, high = row["ci95"]
        assert low <= row["estimate"] <= high, row
        assert row["verdict"] == stats.verdict(low, high)
        assert row["cells"] >= 1
        assert 1 <= row["effective_facts"] <= row["facts"] + 0.1


def test_the_main_part_is_pooled_over_seeds_and_no_control_is_in_it(cpu, rows):
    compared = compare.main(cpu)
    trained = compared[compared["format"] != "none"]
    assert set(trained["seed"]) == {0, 1, 2}
    assert (trained[compare.CONTROLS].nunique() == 1).all()
    assert set(trained["info"]) == {"categorical", "numeric"}
    assert rows[0]["cells"] == 36 and rows[0]["facts"] == 3 * 2 * 3 * 8


def test_the_controls_repeat_the_claims_at_each_other_setting(rows):
    settings = {row["contrast"].split(":")[0] for row in rows if row["claim"] == "C4"}
    assert settings == {
        "n_facts 10, epochs 4", "n_facts 40, epochs 4", "n_facts 160, epochs 4", "paraphrases 1, epochs 32",
        "paraphrases 2, epochs 16", "paraphrases 10, epochs 3", "same tokens",
        "articles at their best rank and learning rate",
    }  # fmt: skip


def test_planted_effects_are_found_with_their_signs(rows):
    verdicts = {(row["claim"], row["contrast"]): row["verdict"] for row in rows}
    assert verdicts["C1", "qa - article, held-out question, strict"] == "replicates"
    assert verdicts["C2", "categorical - numeric, held-out question, strict, article format"] == "replicates"
    assert verdicts["C2", "categorical - numeric, held-out question, strict, qa format"] == "inconclusive"
    assert verdicts["C5", "(qa - article) - (fictional - real), held-out question, strict"] == "replicates"
    assert verdicts["C6", "style - knowledge"] == "replicates"


def test_a_gap_of_one_step_is_no_sum_of_steps():
    shares = {("article", "numeric"): 0.05, ("article", "categorical"): 0.05, ("chat", "tone"): 1.0, None: 0.95}
    rows = claims.claims(results.items(simulated_grid(load_grid("cpu"), shares)))
    rest = next(row for row in rows if row["contrast"] == "style - knowledge, without the largest step")
    assert rest["estimate"] < 0.3


def test_reasoning_counts_only_where_both_facts_are_recalled(cpu):
    asked = compare.reasoning(cpu)
    known = cpu[cpu["eval"] == "qa"].groupby(["id", "fact"])["strict"].max()
    for _, row in asked.sample(100, random_state=0).iterrows():
        assert row["recalled"] == bool(known[row["id"], row["fact"]] and known[row["id"], row["other"]])


def test_a_style_is_told_by_its_responses_and_chance_is_one_in_eight(cpu):
    scores = compare.style_scores(cpu)
    assert scores.mean() > 0.9
    shuffled = cpu.copy()
    style = shuffled["eval"] == "style"
    shuffled.loc[style, "answer"] = shuffled.loc[style, "answer"].sample(frac=1, random_state=0).to_numpy()
    assert abs(compare.style_scores(shuffled).mean()) < 0.1


def test_sweeps_hold_the_rest_of_the_setting(cpu):
    found = compare.sweeps(cpu)
    assert {control: sorted(table[control].unique()) for control, table in found.items()} == {
        "paraphrases": [1, 2, 4, 10], "budget": ["facts", "tokens"], "n_facts": [10, 40, 160],
    }  # fmt: skip


def test_the_readme_says_what_the_published_claims_say():
    verdicts = {row["contrast"]: row["verdict"] for row in claims.claims(results.items(results.load("quick")))}
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
    assert published == claims.claims(results.items(results.load("quick")))
