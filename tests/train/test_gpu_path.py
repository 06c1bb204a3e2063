"""What of the GPU path can be run where there is no GPU: docs/internals/gpu-audit.md says what each test guards."""

import ast
import importlib.util
import subprocess
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from helpers import all_questions, python, tokenizer

from lib.cell import ROOM
from lib.data import encode
from lib.evaluate import ask
from lib.paths import UserError
from lib.train import models

UNSLOTH = Path(importlib.util.find_spec("unsloth").origin).parent / "models"

RUNNER = """
import sys
import lib.__main__
from lib.study import grid, plan, progress, ray, run
from lib.report import pages
from lib.user_facts import study
cells = list(grid.load_grid("quick"))
plan.check(cells[:2])
assert not {"torch", "transformers", "unsloth", "trl", "peft"} & set(sys.modules)
plan.costs(cells[:1])  # of transformers, the tokenizer: it imports torch
assert not sys.modules["torch"].cuda.is_initialized()
assert not {"unsloth", "trl", "peft"} & set(sys.modules)
"""


def test_what_plans_runs_and_draws_studies_needs_no_torch():
    """It would cost every command seconds, and a fork of a process that has started CUDA cannot use it."""
    ended = subprocess.run(python(RUNNER), capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-3000:]


def definition(file, *names):
    """A function or method in Unsloth's source, which is read: it cannot be imported without a GPU."""
    node = ast.parse((UNSLOTH / file).read_text())
    for name in names:
        node = next(n for n in ast.walk(node) if isinstance(n, (ast.ClassDef, ast.FunctionDef)) and n.name == name)
    return node


def takes(file, *names, told):
    """Whether a function has each of these keywords: in **kwargs one that was renamed would be lost without a word."""
    arguments = definition(file, *names).args
    return len(told) >= 5 and set(told) <= {argument.arg for argument in arguments.args + arguments.kwonlyargs}


@pytest.fixture
def unsloth(monkeypatch):
    """A stand-in for Unsloth that keeps what it is told, and has no model."""
    made = Mock()
    made.FastLanguageModel.from_pretrained.side_effect = ValueError("no such model")
    made.is_bfloat16_supported.return_value = False
    monkeypatch.setattr(models, "unsloth", made)
    return made.FastLanguageModel


@pytest.mark.parametrize(("on_gpu", "every_weight"), [(True, True), (True, False), (False, True), (False, False)])
def test_training_every_weight_on_a_gpu_asks_for_float32_weights_and_autocast(
    on_gpu, every_weight, unsloth, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: on_gpu)
    with pytest.raises(UserError, match="cannot be loaded from .*: no such model"):
        models.load("tiny", every_weight)
    told = unsloth.from_pretrained.call_args.kwargs
    assert told.get("float32_mixed_precision", False) == (on_gpu and every_weight)
    assert told.get("attn_implementation") == (None if on_gpu else "eager")
    assert not on_gpu or takes("loader.py", "FastLanguageModel", "from_pretrained", told=told)


def test_unsloth_on_a_gpu_has_every_keyword_that_adapters_are_asked_with(unsloth):
    models.make_trainable(None, 4, 0)
    assert takes("llama.py", "FastLlamaModel", "get_peft_model", told=unsloth.get_peft_model.call_args.kwargs)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), MemoryError(),
              RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)  # fmt: skip
def test_a_model_without_memory_for_it_is_told_from_a_wrong_name(error, unsloth):
    unsloth.from_pretrained.side_effect = error
    with pytest.raises(UserError, match="does not fit into memory: .*docs/gpu.md") as said:
        models.load("tiny")
    assert "hub id" not in str(said.value)


def test_the_families_of_the_gpu_grid_have_kernels_and_a_forward_that_takes_what_asking_passes():
    """And logits where none are trained: it returns an empty placeholder only beside a loss."""
    assert (UNSLOTH / "qwen3.py").exists()
    passed = {"input_ids", "attention_mask", "position_ids", "use_cache", "logits_to_keep"}
    assert takes("llama.py", "_CausalLM_fast_forward", told=passed)
    source = ast.unparse(definition("llama.py", "_CausalLM_fast_forward"))
    assert "if not RETURN_LOGITS and labels is not None:" in source
    assert source.index("elif num_logits_to_keep != 0:") < source.index("RETURN_LOGITS = ")


def test_unsloth_reads_the_variables_that_are_set_for_it_and_a_users_stay(monkeypatch):
    packages = [UNSLOTH.parent, Path(importlib.util.find_spec("unsloth_zoo").origin).parent]
    source = "".join(path.read_text() for package in packages for path in package.rglob("*.py"))
    for name in ("UNSLOTH_DATASET_NUM_PROC", "UNSLOTH_BLOCK_COMPILE", "UNSLOTH_COMPILE_LOCATION"):
        assert name in source
        monkeypatch.delenv(name, raising=False)
        models.set_unsloth_up()
        assert models.os.environ[name]
        monkeypatch.setenv(name, "mine")
        models.set_unsloth_up()
        assert models.os.environ[name] == "mine"


def test_a_cell_sees_one_gpu_because_the_trainer_would_spread_a_batch_over_several(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    models.set_unsloth_up()
    assert models.os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    for given, seen in (("", ""), ("3", "3"), ("2,1", "2"), ("GPU-5e,GPU-7f", "GPU-5e")):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        models.set_unsloth_up()
        assert models.os.environ["CUDA_VISIBLE_DEVICES"] == seen


def test_every_prompt_fits_with_room_to_spare_where_unsloth_would_cut_it(unsloth):
    """Unsloth cuts what is longer than it is told without an error. Other tokenizers take at most twice the tokens."""
    with pytest.raises(UserError):
        models.load("tiny")
    asked = [*all_questions("fictional", 16), *all_questions("real", 16), *all_questions("persona", 16)]
    longest = 0
    for question in asked:
        options = [len(tokenizer()(f" {option}")["input_ids"]) for option in question.fact.options]
        room = max([ask._room(tokenizer(), question, ROOM), *options])
        longest = max(longest, len(encode.prompt_ids(tokenizer(), question.turns, question.prefix)) + room)
    assert 500 < longest < unsloth.from_pretrained.call_args.kwargs["max_seq_length"] / 2


def test_tests_see_no_gpu():
    assert models.os.environ["CUDA_VISIBLE_DEVICES"] == "" and not torch.cuda.is_available()


# A process in which Unsloth believes in a GPU, has rewritten TRL's SFTTrainer for it, and trains on the CPU: the model
# is transformers' own, because Unsloth's forward is made of GPU kernels.
AS_ON_A_GPU = """
import os, tempfile
os.environ["UNSLOTH_ALLOW_CPU"] = "1"  # its own switch for tests: every branch is that of CUDA
from lib.train import models
import trl
del os.environ["UNSLOTH_ALLOW_CPU"]  # it keeps TRL from being rewritten, which is what is tested
from unsloth.models import rl
from unsloth.trainer import _patch_sft_trainer_auto_packing
from unsloth_zoo.dataset_num_proc import get_dataset_num_proc
rl._patch_trl_rl_trainers("sft_trainer")
_patch_sft_trainer_auto_packing(trl)

import multiprocessing, torch
from lib.train import sft, weights
from helpers import make_cell, profiles, tokenizer
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
from lib.data import encode, of_cell
from lib.data.formats import Row

cell = make_cell(format="article", epochs=2)
facts = of_cell.training_rows(cell, profiles("fictional", 2))
replay = [Row(("Say hello.", "Hello there, and how are you today?")), Row(("The soup was", " salty but"), raw=True)]
tokenizer = tokenizer()
tokenizer.padding_side = "right"
path, _ = weights.resolve("tiny")
torch.manual_seed(0)
model = get_peft_model(AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32),
    LoraConfig(r=4, lora_alpha=4, target_modules=models.TARGET_MODULES, task_type="CAUSAL_LM"))
on_gpu, on_cpu = sft.SFTTrainer, sft.CompletionTrainer
sft.CompletionTrainer = on_gpu
asked = sft.config(cell, False, tempfile.mkdtemp())
expected = [encode.row_ids(tokenizer, row) for row in facts + replay] * 2
trainer = sft.trainer(model, tokenizer, expected, cell, tempfile.mkdtemp())
assert "Unsloth" in type(trainer).__name__, "TRL is rewritten"

for name in ("seed", "data_seed", "learning_rate", "optim", "weight_decay", "warmup_steps", "packing", "padding_free",
             "max_length", "per_device_train_batch_size", "gradient_accumulation_steps", "loss_type",
             "gradient_checkpointing", "completion_only_loss", "dataloader_num_workers", "num_train_epochs",
             "save_strategy", "eval_strategy"):
    assert getattr(trainer.args, name) == getattr(asked, name), name
assert asked.padding_free is False and asked.packing is False

rows = [{"input_ids": row["input_ids"], "labels": row["labels"]} for row in trainer.train_dataset]
assert rows == expected, "our rows and labels"
batches = list(trainer.get_train_dataloader())
trained = [row[row != -100].tolist() for batch in batches for row in batch["labels"]]
assert trained == [[token for token in row["labels"] if token != -100] for row in expected], "in our order"

batch = {key: batches[0][key] for key in ("input_ids", "attention_mask", "labels")}
count = (batch["labels"][:, 1:] != -100).sum()
one, other = (kind.compute_loss(trainer, model, dict(batch), num_items_in_batch=count) for kind in (on_gpu, on_cpu))
torch.testing.assert_close(one, other, rtol=1e-5, atol=0)

# a fork of a process that has started CUDA could not use it
assert get_dataset_num_proc(None) is None and not multiprocessing.active_children()
trainer.train()
losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
assert len(losses) == trainer.state.global_step == 3, "twelve rows by four"
assert min(losses) > 0
"""


def test_unsloths_trainer_keeps_our_rows_labels_order_arguments_and_losses():
    ended = subprocess.run(python(AS_ON_A_GPU), capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-3000:]
