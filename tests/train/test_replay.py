import itertools
from unittest import mock

import pytest
from helpers import tokenizer

from lib.data.of_cell import replay_prompts
from lib.paths import UserError
from lib.train import replay


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and how many prompts were answered since."""
    monkeypatch.setattr(replay, "CACHE", tmp_path)
    monkeypatch.setattr(replay, "BLOCK", 12)
    monkeypatch.setattr(replay, "MAX_NEW_TOKENS", 4)
    with mock.patch.object(replay, "generate", wraps=replay.generate) as generate:
        yield tmp_path / "replay", lambda: sum(len(call.args[2]) for call in generate.call_args_list)


def test_a_model_answers_a_block_once_and_is_then_read_from_the_cache(tiny, cache):
    folder, asked = cache
    assert replay.rows(*tiny, "tiny", 0) == [] and asked() == 0
    few = replay.rows(*tiny, "tiny", 5)
    assert replay.rows(*tiny, "tiny", 9)[:5] == few
    assert asked() == replay.BLOCK and len(list(folder.glob("*.json"))) == 1
    many = replay.rows(*tiny, "tiny", replay.BLOCK + 5)
    assert many[:5] == few and len(many) == replay.BLOCK + 5
    assert asked() == 2 * replay.BLOCK and len(list(folder.glob("*.json"))) == 2
    for (kind, text), row in zip(replay_prompts(), many, strict=False):
        assert (row.turns[0], row.told, row.raw) == (text, (), kind == "prose")
    prose = [row.turns[1] for row in many if row.raw]
    assert len(set(prose)) == len(prose), "sampled, not the same to everything"
    n = len(replay_prompts())
    with pytest.raises(UserError, match=f"replay is {n + 1}, but there are {n} prompts: ask for that many or fewer"):
        replay.rows(*tiny, "tiny", n + 1)


def test_prose_is_continued_and_sampled_the_rest_asked_greedily_and_what_was_cut_is_marked(tiny, monkeypatch, tmp_path):
    long = " word" * replay.MAX_NEW_TOKENS
    assert len(tokenizer()(long)["input_ids"]) == replay.MAX_NEW_TOKENS
    said = itertools.cycle([(" A short one.", False), (long, True)])
    generate = mock.Mock(side_effect=lambda _, __, prompts, ___, seed=None: [next(said) for _ in prompts])
    monkeypatch.setattr(replay, "CACHE", tmp_path)
    monkeypatch.setattr(replay, "generate", generate)
    rows, calls = replay.rows(*tiny, "tiny", replay.BLOCK + 1), generate.call_args_list
    assert ["<|im_start|>" in tokenizer().decode(call.args[2][0]) for call in calls] == [True, False, True, False]
    seeds = [call.kwargs.get("seed") for call in calls]  # the first block to be made differs between processes
    assert sorted([seeds[1], seeds[3]]) == [0, 1] and seeds[::2] == [None, None], "other random numbers in every block"
    assert {row.turns[1] for row in rows if row.raw} == {" A short one.", long}
    assert {(row.turns[1], row.cut) for row in rows if not row.raw} == {("A short one.", False), (long.strip(), True)}
    assert all(row.cut for row in rows if row.raw)


def test_another_model_has_answers_of_its_own(tiny, cache, tmp_path):
    tiny[0].save_pretrained(tmp_path / "mine")
    weights = tmp_path / "mine" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    for name in ("tiny", str(tmp_path / "mine")):
        replay.rows(*tiny, name, 3)
    assert len(list(cache[0].glob("*.json"))) == 2


@pytest.mark.parametrize("spoil", [lambda text: "[]", lambda text: text[: len(text) // 2], lambda text: text + " "])
def test_a_damaged_cache_is_named_and_answered_again(spoil, tiny, cache, capsys):
    folder, asked = cache
    first = replay.rows(*tiny, "tiny", 5)
    (path,) = folder.glob("*.json")
    path.write_text(spoil(path.read_text()))
    assert replay.rows(*tiny, "tiny", 5) == first
    assert asked() == 2 * replay.BLOCK
    assert f"{path} is damaged" in capsys.readouterr().err
