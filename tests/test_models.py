import multiprocessing

import pytest
from conftest import load_tiny

from lib import models
from lib.errors import UserError


def test_tiny_ends_its_turns_with_the_end_of_turn_token(tiny):
    model, tokenizer = tiny
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.eos_token_id == model.generation_config.eos_token_id == 2
    assert tokenizer.pad_token == "<|endoftext|>"
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_the_template_spends_no_tokens_on_a_system_prompt(tiny):
    text = tiny[1].apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True)
    assert text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_smollm2_is_repaired_and_speaks():
    model, tokenizer = models.load("smollm2-135m", 256)
    assert tokenizer.eos_token_id == 2
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}], tokenize=False, add_generation_prompt=True
    )
    inputs = tokenizer(text, return_tensors="pt", add_special_tokens=False)
    output = model.generate(**inputs, max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(output[0])


def test_adapters_go_on_every_linear_layer_and_follow_the_seed():
    def adapter_weights(seed):
        model, _ = load_tiny()
        model = models.make_trainable(model, 4, seed, 256)
        return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}

    one, same, other = adapter_weights(0), adapter_weights(0), adapter_weights(1)
    assert len(one) == 2 * 7 * 2  # two layers, seven projections, A and B
    assert all((one[name] == same[name]).all() for name in one)
    assert any((one[name] != other[name]).any() for name in one)


def test_a_local_folder_is_a_model(tmp_path, tiny):
    folder = tmp_path / "mine"
    tiny[0].save_pretrained(folder)
    tiny[1].save_pretrained(folder)
    model, _ = models.load(str(folder), 256)
    assert model.config.num_hidden_layers == 2
    assert len(models.sha256(str(folder))) == 64


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smollm3", "no model 'smollm3': known are smollm2-135m, tiny, a local folder, or a hub id"),
        ("/nowhere/model", "no model '/nowhere/model'"),
        ("./nowhere", "no model './nowhere'"),
    ],
)
def test_a_model_that_is_not_there_is_named(name, message):
    with pytest.raises(UserError) as error:
        models.resolve(name)
    assert message in str(error.value)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(UserError, match="is a folder without a config.json"):
        models.resolve(str(tmp_path))


def test_a_damaged_model_folder_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(UserError, match="cannot be loaded"):
        models.load(str(tmp_path), 256)


@pytest.mark.parametrize("name", ["no-such-owner/no-such-model", "models/mine", "a b/c"])
def test_a_hub_model_that_cannot_be_had_is_named(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=f"model '{name}' cannot be had from the hub"):
        models.check_hub(name)


def test_bundled_and_local_models_need_no_hub(tmp_path):
    for name in ("tiny", "smollm2-135m", str(tmp_path)):
        models.check_hub(name)


def test_a_hub_id_can_pin_its_revision():
    assert models.resolve("owner/name@abc123") == ("owner/name", "abc123")
    assert models.resolve("owner/name") == ("owner/name", None)


def make_once(folder):
    folder.mkdir()
    (folder / "made").write_text("once")
    with (models.CACHE / "count").open("a") as count:
        count.write("x")


def make_in_cache(cache):
    models.CACHE, models.BUNDLED["fake"] = cache, make_once
    models.resolve("fake")


def test_two_processes_that_start_at_once_make_a_bundled_model_once(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=make_in_cache, args=(tmp_path,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert (tmp_path / "count").read_text() == "x"
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".fake")]


def test_a_model_whose_making_was_interrupted_is_not_taken_for_made(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "CACHE", tmp_path)

    def stop(folder):
        folder.mkdir()
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    monkeypatch.setitem(models.BUNDLED, "fake", stop)
    with pytest.raises(KeyboardInterrupt):
        models.resolve("fake")
    monkeypatch.setitem(models.BUNDLED, "fake", make_once)
    path, _ = models.resolve("fake")
    assert (tmp_path / path / "made").exists()
