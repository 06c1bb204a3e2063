"""Models by name: where their files are, whether they are whole, their chat templates, and how they are loaded."""

import hashlib
import multiprocessing
import re
import types
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter, TokenType
from helpers import load_tiny, tokenizer
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from tokenizers.pre_tokenizers import ByteLevel

from lib.data.encode import prompt_ids
from lib.evaluate.generate import generate
from lib.paths import ROOT, UserError
from lib.train import models, weights


def make_once(folder):
    folder.mkdir()
    (folder / "made").write_text("once")
    with (weights.CACHE / "count").open("a") as count:
        count.write("x")


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A bundled model that is made in an empty cache."""
    monkeypatch.setattr(weights, "CACHE", tmp_path)
    monkeypatch.setitem(weights.MAKERS, "fake", make_once)
    return "fake"


def test_two_processes_that_start_at_once_make_a_bundled_model_once(fake, tmp_path):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert pool.map(weights.resolve, [fake] * 4, chunksize=1) == [weights.resolve(fake)] * 4
    assert (tmp_path / "count").read_text() == "x"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".fake")]


def test_a_model_whose_making_was_interrupted_is_not_taken_for_made(fake, monkeypatch):
    def stop(folder):
        folder.mkdir()
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setitem(weights.MAKERS, fake, stop)
        with pytest.raises(KeyboardInterrupt):
            weights.resolve(fake)
    assert Path(weights.resolve(fake)[0], "made").exists()


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    "spoil",
    [cut, Path.unlink, lambda path: path.write_text("ones"), lambda path: path.with_name("another").write_text("")],
)
def test_a_cached_folder_that_is_not_as_it_was_made_is_named_and_made_again(spoil, fake, tmp_path, capsys):
    folder = Path(weights.resolve(fake)[0])
    spoil(folder / "made")
    for said in (f"{folder} is damaged, or of an older version: made again\n", ""):
        assert weights.resolve(fake)[0] == str(folder)
        assert capsys.readouterr().err == said
        assert [path.name for path in folder.iterdir()] == ["made"] and (folder / "made").read_text() == "once"
        assert (tmp_path / "count").read_text() == "xx"


def test_smollm2_is_repaired(tiny):
    """That it speaks is tested by tests/study/test_steps.py."""
    with safe_open(Path(weights.resolve("smollm2-135m")[0]) / "model.safetensors", "pt") as saved:
        assert sum(saved.get_tensor(name).numel() for name in saved.keys()) == 134_515_008  # noqa: SIM118
    for repaired in (tokenizer(), tiny[1]):
        assert (repaired.eos_token, repaired.eos_token_id, repaired.pad_token) == ("<|im_end|>", 2, "<|endoftext|>")
        told = repaired.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
        assert told == "<|im_start|>user\nHi<|im_end|>\n", "no tokens are spent on a system prompt"
    assert tiny[0].generation_config.eos_token_id == 2


@pytest.fixture
def gguf(tmp_path, monkeypatch):
    """A GGUF file of one random layer with a head of its own, and an empty cache; the path, and the head's weights."""
    monkeypatch.setattr(weights, "CACHE", tmp_path / "cache")
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(ByteLevel.alphabet()), "he", "hel"]
    writer = GGUFWriter(tmp_path / "own.gguf", "llama")
    for name, value in dict(
        block_count=1, context_length=64, embedding_length=16, feed_forward_length=32, head_count=2, head_count_kv=1,
        layer_norm_rms_eps=1e-5, rope_freq_base=1e4, vocab_size=len(tokens), tokenizer_model="gpt2", bos_token_id=0,
        tokenizer_pre="default", token_list=tokens, token_merges=["h e", "he l"], eos_token_id=0,
        token_types=[TokenType.CONTROL] * 3 + [TokenType.NORMAL] * (len(tokens) - 3),
    ).items():  # fmt: skip
        getattr(writer, f"add_{name}")(value)
    shapes = {"token_embd": (len(tokens), 16), "output": (len(tokens), 16), "output_norm": (16,)}
    shapes |= {f"blk.0.attn_{name}": shape for name, shape in
               {"norm": (16,), "q": (16, 16), "k": (8, 16), "v": (8, 16), "output": (16, 16)}.items()}  # fmt: skip
    shapes |= {f"blk.0.ffn_{name}": shape for name, shape in
               {"norm": (16,), "gate": (32, 16), "up": (32, 16), "down": (16, 32)}.items()}  # fmt: skip
    drawn = {name: np.random.default_rng(0).normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    drawn["output"] *= 2  # not the embeddings
    for name, tensor in drawn.items():
        writer.add_tensor(f"{name}.weight", tensor)
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()
    return tmp_path / "own.gguf", drawn["output"]


@pytest.mark.parametrize("name", ["own.gguf", "own/er@abc:q/own.gguf", "own/er:own.gguf"])
def test_a_gguf_file_is_a_model_on_the_disk_and_on_the_hub_and_is_made_once(name, gguf, monkeypatch):
    file, head = gguf
    asked = []
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *args, **kw: asked.append([*args, kw]) or str(file))
    monkeypatch.chdir(file.parent)
    weights.check_hub(name)
    made, revision = weights.resolve(name)
    hub = {"own.gguf": [], "own/er@abc:q/own.gguf": [["own/er", "q/own.gguf", {"revision": "abc"}]],
           "own/er:own.gguf": [["own/er", "own.gguf", {"revision": None}]]}  # fmt: skip
    assert asked == hub[name] and revision is None and len(weights.sha256(name)) == 64
    saved = load_file(Path(made) / "model.safetensors")["lm_head.weight"]
    assert str(saved.dtype) == "torch.bfloat16" and np.allclose(saved.float().numpy(), head, rtol=2**-8)
    loaded, tokenizer = models.load(name)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert (loaded.config.eos_token_id, loaded.generation_config.eos_token_id, loaded.config.pad_token_id) == (2, 2, 0)
    assert tokenizer.decode(tokenizer("hello")["input_ids"]) == "hello" and loaded.num_parameters() == 10_704
    assert [path.name for path in weights.CACHE.iterdir() if path.is_dir()] == [Path(made).name]


def test_another_file_in_its_place_is_another_model_and_a_broken_one_is_named_in_one_line(gguf):
    file, _ = gguf
    before = weights.check(str(file))
    cut(file)
    assert weights.check(str(file)) != before
    with pytest.raises(UserError, match=f"^model '{file}' cannot be read from own.gguf: [^\n]+$"):
        weights.resolve(str(file))


def test_make_models_installs_the_parts_of_the_bundled_models():
    lines = (ROOT / "requirements-models.txt").read_text().splitlines()
    pins = [re.fullmatch(r"(\S+)==[\d.]+ --hash=sha256:[0-9a-f]{64}  # (\S+)", line) for line in lines[2:]]
    stated = [(name, spec["package"].format(i)) for name, spec in weights.GGUFS.items()
              for i in range(1, spec["parts"] + 1)]  # fmt: skip
    assert [(pin[2], pin[1]) for pin in pins] == stated[1:]


def test_the_parts_of_a_bundled_model_are_joined_and_what_is_missing_or_damaged_says_what_to_do(
    gguf, tmp_path, monkeypatch
):
    name, whole = "qwen2.5-coder-0.5b", gguf[0].read_bytes()
    spec = {"package": "no-part{}", "file": "part{:02}", "parts": 2, "sha256": hashlib.sha256(whole).hexdigest()}
    monkeypatch.setitem(weights.GGUFS, name, spec)
    monkeypatch.syspath_prepend(tmp_path)
    parts = [tmp_path / f"no_part{i}" / f"part0{i}" for i in (1, 2)]
    for data, part, says in [
        (whole[:999], parts[0], f"^{name} needs the pip package no-part2: run `make models`$"),
        (whole[1000:], parts[1], f"^the pip packages of {name} are damaged: run `make clean` and install them again$"),
    ]:
        part.parent.mkdir()
        (part.parent / "__init__.py").write_text("raise RuntimeError('it was imported')")
        part.write_bytes(data)
        with pytest.raises(UserError, match=says):
            weights.check_hub(name)
    parts[1].write_bytes(whole[999:])
    assert models.load(name)[0].num_parameters() == 10_704
    made = {f"{name}-{weights.RECIPE}{suffix}" for suffix in ("", ".lock", ".sha256")}
    assert {path.name for path in weights.CACHE.iterdir()} == made, "what was joined is gone"


def test_qwen_answers():
    """Where its packages are installed. Its head stays apart from the embeddings."""
    try:
        weights.parts("qwen2.5-coder-0.5b")
    except UserError as missing:
        pytest.skip(str(missing))
    loaded, tokenizer = models.load("qwen2.5-coder-0.5b")
    assert loaded.num_parameters() == 630_167_424 and tokenizer.eos_token == "<|im_end|>"
    asked = prompt_ids(tokenizer, ["What is the capital of France? Answer with the name only."])
    assert generate(loaded.eval(), tokenizer, [asked], 16) == [("Paris", False)]


# What stands before the turns, around one of the user, around one of the assistant, and before an answer.
WRITTEN = {
    "chatml": ("", "<|im_start|>user\n{}<|im_end|>\n", "<|im_start|>assistant\n{}<|im_end|>\n",
               "<|im_start|>assistant\n"),
    "thinking": ("", "<|im_start|>user\n{}<|im_end|>\n",
                 "<|im_start|>assistant\n<think>\n\n</think>\n\n{}<|im_end|>\n",
                 "<|im_start|>assistant\n<think>\n\n</think>\n\n"),
    "llama3": ("<|im_start|>", "<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>",
               "<|start_header_id|>assistant<|end_header_id|>\n\n{}<|eot_id|>",
               "<|start_header_id|>assistant<|end_header_id|>\n\n"),
}  # fmt: skip
TURNS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=5)


@given(st.sampled_from(sorted(WRITTEN)), TURNS, st.booleans())
def test_a_template_renders_what_the_published_results_were_trained_with(name, turns, ask):
    """A space more or less would change every result."""
    start, *around, end = WRITTEN[name]
    template = (Path(weights.__file__).parent / "templates" / f"{name}.jinja").read_text()
    messages = [{"role": "assistant" if i % 2 else "user", "content": turn} for i, turn in enumerate(turns)]
    text = tokenizer().apply_chat_template(messages, chat_template=template, tokenize=False, add_generation_prompt=ask)
    assert text == start + "".join(around[i % 2].format(turn) for i, turn in enumerate(turns)) + end * ask


@pytest.mark.parametrize("tokens", ["", "<|im_start|>", "<|im_start|> <think>", "<|start_header_id|>"])
def test_the_template_is_that_of_the_family(tokens):
    says = tokens.split(" ")[-1] or "its own"
    asked = types.SimpleNamespace(chat_template="its own", get_vocab=lambda: dict.fromkeys(tokens.split(), 0))
    weights.set_template(asked)
    assert says in asked.chat_template


def test_adapters_go_on_every_linear_layer_and_follow_the_seed_and_without_them_every_weight_is_float32():
    def adapters(seed):
        made = models.make_trainable(load_tiny()[0], 4, seed)
        return {name: p.detach().clone() for name, p in made.named_parameters() if p.requires_grad}

    one, same, other = adapters(0), adapters(0), adapters(1)
    assert len(one) == 2 * 7 * 2  # two layers, seven projections, A and B
    assert all((one[name] == same[name]).all() for name in one)
    assert any((one[name] != other[name]).any() for name in one)
    whole = models.make_trainable(load_tiny()[0].bfloat16(), 0, 0)
    assert {(p.requires_grad, str(p.dtype)) for p in whole.parameters()} == {(True, "torch.float32")}


@pytest.mark.parametrize(
    "name", ["smollm3", "/nowhere/model", "./nowhere", "a/b/c", "~nosuchuser/x", "a/b.gguf", "a/b:c", "b:c.gguf"]
)
def test_a_model_that_is_not_there_is_named(name):
    for refuse in (weights.resolve, weights.check, weights.check_hub):
        with pytest.raises(UserError, match=f"^no model '{name}': known are smollm2-135m, qwen.*, tiny, a local"):
            refuse(name)


@pytest.fixture
def folder(tmp_path, tiny):
    """The folder of a saved model."""
    for part in tiny:
        part.save_pretrained(tmp_path / "mine")
    return tmp_path / "mine"


def test_a_local_folder_is_a_model_and_so_is_a_hub_id_that_can_pin_its_revision(folder, monkeypatch):
    assert models.load(str(folder), 256)[0].config.num_hidden_layers == 2
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    for name in (str(folder), "./mine", "~/mine"):
        assert weights.resolve(name) == (str(folder), None) and len(weights.sha256(name)) == 64
        weights.check_hub(name)
    weights.check_hub("tiny")
    for name, pinned in (("owner/name@abc123", ("owner/name", "abc123")), ("owner/name", ("owner/name", None))):
        assert weights.resolve(name) == pinned and weights.sha256(name) is None


@pytest.mark.parametrize(
    ("file", "spoil", "says"),
    [
        ("config.json", Path.unlink, "is a folder without a config.json: give the folder of a saved model"),
        ("config.json", lambda path: path.write_text('{"model_type": "llama"'), "save the model again"),
        ("config.json", lambda path: path.write_text('{"model_type": "no such model"}'), "cannot be loaded from"),
        ("tokenizer.json", lambda path: path.write_text('{"version": "1.0"'), "cannot be loaded from"),
        ("model.safetensors", cut, "cannot be loaded from"),
        ("model.safetensors", Path.unlink, "cannot be loaded from"),
    ],
)
def test_a_damaged_model_folder_is_named_in_one_line(file, spoil, says, folder):
    spoil(folder / file)
    with pytest.raises(UserError, match=f"{folder}.*") as error:
        models.load(str(folder), 256)
    assert says in str(error.value) and "\n" not in str(error.value)
    if file == "tokenizer.json":
        with pytest.raises(UserError, match=f"the tokenizer of model .* cannot be read from {folder}"):
            weights.tokenizer(str(folder))


@pytest.mark.parametrize("name", ["no-such-owner/no-such-model", "a b/c"])
def test_a_hub_model_that_cannot_be_had_is_named(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=f"model '{name}' cannot be had from the hub"):
        weights.check_hub(name)
