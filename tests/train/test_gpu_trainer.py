"""TRL's SFTTrainer as Unsloth rewrites it on a GPU, here on the CPU: docs/gpu-audit.md says what is guarded."""

import subprocess

from helpers import python

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
