"""Asking a model: batched greedy answers, and log-probabilities of a closed set of options."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from lib import scoring
from lib.questions import Question

# An answer to a question is a few words, but a model trained on articles first repeats the question.
NEW_TOKENS = {"recall": 24, "qa": 24, "cloze": 12, "in_context": 24}
ARTICLE_TOKENS = 64  # longer than every training article: the fact may stand in its last sentence
BATCH_SIZE = 32
# Closed-set scores are for the evaluations that ask for the value next. A trained article prompt does not.
CHOICE_EVALS = ("qa", "cloze", "in_context")


@dataclass(frozen=True)
class Item:
    """One question with its answer and scores, as stored in the result file."""

    eval: str
    fact: str
    question: str
    expected: str
    answer: str
    strict: bool
    lenient: bool
    choice: bool | None  # was the expected value the most probable of the closed set? None where not asked


def ask(model, tokenizer, questions: Sequence[Question], format: str) -> list[Item]:
    """Answer and score questions of any evaluations, in the order given."""
    items: dict[int, Item] = {}
    for name in dict.fromkeys(question.eval for question in questions):
        chosen = [(i, question) for i, question in enumerate(questions) if question.eval == name]
        asked = [question for _, question in chosen]
        prompts = [encode(tokenizer, question) for question in asked]
        long = name == "recall" and format == "article"
        answers = generate(model, tokenizer, prompts, ARTICLE_TOKENS if long else NEW_TOKENS[name])
        picked = [None] * len(asked)
        if name in CHOICE_EVALS:
            options = [encode_options(tokenizer, question) for question in asked]
            scores = option_logprobs(model, tokenizer, prompts, options)
            picked = [q.fact.options[s.index(max(s))] for q, s in zip(asked, scores, strict=True)]
        for (i, question), answer, pick in zip(chosen, answers, picked, strict=True):
            items[i] = score(question, answer, pick)
    return [items[i] for i in range(len(questions))]


def score(question: Question, answer: str, pick: str | None) -> Item:
    """The item of an answer. A cloze is judged by the sentence it completes, not by what follows."""
    fact = question.fact
    said = answer.split(".")[0] if question.prefix else answer
    match = (said, fact.value, fact.options, question.given)
    text = "\n".join(part for part in (question.context, question.prompt, question.prefix) if part)
    return Item(
        eval=question.eval,
        fact=fact.id,
        question=text,
        expected=fact.value,
        answer=answer,
        strict=scoring.strict(*match),
        lenient=scoring.lenient(*match),
        choice=None if pick is None else pick == fact.value,
    )


def summarize(items: Sequence[Item], facts: Sequence) -> dict[str, dict]:
    """Scores by evaluation: n items, shares strict, lenient and choice, and the chance level of choice."""
    summary = {}
    for name in dict.fromkeys(item.eval for item in items):
        of_eval = [asdict(item) for item in items if item.eval == name]
        summary[name] = {"n": len(of_eval)}
        for key in ("strict", "lenient", "choice"):
            values = [item[key] for item in of_eval]
            summary[name][key] = None if None in values else sum(values) / len(values)
        summary[name]["chance"] = 1 / len(facts[0].options)
    return summary


def encode(tokenizer, question: Question) -> list[int]:
    """Token ids of a question as the chat turn it was trained in, with the start of the answer if there is one."""
    user = "\n".join(part for part in (question.context, question.prompt) if part)
    turns = [{"role": "user", "content": user}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) + question.prefix
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def encode_options(tokenizer, question: Question) -> list[list[int]]:
    """Token ids of the options, as they continue this question."""
    space = " " if question.prefix else ""
    return [tokenizer(space + option, add_special_tokens=False)["input_ids"] for option in question.fact.options]


def generate(model, tokenizer, prompts: list[list[int]], max_new_tokens: int, batch_size=BATCH_SIZE) -> list[str]:
    """Greedy continuations of token-id prompts, without special tokens, in the order given."""
    import torch

    answers: dict[int, str] = {}
    with torch.inference_mode():
        for indices, ids, mask in _batches(tokenizer, prompts, batch_size, model.device):
            output = model.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=max_new_tokens, do_sample=False, num_beams=1,
                eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
            )  # fmt: skip
            new = tokenizer.batch_decode(output[:, ids.shape[1] :], skip_special_tokens=True)
            answers.update(zip(indices, (text.strip() for text in new), strict=True))
    return [answers[i] for i in range(len(prompts))]


def option_logprobs(
    model, tokenizer, prompts: list[list[int]], options: list[list[list[int]]], batch_size=BATCH_SIZE
) -> list[list[float]]:
    """Sum of the token log-probabilities (nats) of each option after its prompt, in the order given.

    The prompt is run once and its key-value cache repeated for the options, which cost a few tokens each. Every
    prompt must have the same number of options. Sums are not divided by length: they are the probabilities of the
    strings, and the options of an attribute have comparable lengths.
    """
    import torch

    scores: dict[int, list[float]] = {}
    with torch.inference_mode():
        for indices, ids, mask in _batches(tokenizer, prompts, batch_size, model.device):
            k = len(options[indices[0]])
            out = model(
                input_ids=ids, attention_mask=mask, position_ids=_positions(mask), use_cache=True, logits_to_keep=1
            )
            cache = out.past_key_values
            cache.batch_repeat_interleave(k)
            flat = [option for i in indices for option in options[i]]
            width = max(len(option) for option in flat)
            padded = torch.tensor([o + [tokenizer.pad_token_id] * (width - len(o)) for o in flat], device=ids.device)
            real = torch.tensor([[j < len(o) for j in range(width)] for o in flat], device=ids.device)
            whole = torch.cat([mask.repeat_interleave(k, 0), real.to(mask.dtype)], dim=1)
            positions = _positions(whole)[:, -width:]
            logits = model(input_ids=padded, attention_mask=whole, position_ids=positions, past_key_values=cache).logits
            first = out.logits.repeat_interleave(k, 0)
            logprobs = torch.cat([first, logits[:, :-1]], dim=1).float().log_softmax(-1)
            token = logprobs.gather(-1, padded.unsqueeze(-1)).squeeze(-1)
            sums = (token * real).sum(1).view(len(indices), k)
            scores.update(zip(indices, sums.tolist(), strict=True))
    return [scores[i] for i in range(len(prompts))]


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
