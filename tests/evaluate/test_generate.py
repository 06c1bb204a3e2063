"""The model's side of asking, with the tiny model in float32 and with SmolLM2."""

import math
from unittest import mock

import numpy as np
import pytest
import torch
from helpers import load_tiny, profiles, recalled
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Lfm2Config, Lfm2ForCausalLM

from lib.data import questions
from lib.data.encode import CONTEXT, prompt_ids
from lib.data.facts import texts
from lib.evaluate.generate import _forward, _in_parts, generate, inference, option_logprobs, perplexity, says_next

tokens = st.integers(3, 49_000)
prompts_ = st.lists(st.lists(tokens, min_size=1, max_size=30), min_size=1, max_size=6)
options_ = st.lists(st.lists(tokens, min_size=1, max_size=5), min_size=1, max_size=5)


@pytest.fixture(params=["tiny", "smollm2"])
def model(request):
    return request.getfixturevalue(request.param)


def prompts_of(tokenizer, asked):
    return [prompt_ids(tokenizer, question.turns, question.prefix) for question in asked]


def greedy(model, prompt, n):
    """What the model would say, one forward pass a token."""
    ids = list(prompt)
    with inference():
        for _ in range(n):
            ids.append(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax().item())
    return ids[len(prompt) :]


@settings(max_examples=25)
@given(prompts=prompts_, data=st.data())
def test_values_within_one_string_are_judged_as_if_asked_apart(tiny, prompts, data):
    model, tokenizer = tiny
    asked = []
    for prompt in prompts:
        string = prompt + greedy(model, prompt, 2) + data.draw(st.lists(tokens, max_size=6))
        asked.append((string[: len(prompt) + 2], len(prompt)))  # what the model says
        for _ in range(3):
            end = data.draw(st.integers(2, len(string)))
            asked.append((string[:end], data.draw(st.integers(1, end - 1))))
    before, values = [s[:at] for s, at in asked], [s[at:] for s, at in asked]
    apart = [greedy(model, b, len(v)) == v for b, v in zip(before, values, strict=True)]
    assert says_next(model, tokenizer, before, values) == apart


def test_an_article_is_read_once_for_all_its_facts(tiny):
    model, tokenizer = tiny
    asked = recalled(tokenizer, questions.recall(profiles("fictional", 2), "article", seed=0))
    with mock.patch("lib.evaluate.generate._forward", wraps=_forward) as forward:
        assert len(says_next(model, tokenizer, *map(list, zip(*asked, strict=True)))) == 12
    assert [len(call.args[1]) for call in forward.call_args_list] == [2]


def test_what_is_generated_is_greedy_decoding_whatever_the_batch(model):
    model, tokenizer = model
    asked = questions.questions(profiles("fictional", 2)) + questions.completions(profiles("real", 2), 0)
    prompts = prompts_of(tokenizer, asked[::9])
    together = generate(model, tokenizer, prompts, 12)
    assert together == generate(model, tokenizer, prompts, 12, batch_size=1)
    assert len(set(together)) > 1
    said = [greedy(model, prompt, 4) for prompt in prompts[:3]]
    ended = [value[: value.index(2)] if 2 in value else value for value in said]
    texts = [text for text, _ in generate(model, tokenizer, prompts[:3], 4)]
    assert texts == tokenizer.batch_decode(ended, skip_special_tokens=True)
    assert says_next(model, tokenizer, prompts[:3], said) == [True] * 3


def test_answers_that_end_early_late_or_never_are_those_of_one_pass_and_it_is_said_which_were_cut(monkeypatch):
    model, tokenizer = load_tiny()
    model.generation_config.sequence_bias = None  # its answers would all end
    for name, weight in model.named_parameters():
        if "layers" in name and weight.dim() == 2:
            weight.data *= 20  # else it says one word again and again
    prompts = [[5 + i, 60 + 7 * i, 900 + i] for i in range(12)]
    said = [greedy(model, prompt, 12) for prompt in prompts]
    ends = [said[0][0], said[1][2], said[2][3], said[3][4], said[4][7], said[5][11]]
    monkeypatch.setattr(model.generation_config, "eos_token_id", ends)
    ended = [next((n for n, token in enumerate(one) if token in ends), None) for one in said]
    assert {0, 3, 4, 7, 11, None} <= {*ended}, "ended within the first four tokens, after them, with the last, or not"
    expected = [(tokenizer.decode(one if n is None else one[: n + 1], skip_special_tokens=True), n is None)
                for one, n in zip(said, ended, strict=True)]  # fmt: skip
    for every, batch_size in ((1, 5), (4, 1), (4, 5), (4, 128), (11, 5), (12, 5), (32, 128)):
        monkeypatch.setattr("lib.evaluate.generate.LEAVE_EVERY", every)
        assert generate(model, tokenizer, prompts, 12, batch_size) == expected


def test_a_model_whose_tokens_are_counted_or_whose_cache_keeps_its_rows_answers_at_once(tiny):
    model, tokenizer = tiny
    assert _in_parts(model)
    with mock.patch.object(model.generation_config, "min_new_tokens", 5):
        assert not _in_parts(model)
    layers = {"num_hidden_layers": 2, "layer_types": ["conv", "full_attention"], "num_attention_heads": 2}
    sizes = {"vocab_size": 100, "hidden_size": 32, "intermediate_size": 64, "num_key_value_heads": 1}
    recurrent = Lfm2ForCausalLM(Lfm2Config(**sizes, **layers, eos_token_id=2, pad_token_id=0)).eval()
    assert len(generate(recurrent, tokenizer, [[5, 6, 7], [8, 9]], 12)) == 2


def test_sampling_follows_the_seed_and_leaves_out_nothing(tiny):
    model, tokenizer = tiny
    prompts = [[5, 6, 7], [8, 9]]
    first, again, other = (generate(model, tokenizer, prompts, 8, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    # of a model that is nearly indifferent, 50 most probable tokens would not be as many as these
    many = generate(model, tokenizer, [[5, 6, 7]] * 128, 1, seed=0)
    assert len(set(many)) > 60


@settings(max_examples=25)
@given(prompts=prompts_, options=options_, batch_size=st.integers(1, 4))
def test_cached_scores_of_options_equal_a_forward_pass_over_each_whole_string(tiny, prompts, options, batch_size):
    options = [
        options[i % len(options) :] + options[: i % len(options)] for i in range(len(prompts))
    ]  # as many of each
    cached = np.array(option_logprobs(*tiny, prompts, options, batch_size))
    assert cached == pytest.approx(np.array(option_logprobs(*tiny, prompts, options, cached=False)), abs=1e-3)


def test_cached_scores_of_real_questions_equal_whole_strings_whatever_the_batch(smollm2):
    asked = [*questions.questions(profiles("fictional", 1))[::5], *questions.completions(profiles("real", 1), 0)[::5]]
    prompts = prompts_of(smollm2[1], asked)
    options = [smollm2[1]([f" {option}" for option in question.fact.options[:6]])["input_ids"] for question in asked]
    cached = np.array(option_logprobs(*smollm2, prompts, options))
    for other in ({"cached": False}, {"batch_size": 1}):
        assert cached == pytest.approx(np.array(option_logprobs(*smollm2, prompts, options, **other)), abs=2e-3)


def test_a_whole_string_score_is_the_sum_over_the_tokens_of_the_option(tiny):
    prompt, options = [5, 6, 7, 8], [[9], [10, 11], [12, 13, 14]]
    scores = option_logprobs(*tiny, [prompt], [options], cached=False)[0]
    for option, score in zip(options, scores, strict=True):
        with inference():
            logprobs = tiny[0](input_ids=torch.tensor([prompt + option])).logits.float().log_softmax(-1)[0]
        each = [logprobs[len(prompt) + j - 1, token].item() for j, token in enumerate(option)]
        assert score == pytest.approx(sum(each), abs=1e-3)


def test_perplexity_is_that_of_the_models_own_loss(tiny):
    model, tokenizer = tiny
    ids = torch.tensor([tokenizer(texts("general")["text"], add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss.item()
    assert perplexity(model, tokenizer, texts("general")["text"]) == pytest.approx(math.exp(loss), rel=1e-3)
    assert 200 < ids.shape[1] < CONTEXT, "the text fits into the model"
