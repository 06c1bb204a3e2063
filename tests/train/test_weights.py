import multiprocessing
from pathlib import Path

import pytest
from helpers import tokenizer
from hypothesis import given
from hypothesis import strategies as st

from lib.train import weights


def make_once(folder):
    folder.mkdir()
    (folder / "made").write_text("once")
    with (weights.CACHE / "count").open("a") as count:
        count.write("x")


def make_in_cache(cache):
    weights.CACHE, weights.MAKERS["fake"] = cache, make_once
    Path(weights.resolve("fake")[0])


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
    monkeypatch.setattr(weights, "CACHE", tmp_path)

    def stop(folder):
        folder.mkdir()
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    monkeypatch.setitem(weights.MAKERS, "fake", stop)
    with pytest.raises(KeyboardInterrupt):
        Path(weights.resolve("fake")[0])
    monkeypatch.setitem(weights.MAKERS, "fake", make_once)
    assert (Path(weights.resolve("fake")[0]) / "made").exists()


def test_another_recipe_is_another_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "CACHE", tmp_path)
    monkeypatch.setitem(weights.MAKERS, "fake", make_once)
    first = Path(weights.resolve("fake")[0])
    monkeypatch.setattr(weights, "RECIPE", "other")
    assert Path(weights.resolve("fake")[0]) != first


def test_smollm2_is_repaired():
    """That it speaks is tested by tests/study/test_steps.py."""
    from safetensors import safe_open

    made = Path(weights.resolve("smollm2-135m")[0])
    with safe_open(made / "model.safetensors", "pt") as saved:
        sizes = {name: saved.get_slice(name).get_shape() for name in saved.keys()}  # noqa: SIM118
    count = sum(shape[0] * (shape[1] if len(shape) == 2 else 1) for shape in sizes.values())
    assert count == 134_515_008
    assert (tokenizer().eos_token, tokenizer().eos_token_id, tokenizer().pad_token) == (
        "<|im_end|>",
        2,
        "<|endoftext|>",
    )


def damage(path):
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("spoil", [damage, cut, Path.unlink, lambda path: path.with_name("another").write_text("")])
def test_a_cached_folder_that_is_not_as_it_was_made_is_named_and_made_again(spoil, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(weights, "CACHE", tmp_path)
    monkeypatch.setitem(weights.MAKERS, "fake", make_once)
    folder = Path(weights.resolve("fake")[0])
    spoil(folder / "made")
    assert weights.resolve("fake")[0] == str(folder)
    assert capsys.readouterr().err == f"{folder} is damaged, or of an older version: made again\n"
    assert [path.name for path in folder.iterdir()] == ["made"] and (folder / "made").read_text() == "once"
    assert weights.resolve("fake")[0] == str(folder) and (tmp_path / "count").read_text() == "xx"
    assert capsys.readouterr().err == ""


TURNS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=5)
OLD_TEMPLATES = {
    "chatml": (
        "{% for message in messages %}"
        "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "thinking": (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
        "{% if message['role'] == 'assistant' %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
        "{{ message['content'] + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n\n</think>\n\n' }}{% endif %}"
    ),
    "llama3": (
        "{{ bos_token }}{% for message in messages %}"
        "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] + '<|eot_id|>' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    ),
}


@given(st.sampled_from(sorted(OLD_TEMPLATES)), TURNS, st.booleans())
def test_a_template_file_renders_what_the_published_results_were_trained_with(name, turns, ask):
    """A space more or less would change every result."""
    messages = [{"role": "assistant" if i % 2 else "user", "content": turn} for i, turn in enumerate(turns)]
    texts = [
        tokenizer().apply_chat_template(messages, chat_template=template, tokenize=False, add_generation_prompt=ask)
        for template in (OLD_TEMPLATES[name], (Path(weights.__file__).parent / f"templates/{name}.jinja").read_text())
    ]
    assert texts[0] == texts[1] and all(turn in texts[0] for turn in turns)


def test_the_template_is_that_of_the_family():
    class Tokenizer:
        chat_template = "its own"

        def __init__(self, *tokens):
            self.tokens = tokens

        def get_vocab(self):
            return dict.fromkeys(self.tokens, 0)

    for tokens, says in (((), "its own"), (("<|im_start|>",), "im_start"), (("<|im_start|>", "<think>"), "<think>"),
                         (("<|start_header_id|>",), "start_header_id")):  # fmt: skip
        asked = Tokenizer(*tokens)
        weights.set_template(asked)
        assert says in asked.chat_template
