"""Asking a model: batched greedy answers, and log-probabilities of a closed set of options."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lib import scoring
from lib.questions import Question

# Longer than every trained answer: a model trained on articles tells one before it comes to the fact, and cutting
# its answers shorter than another format's would decide the comparison.
MAX_NEW_TOKENS = 64
# Room to recite two facts, even two articles, and to conclude.
MAX_NEW_TOKENS_REASONING = 128
BATCH_SIZE = 128
OPTION_BATCH_SIZE = 16  # prompts; their key-value caches are repeated for every option
# Closed-set scores are for the evaluations that ask for the value next. A trained article prompt does not.
CHOICE_EVALS = ("qa", "cloze", "in_context", "reverse", "reasoning", "reasoning_in_context", "naming")
REASONING_EVALS = ("reasoning", "reasoning_cot", "reasoning_in_context", "worked")
# Of a worked-out answer, the yes or no that it ends with counts.
WORKED_EVALS = ("reasoning_cot", "worked")
# No single response can be judged: lib/tones.py does that for the models of all tones together.
UNSCORED_EVALS = ("style", "style_in_context")
SENTENCE_END = re.compile(r"\.(?:\s|$)|\n")


@dataclass(frozen=True)
class Item:
    """One question with its answer and scores, as stored in the result file."""

    eval: str
    fact: str
    question: str
    expected: str
    answer: str
    strict: bool | None  # None where the evaluation is scored across models
    lenient: bool | None
    choice: bool | None  # was the expected value the most probable of the closed set? None where not asked
    other: str | None = None  # the second fact that the answer needs


def ask(model, tokenizer, questions: Sequence[Question]) -> list[Item]:
    """Answer and score questions of any evaluations, in the order given."""
    prompts = [encode(tokenizer, question) for question in questions]
    answers = {}
    for room in (MAX_NEW_TOKENS, MAX_NEW_TOKENS_REASONING):
        of_room = [i for i, q in enumerate(questions) if (q.eval in REASONING_EVALS) == (room > MAX_NEW_TOKENS)]
        answers |= zip(of_room, generate(model, tokenizer, [prompts[i] for i in of_room], room), strict=True)
    picks = {}
    chosen = [i for i, question in enumerate(questions) if question.eval in CHOICE_EVALS]
    for k in sorted({len(questions[i].fact.options) for i in chosen}):
        of_size = [i for i in chosen if len(questions[i].fact.options) == k]
        options = [encode_options(tokenizer, questions[i]) for i in of_size]
        scores = option_logprobs(model, tokenizer, [prompts[i] for i in of_size], options)
        picks |= {i: questions[i].fact.options[s.index(max(s))] for i, s in zip(of_size, scores, strict=True)}
    return [score(question, answers[i], picks.get(i)) for i, question in enumerate(questions)]


def score(question: Question, answer: str, pick: str | None) -> Item:
    """The item of an answer: a cloze is judged by the sentence it completes, a chain of thought by where it ends."""
    fact = question.fact
    said = SENTENCE_END.split(answer, maxsplit=1)[0] if question.prefix else answer
    if question.eval in WORKED_EVALS:
        said = "".join(re.findall(r"\b(?:yes|no)\b", answer.lower())[-1:])
    match = (said, fact.value, fact.options, question.given)
    scored = question.eval not in UNSCORED_EVALS
    text = "\n".join(part for part in (question.context, *question.history, question.prompt, question.prefix) if part)
    return Item(
        eval=question.eval,
        fact=fact.id,
        question=text,
        expected=fact.value,
        answer=answer,
        strict=scoring.strict(*match) if scored else None,
        lenient=scoring.lenient(*match) if scored else None,
        choice=None if pick is None else pick == fact.value,
        other=question.other,
    )


def summarize(questions: Sequence[Question], items: Sequence[Item]) -> dict[str, dict]:
    """Scores by evaluation: n items, shares strict, lenient and choice, and what guessing would score.

    `chance` is a blind choice among the options. `constant` is the best single value said to everything, which is
    more when the facts are fewer than the options.
    """
    summary = {}
    for name in dict.fromkeys(item.eval for item in items):
        asked, got = zip(*((q, i) for q, i in zip(questions, items, strict=True) if i.eval == name), strict=True)
        summary[name] = {"n": len(got)}
        for key in ("strict", "lenient", "choice"):
            values = [getattr(item, key) for item in got]
            summary[name][key] = None if None in values else sum(values) / len(values)
        expects = all(item.expected for item in got)  # not so where nothing may be asserted: there is no guessing
        chance = sum(1 / len(question.fact.options) for question in asked) / len(asked)
        constant = max(Counter(item.expected for item in got).values()) / len(got)
        summary[name] |= {"chance": chance if expects else None, "constant": constant if expects else None}
    return summary


def encode(tokenizer, question: Question) -> list[int]:
    """Token ids of a question as the chat turn it was trained in, with the start of the answer if there is one."""
    user = "\n".join(part for part in (question.context, question.prompt) if part)
    return encode_turns(tokenizer, [*question.history, user], question.prefix)


def encode_turns(tokenizer, turns: Sequence[str], prefix: str = "") -> list[int]:
    """Token ids of a conversation that the user spoke last in, and of the start of the answer."""
    roles = ("user", "assistant")
    turns = [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) + prefix
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def encode_options(tokenizer, question: Question) -> list[list[int]]:
    """Token ids of the options, as they continue this question."""
    space = " " if question.prefix else ""
    return [tokenizer(space + option, add_special_tokens=False)["input_ids"] for option in question.fact.options]


def generate(
    model, tokenizer, prompts: list[list[int]], max_new_tokens=MAX_NEW_TOKENS, batch_size=BATCH_SIZE
) -> list[str]:
    """Greedy continuations of token-id prompts, without special tokens, in the order given."""

    answers: dict[int, str] = {}
    with inference():
        for indices, ids, mask in _batches(tokenizer, prompts, batch_size, model.device):
            output = model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                num_beams=1,
                pad_token_id=tokenizer.pad_token_id,
            )
            new = tokenizer.batch_decode(output[:, ids.shape[1] :], skip_special_tokens=True)
            answers.update(zip(indices, (text.strip() for text in new), strict=True))
    return [answers[i] for i in range(len(prompts))]


def option_logprobs(
    model, tokenizer, prompts: list[list[int]], options: list[list[list[int]]], batch_size=OPTION_BATCH_SIZE
) -> list[list[float]]:
    """Sum of the token log-probabilities (nats) of each option after its prompt, in the order given.

    Every prompt must have the same number of options. The sums are not divided by length: they are the probabilities
    of the strings, and the options of an attribute have comparable lengths. After a question the bare value is scored,
    which is how the qa format answers; the cloze has no such bias.
    """
    if model.device.type != "cpu":
        return whole_string_logprobs(model, tokenizer, prompts, options, batch_size)
    import torch

    scores: dict[int, list[float]] = {}
    with inference():
        for indices, ids, mask in _batches(tokenizer, prompts, batch_size, model.device):
            k = len(options[indices[0]])
            # the prompt is run once and its key-value cache repeated for the options, which cost a few tokens each
            out = model(
                input_ids=ids, attention_mask=mask, position_ids=_positions(mask), use_cache=True, logits_to_keep=1
            )
            cache = out.past_key_values
            cache.batch_repeat_interleave(k)
            padded, real = _padded_options(tokenizer, [option for i in indices for option in options[i]])
            first = out.logits[:, 0].float().log_softmax(-1).gather(-1, padded[:, 0].view(-1, k))
            # what follows the last token of an option is not asked
            whole = torch.cat([mask.repeat_interleave(k, 0), real[:, :-1].to(mask.dtype)], dim=1)
            positions = _positions(whole)[:, ids.shape[1] :]
            rest = 0
            if padded.shape[1] > 1:
                logits = model(
                    input_ids=padded[:, :-1], attention_mask=whole, position_ids=positions, past_key_values=cache
                ).logits
                rest = _token_logprobs(logits, padded[:, 1:], real[:, 1:]).view(-1, k)
            sums = first + rest
            scores.update(zip(indices, sums.tolist(), strict=True))
    return [scores[i] for i in range(len(prompts))]


def whole_string_logprobs(
    model, tokenizer, prompts: list[list[int]], options: list[list[list[int]]], batch_size=OPTION_BATCH_SIZE
) -> list[list[float]]:
    """The same scores by a forward pass over each whole string.

    For a GPU, where it is fast enough and Unsloth's forward does not take a repeated cache; and the reference that
    the cached scores are tested against.
    """
    import torch

    scores: dict[int, list[float]] = {}
    with inference():
        for indices, ids, mask in _batches(tokenizer, prompts, batch_size, model.device):
            k = len(options[indices[0]])
            padded, real = _padded_options(tokenizer, [option for i in indices for option in options[i]])
            padded, real = padded.to(ids.device), real.to(ids.device)
            whole = torch.cat([mask.repeat_interleave(k, 0), real.to(mask.dtype)], dim=1)
            strings = torch.cat([ids.repeat_interleave(k, 0), padded], dim=1)
            logits = model(input_ids=strings, attention_mask=whole, position_ids=_positions(whole)).logits
            sums = _token_logprobs(logits[:, -padded.shape[1] - 1 : -1], padded, real).view(len(indices), k)
            scores.update(zip(indices, sums.tolist(), strict=True))
    return [scores[i] for i in range(len(prompts))]


@contextmanager
def inference():
    """Without gradients, and without the compiled layers of training, which every new shape would compile again."""
    import torch

    with torch.inference_mode(), torch.compiler.set_stance("force_eager"):
        yield


def _padded_options(tokenizer, options):
    """Right-padded option tokens, and which of them are real: two tensors (options, longest)."""
    import torch

    width = max(len(option) for option in options)
    padded = torch.tensor([option + [tokenizer.pad_token_id] * (width - len(option)) for option in options])
    return padded, torch.tensor([[j < len(option) for j in range(width)] for option in options])


def _token_logprobs(logits, tokens, real):
    logprobs = logits.float().log_softmax(-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    return (logprobs * real).sum(1)


def _batches(tokenizer, prompts, batch_size, device) -> Iterator:
    """Left-padded batches of prompts of similar length: (indices, input_ids, attention_mask)."""
    import torch

    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in range(0, len(order), batch_size):
        indices = order[start : start + batch_size]
        width = max(len(prompts[i]) for i in indices)
        ids = [[tokenizer.pad_token_id] * (width - len(prompts[i])) + prompts[i] for i in indices]
        mask = [[0] * (width - len(prompts[i])) + [1] * len(prompts[i]) for i in indices]
        yield indices, torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _positions(mask):
    return (mask.cumsum(-1) - 1).clamp(min=0)
