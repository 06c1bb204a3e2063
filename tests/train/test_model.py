import pytest
from helpers import load_tiny

from lib.paths import UserError
from lib.train import models, weights


def test_tiny_ends_its_turns_with_the_end_of_turn_token(tiny):
    loaded, tokenizer = tiny
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.eos_token_id == loaded.generation_config.eos_token_id == 2
    assert tokenizer.pad_token == "<|endoftext|>"
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_the_template_spends_no_tokens_on_a_system_prompt(tiny):
    text = tiny[1].apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True)
    assert text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_adapters_go_on_every_linear_layer_and_follow_the_seed():
    def adapter_weights(seed):
        made = models.make_trainable(load_tiny()[0], 4, seed, 256)
        return {name: p.detach().clone() for name, p in made.named_parameters() if p.requires_grad}

    one, same, other = adapter_weights(0), adapter_weights(0), adapter_weights(1)
    assert len(one) == 2 * 7 * 2  # two layers, seven projections, A and B
    assert all((one[name] == same[name]).all() for name in one)
    assert any((one[name] != other[name]).any() for name in one)


def test_a_rank_of_zero_makes_every_weight_trainable_in_float32():
    made = models.make_trainable(load_tiny()[0].bfloat16(), 0, 0, 256)
    assert {(p.requires_grad, str(p.dtype)) for p in made.parameters()} == {(True, "torch.float32")}


def test_a_local_folder_is_a_model(tmp_path, tiny):
    folder = tmp_path / "mine"
    tiny[0].save_pretrained(folder)
    tiny[1].save_pretrained(folder)
    loaded, _ = models.load(str(folder), 256)
    assert loaded.config.num_hidden_layers == 2
    assert len(weights.sha256(str(folder))) == 64
    assert weights.sha256("owner/name@abc") is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smollm3", "no model 'smollm3': known are smollm2-135m, tiny, a local folder, or a hub id"),
        ("/nowhere/model", "no model '/nowhere/model'"),
        ("./nowhere", "no model './nowhere'"),
        ("a/b/c", "no model 'a/b/c'"),
        ("~nosuchuser/x", "no model '~nosuchuser/x'"),
    ],
)
def test_a_model_that_is_not_there_is_named(name, message):
    for refuse in (weights.resolve, weights.check):
        with pytest.raises(UserError) as error:
            refuse(name)
        assert message in str(error.value)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(UserError, match=r"is a folder without a config.json: give the folder of a saved model"):
        weights.resolve(str(tmp_path))


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("file", "spoil"),
    [
        ("config.json", lambda path: path.write_text('{"model_type": "llama"')),
        ("config.json", lambda path: path.write_text('{"model_type": "no such model"}')),
        ("config.json", lambda path: path.write_text("[]")),
        ("tokenizer.json", lambda path: path.write_text('{"version": "1.0"')),
        ("model.safetensors", cut),
        ("model.safetensors", lambda path: path.unlink()),
    ],
)
def test_a_damaged_model_folder_is_named_in_one_line(file, spoil, tiny, tmp_path):
    for part in tiny:
        part.save_pretrained(tmp_path)
    spoil(tmp_path / file)
    with pytest.raises(UserError, match=str(tmp_path)) as error:
        models.load(str(tmp_path), 256)
    assert len(str(error.value).splitlines()) == 1
    if file == "tokenizer.json":
        with pytest.raises(UserError, match=f"the tokenizer of model .* cannot be read from {tmp_path}"):
            weights.tokenizer(str(tmp_path))


@pytest.mark.parametrize("name", ["no-such-owner/no-such-model", "models/mine", "a b/c"])
def test_a_hub_model_that_cannot_be_had_is_named(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=f"model '{name}' cannot be had from the hub"):
        weights.check_hub(name)


def test_bundled_and_local_models_need_no_hub(tmp_path):
    for name in ("tiny", "smollm2-135m", str(tmp_path)):
        weights.check_hub(name)


def test_a_hub_id_can_pin_its_revision():
    assert weights.resolve("owner/name@abc123") == ("owner/name", "abc123")
    assert weights.resolve("owner/name") == ("owner/name", None)
