"""Asking a model: free answers with a strict and a lenient score, and the choice among a closed set."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lib.data.encode import prompt_ids
from lib.data.facts import texts
from lib.data.questions import Question
from lib.evaluate import match
from lib.evaluate.generate import generate, option_logprobs, says_next

# Answers are cut here, of every format alike: a model of articles may tell a sentence or two before it comes to the
# fact. Two facts recited and a conclusion take more.
MAX_NEW_TOKENS = 24
MAX_NEW_TOKENS_LONG = 96
MAX_NEW_TOKENS_GENERAL = 32
SENTENCE_END = re.compile(r"\.(?:\s|$)|\n")
COMPARED = re.compile(r"\bthan\b[^.,;\n]*", re.IGNORECASE)  # "A has more than B" names A


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation needs: how much may be answered, which part of it is judged, and how.

    `choose` are the formats whose models choose from the closed set as well: those that have the value come next
    there. A model of bare answers gives one to a question; one of articles or conversations would begin a sentence.
    """

    judged: str = "answer"  # the answer; its first sentence, which the question begins; or the conclusion of a long one
    names: bool = False  # the question names the options, and the answer is the one that it says
    scored: bool = True  # False: no single response can be judged; lib/report compares the models of all tones
    choose: tuple[str, ...] = ()


TELLING = ("article", "chat", "mixed", "none")
EVALUATIONS = {
    "known": Evaluation(),
    "recall": Evaluation(),
    "question": Evaluation(choose=("qa", "blanks", "worked", "none")),
    "in_context": Evaluation(),
    "completion": Evaluation("sentence", choose=TELLING),
    "reverse": Evaluation(names=True),
    "unseen": Evaluation(),
    "reasoning": Evaluation(),
    "reasoning_cot": Evaluation("conclusion"),
    # As long as what is compared with it: a base model says the facts again before it concludes. It chooses between
    # the answers, too: it may know which of two is right and not come to say so.
    "reasoning_in_context": Evaluation("conclusion", choose=("none",)),
    "style": Evaluation(scored=False),
    "style_in_context": Evaluation(scored=False),
    "naming": Evaluation("sentence", choose=TELLING),
}


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


def ask(model, tokenizer, questions: Sequence[Question], format: str = "") -> list[Item]:
    """Answer and score questions of any evaluations, in the order given.

    With the format that the model was trained in, they are scored on the closed set where EVALUATIONS says so.
    """
    prompts = [_prompt(tokenizer, question) for question in questions]
    answers, picks = {}, {}
    rooms = [_room(tokenizer, question) for question in questions]
    for room in sorted(set(rooms)):
        asked = [i for i, one in enumerate(rooms) if one == room]
        answers |= zip(asked, generate(model, tokenizer, [prompts[i] for i in asked], room), strict=True)
    sizes = [len(q.fact.options) if format in EVALUATIONS[q.eval].choose else 0 for q in questions]
    for size in set(sizes) - {0}:
        asked = [i for i, one in enumerate(sizes) if one == size]
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
    right = says_next(model, tokenizer, list(prompts), list(values))
    return [score(q, q.fact.value if said else "", None) for q, said in zip(asked, right, strict=True)]


def general(model, tokenizer) -> list[Item]:
    """Answer the general questions. Any accepted answer counts, whatever else is said: strict is lenient here."""
    asked, items = texts("general")["questions"], []
    prompts = [prompt_ids(tokenizer, [question]) for question, _ in asked]
    answers = generate(model, tokenizer, prompts, MAX_NEW_TOKENS_GENERAL)
    for (question, accepted), answer in zip(asked, answers, strict=True):
        right = any(match.lenient(answer, option, (), given=question) for option in accepted)
        expected = " / ".join(accepted)
        items.append(Item("general", f"general/{question}", "words", question, expected, answer.strip(), right, right))
    return items


def score(question: Question, answer: str, pick: str | None) -> Item:
    """The item of an answer; `pick` is the value that was chosen from the closed set."""
    fact, said, needs = question.fact, answer, EVALUATIONS[question.eval]
    if needs.judged == "sentence" and question.prefix:
        said = _first_sentence(said, fact.value)
    if question.kind == "which":
        said = COMPARED.sub("", said)
    if needs.judged == "conclusion":
        said = _conclusion(said, fact.options)
    given = "" if needs.names or question.kind == "which" else question.given
    judged = (said, fact.value, fact.options or (fact.value,), given)
    return Item(
        eval=question.eval, fact=fact.id, info=fact.info, expected=fact.value, answer=answer,
        question="\n".join(filter(None, [question.context, *question.history, question.prompt, question.prefix])),
        strict=match.strict(*judged) if needs.scored else None,
        lenient=match.lenient(*judged) if needs.scored else None,
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
        group = [item for item in items if item.eval == name]
        summary[name] = {"n": len(group)}
        for key in ("strict", "lenient", "choice", "chance"):
            values = [getattr(item, key) for item in group if getattr(item, key) is not None]
            summary[name][key] = sum(values) / len(values) if values else None
        common = Counter(item.expected for item in group if item.chance).most_common(1)
        summary[name]["constant"] = common[0][1] / len(group) if common else None
    return summary


def _prompt(tokenizer, question):
    """Token ids of a question as the chat turn it was trained in, with the start of the answer if there is one."""
    user = "\n".join(filter(None, [question.context, question.prompt]))
    return prompt_ids(tokenizer, [*question.history, user], question.prefix)


def _room(tokenizer, question):
    """How many tokens an answer may have: more where a user's own value is long, by whole steps so that few differ."""
    if EVALUATIONS[question.eval].judged == "conclusion":
        return MAX_NEW_TOKENS_LONG
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
