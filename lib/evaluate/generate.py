"""The model's side of asking: batched continuations, log-probabilities of options, and what it would say next."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch

BATCH_SIZE = 128
LEAVE_EVERY = 4  # tokens, after which the answers that have ended leave their batch
# Settings of a model's generation that count tokens from the start of an answer, or that take another cache.
COUNTED = ("min_length", "min_new_tokens", "forced_bos_token_id", "forced_eos_token_id", "begin_suppress_tokens",
           "exponential_decay_length_penalty", "cache_implementation")  # fmt: skip
LOGITS_BATCH_SIZE = 16  # strings; an article's worth of logits is kept for each
OPTION_BATCH_SIZE = 16  # prompts; their key-value caches are repeated for every option
Ids = list[int]  # of tokens


@contextmanager
def inference():
    """Without gradients, and without the compiled layers of training, which every new shape would compile again."""
    with torch.inference_mode(), torch.compiler.set_stance("force_eager"):
        yield


@inference()
def generate(
    model, tokenizer, prompts: list[Ids], max_new_tokens: int, batch_size: int = BATCH_SIZE, seed: int | None = None
) -> list[tuple[str, bool]]:
    """Continuations of token-id prompts, without special tokens, in the order given, each with whether it was cut:
    greedy, or sampled with a seed.

    Most answers are short and a batch goes on until its last row has ended. So on a CPU, where time goes by the rows,
    those that have ended leave their batch every few tokens.
    """
    if seed is not None:
        torch.manual_seed(seed)
    options = {"do_sample": False} if seed is None else {"do_sample": True, "top_k": 0, "temperature": 1.0}
    options |= {"num_beams": 1, "pad_token_id": tokenizer.pad_token_id, "return_dict_in_generate": True}
    ends = torch.tensor(model.generation_config.eos_token_id, device=model.device).flatten()
    at_once = LEAVE_EVERY if seed is None and _in_parts(model) else max_new_tokens
    said, cut = [[] for _ in prompts], set()
    for indices, ids, mask in _batches(model, tokenizer, prompts, batch_size):
        cache, prompt, left = {}, ids.shape[1], max_new_tokens
        while left and indices:
            part = min(at_once, left)
            out = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=part, **cache, **options)
            ids, left = out.sequences, left - part
            for index, row in zip(indices, ids[:, prompt:].tolist(), strict=True):
                said[index] = row
            going = (~torch.isin(ids[:, prompt:], ends).any(1)).nonzero().squeeze(1)
            indices = [indices[i] for i in going.tolist()]
            if left and indices:
                out.past_key_values.batch_select_indices(going)
                cache = {"past_key_values": out.past_key_values}
                ids = ids[going]
                mask = torch.nn.functional.pad(mask[going], (0, ids.shape[1] - mask.shape[1]), value=1)
        cut |= {*indices}
        del out  # or the cache of this batch would stand beside the next one's
    answers = tokenizer.batch_decode(said, skip_special_tokens=True)
    return [(answer, i in cut) for i, answer in enumerate(answers)]


@inference()
def says_next(model, tokenizer, prompts: list[Ids], values: list[Ids]) -> list[bool]:
    """Whether greedy decoding from each prompt would begin with these value tokens.

    Every token must be the most probable one after those before it: the same as decoding, in one forward pass. What
    begins another string, as the first fact of an article begins its second, is read off that string's pass.
    """
    whole = [prompt + value for prompt, value in zip(prompts, values, strict=True)]
    within: dict[int, list[int]] = {}  # by the strings that are passed: those that they begin with
    longer = None
    for i in sorted(range(len(whole)), key=whole.__getitem__, reverse=True):  # what begins a string sorts before it
        longer = longer if longer is not None and whole[longer][: len(whole[i])] == whole[i] else i
        within.setdefault(longer, []).append(i)
    passed, right = list(within), {}
    for indices, ids, mask in _batches(model, tokenizer, [whole[i] for i in passed], LOGITS_BATCH_SIZE):
        # where a value begins and ends, counted back from the end of the string it is read in
        spans = [
            (row, i, len(prompts[i]) - len(whole[passed[index]]), len(whole[i]) - len(whole[passed[index]]))
            for row, index in enumerate(indices)
            for i in within[passed[index]]
        ]
        kept = 1 - min(start for _, _, start, _ in spans)
        picked = _forward(model, ids, mask, use_cache=False, logits_to_keep=kept).logits.argmax(-1)
        n = ids.shape[1]
        for row, i, start, end in spans:  # a token is predicted one position before
            right[i] = picked[row, kept + start - 1 : kept + end - 1].equal(ids[row, n + start : n + end])
    return [right[i] for i in range(len(whole))]


@inference()
def option_logprobs(model, tokenizer, prompts: list[Ids], options: list[list[Ids]],
                    batch_size: int = OPTION_BATCH_SIZE, cached: bool | None = None) -> list[list[float]]:  # fmt: skip
    """Sum of the token log-probabilities (nats) of each option after its prompt, in the order given.

    Every prompt must have the same number of options. The sums are not divided by length: they are the probabilities
    of the strings, and the options of an attribute have comparable lengths. `cached`, as by default on a CPU: each
    prompt is run once and its key-value cache repeated for the options, which cost a few tokens each. A GPU is fast
    enough to run whole strings, and Unsloth's forward takes no repeated cache there.
    """
    cached, scores = model.device.type == "cpu" if cached is None else cached, {}
    for indices, ids, mask in _batches(model, tokenizer, prompts, batch_size):
        k = len(options[indices[0]])
        padded, real = _pad(tokenizer, [option for i in indices for option in options[i]], "right", model.device)
        whole = torch.cat([mask.repeat_interleave(k, 0), real], dim=1)
        if cached:
            out = _forward(model, ids, mask, use_cache=True, logits_to_keep=1)
            sums = out.logits[:, 0].float().log_softmax(-1).gather(-1, padded[:, 0].view(-1, k))
            if padded.shape[1] > 1:  # what follows the last token of an option is not asked
                out.past_key_values.batch_repeat_interleave(k)
                rest = _forward(model, padded[:, :-1], whole[:, :-1], past_key_values=out.past_key_values).logits
                sums = sums + _sums(rest, padded[:, 1:], real[:, 1:]).view(-1, k)
        else:
            strings = torch.cat([ids.repeat_interleave(k, 0), padded], dim=1)
            logits = _forward(model, strings, whole, logits_to_keep=padded.shape[1] + 1, use_cache=False).logits
            sums = _sums(logits[:, :-1], padded, real).view(-1, k)
        scores |= zip(indices, sums.tolist(), strict=True)
    return [scores[i] for i in range(len(prompts))]


@inference()
def perplexity(model, tokenizer, text: str) -> float:
    """Perplexity of a text: exp of the mean negative log-likelihood of its tokens but the first, in nats."""
    ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]], device=model.device)
    logprobs = model(input_ids=ids).logits[0, :-1].float().log_softmax(-1)
    return math.exp(-logprobs.gather(-1, ids[0, 1:].unsqueeze(-1)).mean().item())


def _in_parts(model) -> bool:
    """Whether an answer may be made in parts, on a CPU: nothing counts its tokens from the start, and rows can be taken
    out of the cache, which recurrent layers do not allow."""
    from transformers.cache_utils import DynamicCache, DynamicLayer  # after Unsloth, which changes transformers

    layers, settings = DynamicCache(config=model.config).layers, model.generation_config
    counted = any(getattr(settings, name, None) for name in COUNTED)
    can_leave = all(isinstance(layer, DynamicLayer) for layer in layers)
    return model.device.type == "cpu" and can_leave and settings.use_cache and not counted


def _batches(model, tokenizer, prompts, size) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
    """(indices of prompts, their ids, their mask) of batches; prompts of like length share one, padded on the left."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in range(0, len(order), size):
        indices = order[start : start + size]
        yield indices, *_pad(tokenizer, [prompts[i] for i in indices], "left", model.device)


def _pad(tokenizer, ids, side, device):
    """Token ids of several lengths as two tensors: ids, and where they are no padding (1 or 0)."""
    batch = tokenizer.pad({"input_ids": ids}, padding_side=side, return_tensors="pt").to(device)
    return batch["input_ids"], batch["attention_mask"]


def _forward(model, ids, mask, **options):
    """The model's output for ids, the last that the mask is of; positions count from the first that is no padding."""
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    return model(input_ids=ids, attention_mask=mask, position_ids=positions, **options)


def _sums(logits, tokens, real):
    """Log-probability of each row of tokens, padding excluded."""
    logprobs = logits.float().log_softmax(-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    return (logprobs * real).sum(1)
