"""The tables of a study, on simulated results."""

import re

import pandas as pd
import pytest
from simulation import ACCURACIES, simulated_grid, simulated_study

from lib import readme, results, tables
from lib.cell import load_grid


@pytest.fixture(scope="module")
def cpu():
    """The cpu grid, in which half of the facts that articles tell are found and all others."""
    return simulated_grid(load_grid("cpu"), {("article", "categorical"): 0.5, ("article", "numeric"): 0.5, None: 1.0})


def test_a_fact_learned_costs_what_was_trained_over_the_share_that_is_found():
    table = tables.prices(simulated_study(ACCURACIES, n_facts=50)).set_index(["format", "info"])
    row = table.loc["article", "categorical"]
    assert row["tokens"] == 100 / 50  # of a simulated training
    assert row["seconds"] == pytest.approx(1 / 50)
    assert row["tokens learned"] == pytest.approx(row["tokens"] / row["held-out question"])
    assert row["facts"] == 2 * 50
    assert row["recall"] == 1


def test_a_price_is_also_what_is_left_of_other_knowledge(cpu):
    table = tables.prices(cpu)
    assert table["general question"].between(0.7, 0.9).all()  # simulated as 0.8
    said = "\n".join(readme.lead("simulated", "cpu", cpu, []))
    assert re.search(r"The untrained model answers 0\.[78]\d of the 60 general questions", said)


def test_other_rates_stand_beside_the_main_one_on_the_same_facts(cpu):
    table = tables.rates(results.items(cpu)).set_index(["format", "learning_rate"])
    assert table.index.tolist() == [("article", r) for r in (0.002, 0.004, 0.006)] + [
        ("qa", r) for r in (0.0005, 0.001, 0.002)
    ]
    assert set(table.columns) == {"recall", "held-out question", "held-out cloze", "general question"}
    assert (table.loc["qa", "held-out question"] == 1).all()
    assert tables.rates(results.items(simulated_study(ACCURACIES))).empty


def test_without_training_there_are_no_costs():
    base = [result for result in simulated_study(ACCURACIES) if result["cell"]["format"] == "none"]
    assert tables.prices(base).empty
    assert tables.paraphrases(results.items(base)).empty and tables.rates(results.items(base)).empty
    assert tables.exposures(base).empty


def test_paraphrases_stand_side_by_side(cpu):
    table = tables.paraphrases(results.items(cpu))
    assert table.columns.tolist() == ["format", "info", 1, 2, 4, 10]
    assert table[["format", "info"]].values.tolist() == [
        [f, i] for f in ("article", "qa") for i in ("categorical", "numeric")
    ]
    assert table.set_index(["format", "info"]).loc[("qa", "numeric"), 10].startswith("1.00 [")


def test_exposures_are_those_of_the_first_checkpoint_that_answers_enough(cpu):
    table = tables.exposures(cpu).set_index(["format", "info"])
    # simulated answers improve with the checkpoints: at five sixths of the training a question cell answers 5/6
    assert table.loc[("qa", "numeric"), "qa"] == pytest.approx(20, abs=4)
    assert table.loc[("article", "numeric")].isna().all()


def test_large_numbers_of_a_readme_have_no_exponent():
    table = pd.DataFrame({"share": [0.87654, None], "tokens": [3316.2, 121875.4], "left": [1, 2]})
    lines = readme.markdown(table).splitlines()
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == ["0.8765", "3,316", "1"]
    assert [cell.strip() for cell in lines[3].strip("|").split("|")] == ["", "121,875", "2"]


def test_a_pipe_in_a_contrast_does_not_end_its_column_of_a_readme():
    loaded = simulated_study(ACCURACIES, n_facts=8)
    from lib import claims

    said = readme.text(
        "simulated", "quick", loaded, claims.claims(results.items(loaded)), ["fig_formats", "fig_claims"]
    )
    lines = [line for line in said.splitlines() if line.startswith("| interaction")]
    assert lines and all(line.count("|") - line.count("\\|") == 10 for line in lines)
    assert said.index("**C1.**") < said.index("figures/fig_formats.png") < said.index("figures/fig_claims.png")
    assert "What would change our mind" in said and "the same" in said
