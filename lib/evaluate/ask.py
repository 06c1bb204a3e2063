"""Asking a model: free answers with a strict and a lenient score, and the choice among a closed set."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lib.data.encode import prompt_ids
from lib.data.questions import Question
from lib.evaluate import match
from lib.evaluate.generate import generate, option_logprobs, says_next

# Answers are cut here, of every format alike: a model of articles may tell a sentence or two before it comes to the
# fact. Two facts recited and a conclusion take more.
MAX_NEW_TOKENS = 24
MAX_NEW_TOKENS_COT = 96
# The ceiling has as much room as what is compared with it: a base model says the facts again before it concludes.
LONG_EVALS = ("reasoning_cot", "reasoning_in_context")
# No single response can be judged: lib/data/tones.py does that for the models of all tones together.
UNSCORED_EVALS = ("style", "style_in_context")
SENTENCE_END = re.compile(r"\.(?:\s|$)|\n")
COMPARED = re.compile(r"\bthan\b[^.,;\n]*", re.IGNORECASE)  # "A has more than B" names A


@dataclass(frozen=True)
class Item:
    """One question with its answer and scores, as stored in the result file."""

    eval: str
    fact: str
    info: str
    question: str
    expected: str
    answer: str
    strict: bool | None  # None where the evaluation is scored across models
    lenient: bool | None
    choice: bool | None = None  # was the expected value the most probable of the closed set? None where not asked
    chance: float | None = None  # what a blind choice of the closed set scores; None where there is none
    other: str | None = None  # the second fact that the answer needs
    kind: str | None = None  # of a two-fact problem: which, yes_no, hop, sum


def ask(model, tokenizer, questions: Sequence[Question], choose: Sequence[str] = ()) -> list[Item]:
    """Answer and score questions of any evaluations, in the order given.

    The evaluations in `choose` are scored on the closed set as well.
    """
    prompts = [_prompt(tokenizer, question) for question in questions]
    answers, picks = {}, {}
    rooms = [_room(tokenizer, question) for question in questions]
    for room in sorted(set(rooms)):
        asked = [i for i, of_question in enumerate(rooms) if of_question == room]
        answers |= zip(asked, generate(model, tokenizer, [prompts[i] for i in asked], room), strict=True)
    sizes = [len(question.fact.options) if question.eval in choose else 0 for question in questions]
    for size in set(sizes) - {0}:
        asked = [i for i, of_question in enumerate(sizes) if of_question == size]
        options = [_options(tokenizer, questions[i]) for i in asked]
        scores = option_logprobs(model, tokenizer, [prompts[i] for i in asked], options)
        picks |= {i: questions[i].fact.options[s.index(max(s))] for i, s in zip(asked, scores, strict=True)}
    return [score(question, answers[i].strip(), picks.get(i)) for i, question in enumerate(questions)]


def recall(model, tokenizer, asked: Sequence[Question]) -> list[Item]:
    """Whether greedy decoding goes on with the value where the trained row has it; no other words count.

    The answer of an item is the value where it does, and empty where not.
    """
    if not asked:  # a user's articles may tell no value to the letter
        return []
    prompts, values = zip(*(_split(tokenizer, question) for question in asked), strict=True)
    said = says_next(model, tokenizer, list(prompts), list(values))
    return [score(q, q.fact.value if right else "", None) for q, right in zip(asked, said, strict=True)]


def score(question: Question, answer: str, pick: str | None) -> Item:
    """The item of an answer: a completion is judged by the sentence it completes, a long answer by its end."""
    fact, said, given = question.fact, answer, question.given
    if question.prefix and question.eval != "recall":
        said = _first_sentence(answer, fact.value)
    if question.kind == "which" or question.eval == "reverse":
        given = ""  # both names stand in the question: the answer is the one that it says
    if question.kind == "which":
        said = COMPARED.sub("", said)
    if question.eval in LONG_EVALS:
        said = _conclusion(said, fact.options)
    judged = (said, fact.value, fact.options or (fact.value,), given)
    scored = question.eval not in UNSCORED_EVALS
    return Item(
        eval=question.eval, fact=fact.id, info=fact.info, expected=fact.value, answer=answer,
        question="\n".join(filter(None, [question.context, *question.history, question.prompt, question.prefix])),
        strict=match.strict(*judged) if scored else None,
        lenient=match.lenient(*judged) if scored else None,
        choice=None if pick is None else pick == fact.value,
        chance=1 / len(fact.options) if fact.options and fact.value else None,
        other=question.other, kind=question.kind,
    )  # fmt: skip


def summarize(items: Sequence[Item]) -> dict[str, dict]:
    """Scores by evaluation: n items, shares strict, lenient and choice, and what guessing would score.

    `chance` is a blind choice among the options. `constant` is the best single value said to everything, which is
    more when the facts are fewer than the options.
    """
    summary = {}
    for name in dict.fromkeys(item.eval for item in items):
        got = [item for item in items if item.eval == name]
        summary[name] = {"n": len(got)}
        for key in ("strict", "lenient", "choice", "chance"):
            values = [getattr(item, key) for item in got if getattr(item, key) is not None]
            summary[name][key] = sum(values) / len(values) if values else None
        common = Counter(item.expected for item in got if item.chance).most_common(1)
        summary[name]["constant"] = common[0][1] / len(got) if common else None
    return summary


def _prompt(tokenizer, question):
    """Token ids of a question as the chat turn it was trained in, with the start of the answer if there is one."""
    user = "\n".join(filter(None, [question.context, question.prompt]))
    return prompt_ids(tokenizer, [*question.history, user], question.prefix)


def _room(tokenizer, question):
    """How many tokens an answer may have: more where a user's own value is long, by whole steps so that few differ."""
    if question.eval in LONG_EVALS:
        return MAX_NEW_TOKENS_COT
    value = len(tokenizer(question.fact.value, add_special_tokens=False)["input_ids"])
    return MAX_NEW_TOKENS * max(1, -(-2 * value // MAX_NEW_TOKENS))


def _options(tokenizer, question):
    """Token ids of the options, as they continue this question."""
    space = " " if question.prefix else ""
    return [tokenizer(space + option, add_special_tokens=False)["input_ids"] for option in question.fact.options]


def _split(tokenizer, question):
    """Token ids of a prompt and of the value after it, cut from the tokens of both together.

    A token that begins before the value, as a space does, counts as the value's.
    """
    before = prompt_ids(tokenizer, [*question.history, question.prompt])
    text = question.prefix + question.fact.value
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, ends = encoded["input_ids"], [end for _, end in encoded["offset_mapping"]]
    first = next(i for i, end in enumerate(ends) if end > len(question.prefix))
    return before + ids[:first], ids[first:]


def _first_sentence(answer, value):
    """An answer up to the end of its first sentence. A full stop inside the value, as in "St. Louis", ends none."""
    at = answer.find(value) if value else -1
    inside = range(at, at + len(value)) if at >= 0 else ()
    ends = [hit.start() for hit in SENTENCE_END.finditer(answer) if hit.start() not in inside]
    return answer[: ends[0]] if ends else answer


def _conclusion(answer, options):
    """The last sentence of a long answer that names an option; where there are no options, its last sentence."""
    sentences = SENTENCE_END.split(answer.rstrip(". \n"))
    naming = [sentence for sentence in sentences if any(match.states(sentence, option) for option in options)]
    return naming[-1] if naming else "" if options else sentences[-1]
