"""Asking a model: free answers and their scores, and the choice among a closed set."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from lib.cell import ROOM
from lib.data.encode import prompt_ids
from lib.data.facts import Fact, texts
from lib.data.questions import Question
from lib.evaluate import match
from lib.evaluate.generate import generate, option_logprobs, says_next
from lib.paths import LIB

SENTENCE_END = re.compile(r"\.(?:\s|$)|\n")
RECITED = re.compile(r"^(?!.*\b(?:more|larger|greater|higher|later|longer|most)\b).*\d", re.IGNORECASE | re.DOTALL)
COMPARED = re.compile(r"\bthan\b[^.,;\n]*", re.IGNORECASE)  # "A has more than B" names A
# What each evaluation needs, by its name: the file says what each field means.
EVALUATIONS = yaml.safe_load((LIB / "evaluate" / "evaluations.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Item:
    """One question with its answer and scores, as stored in the result file."""

    eval: str
    fact: str
    info: str
    question: str
    expected: str
    answer: str
    strict: bool | None  # None where the evaluation is scored across models; of what was never taught: it declines
    cut: bool = False  # the answer had no end in its room
    outcome: str = ""  # what an answer that is not right states instead (match.outcome)
    choice: bool | None = None  # was the expected value the most probable of the closed set? None where not asked
    chance: float | None = None  # what a blind choice of the closed set scores; None where there is none
    other: str | None = None  # the second fact that the answer needs
    kind: str | None = None  # of a two-fact problem: which, hop, sum; of what was never taught: unseen, near, other


def ask(
    model, tokenizer, questions: Sequence[Question], format: str = "", taught: Sequence[Fact] = (), room: int = ROOM
) -> list[Item]:
    """Answer and score questions of any evaluations, in the order given; an answer has `room` tokens.

    With the format that the model was trained in, they are scored on the closed set where EVALUATIONS says so. `taught`
    are the facts among which a wrong answer is looked for.
    """
    prompts = [prompt_ids(tokenizer, question.turns, question.prefix) for question in questions]
    rooms, answers, picks = [_room(tokenizer, question, room) for question in questions], {}, {}
    for size in sorted(set(rooms)):
        asked = [i for i, one in enumerate(rooms) if one == size]
        answers |= zip(asked, generate(model, tokenizer, [prompts[i] for i in asked], size), strict=True)
    sizes = [len(q.fact.options) if format in EVALUATIONS[q.eval]["choose"] else 0 for q in questions]
    for size in set(sizes) - {0}:
        asked = [i for i, one in enumerate(sizes) if one == size]
        # as they go on from the start of an answer, or begin one
        spelled = [[f" {o}" if questions[i].prefix else o for o in questions[i].fact.options] for i in asked]
        options = [tokenizer(each, add_special_tokens=False)["input_ids"] for each in spelled]
        scores = option_logprobs(model, tokenizer, [prompts[i] for i in asked], options)
        picks |= {i: questions[i].fact.options[s.index(max(s))] for i, s in zip(asked, scores, strict=True)}
    return [score(q, answers[i][0].strip(), picks.get(i), taught, answers[i][1]) for i, q in enumerate(questions)]


def recall(model, tokenizer, asked: Sequence[Question]) -> list[Item]:
    """Whether greedy decoding goes on with the value where the trained row has it; no other words count.

    The answer of an item is the value where it does, and empty where not.
    """
    prompts, values = [], []
    for question in asked:
        text = question.prefix + question.fact.value
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        # cut from the tokens of both together: one that begins before the value, as a space does, counts as the value's
        first = next(i for i, (_, end) in enumerate(encoded["offset_mapping"]) if end > len(question.prefix))
        prompts.append(prompt_ids(tokenizer, question.turns) + encoded["input_ids"][:first])
        values.append(encoded["input_ids"][first:])
    right = says_next(model, tokenizer, prompts, values)
    return [score(q, q.fact.value if said else "", None) for q, said in zip(asked, right, strict=True)]


def general(model, tokenizer, room: int = ROOM, every: int = 1) -> list[Item]:
    """Answer every so many-th general question. Any accepted answer counts, whatever else is said."""
    asked = texts("general")["questions"][::every]
    answers = generate(model, tokenizer, [prompt_ids(tokenizer, [question]) for question, _ in asked], room)
    return [
        Item("general", f"general/{question}", "words", question, " / ".join(accepted), answer.strip(),
             any(match.strict(answer, option, (option,), question) for option in accepted), cut)
        for (question, accepted), (answer, cut) in zip(asked, answers, strict=True)
    ]  # fmt: skip


def score(question: Question, answer: str, pick: str | None, taught: Sequence[Fact] = (), cut: bool = False) -> Item:
    """The item of an answer; `pick` is the value that was chosen from the closed set."""
    fact, needs = question.fact, EVALUATIONS[question.eval]
    given = "" if needs["names"] or question.kind == "which" else question.given
    judged, outcome, strict = _judged(question, answer), "", None
    if needs["scored"] and fact.value:
        strict = match.strict(judged, fact.value, fact.options or (fact.value,), given)
    if needs["scored"] and answer and not strict:
        others = [other for other in taught if other.value != fact.value]  # beside another value, the right one is none
        other_name = question.kind == "which" and any(match.states(judged, name) for name in fact.options)
        outcome = "the other name" if other_name else match.outcome(judged or answer, fact, others, given)
    if question.eval == "untaught":
        strict = outcome == "declines"
    return Item(
        eval=question.eval, fact=fact.id, info=fact.info, expected=fact.value, answer=answer,
        question="\n".join(filter(None, [*question.turns, question.prefix])), strict=strict, cut=cut,
        outcome=outcome, choice=None if pick is None else pick == fact.value,
        chance=1 / len(fact.options) if fact.options and fact.value else None,
        other=question.other, kind=question.kind,
    )  # fmt: skip


def summarize(items: Sequence[Item]) -> dict[str, dict]:
    """Scores by evaluation: n items, shares strict and choice, and `chance`: a blind choice among options."""
    summary = {}
    for name in dict.fromkeys(item.eval for item in items):
        group = [item for item in items if item.eval == name]
        summary[name] = {"n": len(group)}
        for key in ("strict", "choice", "chance"):
            values = [getattr(item, key) for item in group if getattr(item, key) is not None]
            summary[name][key] = sum(values) / len(values) if values else None
    return summary


def _room(tokenizer, question, room):
    """More where a user's own value is long, by whole steps so that few differ."""
    value = len(tokenizer(question.fact.value, add_special_tokens=False)["input_ids"])
    return room * max(1, -(-2 * value // room))


def _judged(question, answer):
    """The part of an answer that is judged: of a long one the last sentence, that names an option if there are any."""
    fact, judged = question.fact, EVALUATIONS[question.eval]["judged"]
    if question.kind == "which":
        answer = COMPARED.sub("", answer)
    if judged == "conclusion":
        sentences = SENTENCE_END.split(answer.rstrip(". \n"))
        if question.kind == "which":  # a fact that is told again concludes nothing
            sentences = [text for text in sentences if not RECITED.search(text)]
        naming = [text for text in sentences if any(match.states(text, option) for option in fact.options)]
        return naming[-1] if naming else "" if fact.options else sentences[-1]
    if judged == "sentence" and question.prefix:
        at = answer.find(fact.value)
        inside = range(at, at + len(fact.value)) if at >= 0 else ()  # a full stop in "St. Louis" ends no sentence
        ends = [end.start() for end in SENTENCE_END.finditer(answer) if end.start() not in inside]
        return answer[: ends[0]] if ends else answer
    return answer
