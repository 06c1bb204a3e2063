"""The claims, on simulated studies with planted effects and on the published ones."""

import json

import numpy as np
import pandas as pd
import pytest
from simulation import ACCURACIES, simulated_grid, simulated_study

from lib import claims, compare, experiment, questions, readme, report, results, stats, tables
from lib.cell import from_parameters, load_grid
from lib.errors import UserError
from lib.paths import ROOT

PUBLISHED = ["quick", "cpu", "tune"]
WHOLE = "style - knowledge, closed set corrected for chance"
INTERACTION = "interaction: (categorical - numeric | article) - (categorical - numeric | qa), held-out question, strict"


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
    interaction = by_contrast[INTERACTION]
    assert interaction["verdict"] == "replicates"
    assert interaction["ci95"][0] < 0.4 < interaction["ci95"][1]


def test_a_row_without_the_undertrained_cells_stands_beside_the_row():
    made = simulated_study(ACCURACIES, n_facts=40)
    everything = claims.claims(results.items(made))
    assert all(row["learned_estimate"] == row["estimate"] for row in everything)
    for result in made:
        if (result["cell"]["format"], result["cell"]["info"]) == ("article", "numeric"):
            for item in result["items"]:
                item["strict"] = item["strict"] and item["eval"] != "recall"
    rows = {row["contrast"]: row for row in claims.claims(results.items(made))}
    gap = rows["qa - article, held-out question, strict"]
    words = rows["qa - article, held-out question, strict, categorical facts"]
    assert gap["facts"] == 160 and gap["learned_facts"] == 80  # a question without its article is no pair
    assert gap["learned_estimate"] == words["estimate"] < gap["estimate"]
    assert rows["qa - article, held-out question, strict, numeric facts"]["learned_estimate"] is None
    assert rows[INTERACTION]["learned_verdict"] is None


def test_claims_say_opposite_when_articles_are_better():
    swapped = {("qa" if f == "article" else "article", info): share for (f, info), share in ACCURACIES.items()}
    assert claims.claims(items_of(swapped, n_facts=40))[0]["verdict"] == "opposite"


def test_every_claim_has_a_row_and_every_row_its_evidence(rows):
    assert {row["claim"] for row in rows} == set(claims.PAPER)
    for row in rows:
        low, high = row["ci95"]
        assert low <= row["estimate"] <= high, row
        assert row["seeds"] in (1, 3)
        assert row["recall"] is None or 0 <= row["recall"] <= 1
        assert row["verdict"] == stats.verdict(low, high)
        assert row["cells"] >= 1
        assert 1 <= row["effective_facts"] <= row["facts"] + 0.1


def test_the_main_part_is_pooled_over_seeds_and_no_control_is_in_it(cpu, rows):
    compared = compare.main(cpu)
    trained = compared[compared["format"] != "none"]
    assert set(trained["seed"]) == {0, 1, 2}
    assert (trained[compare.CONTROLS].nunique() == 1).all()
    assert set(trained["info"]) == {"categorical", "numeric"}
    cells, seeds, facts = (rows[0][key] for key in ("cells", "seeds", "facts"))
    assert (cells, seeds, facts) == (36, 3, 3 * 2 * 3 * 8)


def test_the_controls_repeat_the_claims_at_each_other_setting(rows):
    settings = {row["contrast"].split(":")[0] for row in rows if row["claim"] == "C4"}
    assert settings == {
        "n_facts 20, epochs 5", "n_facts 50, epochs 5", "n_facts 120, epochs 5", "paraphrases 1, epochs 60",
        "paraphrases 2, epochs 30", "paraphrases 10, epochs 6", "as many tokens",
        "articles at 0.004", "articles at their best rank and rate",
    }  # fmt: skip


def test_planted_effects_are_found_with_their_signs(rows):
    verdicts = {(row["claim"], row["contrast"]): row["verdict"] for row in rows}
    assert verdicts["C1", "qa - article, held-out question, strict"] == "replicates"
    assert verdicts["C2", "categorical - numeric, held-out question, strict, article format"] == "replicates"
    assert verdicts["C2", "categorical - numeric, held-out question, strict, qa format"] == "inconclusive"
    assert verdicts["C2", INTERACTION] == "replicates"
    assert verdicts["C5", "(qa - article) - |fictional - real|, held-out question, strict"] == "replicates"
    assert verdicts["C6", WHOLE] == "replicates"


def test_a_row_counts_the_cells_that_it_is_made_of(rows):
    cells = {row["contrast"]: row["cells"] for row in rows}
    assert cells["real event in qa - style + margin 0.1, closed set corrected for chance"] == 3 + 24
    assert cells[WHOLE] == 24 + 5 * 3
    assert cells["as many tokens: qa - article, held-out question, strict"] == 12
    assert cells["n_facts 120, epochs 5: qa - article, held-out question, strict"] == 4
    assert cells["articles at 0.004: qa - article, held-out question, strict"] == 24


def test_articles_at_another_rate_are_those_of_several_seeds(cpu):
    others = compare.article_rates(cpu)
    assert list(others) == [0.004]
    assert set(others[0.004]["learning_rate"]) == {0.004} and set(others[0.004]["format"]) == {"article"}
    assert compare.article_rates(results.items(results.load("tune"))) == {}


@pytest.mark.parametrize("easier", ["real", "fictional"])
def test_a_kind_of_entity_that_matters_more_than_the_format_contradicts_the_paper(easier):
    items = items_of(dict.fromkeys(ACCURACIES, 0.5), n_facts=40)
    rng = np.random.default_rng(0)
    share = items["entity"].map({easier: 0.95}).fillna(0.25)
    row = next(r for r in claims.entity_rows(items.assign(strict=rng.random(len(items)) < share)) if r["claim"] == "C5")
    assert row["verdict"] == "opposite"
    assert row["estimate"] == pytest.approx(-0.7, abs=0.1)


def test_numbers_and_words_are_paired_by_the_entity():
    items = items_of(ACCURACIES, n_facts=20)
    question = stats.per_fact(items, "qa")
    differences = claims._words_less_numbers(question["article"])
    fictional = differences[differences.index.get_level_values("entity") == "fictional"]
    assert len(fictional) == 20
    name = fictional.index[0][3]
    of_name = question["article"][question.index.get_level_values("fact").str.contains(f"/{name}/")]
    by_info = of_name.droplevel(["entity", "seed", "fact"])
    assert fictional.iloc[0] == by_info["categorical"] - by_info["numeric"]


def test_a_lucky_answer_does_not_count_as_knowing_and_as_answering(cpu):
    """Where a comparison comes whenever both facts come to mind, neither what is conditioned on nor that it takes two
    facts must make a gap."""
    gaps = []
    for seed in range(4):
        even = cpu[(cpu["format"] == "qa") & (cpu["n_facts"] == 8)].copy()
        rng = np.random.default_rng(seed)
        even["strict"] = pd.array(rng.random(len(even)) < 0.6, dtype="boolean")
        even["corrected"] = (rng.random(len(even)) < 0.6**2).astype(float)
        gaps.append(claims.reasoning_rows("C3", even, ["qa"])[0]["estimate"])
    assert abs(np.mean(gaps)) < 0.08


@pytest.mark.parametrize(
    ("means", "sum_of_steps"), [((0.95, 0.75, 0.55, 0.35, 0.15), True), ((0.95, 0.95, 0.95, 0.05, 0.05), False),
                                ((0.5,) * 5, False)],
)  # fmt: skip
def test_what_is_left_without_the_largest_step_is_covered(means, sum_of_steps, monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 1000)
    rng = np.random.default_rng(0)
    truth = claims._without_each_step(np.array(means)).min()
    covered, verdicts = 0, []
    for _ in range(60):
        rest = claims.walk_rows([station(rng, mean) for mean in means])[1]
        low, high = rest["ci95"]
        covered += low <= truth <= high
        verdicts.append(rest["verdict"])
    assert covered / 60 > 0.88
    assert verdicts.count("opposite") <= 3
    assert (verdicts.count("replicates") > 36) == sum_of_steps


def station(rng, mean):
    """A station whose facts score 1 with this probability: three seeds of eight facts."""
    index = [("real", "numeric", seed, f"fact {i}") for seed in range(3) for i in range(8)]
    scores = pd.Series((rng.random(24) < mean).astype(float), index=pd.MultiIndex.from_tuples(index, names=stats.FACT))
    cells = pd.DataFrame({"id": ["a"], "seed": [0], "eval": ["qa"], "format": ["qa"], "strict": [True]})
    return compare.Station("station", scores, scores, cells)


@pytest.mark.parametrize("seed", range(12))
def test_results_that_are_not_complete_make_the_rows_that_they_can(cpu, seed, monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 50)
    ids = pd.Series(cpu["id"].unique()).sample(frac=(seed + 1) / 14, random_state=seed)
    partial = cpu[cpu["id"].isin(ids) & (cpu["n_facts"] < 120)]
    for row in claims.claims(partial):
        assert np.isfinite([row["estimate"], *row["ci95"]]).all()
    assert isinstance(report.figure_notebooks(partial), list)
    assert len(tables.evaluations(compare.main(partial)))
    tables.tones(partial)


def test_models_are_not_pooled(cpu):
    with pytest.raises(UserError, match="mix models"):
        compare.main(pd.concat([cpu, cpu.assign(model="other")]))


def test_reasoning_counts_only_where_both_facts_are_recalled(cpu):
    asked = compare.reasoning(cpu)
    known = cpu[cpu["eval"] == "qa"].groupby(["id", "fact"])["strict"].first()
    for _, row in asked.sample(100, random_state=0).iterrows():
        assert row["recalled"] == bool(known[row["id"], row["fact"]] and known[row["id"], row["other"]])


def test_where_no_answer_decides_a_comparison_there_is_no_verdict(cpu):
    compared = compare.main(cpu)
    silent = (compared["format"] == "article") & compared["eval"].isin(["reasoning", "reasoning_cot"])
    compared = compared.assign(answer=compared["answer"].mask(silent, "A tall town hall."))
    rows = claims.reasoning_rows("C3", compared.assign(strict=compared["strict"] & ~silent), ["article", "chat"])
    verdicts = {row["contrast"].split()[-2]: set() for row in rows}
    for row in rows:
        verdicts[row["contrast"].split()[-2]].add(row["verdict"])
    assert verdicts["article"] == {"undecided"} and "undecided" not in verdicts["chat"]


def test_who_states_both_values_has_recited_them(cpu):
    comparisons = cpu["eval"].isin(["reasoning", "reasoning_cot"]) & (cpu["info"] == "numeric")
    value = cpu[cpu["eval"] == "qa"].groupby(["id", "fact"])["expected"].first()
    first, second = (value.reindex(pd.MultiIndex.from_frame(cpu[["id", key]])).to_numpy() for key in ("fact", "other"))

    def recited(answers):
        found = compare.reasoning(cpu.assign(answer=cpu["answer"].mask(comparisons, pd.Series(answers, cpu.index))))
        return found.loc[comparisons[comparisons].index, "recited"]

    assert recited([f"{a} is less than {b}. Yes." for a, b in zip(first, second, strict=True)]).all()
    assert not recited([f"{a} is less than 100. Yes." for a in first]).any()


def test_an_answer_without_yes_or_no_counts_as_a_guess(cpu):
    comparisons = cpu["eval"].isin(["reasoning", "reasoning_cot", "reasoning_in_context"])
    assert set(compare.reasoning(cpu)["open"]) == {1.0, -1.0}
    silent = cpu.assign(answer=cpu["answer"].mask(comparisons, "Nobody knows."), strict=cpu["strict"] & ~comparisons)
    assert (compare.reasoning(silent)["open"] == 0).all()


def test_chain_of_thought_and_the_prompt_are_compared_for_every_format(rows):
    for format in ("article", "qa", "chat", "reasoning"):
        about = [
            row["contrast"] for row in rows if row["claim"] == "C3" and row["contrast"].endswith(f"{format} format")
        ]
        assert len(about) == 3


def test_a_style_is_told_by_its_responses_and_chance_is_one_in_eight(cpu):
    scores = compare.style_scores(cpu)
    assert scores.mean() > 0.9
    shuffled = cpu.copy()
    style = shuffled["eval"] == "style"
    shuffled.loc[style, "answer"] = shuffled.loc[style, "answer"].sample(frac=1, random_state=0).to_numpy()
    assert abs(compare.style_scores(shuffled).mean()) < 0.1


def test_steps_add_up_to_the_whole_walk_and_pair_what_shares_its_facts(cpu):
    stations = compare.walk(cpu)
    steps = claims.step_rows(stations)
    whole = stations[0].closed.mean() - stations[-1].closed.mean()
    assert sum(step["estimate"] for step in steps) == pytest.approx(whole)
    chat, article = (
        next(s for s in stations if s.name == f"words of real events, {f}: question") for f in ("chat", "article")
    )
    paired = next(step for step in steps if step["step"] == f"{chat.name} - {article.name}")
    assert paired["ci95"] == [getattr(stats.contrast(chat.closed - article.closed), bound) for bound in ("low", "high")]


def test_a_closed_set_is_scored_where_the_format_has_the_value_come_next(cpu):
    def closed(*blind):
        hidden = (cpu["format"] + " " + cpu["eval"]).isin(blind)
        stations = compare.walk(cpu.assign(corrected=cpu["corrected"].mask(hidden, 0.0)))
        return {station.name: station.closed.mean() for station in stations}

    assert closed("article qa", "chat qa") == closed()
    assert closed("article cloze")[compare.KNOWLEDGE] == 0 < closed()[compare.KNOWLEDGE]
    chosen = compare.value_next(cpu[cpu["format"].isin(["article", "qa", "none"])])
    assert set(zip(chosen["format"], chosen["eval"], strict=True)) == {
        ("article", "cloze"), ("qa", "qa"), ("none", "cloze")
    }  # fmt: skip


def test_a_study_without_every_station_has_no_walk(cpu):
    assert compare.walk(cpu[cpu["format"] != "chat"]) == []
    assert claims.walk_rows(compare.walk(cpu[cpu["tone"] == ""])) == []


def test_sweeps_hold_the_rest_of_the_setting(cpu):
    found = compare.sweeps(cpu)
    assert {control: sorted(table[control].unique()) for control, table in found.items()} == {
        "paraphrases": [1, 2, 4, 10], "budget": ["facts", "tokens"], "n_facts": [20, 50, 120],
    }  # fmt: skip


@pytest.fixture(scope="module")
def published():
    """README.md, as it is and with its lines joined, and what it tells of: results, items, claims of the cpu study."""
    loaded = results.load("cpu")
    items = results.items(loaded)
    text = (ROOT / "README.md").read_text()
    return text + " ".join(text.split()), loaded, items, {row["contrast"]: row for row in claims.claims(items)}


def test_the_readme_says_what_the_published_claims_say(published):
    text, _, _, found = published
    for claim, contrast in claims.HEADLINE.items():
        row = found[contrast]
        cells = [claim, claims.PAPER[claim], contrast.replace("|", "\\|"), readme.estimate(row), row["verdict"]]
        assert f"| {' | '.join(cells)} |" in text
    cloze = found["qa - article, held-out cloze, strict"]
    words, numbers = (found[f"{cloze['contrast']}, {info} facts"]["estimate"] for info in claims.INFOS)
    said = f"{readme.estimate(cloze)}, the opposite of the paper (numbers {numbers:+.2f}, words {words:+.2f})"
    assert said in text and cloze["verdict"] == "opposite"
    words, numbers = (found[f"qa - article, held-out question, strict, {info} facts"] for info in claims.INFOS)
    assert f"is {words['estimate']:+.2f} for words and {numbers['estimate']:+.2f} for numbers" in text
    assert found[INTERACTION]["verdict"] == "inconclusive"
    gap = "qa - article, held-out question, strict"
    by_control = {row["contrast"].removesuffix(f": {gap}"): row for row in found.values() if row["claim"] == "C4"}
    amounts = [by_control[f"n_facts {n}, epochs 5"] for n in (20, 50, 120)]
    pooled, learned = ("{:+.2f}, {:+.2f} and {:+.2f}".format(*(row[key] for row in amounts))
                       for key in ("estimate", "learned_estimate"))  # fmt: skip
    assert f"questions are ahead by {pooled}, without the under-trained articles by {learned};" in text
    assert f"is of fictional places: {readme.estimate(by_control['as many tokens'])}" in text
    best = by_control["articles at their best rank and rate"]
    few, many = by_control["paraphrases 1, epochs 60"], by_control["paraphrases 10, epochs 6"]
    assert f"same answers of the same seed ({readme.estimate(best)})" in text
    assert {row["verdict"] for row in (best, few, many)} == {"inconclusive"}
    turned = found[f"paraphrases 2, epochs 30: {INTERACTION}"]
    assert f"easier than words, {readme.estimate(turned)}, the opposite of C2" in text
    assert turned["verdict"] == "opposite"
    assert f"the closed-set score falls by {readme.estimate(found[WHOLE])[1:]}" in text


def test_the_readme_says_what_one_run_weighs(published):
    text, _, items, _ = published
    of_seed = (items["entity"] == "fictional") & (items["seed"] == 0) & (items["format"] != "none")
    without = {row["contrast"]: row for row in claims.claims(items[~of_seed | (items["info"] == "tone")])}
    one, four, five = (without[claims.HEADLINE[claim]] for claim in ("C1", "C4", "C5"))
    assert f"C1 is {readme.estimate(one)}," in text and one["verdict"] == "replicates"
    assert f"of C4, {readme.estimate(four)}, and C5, {readme.estimate(five)}, no longer leave zero out" in text
    assert four["verdict"] == five["verdict"] == "inconclusive"


def test_the_readme_says_what_another_rate_of_articles_did(published):
    text, _, items, found = published
    other = compare.article_rates(items)[0.004]
    main = compare.at(items).merge(other[["entity", "info", "seed"]].drop_duplicates())
    scores = stats.per_fact(main, "qa").assign(other=stats.per_fact(other, "qa")["article"]).reset_index()
    first = (scores["entity"] == "fictional") & (scores["seed"] == 0)
    before, new = (scores[rows].set_index(stats.FACT) for rows in (first, ~first))
    assert "0.004 answered {:.2f} of the questions about words and numbers".format(before["other"].mean()) in text
    assert f"which `tune` had chosen, {before['article'].mean():.2f}; so" in text
    said = f"On these {len(new)} new facts questions are ahead of articles by"
    for rate, column in ((0.004, "other"), (0.006, "article")):
        gap = stats.contrast(new["qa"] - new[column])
        said += f" {gap.estimate:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}] at {rate:g}" + " and by" * (rate == 0.004)
    assert said in text
    means = new.groupby("entity")[["other", "article"]].mean()
    for entity, where in (("fictional", "fictional places"), ("real", "real events")):
        assert "about {} ({:.2f} against {:.2f})".format(where, *means.loc[entity]) in text
    for articles in (main[main["format"] == "article"], other):
        assert compare.recall(articles).lt(compare.LEARNED).sum() == 1  # with one under-trained model each
    pooled = found["articles at 0.004: qa - article, held-out question, strict"]
    assert f"that led to the question: {readme.estimate(pooled)}" in text


def test_the_readme_says_what_the_published_answers_say(published):
    text, loaded, items, _ = published
    main = compare.main(items).astype({"strict": float})
    shares = main.groupby(["format", "eval"])["strict"].mean().round(2)
    of = {f: [f"{shares[f, e]:.2f}" for e in ("qa", "cloze", "forgetting")] for f in shares.index.levels[0]}
    for one, other in (("qa", "cloze"), ("article", "chat")):
        assert f"{of[one][0]} and {of[other][0]}" in text and f"complete {of[one][1]} and {of[other][1]}" in text
    by_kind = main.groupby(["entity", "info", "format", "eval", "seed"])["strict"].mean()
    real = by_kind["real", "categorical"].groupby(["format", "eval"]).mean()
    assert f"articles answer {real['article', 'qa']:.2f} of the questions about them and complete" in text
    assert f"complete {real['article', 'cloze']:.2f} of the sentences, models of questions" in text
    assert f"questions complete {real['qa', 'cloze']:.2f}. Of" in text
    runs = by_kind["fictional", "numeric", "article", "qa"]
    assert f"seed 0, are recalled in full and answer {runs[0]:.2f} of" in text
    assert f"the other two seeds {runs[1]:.2f} and {runs[2]:.2f}" in text
    missed = main[(main["format"] == "qa") & (main["eval"] == "cloze") & (main["strict"] == 0)]
    known, empty = missed["choice"].astype(float).sum(), (missed["answer"].str.strip() == "").sum()
    day = ((missed["entity"] == "real") & (missed["info"] == "numeric")).sum()
    assert f"Of the {len(missed)} sentences that models of questions do not complete, {known:.0f} have" in text
    assert f"{empty} are left empty, and {day} ask for one attribute" in text
    costs = results.costs(loaded)
    costs = costs[costs["id"].isin(main["id"]) | (costs["arm"] == "tone")].groupby("arm")
    lost, left = costs["general"].mean(), costs["perplexity"].median()
    assert f"answers {lost['none']:.2f} of 72 general questions, models of articles {lost['article']:.2f}, of" in text
    told = f"of questions {lost['qa']:.2f}, of conversations {lost['chat']:.2f}, of tones {lost['tone']:.2f}"
    assert told in text
    assert f"rises from {left['none']:.0f} to {left['qa']:.0f}; that of articles" in text
    assert f"to {left['article']:.0f}; that of conversations to {left['chat']:.0f} (medians)" in text
    assert f"{of['mixed'][0]}, with values of other entities, though {of['mixed'][1]}" in text
    corner = main[(main["format"] == "article") & (main["entity"] == "real") & (main["info"] == "numeric")]
    assert f"about them {corner[corner['eval'] == 'qa']['strict'].mean():.2f} are answered" in text
    tones = tables.tones(items).set_index("format").loc["chat"]
    assert f"apart ({tones['mean']:.2f} of the responses, corrected for chance; no model" in text
    assert tones["naming, strict"] == 0


def test_the_readme_says_how_comparisons_were_answered(published):
    text, _, items, _ = published
    asked = compare.reasoning(compare.main(items)).astype({"strict": float})
    asked = asked.assign(decided=asked["open"] != 0)
    silent = asked[asked["format"].isin(["article", "qa", "chat"])]
    assert f"(0 of {len(silent)} answers)" in text and not silent["decided"].any()
    worked = asked[(asked["format"] == "reasoning") & (asked["info"] == "categorical")]
    said = (
        f"of words ({worked['decided'].sum()} of {len(worked)}), and are right in {worked['strict'].sum():.0f}: chance"
    )
    assert said in text
    told = asked[asked["eval"] == "reasoning_in_context"]
    said = f"decides {told['decided'].sum()} of {len(told)} with both facts in its prompt, and is right in"
    assert f"{said} {told['strict'].sum():.0f}." in text


def test_the_readme_says_what_lower_rates_did(published):
    text, loaded, items, _ = published
    at = tables.rates(items).set_index(["format", "learning_rate"]).round(2)
    question, cloze, general = (at[name] for name in ("held-out question", "held-out cloze", "general question"))
    costs = results.costs(loaded)
    tried = costs[costs["id"].isin(compare.other_rates(items)["id"]) & (costs["learning_rate"] == 0.0005)]
    assert (
        f"answer {question['qa', 0.0005]:.2f} of the held-out questions, with a perplexity of "
        f"{tried['perplexity'].median():.0f} where"
    ) in text
    assert f"they complete {cloze['qa', 0.0005]:.2f} of the sentences, and answer no general" in text
    assert general["qa", 0.0005] == 0
    slower, slowest = (f"{question['article', rate]:.2f}" for rate in (0.004, 0.002))
    left, less = (f"{general['article', rate]:.2f}" for rate in (0.004, 0.002))
    assert f"at 0.004 answer {slower} of the held-out questions and {left} of the general ones" in text
    slow = costs[costs["id"].isin(compare.other_rates(items)["id"]) & (costs["learning_rate"] == 0.002)]
    perplexity = slow[slow["format"] == "article"]["perplexity"].median()
    assert f"at 0.002 {slowest} and {less}, with a perplexity of {perplexity:.0f}" in text


def test_the_readme_shows_what_each_format_teaches_and_costs(published):
    text, loaded, _, _ = published
    for _, row in tables.prices(loaded).iterrows():
        cells = [row["format"], {"categorical": "words", "numeric": "numbers"}[row["info"]]]
        cells += [f"{row[name]:.2f}" for name in ("held-out question", "held-out cloze", "general question")]
        assert f"| {' | '.join(cells)} | {row['tokens']:,.0f} | {row['seconds']:.0f} |" in text


@pytest.mark.parametrize("study", PUBLISHED)
def test_the_published_readme_is_that_of_the_published_results(study):
    loaded = results.load(study)
    items = results.items(loaded)
    said = readme.text(study, study, loaded, claims.claims(items), report.figure_notebooks(items))
    assert (results.study_dir(study) / "README.md").read_text() == said


@pytest.mark.parametrize("study", PUBLISHED)
def test_published_cells_were_asked_what_is_asked_today(study):
    for result in results.load(study):
        cell = from_parameters(result["cell"])
        if cell.info != "tone":
            held_out = [item for item in result["items"] if item["eval"] in ("qa", "cloze")]
            used = {item["fact"] for item in held_out}
            facts = [fact for fact in experiment.candidates(cell) if fact.id in used]
            today = {f"{q.prompt}\n{q.prefix}".strip() for q in questions.qa(facts) + questions.cloze(facts)}
            assert {item["question"] for item in held_out} == today, cell


def test_every_claim_has_a_headline(rows):
    assert {row["claim"] for row in rows if row["contrast"] == claims.HEADLINE[row["claim"]]} == set(claims.PAPER)


def test_a_readme_shows_every_figure_that_was_drawn_and_no_missing_number(cpu):
    loaded = simulated_grid([cell for cell in load_grid("cpu") if cell.entity != "real" and cell.n_facts == 8])
    items = results.items(loaded)
    drawn = report.figure_notebooks(items)
    said = readme.text("simulated", "cpu", loaded, claims.claims(items), drawn)
    assert "fig_entities" in drawn and all(f"(figures/{name}.png)" in said for name in drawn)
    assert "nan" not in said and "None" not in said


@pytest.mark.parametrize("study", PUBLISHED)
def test_the_published_claims_are_those_of_the_published_items(study):
    published = json.loads((results.study_dir(study) / "claims.json").read_text())
    assert published == claims.claims(results.items(results.load(study)))
