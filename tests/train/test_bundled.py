import multiprocessing

import pytest
from helpers import tokenizer

from lib.train import bundled


def make_once(folder):
    folder.mkdir()
    (folder / "made").write_text("once")
    with (bundled.CACHE / "count").open("a") as count:
        count.write("x")


def make_in_cache(cache):
    bundled.CACHE, bundled.MAKERS["fake"] = cache, make_once
    bundled.folder("fake")


def test_two_processes_that_start_at_once_make_a_bundled_model_once(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=make_in_cache, args=(tmp_path,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert (tmp_path / "count").read_text() == "x"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".fake")]


def test_a_model_whose_making_was_interrupted_is_not_taken_for_made(tmp_path, monkeypatch):
    monkeypatch.setattr(bundled, "CACHE", tmp_path)

    def stop(folder):
        folder.mkdir()
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    monkeypatch.setitem(bundled.MAKERS, "fake", stop)
    with pytest.raises(KeyboardInterrupt):
        bundled.folder("fake")
    monkeypatch.setitem(bundled.MAKERS, "fake", make_once)
    assert (bundled.folder("fake") / "made").exists()


def test_another_recipe_is_another_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(bundled, "CACHE", tmp_path)
    monkeypatch.setitem(bundled.MAKERS, "fake", make_once)
    first = bundled.folder("fake")
    monkeypatch.setattr(bundled, "RECIPE", "other")
    assert bundled.folder("fake") != first


def test_smollm2_is_repaired():
    """That it speaks is tested by tests/study/test_steps.py."""
    from safetensors import safe_open

    made = bundled.folder("smollm2-135m")
    with safe_open(made / "model.safetensors", "pt") as weights:
        sizes = {name: weights.get_slice(name).get_shape() for name in weights.keys()}  # noqa: SIM118
    count = sum(shape[0] * (shape[1] if len(shape) == 2 else 1) for shape in sizes.values())
    assert count == 134_515_008
    assert (tokenizer().eos_token, tokenizer().eos_token_id, tokenizer().pad_token) == (
        "<|im_end|>",
        2,
        "<|endoftext|>",
    )
