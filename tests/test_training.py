import importlib.util
import inspect
import itertools
import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import torch
from conftest import load_tiny, make_cell
from hypothesis import given
from hypothesis import strategies as st

from lib import asking, experiment, models, training
from lib.facts import draw
from lib.formats import rows
from lib.paths import ROOT


def train_tiny(cell, made=None):
    model, tokenizer = load_tiny()
    model = models.make_trainable(model, cell.lora_rank, cell.seed, training.MAX_LENGTH)
    facts = draw(cell.entity, cell.info, cell.n_facts, cell.seed)
    made = made or rows(facts, cell.format, cell.paraphrases, cell.seed)
    return model, tokenizer, training.train(model, tokenizer, made, cell, cell.epochs)


@pytest.fixture
def tiny_trainer(tmp_path):
    def make(cell, made):
        model, tokenizer = load_tiny()
        model = models.make_trainable(model, cell.lora_rank, cell.seed, training.MAX_LENGTH)
        return tokenizer, training.trainer(model, tokenizer, made, cell, cell.epochs, str(tmp_path))

    return make


@pytest.mark.parametrize("format", ["article", "qa", "chat"])
def test_the_loss_covers_the_completion_and_its_end_and_nothing_else(format, tiny_trainer):
    cell = make_cell(format=format)
    made = rows(draw(cell.entity, cell.info, cell.n_facts, cell.seed), format, cell.paraphrases, cell.seed)
    tokenizer, sft = tiny_trainer(cell, made)
    assert len(sft.train_dataset) == len(made) == cell.n_facts * cell.paraphrases
    for row, data in zip(made, sft.train_dataset, strict=True):
        trained = [token for token in data["labels"] if token != -100]
        assert tokenizer.decode(trained) == row["completion"][0]["content"] + "<|im_end|>\n"
        read = tokenizer.decode(
            [i for i, label in zip(data["input_ids"], data["labels"], strict=True) if label == -100]
        )
        assert read.startswith("<|im_start|>user\n" + row["prompt"][0]["content"])
        assert all(message["content"] in read for message in row["prompt"])
        assert read.endswith("<|im_start|>assistant\n")


def test_a_row_that_would_be_cut_is_refused(tiny_trainer):
    cell = make_cell()
    made = rows(draw(cell.entity, cell.info, 1, 0), "qa", 1, 0)
    made[0]["completion"][0]["content"] = "far too long " * training.MAX_LENGTH
    with pytest.raises(ValueError, match="limit is 256"):
        tiny_trainer(cell, made)


@given(
    lengths=st.lists(st.integers(1, 200), min_size=1, max_size=60), batch_size=st.integers(1, 9), seed=st.integers(0, 9)
)
def test_every_epoch_has_every_row_once_in_batches_of_like_length(lengths, batch_size, seed):
    sampler = training.LikeLengths(lengths, batch_size, seed)
    for _ in range(2):
        order = list(sampler)
        assert sorted(order) == list(range(len(lengths))) and len(order) == len(sampler)
        whole = len(order) // batch_size * batch_size  # what does not fill a batch comes last
        batches = [[lengths[i] for i in order[at : at + batch_size]] for at in range(0, whole, batch_size)]
        for one, other in itertools.combinations(batches, 2):  # blurred by at most 5 %
            low, high = sorted((one, other), key=max)
            assert max(low) <= 1.05 * min(high) or max(high) <= 1.05 * min(low)


def test_batches_come_in_another_order_in_every_epoch_and_for_every_seed():
    orders = [tuple(training.LikeLengths(range(20, 60), 4, seed)) for seed in range(5)]
    sampler = training.LikeLengths(range(20, 60), 4, 0)
    assert tuple(sampler) == orders[0]
    assert len({*orders, tuple(sampler)}) == 6


def test_steps_and_exposures_follow_from_the_cell():
    cell = make_cell(epochs=3)
    _, _, trained = train_tiny(cell)
    assert trained.rows == 6
    assert trained.steps == len(trained.losses) == 3 * 2  # six rows in batches of four
    assert 0 < trained.trained_tokens < trained.tokens


def test_training_lowers_the_loss_and_moves_only_the_adapters():
    cell = make_cell(epochs=40, learning_rate=0.02)
    base, _ = load_tiny()
    model, _, trained = train_tiny(cell)
    assert trained.losses[-1] < trained.losses[0] - 0.3
    tuned = dict(model.named_parameters())
    for name, weight in base.named_parameters():
        inner = f"base_model.model.{name}"
        inner = inner if inner in tuned else inner.replace(".weight", ".base_layer.weight")
        assert (tuned[inner] == weight).all(), name


def test_checkpoints_do_not_disturb_the_training():
    plain = train_tiny(make_cell(epochs=4))[2]
    model, tokenizer = load_tiny()
    cell = make_cell(epochs=4, checkpoints=3)
    model = models.make_trainable(model, cell.lora_rank, cell.seed, training.MAX_LENGTH)
    facts = draw(cell.entity, cell.info, cell.n_facts, cell.seed)
    made = rows(facts, cell.format, cell.paraphrases, cell.seed)
    trained = training.train(
        model, tokenizer, made, cell, cell.epochs, lambda: experiment.checkpoint(model, tokenizer, cell, facts)
    )
    assert trained.losses == plain.losses
    assert [point["step"] for point in trained.curve] == [2, 4, 6]  # of eight
    assert [point["exposures"] for point in trained.curve] == [2, 4, 6]
    assert {item["eval"] for item in trained.curve[0]["items"]} == {"recall", "qa", "cloze"}
    assert plain.curve == []
    assert model.training


def test_a_rank_of_zero_trains_every_weight_and_moves_it():
    cell = make_cell(epochs=5, lora_rank=0, learning_rate=0.01)
    base, _ = load_tiny()
    model, _, trained = train_tiny(cell)
    assert trained.losses[-1] < trained.losses[0]
    for (name, before), (other, after) in zip(base.named_parameters(), model.named_parameters(), strict=True):
        assert name == other
        assert (before != after).any(), name


def test_questions_of_a_token_budget_see_as_many_tokens_as_articles():
    articles = train_tiny(make_cell(format="article", epochs=4))[2]
    model, tokenizer = load_tiny()
    cell = make_cell(epochs=4, budget="tokens")
    facts = draw(cell.entity, cell.info, cell.n_facts, cell.seed)
    made = rows(facts, "qa", cell.paraphrases, cell.seed)
    epochs = experiment.epochs(cell, tokenizer, facts, made)
    assert epochs > 4
    model = models.make_trainable(model, cell.lora_rank, cell.seed, training.MAX_LENGTH)
    trained = training.train(model, tokenizer, made, cell, epochs)
    assert trained.tokens == pytest.approx(articles.tokens, rel=1e-3)
    assert trained.steps == pytest.approx(epochs * 2, abs=1)  # two steps an epoch
    assert trained.epochs == epochs


def test_tokens_are_counted_as_the_trainer_counts_them(tiny_trainer):
    cell = make_cell(format="chat")
    made = rows(draw(cell.entity, cell.info, cell.n_facts, cell.seed), "chat", cell.paraphrases, cell.seed)
    tokenizer, sft = tiny_trainer(cell, made)
    assert training.count_tokens(tokenizer, made) == sum(len(ids) for ids in sft.train_dataset["input_ids"])


def test_two_runs_give_identical_losses():
    cell = make_cell(epochs=3, format="article")
    assert train_tiny(cell)[2].losses == train_tiny(cell)[2].losses


def test_every_default_that_unsloth_replaces_on_a_gpu_is_passed_explicitly():
    from trl import SFTConfig

    source = (Path(importlib.util.find_spec("unsloth").origin).parent / "models" / "rl.py").read_text()
    table = source[source.index('"output_dir": None,') :]
    replaced = set(re.findall(r'^\s+"(\w+)":', table[: table.index("\n    }\n")], re.MULTILINE))
    replaced &= {field.name for field in fields(SFTConfig)}
    assert {"seed", "learning_rate", "optim", "weight_decay", "gradient_accumulation_steps"} <= replaced
    passed = set(re.findall(r"^        (\w+)=", inspect.getsource(training.config), re.MULTILINE))
    assert replaced - passed == set()


def test_compiled_layers_give_the_losses_of_eager_ones_and_answers_are_given_without_them(monkeypatch):
    cell = make_cell(epochs=2)
    eager = train_tiny(cell)[2]
    assert not eager.compiled
    make_trainable, done = models.make_trainable, []

    def compiled(*arguments):
        model = make_trainable(*arguments)
        done.append(training.compile_layers(model))
        return model

    monkeypatch.setattr(models, "make_trainable", compiled)
    torch._dynamo.reset()
    model, tokenizer, trained = train_tiny(cell)
    assert done == [True]
    frames = torch._dynamo.utils.counters["frames"]["ok"]
    assert frames == 1, "one graph for every layer and length"
    assert trained.losses == pytest.approx(eager.losses, rel=1e-5)
    asking.generate(model.eval(), tokenizer, [[1, 2, 3], [4, 5, 6, 7, 8]], max_new_tokens=3)
    assert torch._dynamo.utils.counters["frames"]["ok"] == frames


def test_without_a_compiler_training_goes_on_uncompiled(monkeypatch):
    from torch._inductor.exc import InvalidCxxCompiler

    def missing(*_):
        raise InvalidCxxCompiler

    monkeypatch.setattr("torch._inductor.cpp_builder.get_cpp_compiler", missing)
    assert training.compile_layers(load_tiny()[0]) is False


WARMED = """
import os, subprocess, torch
from lib import training
training.warm_compiler()
for _ in range(2):  # the first fills the compiler's cache on disk
    if os.fork() == 0:
        run, started = subprocess.Popen, []
        subprocess.Popen = lambda *args, **options: started.append(args) or run(*args, **options)
        torch.compile(lambda x: x.cos() + 2)(torch.ones(8))
        print(len(started), flush=True)
        os._exit(0)
    os.wait()
"""


def test_forks_of_a_warmed_process_load_what_is_compiled_without_running_the_compiler():
    ran = subprocess.run(
        [sys.executable, "-c", WARMED], capture_output=True, text=True, check=True, timeout=300,
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ran.stdout.split()[-1] == "0"


def test_a_broken_compiler_does_not_keep_cells_from_being_forked():
    subprocess.run(
        [sys.executable, "-c", "import lib.preload"], check=True, timeout=300,
        cwd=ROOT, env={**os.environ, "CXX": "/bin/false"},
    )  # fmt: skip


PLAIN = """
import json, sys, tempfile, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from trl import SFTTrainer
from lib.cell import Cell
from lib.training import LikeLengths, config
job = json.load(sys.stdin)
model = AutoModelForCausalLM.from_pretrained(job["path"], dtype=torch.float32, attn_implementation="eager")
tokenizer = AutoTokenizer.from_pretrained(job["path"])
torch.manual_seed(job["seed"])
model = get_peft_model(model, LoraConfig(r=job["rank"], lora_alpha=job["rank"], lora_dropout=0.0, bias="none",
    target_modules=job["modules"], task_type="CAUSAL_LM"))
for name, weight in model.named_parameters():
    if name in job["adapters"]:
        weight.data = torch.tensor(job["adapters"][name])
arguments = config(Cell(**job["cell"]), job["cell"]["epochs"], False, tempfile.mkdtemp())
data = Dataset.from_list(job["rows"])
trainer = SFTTrainer(model=model, args=arguments, train_dataset=data, processing_class=tokenizer)
lengths = [len(ids) for ids in trainer.train_dataset["input_ids"]]
trainer._get_train_sampler = lambda *_: LikeLengths(lengths, arguments.train_batch_size, job["seed"])
torch.manual_seed(job["seed"])
assert "unsloth" not in sys.modules
trainer.train()
print(json.dumps([entry["loss"] for entry in trainer.state.log_history if "loss" in entry]))
"""


def test_unsloth_and_plain_trl_with_peft_give_the_same_losses(tiny_trainer):
    cell = make_cell(epochs=2)
    made = [
        {"prompt": row["prompt"], "completion": row["completion"]}
        for row in rows(draw(cell.entity, cell.info, cell.n_facts, cell.seed), cell.format, cell.paraphrases, cell.seed)
    ]
    _, sft = tiny_trainer(cell, made)
    job = {
        "path": models.resolve("tiny")[0],
        "seed": cell.seed,
        "rank": cell.lora_rank,
        "modules": models.TARGET_MODULES,
        "rows": made,
        "adapters": {n: p.tolist() for n, p in sft.model.named_parameters() if p.requires_grad},
        "cell": asdict(cell),
    }
    plain = subprocess.run(
        [sys.executable, "-c", PLAIN], input=json.dumps(job), capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    assert plain.returncode == 0, plain.stderr[-3000:]
    ours = train_tiny(cell, made)[2].losses
    assert json.loads(plain.stdout.splitlines()[-1]) == pytest.approx(ours, rel=1e-5)
