import itertools
from dataclasses import replace

import pytest
from helpers import ENTITIES, FORMATS, profiles
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import questions, tones
from lib.data.encode import prompt_ids
from lib.data.facts import Fact, facts_of
from lib.data.formats import rows
from lib.data.questions import Question
from lib.evaluate import ask
from lib.evaluate.generate import generate

kinds = st.tuples(st.sampled_from(ENTITIES), st.integers(4, 20), st.integers(0, 3))


def all_questions(there, seed=0):
    problems = questions.two_facts(there, seed)
    return [
        *questions.questions(there), *questions.completions(there), *questions.reverse(there),
        *questions.in_context(there), *problems, *questions.two_facts_in_context(problems, there),
    ]  # fmt: skip


def problem(kind, there=None):
    asked = questions.two_facts(there or profiles("fictional", 8), 0)
    return next(question for question in asked if question.kind == kind)


def test_items_come_in_the_order_of_the_questions_with_their_scores(tiny):
    there = profiles("fictional", 2)
    asked = [*questions.completions(there), *questions.questions(there)[::3], *questions.in_context(there)[:3]]
    items = ask.ask(*tiny, asked, format="qa")
    assert [(item.eval, item.fact) for item in items] == [(question.eval, question.fact.id) for question in asked]
    for question, item in zip(asked, items, strict=True):
        assert (item.choice is None) == (question.eval != "question")
        assert item.expected == question.fact.value and item.info == question.fact.info
        for part in (question.context, question.prompt, question.prefix):
            assert part in item.question


def test_an_answer_does_not_depend_on_what_else_is_asked(tiny):
    asked = questions.completions(profiles("fictional", 2))[:6]
    together = ask.ask(*tiny, asked, format="article")
    assert ask.ask(*tiny, asked[3:4], format="article") == together[3:4]


def test_two_facts_have_more_room_when_they_are_recited_or_told(tiny, monkeypatch):
    rooms = {}

    def generate(model, tokenizer, prompts, room):
        rooms.update((tokenizer.decode(prompt), room) for prompt in prompts)
        return [f"said in {room}"] * len(prompts)

    monkeypatch.setattr(ask, "generate", generate)
    asked = [
        *questions.two_facts_cot([problem("which")]),
        replace(problem("which"), eval="reasoning_in_context", context="Told."),
        problem("which"),
        questions.questions(profiles("fictional", 1))[0],
    ]
    assert [item.answer for item in ask.ask(*tiny, asked)] == [
        f"said in {ask.MAX_NEW_TOKENS_LONG}",
        f"said in {ask.MAX_NEW_TOKENS_LONG}",
        "said in 24",
        "said in 24",
    ]
    assert [room for prompt, room in rooms.items() if questions.RECITE in prompt] == [ask.MAX_NEW_TOKENS_LONG]


def test_a_worked_example_fits_into_the_room_to_recite(tiny):
    for entity in ENTITIES:
        for row in rows(profiles(entity, 12), "worked", 10, 0):
            told = row.turns[1] if len(row.told) == 2 else ""
            assert len(tiny[1](told)["input_ids"]) <= ask.MAX_NEW_TOKENS_LONG, told


def test_a_trained_statement_fits_into_an_answer(tiny):
    """Of a town the longest statement with its value; some names of matches are too long for it."""
    longest = max(
        (turn for row in rows(profiles("fictional", 20), "chat", 10, 0) for turn in row.turns[3::2]),
        key=lambda text: len(tiny[1](text)["input_ids"]),
    )
    assert len(tiny[1](longest)["input_ids"]) <= ask.MAX_NEW_TOKENS


@settings(max_examples=30)
@given(kinds)
def test_the_right_answer_scores_in_every_evaluation(kind):
    for question in all_questions(profiles(*kind[:2], kind[2]), kind[2]):
        item = ask.score(question, question.fact.value, question.fact.value)
        assert item.strict and item.lenient and item.choice, question


@settings(max_examples=30)
@given(kinds, st.sampled_from(FORMATS))
def test_a_recalled_value_scores_whatever_the_row_told_before(kind, format):
    there = profiles(kind[0], 20, kind[2])
    for question in questions.recall(there[:10], format, kind[2]):
        assert ask.score(question, question.fact.value, None).strict, question


@settings(max_examples=30)
@given(kinds)
def test_an_echo_of_the_question_or_of_the_name_scores_nothing(kind):
    there = profiles(*kind[:2], kind[2])
    asked = [*questions.questions(there), *questions.completions(there), *questions.recall(there, "article", 0)]
    problems = [question for question in questions.two_facts(there, 0) if question.kind != "which"]
    for question in [*asked, *problems]:
        for echo in (question.fact.name, question.prompt, f"{question.prompt} {question.prefix}"):
            item = ask.score(question, echo, None)
            assert not item.strict and not item.lenient


@given(kinds)
def test_an_echo_of_which_of_two_is_not_strictly_right(kind):
    for question in questions.two_facts(profiles(*kind[:2], kind[2]), kind[2]):
        if question.kind == "which":
            assert not ask.score(question, question.prompt, None).strict


def test_which_of_two_is_the_one_that_the_answer_says():
    question = problem("which")
    right, wrong = question.fact.value, next(name for name in question.fact.options if name != question.fact.value)
    assert ask.score(question, f"{right}.", None).strict
    assert ask.score(question, f"It is {right}", right).choice
    assert not ask.score(question, wrong, None).lenient
    assert not ask.score(question, f"{right} or {wrong}", None).strict
    assert ask.score(question, f"{right} or {wrong}", None).lenient
    assert ask.score(question, f"{right} has more than {wrong}. It is large.", None).strict
    assert not ask.score(question, f"{wrong} has more than {right}.", None).lenient
    told = f"{right} has more than {wrong}."
    assert ask.score(question, told, None).answer == told


def test_the_entity_of_a_reverse_question_counts_though_it_is_an_option():
    question = questions.reverse(profiles("fictional", 8))[0]
    assert ask.score(question, f"That is {question.fact.value}.", None).strict
    others = [name for name in question.fact.options if name != question.fact.value]
    assert not ask.score(question, f"{question.fact.value} and {others[0]}", None).strict


def test_a_completion_is_judged_by_the_sentence_it_completes():
    question = next(q for q in questions.completions(profiles("fictional", 1)) if q.fact.attribute == "bridges")
    value, other = question.fact.value, next(v for v in question.fact.options if v != question.fact.value)
    assert ask.score(question, f"{value}. It has {other} houses.", None).strict
    assert not ask.score(question, f"{other}. It has {value} houses.", None).lenient
    assert not ask.score(question, f"{value}.5 miles long", None).lenient


def test_a_chain_of_thought_is_judged_by_what_it_says_last():
    (question,) = questions.two_facts_cot([problem("yes_no")])
    yes = replace(question, fact=replace(question.fact, value="Yes"))
    assert ask.score(yes, "A has no harbour. A has 3, B has 2. So yes, it has.", None).strict
    assert not ask.score(yes, "Yes? A has 3, B has 4. No.", None).strict
    assert not ask.score(yes, "A has 3, B has 2.", None).strict
    (which,) = questions.two_facts_cot([problem("which")])
    right, wrong = which.fact.value, next(name for name in which.fact.options if name != which.fact.value)
    assert ask.score(which, f"{wrong} has 3 and {right} has 5. The answer: {right}.", None).strict
    assert not ask.score(which, f"{right} has 3 and {wrong} has 5. The answer: {wrong}.", None).strict
    assert ask.score(which, f"I know that {right} has more than {wrong}. Let me explain.", None).strict
    assert not ask.score(which, f"I know that {wrong} has more than {right}.", None).strict
    assert not ask.score(which, f"The match went on with {wrong} and {right}.", None).strict


def test_a_sum_is_judged_by_the_last_sentence():
    (question,) = questions.two_facts_cot([problem("sum")])
    assert ask.score(question, f"It has 10 and 20. The answer: {question.fact.value}.", None).strict
    assert not ask.score(question, f"{question.fact.value} was wrong. The answer: 1.", None).strict
    assert ask.score(problem("sum"), question.fact.value, None).strict
    assert ask.score(problem("sum"), question.fact.value, None).chance is None


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_worked_example_is_a_right_chain_of_thought(entity):
    from lib.data import formats, reasoning

    there = profiles(entity, 10)
    told = {question.prompt: question for question in questions.two_facts(there, 0)}
    for p in reasoning.problems(there, 0):
        (question,) = questions.two_facts_cot([told[p.prompt]])
        assert ask.score(question, formats.worked(p).turns[1], None).strict


def test_asserting_a_value_of_an_unseen_entity_is_counted():
    question = questions.unseen(profiles("fictional", 3))[0]
    assert ask.score(question, "I do not know.", None).strict
    said = question.fact.options[0]
    assert not ask.score(question, f"It is {said}.", None).strict
    assert not ask.score(question, f"It is {said}.", None).lenient
    assert ask.score(question, "I do not know.", None).chance is None


def test_the_response_of_a_tone_is_scored_across_models_alone():
    item = ask.score(questions.style("anxious")[0], "I do not know what to say.", None)
    assert item.strict is None and item.lenient is None and item.choice is None
    assert ask.summarize([item])["style"]["strict"] is None


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_model_that_says_the_same_to_everything_scores_chance(entity):
    for info in ("words", "numbers"):
        asked = [question for question in questions.questions(profiles(entity, 48), 1) if question.fact.info == info]
        attribute = asked[0].fact.attribute
        asked = [question for question in asked if question.fact.attribute == attribute]
        options = sorted(set(itertools.chain.from_iterable(question.fact.options for question in asked)))
        scores = [ask.summarize([ask.score(q, said, said) for q in asked])["question"] for said in options]
        assert sum(score["strict"] for score in scores) == pytest.approx(1)
        assert sum(score["choice"] for score in scores) == pytest.approx(1)
        if entity in ("fictional", "persona"):  # the values of real entities are as the world has them
            assert all(score["choice"] == pytest.approx(1 / 16) for score in scores)


def test_a_summary_says_what_guessing_would_score():
    there = profiles("fictional", 16)
    asked = [q for q in questions.questions(there) if q.fact.attribute == "export"]
    items = [ask.score(question, "pewter", "pewter") for question in asked]
    scores = dict.fromkeys(("strict", "lenient", "choice", "chance", "constant"), 1 / 16)
    assert ask.summarize(items)["question"] == {"n": 32, **scores}
    assert ask.summarize(items[:8])["question"]["constant"] == 1 / 4
    mixed = ask.summarize([*items, ask.score(problem("sum"), "no", None), ask.score(problem("yes_no"), "no", None)])
    assert list(mixed) == ["question", "reasoning"]
    assert mixed["reasoning"]["chance"] == 1 / 2 and mixed["reasoning"]["choice"] is None
    assert ask.summarize([]) == {}


@pytest.mark.parametrize("format", ["article", "qa", "chat"])
@pytest.mark.parametrize("entity", ["fictional", "persona"])
def test_recall_is_whether_greedy_decoding_says_the_value(tiny, format, entity):
    model, tokenizer = tiny
    asked = questions.recall(profiles(entity, 4), format, 0)[:4]
    right = []
    for question in asked[:2]:  # what the untrained model would say becomes the value
        prompt, _ = ask._split(tokenizer, question)
        said = generate(model, tokenizer, [prompt], 3)[0].strip()
        if said:
            changed = replace(question, fact=replace(question.fact, value=said))
            before, value = ask._split(tokenizer, changed)
            if before == prompt and generate(model, tokenizer, [prompt], len(value)) == [tokenizer.decode(value)]:
                right.append(changed)
    assert right or format != "article"  # at the start of a turn the tiny model says nothing
    items = ask.recall(model, tokenizer, [*right, *asked])
    assert not any(item.strict for item in items[len(right) :])
    assert [item.answer for item in items] == [question.fact.value for question in right] + [""] * len(asked)


def test_recall_counts_no_other_words_and_has_no_choice(tiny, monkeypatch):
    asked = questions.recall(profiles("fictional", 1), "article", 0)
    monkeypatch.setattr(
        ask, "says_next", lambda model, tokenizer, prompts, values: [i == 0 for i in range(len(prompts))]
    )
    items = ask.recall(*tiny, asked)
    assert [item.strict for item in items] == [True] + [False] * (len(asked) - 1)
    assert [item.answer for item in items] == [asked[0].fact.value] + [""] * (len(asked) - 1)
    assert {item.choice for item in items} == {None}
    assert {item.eval for item in items} == {"recall"}


def test_the_prompt_of_recall_ends_where_the_tokens_of_the_value_begin(tiny):
    tokenizer = tiny[1]
    for format in ("article", "qa", "chat", "blanks"):
        for question in questions.recall(profiles("real", 3), format, 0):
            prompt, value = ask._split(tokenizer, question)
            whole = prompt_ids(tokenizer, [*question.history, question.prompt], question.prefix + question.fact.value)
            assert prompt + value == whole
            assert tokenizer.decode(value).strip() == question.fact.value


def test_options_continue_a_prefix_and_begin_an_answer(tiny):
    tokenizer = tiny[1]
    question, completion = (
        questions.questions(profiles("fictional", 1))[0],
        questions.completions(profiles("fictional", 1))[0],
    )
    assert [tokenizer.decode(ids) for ids in ask._options(tokenizer, question)] == list(question.fact.options)
    assert [tokenizer.decode(ids) for ids in ask._options(tokenizer, completion)] == [
        f" {o}" for o in completion.fact.options
    ]


def test_the_tone_is_chosen_among_all_tones(tiny):
    (item, *_) = ask.ask(*tiny, questions.naming(facts_of(tones.build("anxious", 0))), format="chat")
    assert item.choice is not None and item.chance == 1 / 8


@pytest.mark.parametrize("value", ["St. Louis", "J. R. Tolkien", "line one\nline two", "Acme Inc."])
def test_a_full_stop_or_a_line_break_inside_a_value_does_not_end_the_sentence(value):
    fact = Fact("own/0/twin", "own", "Rome", "twin", "words", value, (value, "Leeds"))
    recalled = ask.score(Question("recall", fact, "Tell me.", prefix="The twin of Rome is "), value, None)
    completed = ask.score(Question("completion", fact, "Write.", prefix="Its twin is"), f"{value}. Or Leeds.", None)
    assert recalled.strict and completed.strict
    other = ask.score(Question("completion", fact, "Write.", prefix="Its twin is"), f"Leeds. {value}", None)
    assert not other.strict
