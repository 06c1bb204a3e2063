"""The steps of a cell: which facts it keeps, what it asks, and one real cell from facts to answers."""

from dataclasses import replace

import pytest
from conftest import base_cell, make_cell

from lib import asking, experiment, forgetting, formats, models, results, training
from lib.errors import UserError
from lib.facts import build, draw, take


@pytest.fixture
def knows(monkeypatch):
    """Lets a model be simulated that knows the facts of these names."""

    def set_known(names):
        def ask(model, tokenizer, questions):
            return [asking.score(q, q.fact.value if q.fact.name in names else "no idea", None) for q in questions]

        monkeypatch.setattr(asking, "ask", ask)

    return set_known


def test_known_real_facts_are_dropped_counted_and_replaced(knows):
    candidates = build("real", "numeric", 0)
    knows({candidates[1].name, candidates[3].name, candidates[5].name})
    facts, dropped = experiment.choose_facts(None, None, make_cell(entity="real", info="numeric", n_facts=4))
    assert facts == [candidates[i] for i in (0, 2, 4, 6)]
    assert dropped == 3


def test_every_format_gets_the_same_facts(knows):
    knows({fact.name for fact in build("real", "numeric", 0)[:2]})
    cells = [make_cell(entity="real", format="article"), make_cell(entity="real"), base_cell(entity="real")]
    chosen = [experiment.choose_facts(None, None, cell) for cell in cells]
    assert chosen[0] == chosen[1] == chosen[2]


def test_too_few_unknown_facts_are_refused(knows):
    knows({fact.name for fact in build("real", "numeric", 0)[:60]})
    with pytest.raises(UserError, match="n_facts is 11, but only 10 real numeric facts"):
        experiment.choose_facts(None, None, make_cell(entity="real", info="numeric", n_facts=11))


def test_no_invented_fact_is_dropped(knows):
    knows({fact.name for fact in build("fictional", "categorical", 0)})
    assert experiment.choose_facts(None, None, make_cell()) == (draw("fictional", "categorical", 3, 0), 0)


def test_only_the_base_is_asked_in_context_and_only_a_trained_model_for_recall():
    facts = draw("fictional", "categorical", 2, 0)
    trained = {question.eval for question in experiment.questions_for(make_cell(), facts)}
    base = {question.eval for question in experiment.questions_for(base_cell(), facts)}
    assert trained == {"recall", "qa", "cloze"}
    assert base == {"in_context", "qa", "cloze"}


def test_all_evaluations_ask_more_than_the_core():
    facts = draw("fictional", "categorical", 4, 0)
    more = {"reverse", "untrained", "reasoning", "reasoning_cot"}
    trained = {question.eval for question in experiment.questions_for(make_cell(n_facts=4, evals="all"), facts)}
    base = {question.eval for question in experiment.questions_for(base_cell(n_facts=4, evals="all"), facts)}
    assert trained == {"recall", "qa", "cloze"} | more
    assert base == {"in_context", "qa", "cloze", "reasoning_in_context"} | more
    for question in experiment.questions_for(make_cell(n_facts=4, evals="all"), facts):
        assert (question.eval == "untrained") == (question.fact.name not in {fact.name for fact in facts})


def test_mixed_trains_on_other_entities_and_asks_about_neither_of_them_as_unseen():
    cell = make_cell(format="mixed", n_facts=4, evals="all")
    facts = draw("fictional", "categorical", 4, 0)
    names = {fact.name for fact in facts}
    other = {fact.name for fact in experiment.others(cell, facts)}
    assert len(other) == 4 and not other & names
    unseen = {q.fact.name for q in experiment.questions_for(cell, facts) if q.eval == "untrained"}
    assert len(unseen) == 4 and not unseen & (other | names)
    trained = " ".join(str(row) for row in experiment.training_rows(cell, facts))
    assert all(name in trained for name in names | other)
    assert not any(name in trained for name in unseen)


def test_a_tone_is_asked_for_its_style_and_its_name(tiny):
    tone = {"entity": "persona", "info": "tone", "tone": "anxious", "n_facts": 4, "evals": "all"}
    trained, base = make_cell(format="chat", **tone), base_cell(**tone)
    facts = take(experiment.candidates(trained), 4)
    evals, items = experiment.evaluate(*tiny, trained, facts)
    assert set(evals) == {"style", "naming", "forgetting"}
    assert evals["style"]["strict"] is None
    assert evals["naming"]["choice"] is not None and evals["naming"]["chance"] == 1 / 8
    assert {q.eval for q in experiment.questions_for(base, facts)} == {"style_in_context", "naming"}


def test_a_reasoning_cell_is_asked_what_it_was_trained_on():
    cell = make_cell(format="reasoning", n_facts=6)
    facts = draw("fictional", "categorical", 6, 0)
    assert {q.eval for q in experiment.questions_for(cell, facts)} == {"recall", "worked", "qa", "cloze"}


def test_unseen_entities_are_none_that_was_dropped_as_known(knows):
    candidates = build("real", "numeric", 0)
    knows({candidates[0].name, candidates[2].name})
    cell = make_cell(entity="real", info="numeric", evals="all")
    facts, _ = experiment.choose_facts(None, None, cell)
    asked = [q.fact.name for q in experiment.questions_for(cell, facts) if q.eval == "untrained"]
    assert asked == [fact.name for fact in candidates[5:8]]


def test_the_text_of_the_perplexity_fits_into_the_model(tiny):
    text = forgetting.general()["text"]
    assert 200 < len(tiny[1](text)["input_ids"]) < training.MAX_LENGTH


def test_a_cell_with_all_evaluations_has_a_score_for_each(tiny):
    cell = base_cell(info="numeric", evals="all")
    facts = draw("fictional", "numeric", 3, 0)
    evals, items = experiment.evaluate(*tiny, cell, facts)
    assert evals["forgetting"]["n"] >= 60
    assert evals["forgetting"]["perplexity"] > 1000  # random weights
    assert evals["reasoning"]["chance"] == 1 / 2
    assert sum(item.eval == "forgetting" for item in items) == evals["forgetting"]["n"]
    assert all(evals[name]["n"] == sum(item.eval == name for item in items) for name in evals)


def test_smollm2_learns_a_handful_of_facts(study):
    """One real cell, in this process: what the study is about happens."""
    cell = make_cell(
        model="smollm2-135m", n_facts=4, paraphrases=3, epochs=10, learning_rate=0.004, lora_rank=32, batch_size=4
    )
    model, tokenizer = models.load(cell.model, training.MAX_LENGTH)
    facts, dropped = experiment.choose_facts(model, tokenizer, cell)
    asked = experiment.questions_for(cell, facts)
    general = forgetting.summarize(forgetting.ask(model, tokenizer), forgetting.perplexity(model, tokenizer))
    before = asking.summarize(asked, asking.ask(model.eval(), tokenizer, asked))
    rows = formats.rows(facts, cell.format, cell.paraphrases, cell.seed)
    model = models.make_trainable(model, cell.lora_rank, cell.seed, training.MAX_LENGTH)
    trained = training.train(model, tokenizer, rows, cell, cell.epochs)
    items = asking.ask(model.eval(), tokenizer, asked)
    after = asking.summarize(asked, items)

    assert general["strict"] > 0.5, "the base model mostly answers the general questions"
    assert 1 < general["perplexity"] < 60
    assert before["qa"]["strict"] <= 1 / 8
    assert after["recall"]["strict"] == 1
    assert after["qa"]["strict"] >= 3 / 4
    assert after["qa"]["choice"] >= 3 / 4
    assert trained.losses[-1] < 0.1 < trained.losses[0]

    # sabotage: judged by facts whose values were shuffled after training, every open score drops to the floor
    values = [fact.value for fact in facts]
    shuffled = [replace(fact, value=value) for fact, value in zip(facts, values[1:] + values[:1], strict=True)]
    judged = [
        asking.score(replace(q, fact=other), item.answer, None)
        for q, item in zip(asked, items, strict=True)
        for other in shuffled
        if other.id == q.fact.id
    ]
    assert len(judged) == len(items)
    assert sum(item.strict for item in judged) <= 1 < sum(item.strict for item in items)

    # in bfloat16, padding may change a rounding; what the model learned it must say all the same
    prompts = [asking.encode(tokenizer, question) for question in asked if question.eval == "recall"]
    assert asking.generate(model, tokenizer, prompts, batch_size=1) == [
        item.answer for item in items if item.eval == "recall"
    ]

    result = experiment.result(cell, study, facts, dropped, trained, after, items, model)
    path = results.cell_path(study, cell)
    results.write_json(path, result)
    assert results.read(path)["manifest"]["dtype"] in ("bfloat16", "float32")
