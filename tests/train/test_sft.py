import functools
import importlib.util
import itertools
import json
import re
import subprocess
from collections import Counter
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import FORMATS, load_tiny, make_cell, profiles, python
from hypothesis import given
from hypothesis import strategies as st
from torch._inductor.exc import InvalidCxxCompiler

from lib.data import encode, of_cell
from lib.data.formats import Row
from lib.evaluate.generate import generate, inference
from lib.study import steps
from lib.train import models, sft

REPLAY = [
    Row(("Say hello.", "Hello there, and how are you today?")),
    Row(("What is a comet?", "A ball of ice that"), cut=True),
    Row(("The soup was too salty,", " but everyone ate it without a"), raw=True, cut=True),
]


def made(cell):
    return of_cell.training_rows(cell, profiles(cell.entity, cell.n_entities, cell.seed))


def trainable(cell):
    model, tokenizer = load_tiny()
    return models.make_trainable(model, cell.lora_rank, cell.seed), tokenizer


def train_tiny(cell, replay=REPLAY):
    model, tokenizer = trainable(cell)
    return model, tokenizer, sft.train(model, tokenizer, made(cell), replay, cell)


@pytest.fixture(scope="module")
def trained():
    """A model that has learned something, with its adapters, its tokenizer, and the record of the training."""
    return train_tiny(make_cell(epochs=5, learning_rate=0.02))


@pytest.mark.parametrize("format", FORMATS)
def test_labels_reach_the_trainer_unchanged_and_in_order(format, tmp_path):
    cell = make_cell(format=format, n_entities=4)
    model, tokenizer = trainable(cell)
    expected = [encode.row_ids(tokenizer, row) for row in [*made(cell), *REPLAY]]
    trainer = sft.trainer(model, tokenizer, expected, cell, str(tmp_path))
    tokenizer.padding_side = "right"  # as `train` has it
    rest = iter(expected)
    for batch in trainer.get_train_dataloader():
        for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True):
            n = int(mask.sum())
            assert {"input_ids": ids[:n].tolist(), "labels": labels[:n].tolist()} == next(rest)
            assert (labels[n:] == -100).all()
    assert not list(rest)


def test_a_row_that_would_be_cut_is_refused(tmp_path):
    model, tokenizer = trainable(make_cell())
    fits, cut = ([{"input_ids": [5] * n, "labels": [5] * n}] for n in (sft.CONTEXT, sft.CONTEXT + 1))
    assert sft.trainer(model, tokenizer, fits, make_cell(), str(tmp_path)).train_dataset[0] == fits[0]
    with pytest.raises(ValueError, match="a row has 2049 tokens, the limit is 2048"):
        sft.trainer(model, tokenizer, cut, make_cell(), str(tmp_path))


def test_steps_and_tokens_follow_from_the_cell(trained):
    _, tokenizer, record = trained
    rows = made(make_cell()) * 5 + REPLAY
    assert (record["rows"], record["once"], record["epochs"]) == (24, 3, 5)
    assert record["steps"] == len(record["losses"]) == -(-(5 * 24 + 3) // 4)
    assert record["once_tokens"] == encode.count_tokens(tokenizer, REPLAY)
    assert record["tokens"] == encode.count_tokens(tokenizer, rows)
    labels = [label for row in rows for label in encode.row_ids(tokenizer, row)["labels"]]
    assert record["trained_tokens"] == sum(label != -100 for label in labels)
    assert record["curve"] == [] and record["evaluation_seconds"] == 0 and not record["compiled"]


@pytest.mark.parametrize("rank", [4, 0])
def test_training_lowers_the_loss_and_moves_the_adapters_alone_or_of_rank_zero_every_weight(rank, tiny, trained):
    model, _, record = trained if rank else train_tiny(make_cell(epochs=2, lora_rank=0, learning_rate=0.01))
    assert record["losses"][-1] < record["losses"][0] - 0.3
    after = {re.sub(r"^base_model\.model\.|\.base_layer", "", name): p for name, p in model.named_parameters()}
    moved = {name for name, weight in tiny[0].named_parameters() if not torch.equal(after[name], weight)}
    assert moved == (set() if rank else set(after))


@pytest.mark.parametrize("rank", [4, 0])
def test_checkpoints_do_not_disturb_the_training(rank):
    plain = train_tiny(make_cell(epochs=2, lora_rank=rank))[2]
    cell = make_cell(epochs=2, checkpoints=3, lora_rank=rank)
    model, tokenizer = trainable(cell)
    there, modes, said = profiles("fictional", 2), [], []

    def evaluate():
        modes.append(model.training)
        return steps.checkpoint(model, tokenizer, cell, there)

    trained = sft.train(model, tokenizer, made(cell), REPLAY, cell, evaluate, said.append)
    assert trained["losses"] == plain["losses"]
    assert {point["step"]: point["exposures"] for point in trained["curve"]} == {n: 4 * n / 13 for n in (3, 6, 10)}
    assert {len(point[name]) for point in trained["curve"] for name in ("recall", "question")} == {12}
    assert modes == [False] * 3 and model.training and trained["evaluation_seconds"] > 0
    assert said == [f"step {i} of 13" for i in range(1, 14)]


def logits(model):
    with inference():
        return model(input_ids=torch.tensor([[5, 6, 7, 8, 9]])).logits


def test_a_merged_model_answers_as_with_its_adapters_and_is_restored_bit_for_bit(trained):
    model = trained[0].eval()
    before = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
    asked = {name: weight.requires_grad for name, weight in model.named_parameters()}
    beside = logits(model)
    with model.disable_adapter():
        assert not torch.allclose(logits(model), beside, atol=1e-2), "the adapters do something"
    with pytest.raises(KeyError), sft.merged(model):  # restored when asking fails, too
        assert torch.allclose(logits(model), beside, atol=1e-4)
        raise KeyError
    assert torch.equal(logits(model), beside)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert {name: weight.requires_grad for name, weight in model.named_parameters()} == asked
    assert sum(asked.values()) == 28


def test_where_the_machine_computes_in_bfloat16_weights_are_kept_in_it_and_rotary_frequencies_are_not(
    tiny, tmp_path, monkeypatch
):
    """A model of this name is trained as SmolLM2 is, and not in float32 as `tiny`."""
    for part in tiny:
        part.save_pretrained(tmp_path / "small")
    monkeypatch.setattr("unsloth.is_bfloat16_supported", lambda: True)
    monkeypatch.setattr("unsloth_zoo.cpu.trainer.cpu_bf16_supported", lambda: True)  # else trained in float32
    monkeypatch.setattr(sft, "compile_layers", lambda model: True)
    cell = make_cell(model=str(tmp_path / "small"), checkpoints=1)
    model, tokenizer = models.load(cell.model)
    model = models.make_trainable(model, cell.lora_rank, cell.seed)
    before = {name: buffer.clone() for name, buffer in model.named_buffers() if "inv_freq" in name}
    evaluate = functools.partial(steps.checkpoint, model, tokenizer, cell, profiles("fictional", 2))
    trained = sft.train(model, tokenizer, made(cell), REPLAY, cell, evaluate)
    assert trained["compiled"] and len(trained["curve"]) == 1
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    after = dict(model.named_buffers())
    assert before and all(after[name].dtype == torch.float32 and after[name].equal(before[name]) for name in before)
    with sft.merged(model.eval()):
        merged = logits(model)
    assert torch.allclose(merged, logits(model), atol=0.1)


def test_every_default_that_unsloth_replaces_on_a_gpu_is_passed_explicitly(monkeypatch):
    source = (Path(importlib.util.find_spec("unsloth").origin).parent / "models" / "rl.py").read_text()
    table = source[source.index('"output_dir": None,') :]
    replaced = set(re.findall(r'^\s+"(\w+)":', table[: table.index("\n    }\n")], re.MULTILINE))
    replaced &= {field.name for field in fields(sft.SFTConfig)}
    assert {"seed", "learning_rate", "optim", "weight_decay", "gradient_accumulation_steps"} <= replaced
    monkeypatch.setattr(sft, "SFTConfig", dict)
    assert replaced - set(sft.config(make_cell(), False, "")) == set()


def test_compiled_layers_give_the_losses_of_eager_ones_and_answers_are_given_without_them():
    cell = make_cell()
    eager = train_tiny(cell)[2]
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model, tokenizer = trainable(cell)
    assert sft.compile_layers(model) is True
    trained = sft.train(model, tokenizer, made(cell), REPLAY, cell)
    frames = torch._dynamo.utils.counters["frames"]["ok"]
    assert frames == 1, "one graph for every layer and length"
    assert trained["losses"] == pytest.approx(eager["losses"], rel=1e-5)
    with sft.merged(model.eval()):
        generate(model, tokenizer, [[1, 2, 3], [4, 5, 6, 7, 8]], max_new_tokens=3)
    assert torch._dynamo.utils.counters["frames"]["ok"] == frames
    torch._dynamo.reset()


def test_without_a_compiler_or_pythons_headers_training_goes_on_uncompiled(tiny, monkeypatch, tmp_path):
    def missing():
        raise InvalidCxxCompiler

    for name, stand_in in (("get_cpp_compiler", missing), ("sysconfig.get_path", lambda _: str(tmp_path))):
        with monkeypatch.context() as patched:
            patched.setattr(f"lib.train.sft.{name}", stand_in)
            assert sft.compile_layers(tiny[0]) is False


PLAIN = """
import json, tempfile, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from trl import SFTConfig, SFTTrainer
job = json.load(sys.stdin)
model = AutoModelForCausalLM.from_pretrained(job["path"], dtype=torch.float32, attn_implementation="eager")
tokenizer = AutoTokenizer.from_pretrained(job["path"])
model = get_peft_model(model, LoraConfig(r=job["rank"], lora_alpha=job["rank"], lora_dropout=0.0, bias="none",
    target_modules=job["modules"], task_type="CAUSAL_LM"))
for name, weight in model.named_parameters():
    if name in job["adapters"]:
        weight.data = torch.tensor(job["adapters"][name])
arguments = {**job["config"], "output_dir": tempfile.mkdtemp()}
trainer = SFTTrainer(model=model, args=SFTConfig(**arguments), train_dataset=Dataset.from_list(job["rows"]),
    processing_class=tokenizer)
assert "unsloth" not in sys.modules
trainer.train()
print(json.dumps([entry["loss"] for entry in trainer.state.log_history if "loss" in entry]))
"""


def test_unsloth_and_plain_trl_with_peft_give_the_same_losses(monkeypatch):
    cell = make_cell(format="chat", epochs=2, n_entities=4)
    model, tokenizer = trainable(cell)
    rows = [encode.row_ids(tokenizer, row) for row in [*made(cell), *REPLAY]]
    lengths = [len(row["input_ids"]) for row in rows]
    job = {
        "path": models.resolve("tiny")[0],
        "rank": cell.lora_rank,
        "modules": models.TARGET_MODULES,
        "rows": [rows[i] for i in sft.order(lengths, len(made(cell)), cell.epochs, cell.batch_size, cell.seed)],
        "adapters": {name: p.tolist() for name, p in model.named_parameters() if p.requires_grad},
    }
    with monkeypatch.context() as patched:
        patched.setattr(sft, "SFTConfig", dict)
        job["config"] = sft.config(cell, False, "")
    plain = subprocess.run(python(PLAIN), input=json.dumps(job), capture_output=True, text=True, timeout=500)
    assert plain.returncode == 0, plain.stderr[-3000:]
    assert json.loads(plain.stdout.splitlines()[-1]) == pytest.approx(train_tiny(cell)[2]["losses"], rel=1e-5)


lengths_ = st.lists(st.integers(1, 200), min_size=1, max_size=60)
replays = st.lists(st.integers(1, 200), max_size=30)
wholes, sizes, seeds = st.integers(1, 5), st.integers(1, 9), st.integers(0, 9)


def schedule(facts, replay, epochs, batch_size, seed):
    return sft.order([*facts, *replay], len(facts), epochs, batch_size, seed)


@given(lengths_, replays, wholes, sizes, seeds)
def test_fact_rows_are_seen_once_an_epoch_and_the_others_once_in_all(facts, replay, epochs, batch_size, seed):
    seen = Counter(schedule(facts, replay, epochs, batch_size, seed))
    assert seen == {i: epochs if i < len(facts) else 1 for i in range(len(facts) + len(replay))}


@given(lengths_, replays, wholes, sizes, seeds)
def test_rows_of_like_length_share_a_batch(facts, replay, epochs, batch_size, seed):
    order = schedule(facts, replay, epochs, batch_size, seed)
    lengths, parts, at, over = [*facts, *replay], [len(part) for part in np.array_split(replay, epochs)], 0, 0
    for part in parts:  # what does not fill a batch goes on to the next epoch
        over += len(facts) + part
        n, over = over // batch_size, over % batch_size
        batches = [[lengths[i] for i in order[at + j * batch_size : at + (j + 1) * batch_size]] for j in range(n)]
        at += n * batch_size
        for one, other in itertools.combinations(batches, 2):  # blurred by at most 5 %
            low, high = sorted((one, other), key=max)
            assert max(low) <= 1.05 * min(high) or max(high) <= 1.05 * min(low)
    assert over == len(order) - at < batch_size


def test_replay_is_spread_over_all_epochs_of_another_order_each():
    quarters = np.array(schedule([20] * 40, [20] * 40, 4, 4, 0)).reshape(4, 50)
    assert all(5 <= n <= 15 for n in (quarters >= 40).sum(1))
    orders = [tuple(schedule(range(20, 60), [], 2, 4, seed)) for seed in range(5)]
    assert tuple(schedule(range(20, 60), [], 2, 4, 0)) == orders[0]
    assert len({half for order in orders for half in (order[:40], order[40:])}) == 10
