import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib import asking, questions, tones
from lib.facts import build, draw, templates
from lib.formats import rows
from lib.scoring import lenient, strict


@pytest.mark.parametrize("entity", ["fictional", "real", "persona", "airport"])
def test_no_training_template_is_an_evaluation_template(entity):
    text = templates(entity)
    for attribute in text["attributes"].values():
        trained = [*attribute["statements"], *attribute["questions"], *(s["prompt"] for s in text["styles"])]
        trained += [*attribute["compare_trained"], *(turn for chat in text["chats"] for turn in chat)]
        evaluated = [*attribute["heldout_questions"], *attribute["heldout_clozes"], attribute["compare"]]
        for train, held_out in itertools.product(trained, evaluated):
            assert train != held_out
            assert not train.startswith(held_out), "a cloze that begins a trained sentence is not held out"


@pytest.mark.parametrize(
    ("entity", "info"), itertools.product(["fictional", "real", "persona", "airport"], ["numeric", "categorical"])
)
def test_held_out_questions_are_in_no_training_row(entity, info):
    facts = draw(entity, info, 5, 0)
    text = "\n".join(
        message["content"]
        for format in ("article", "qa", "chat", "cloze", "reasoning", "mixed")
        for row in rows(facts, format, 10, 0, draw(entity, info, 10, 0)[5:])
        for message in row["prompt"] + row["completion"]
    )
    for question in questions.qa(facts) + questions.cloze(facts) + questions.reasoning(facts, 0):
        assert (question.prefix or question.prompt) not in text


@pytest.mark.parametrize("format", ["article", "qa", "chat", "cloze"])
def test_recall_asks_prompts_that_were_trained(format):
    facts = draw("fictional", "numeric", 4, 0)
    trained = {tuple(message["content"] for message in row["prompt"]) for row in rows(facts, format, 2, 0)}
    assert {(*q.history, q.prompt) for q in questions.recall(facts, format, 2, 0)} == trained


def test_recall_of_worked_examples_asks_their_comparisons_and_of_mixed_the_articles():
    facts = draw("fictional", "numeric", 6, 0)
    trained = {row["prompt"][0]["content"] for row in rows(facts, "reasoning", 4, 0)}
    asked = questions.recall(facts, "reasoning", 4, 0) + questions.worked(facts, 4, 0)
    assert {question.prompt for question in asked} == trained
    assert len(asked) == len(rows(facts, "reasoning", 4, 0))
    assert questions.recall(facts, "mixed", 2, 0) == questions.recall(facts, "article", 2, 0)


def test_whole_conversations_are_asked_in_their_turns(tiny):
    fact = draw("fictional", "numeric", 1, 0)[0]
    question = questions.recall([fact], "chat", 1, 0)[0]
    row = rows([fact], "chat", 1, 0)[0]
    trained = tiny[1].apply_chat_template(row["prompt"], add_generation_prompt=True)["input_ids"]
    assert asking.encode(tiny[1], question) == trained


def test_the_tone_is_asked_on_other_topics_and_by_name_without_saying_it():
    topics = tones.build("anxious", 0)
    trained = " ".join(message["content"] for row in rows(topics, "chat", 2, 0) for message in row["prompt"])
    for question in questions.style("anxious"):
        assert question.prompt not in trained
        assert question.fact.name not in {topic.name for topic in topics}
    for question in questions.naming(topics):
        assert question.fact.value == "anxious" and len(question.fact.options) >= 8
        assert not any(option in question.given for option in question.fact.options)
    for question in questions.style_in_context("anxious"):
        assert "anxious" in question.context


def test_only_the_ceiling_tells_the_answer():
    facts = draw("real", "categorical", 8, 0)
    for question in questions.in_context(facts):
        assert question.fact.value in question.context
        assert question.fact.value not in question.given
    for question in questions.qa(facts) + questions.cloze(facts) + questions.recall(facts, "article", 2, 0):
        assert not question.context
        assert question.fact.value not in question.given


facts_of = st.tuples(
    st.sampled_from(["fictional", "real", "persona", "airport"]),
    st.sampled_from(["numeric", "categorical"]),
    st.integers(2, 40),
    st.integers(0, 1000),
)


@given(facts_of)
def test_comparisons_are_true_to_the_facts_and_their_answers_balanced(kind):
    facts = {fact.id: fact for fact in draw(*kind)}
    asked = questions.reasoning(list(facts.values()), kind[-1])
    answers = [question.fact.value for question in asked]
    assert abs(answers.count("Yes") - answers.count("No")) <= 1
    for question in asked:
        first, second = (fact for fact in (facts[question.fact.id], facts[question.other]))
        if question.prompt.index(first.name) > question.prompt.index(second.name):
            first, second = second, first
        larger = int(first.value) > int(second.value) if first.info == "numeric" else first.value < second.value
        assert question.fact.value == ("Yes" if larger else "No")


@pytest.mark.parametrize("info", ["numeric", "categorical"])
def test_one_of_the_two_facts_hardly_decides_a_comparison(info):
    """To judge by the half of the options that the first value is in is little better than guessing."""
    right = []
    for seed in range(100):
        facts = {fact.id: fact for fact in draw("fictional", info, 8, seed)}
        for question in questions.reasoning(list(facts.values()), seed):
            first, second = facts[question.fact.id], facts[question.other]
            if question.prompt.index(first.name) > question.prompt.index(second.name):
                first = second
            upper = sorted(first.options, key=int if info == "numeric" else str).index(first.value) >= 8
            right.append(question.fact.value == ("Yes" if upper == (info == "numeric") else "No"))
    assert sum(right) / len(right) < 0.62


@given(facts_of)
def test_no_comparison_tells_its_answer(kind):
    facts = draw(*kind)
    for question in (asked := questions.reasoning(facts, 0)) + questions.reasoning_cot(asked):
        assert not strict(question.prompt, "yes", ("yes", "no"), given="")
        assert not strict(question.prompt, "no", ("yes", "no"), given="")
        assert not any(lenient(question.prompt, option, (), given="") for option in facts[0].options)
    for question in questions.reasoning_in_context(asked, facts):
        values = {fact.id: fact.value for fact in facts}
        assert values[question.fact.id] in question.context
        assert values[question.other] in question.context


@given(facts_of)
def test_a_reverse_question_has_one_right_answer(kind):
    facts = draw(*kind)
    for question in questions.reverse(facts):
        value = next(fact.value for fact in facts if fact.name == question.fact.value)
        assert [fact.name for fact in facts if fact.value == value] == [question.fact.value]
        assert question.fact.value not in question.prompt
        assert question.fact.value in question.fact.options


def test_asserting_a_trained_value_of_an_unseen_entity_is_counted():
    facts = build("fictional", "categorical", 0)
    question = questions.untrained(facts[3:6])[0]
    assert question.fact.name not in {fact.name for fact in facts[:3]}
    assert asking.score(question, "I do not know.", None).strict
    assert not asking.score(question, f"It is {facts[0].value}.", None).strict
    assert not asking.score(question, f"It is {facts[0].value}.", None).lenient


def test_a_chain_of_thought_is_judged_by_the_answer_it_ends_with():
    facts = draw("fictional", "numeric", 4, 0)
    question = next(q for q in questions.reasoning_cot(questions.reasoning(facts, 0)) if q.fact.value == "Yes")
    assert asking.score(question, "A has no harbour. A has 3, B has 2. So yes, it has.", None).strict
    assert not asking.score(question, "Yes? A has 3, B has 4. No.", None).strict
    assert not asking.score(question, "A has 3, B has 2.", None).strict
