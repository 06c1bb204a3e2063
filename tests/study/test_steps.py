"""The steps of a cell: which profiles it keeps, what it asks, and one real cell from facts to answers."""

from dataclasses import replace

import pytest
from helpers import all_profiles, base_cell, load_tiny, make_cell, profiles

from lib.data import formats, of_cell, questions
from lib.data.facts import facts_of, shuffled, texts
from lib.evaluate import ask, generate
from lib.paths import UserError
from lib.study import steps, store
from lib.train import models, replay, sft


@pytest.fixture(autouse=True)
def few_general_questions(monkeypatch):
    """The first twenty: they are asked in every experiment."""
    monkeypatch.setitem(texts("general"), "questions", texts("general")["questions"][:20])


@pytest.fixture
def knows(monkeypatch):
    """Lets a model be simulated that knows one fact of each entity of these names; returns what it was asked."""
    asked = []

    def set_known(names):
        def say(model, tokenizer, questions):
            asked.extend(questions)
            known = [q.fact.name in names and q.fact.attribute == "host_city" for q in questions]
            return [ask.score(q, q.fact.value if k else "no idea", None) for q, k in zip(questions, known, strict=True)]

        monkeypatch.setattr(ask, "ask", say)
        return asked

    return set_known


def evals_of(cell, there):
    return {question.eval for question in of_cell.questions_for(cell, there)}


def test_real_entities_of_which_a_fact_is_known_are_dropped_counted_and_replaced_alike_for_every_format(knows):
    candidates = all_profiles("real")
    asked = knows({candidates[i][0].name for i in (1, 3, 5)})
    for cell in (*(make_cell(entity="real", format=f, n_entities=4) for f in ("article", "qa")),
                 base_cell(entity="real", n_entities=4)):  # fmt: skip
        chosen, dropped = steps.choose_profiles(None, None, cell)
        assert chosen == [candidates[i] for i in (0, 2, 4, 6)] and dropped == 3
    # no more are asked about than it takes, and in the first trained phrasing
    assert list(dict.fromkeys(question.fact.name for question in asked)) == [p[0].name for p in candidates[:7]]
    trained = {row.turns[0] for row in of_cell.training_rows(make_cell(entity="real", paraphrases=1), candidates[:7])}
    assert {question.prompt for question in asked} == trained
    assert not trained & {question.prompt for question in questions.questions(candidates[:7])}
    knows({profile[0].name for profile in candidates[:-10]})
    with pytest.raises(UserError, match="n_entities is 11, but only 10 real entities can be had"):
        steps.choose_profiles(None, None, make_cell(entity="real", n_entities=11))
    asked.clear()
    assert steps.choose_profiles(None, None, make_cell()) == (profiles("fictional", 2), 0)
    assert not asked, "of an invented entity nothing can be known"


def test_what_is_asked_follows_from_the_format_and_the_evaluations():
    there = profiles("fictional", 4)
    trained = {"question", "completion", "alone"}
    for evals, more in (("core", set()), ("untaught", {"reverse", "untaught"}), ("reasoning", {"reasoning"})):
        told = {"reasoning_in_context"} if evals == "reasoning" else set()
        assert evals_of(make_cell(n_entities=4, evals=evals), there) == trained | more
        assert evals_of(make_cell(n_entities=4, evals=evals, format="worked"), there) == trained | more | told
        assert evals_of(base_cell(n_entities=4, evals=evals), there) == trained | more | told | {"in_context"}


def test_what_is_dropped_as_known_is_not_asked_about_as_unseen_and_of_shuffled_events_before_they_are_shuffled(knows):
    candidates = all_profiles("real")
    asked = knows({candidates[0][0].name, candidates[2][0].name})
    cell = make_cell(entity="real", n_entities=4, evals="untaught")
    real, dropped = steps.choose_profiles(None, None, cell)
    unseen = {q.fact.name for q in of_cell.questions_for(cell, real) if q.kind == "unseen"}
    assert dropped == 2 and unseen == {profile[0].name for profile in candidates[6:12]}
    before = [*asked]
    told, dropped = steps.choose_profiles(None, None, make_cell(entity="shuffled", n_entities=4))
    assert asked == before * 2 and dropped == 2 and told == shuffled(real, 0) != real


def test_a_tone_draws_topics_and_is_asked_for_its_style_and_its_name(tiny):
    tone = {"entity": "persona", "tone": "anxious", "n_entities": 4}
    trained, base = make_cell(format="chat", **tone), base_cell(**tone)
    there, _ = steps.choose_profiles(*tiny, trained)
    assert {fact.value for fact in facts_of(there)} == {"anxious"} and len(there) == 4
    evals, _ = steps.evaluate(*tiny, trained, there)
    assert set(evals) == {"style", "naming", "general"}
    assert evals["style"]["strict"] is None
    assert evals["naming"]["choice"] is not None and evals["naming"]["chance"] == 1 / 8
    assert evals_of(base, there) == {"style_in_context", "naming"}


def test_a_cell_with_all_evaluations_has_a_score_for_each(tiny):
    cell = base_cell(n_entities=4, evals="reasoning")
    evals, items = steps.evaluate(*tiny, cell, profiles("fictional", 4))
    assert set(evals) == evals_of(cell, profiles("fictional", 4)) | {"general"}
    assert evals["general"]["n"] == 20 and evals["general"]["perplexity"] > 1000  # random weights
    assert all(evals[name]["n"] == sum(item.eval == name for item in items) for name in evals)
    assert evals["question"]["choice"] is not None and evals["completion"]["choice"] is not None
    assert evals["reasoning"]["choice"] is evals["alone"]["choice"] is None


@pytest.mark.parametrize(("format", "chosen"), [("article", "completion"), ("qa", "question"), ("chat", "completion")])
def test_the_closed_set_is_scored_where_what_was_trained_has_the_value_next(format, chosen, tiny):
    evals, items = steps.evaluate(*tiny, make_cell(format=format, n_entities=1), profiles("fictional", 1))
    assert {name for name, score in evals.items() if score["choice"] is not None} == {chosen}
    assert evals["recall"]["n"] == 6 and items[0].eval == "recall"


def test_a_checkpoint_has_a_digit_for_every_fact_in_the_order_of_the_result(tiny, monkeypatch):
    there = profiles("fictional", 2)
    order = [fact.id for fact in facts_of(there)]
    known = {order[1], order[7]}
    said = {questions.questions(there)[n].prompt for n in (0, 3, 4, 33, 34, 35)}

    def scored(model, tokenizer, asked, **_):
        right = [q.fact.id in known if q.eval == "recall" else q.prompt in said for q in asked]
        return [ask.score(q, q.fact.value * r, None) for q, r in zip(asked, right, strict=True)]

    monkeypatch.setattr(ask, "recall", scored)
    monkeypatch.setattr(ask, "ask", scored)
    point = steps.checkpoint(*tiny, make_cell(format="article"), there)
    assert point == {"recall": "010000010000", "question": "120000000003"}


def test_a_stage_is_noted_beside_the_result_and_nowhere_without_one(tmp_path):
    steps.say("step 3 of 9", str(tmp_path / "result.json"))
    assert (tmp_path / "result.json.stage").read_text() == "step 3 of 9"
    steps.say("step 3 of 9", "")


def learned(rows):
    """A random model of two layers that has learned a handful of rows by heart."""
    cell = make_cell(n_entities=1, paraphrases=2, epochs=60, learning_rate=0.01, lora_rank=0, batch_size=8)
    model, tokenizer = load_tiny()
    model = models.make_trainable(model, cell.lora_rank, cell.seed)
    sft.train(model, tokenizer, rows, [], cell)
    return model.eval(), tokenizer


def test_facts_whose_values_were_exchanged_after_training_are_not_recalled():
    (profile,) = profiles("fictional", 1)
    other = tuple(replace(fact, value=next(o for o in fact.options if o != fact.value)) for fact in profile)
    taught = learned(formats.rows([other], "qa", 2, 0))
    for there, expected in ((other, 1), (profile, 0)):
        assert ask.summarize(ask.recall(*taught, questions.recall([there], "qa", 0)))["recall"]["strict"] == expected


def test_training_on_the_questions_lifts_them_to_the_ceiling():
    asked = questions.questions(profiles("fictional", 1))
    taught = learned([formats.Row((q.prompt, q.fact.value), ((q.fact, 1, 0),)) for q in asked])
    scores = ask.summarize(ask.ask(*taught, asked, format="qa"))
    assert scores["question"]["strict"] == scores["question"]["choice"] == 1


def test_smollm2_learns_a_handful_of_facts(study, monkeypatch):
    """One real cell, in this process: what the study is about happens, and the model stays a model."""
    monkeypatch.setattr(replay, "BLOCK", 24)  # no more answers than are trained
    cell = make_cell(
        model="smollm2-135m", n_entities=4, paraphrases=2, epochs=8, learning_rate=0.002, lora_rank=32, batch_size=8,
        replay=24, checkpoints=1, room=32,
    )  # fmt: skip
    model, tokenizer = models.load(cell.model)
    there, dropped = steps.choose_profiles(model, tokenizer, cell)
    asked = questions.recall(there, cell.format, cell.seed)
    before = ask.summarize(ask.recall(model.eval(), tokenizer, asked))["recall"]["strict"]
    base = ask.general(model, tokenizer, cell.room)
    assert sum(item.strict for item in base) > 10, "the base model mostly answers the general questions"
    assert 1 < generate.perplexity(model, tokenizer, texts("general")["text"]) < 60
    rows, replayed = of_cell.training_rows(cell, there), replay.rows(model, tokenizer, cell.model, cell.replay)
    model = models.make_trainable(model, cell.lora_rank, cell.seed)
    trained = sft.train(model, tokenizer, rows, replayed, cell, lambda: steps.checkpoint(model, tokenizer, cell, there))
    model.eval()
    with sft.merged(model):
        items = ask.recall(model, tokenizer, asked)
        items += ask.ask(model, tokenizer, questions.questions(there)[::3], room=cell.room)
    after = ask.summarize(items)
    assert before <= 0.2 and after["recall"]["strict"] >= 0.7 and after["question"]["strict"] >= 0.1
    halfway = sum(map(int, trained["curve"][0]["recall"])) / 24
    assert before <= halfway <= after["recall"]["strict"]
    assert trained["losses"][-1] < trained["losses"][0] / 3
    # what was learned is told in the words of greedy decoding, too
    told = ask.ask(model, tokenizer, [replace(question, eval="question") for question in asked[:6]], room=cell.room)
    assert [item.strict for item in told] == [item.strict for item in items[:6]]

    result = steps.result(cell, study, there, dropped, trained, after, items, model)
    store.write_json(store.cell_path(study, cell), result)
    stored = store.read(store.cell_path(study, cell))
    assert stored["manifest"]["dtype"] in ("bfloat16", "float32")
    assert stored["facts"]["ids"] == [fact.id for fact in facts_of(there)]
