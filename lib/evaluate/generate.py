"""The model's side of asking: batched continuations, log-probabilities of options, and what it would say next."""

from collections.abc import Iterator
from contextlib import contextmanager

BATCH_SIZE = 128
OPTION_BATCH_SIZE = 16  # prompts; their key-value caches are repeated for every option


def generate(
    model,
    tokenizer,
    prompts: list[list[int]],
    max_new_tokens: int,
    batch_size: int = BATCH_SIZE,
    seed: int | None = None,
) -> list[str]:
    """Continuations of token-id prompts, without special tokens, in the order given: greedy, or sampled with a seed."""
    import torch

    answers: dict[int, str] = {}
    if seed is not None:
        torch.manual_seed(seed)
    sampling = {"do_sample": False} if seed is None else {"do_sample": True, "top_k": 0, "temperature": 1.0}
    with inference():
        for indices, ids, mask in _batches(tokenizer, prompts, batch_size, model.device):
            output = model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=max_new_tokens,
                num_beams=1,
                pad_token_id=tokenizer.pad_token_id,
                **sampling,
            )
            new = tokenizer.batch_decode(output[:, ids.shape[1] :], skip_special_tokens=True)
            answers.update(zip(indices, new, strict=True))
    return [answers[i] for i in range(len(prompts))]


def says_next(model, tokenizer, prompts: list[list[int]], values: list[list[int]]) -> list[bool]:
    """Whether greedy decoding from each prompt would begin with these value tokens.

    Every token of the value must be the most probable one after those before it. That is the same as decoding them one
    by one, in one forward pass.
    """
    import torch

    said: dict[int, bool] = {}
    whole = [prompt + value for prompt, value in zip(prompts, values, strict=True)]
    longest = max(map(len, values), default=0)
    with inference():
        for indices, ids, mask in _batches(tokenizer, whole, BATCH_SIZE, model.device):
            out = model(
                input_ids=ids, attention_mask=mask, position_ids=_positions(mask), logits_to_keep=longest + 1,
                use_cache=False,
            )  # fmt: skip
            picked = out.logits.argmax(-1)
            for row, i in enumerate(indices):
                n = len(values[i])
                said[i] = torch.equal(picked[row, -n - 1 : -1], ids[row, -n:])
    return [said[i] for i in range(len(prompts))]


def option_logprobs(
    model, tokenizer, prompts: list[list[int]], options: list[list[list[int]]], batch_size=OPTION_BATCH_SIZE
) -> list[list[float]]:
    """Sum of the token log-probabilities (nats) of each option after its prompt, in the order given.

    Every prompt must have the same number of options. The sums are not divided by length: they are the probabilities
    of the strings, and the options of an attribute have comparable lengths.
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
            logits = model(
                input_ids=strings,
                attention_mask=whole,
                position_ids=_positions(whole),
                logits_to_keep=padded.shape[1] + 1,
                use_cache=False,
            ).logits
            sums = _token_logprobs(logits[:, :-1], padded, real).view(len(indices), k)
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
