import itertools
import json

import pytest
import torch
from helpers import make_cell, tokenizer

from lib.data.general import replay_prompts
from lib.paths import UserError
from lib.train import replay


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and the prompts that were answered since."""
    monkeypatch.setattr(replay, "CACHE", tmp_path)
    monkeypatch.setattr(replay, "BLOCK", 12)
    asked, generate = [], replay.generate

    def counted(model, tokenizer, prompts, room, **options):
        asked.extend(tuple(prompt) for prompt in prompts)
        return generate(model, tokenizer, prompts, room, **options)

    monkeypatch.setattr(replay, "generate", counted)
    return tmp_path / "replay", asked


def test_a_model_answers_once_and_is_then_read_from_the_cache(tiny, cache):
    folder, asked = cache
    first = replay.rows(*tiny, "tiny", 9)
    assert len(asked) == replay.BLOCK
    assert replay.rows(*tiny, "tiny", 9) == first
    assert len(asked) == replay.BLOCK
    assert len(list(folder.glob("*.json"))) == 1 and not list(folder.glob("*.part"))


def test_the_first_rows_do_not_depend_on_how_many_are_asked_for(tiny, cache):
    few, many = replay.rows(*tiny, "tiny", 5), replay.rows(*tiny, "tiny", replay.BLOCK + 5)
    assert many[:5] == few and len(many) == replay.BLOCK + 5
    assert replay.rows(*tiny, "tiny", 0) == []


def test_rows_are_the_prompts_with_the_models_own_answers(tiny, cache):
    rows = replay.rows(*tiny, "tiny", 24)
    for (kind, text), row in zip(replay_prompts(), rows, strict=False):
        assert row.turns[0] == text and not row.told
        assert row.raw == (kind == "prose")
    prose = [row.turns[1] for row in rows if row.raw]
    assert len(set(prose)) == len(prose), "sampled, not the same to everything"


def test_prose_is_continued_without_a_chat_template_and_sampled_and_the_rest_is_asked_greedily(
    tiny, monkeypatch, tmp_path
):
    calls = []

    def generate(model, tokenizer, prompts, room, seed=None):
        calls.append((tokenizer.decode(prompts[0]), seed))
        return ["said"] * len(prompts)

    monkeypatch.setattr(replay, "CACHE", tmp_path)
    monkeypatch.setattr(replay, "generate", generate)
    replay.rows(*tiny, "tiny", replay.BLOCK + 1)
    assert ["<|im_start|>" in text for text, _ in calls] == [True, False, True, False]
    seeds = [seed for _, seed in calls]  # the first block to be made differs between processes
    assert sorted([seeds[1], seeds[3]]) == [0, 1] and seeds[::2] == [None, None], "other random numbers in every block"


def test_an_answer_that_was_cut_is_marked_and_one_that_ended_is_not(tiny, monkeypatch, tmp_path):
    long = " word" * replay.MAX_NEW_TOKENS
    said = itertools.cycle([" A short one.", long])
    monkeypatch.setattr(replay, "CACHE", tmp_path)
    monkeypatch.setattr(replay, "generate", lambda _, __, prompts, ___, **____: [next(said) for _ in prompts])
    rows = replay.rows(*tiny, "tiny", 30)
    for row in rows:
        assert row.cut == (row.raw or row.turns[1] == long.strip())
        assert row.turns[1] == (row.turns[1] if row.raw else row.turns[1].strip())
    assert {row.cut for row in rows if not row.raw} == {True, False}
    assert len(tokenizer()(long)["input_ids"]) == replay.MAX_NEW_TOKENS


def test_another_model_has_answers_of_its_own(tiny, cache, tmp_path):
    folder = tmp_path / "mine"
    tiny[0].save_pretrained(folder)
    weights = next(folder.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    replay.rows(*tiny, "tiny", 3)
    replay.rows(*tiny, str(folder), 3)
    assert len(list(cache[0].glob("*.json"))) == 2


def test_answers_that_were_written_by_halves_are_not_read(tiny, cache, monkeypatch):
    folder, asked = cache

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(replay, "generate", stop)
        with pytest.raises(KeyboardInterrupt):
            replay.rows(*tiny, "tiny", 3)
    assert not list(folder.glob("*.json"))
    assert len(replay.rows(*tiny, "tiny", 3)) == 3
    assert all(isinstance(json.loads(path.read_text()), list) for path in folder.glob("*.json"))


@pytest.mark.parametrize("spoil", [lambda text: "[]", lambda text: text[: len(text) // 2], lambda text: text + " "])
def test_a_damaged_cache_is_named_and_answered_again(spoil, tiny, cache, capsys):
    folder, asked = cache
    first = replay.rows(*tiny, "tiny", 5)
    (path,) = folder.glob("*.json")
    path.write_text(spoil(path.read_text()))
    assert replay.rows(*tiny, "tiny", 5) == first
    assert len(asked) == 2 * replay.BLOCK
    assert f"{path} is damaged" in capsys.readouterr().err


def test_more_replay_than_there_are_prompts_is_refused(tiny):
    there = len(replay_prompts())
    with pytest.raises(
        UserError, match=f"replay is {there + 1}, but there are {there} prompts: ask for that many or fewer"
    ):
        replay.rows(*tiny, "tiny", there + 1)


def test_answering_leaves_the_random_numbers_of_training_to_its_seed(tiny, cache):
    """The trainer sets the seed after replay was answered, so it does not matter whether the cache was warm."""
    cell = make_cell(replay=3)
    replay.rows(*tiny, cell.model, cell.replay)
    torch.manual_seed(cell.seed)
    cold = torch.rand(3)
    replay.rows(*tiny, cell.model, cell.replay)
    torch.manual_seed(cell.seed)
    assert (torch.rand(3) == cold).all()
