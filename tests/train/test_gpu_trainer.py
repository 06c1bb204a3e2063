"""TRL's SFTTrainer as Unsloth rewrites it on a GPU, here on the CPU: docs/gpu-audit.md says what each test guards."""

import json
import subprocess

import pytest
from helpers import python

# A process in which Unsloth believes in a GPU, has rewritten TRL's SFTTrainer for it, and trains on the CPU: the model
# is transformers' own, because Unsloth's forward is made of GPU kernels.
AS_ON_A_GPU = """
import json, os, tempfile
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
path, _ = weights.resolve("tiny")
torch.manual_seed(0)
model = get_peft_model(AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32),
    LoraConfig(r=4, lora_alpha=4, target_modules=models.TARGET_MODULES, task_type="CAUSAL_LM"))
on_gpu, on_cpu = sft.SFTTrainer, sft.CompletionTrainer
sft.CompletionTrainer = on_gpu
plain = sft.config
def config(*given):
    made = plain(*given)
    asked.update({name: getattr(made, name) for name in WATCHED})
    return made
WATCHED = ("seed", "data_seed", "learning_rate", "optim", "weight_decay", "warmup_steps", "packing", "padding_free",
    "max_length", "per_device_train_batch_size", "gradient_accumulation_steps", "loss_type", "gradient_checkpointing",
    "completion_only_loss", "dataloader_num_workers", "num_train_epochs", "save_strategy", "eval_strategy")
asked = {}
sft.config = config
tokenizer.padding_side = "right"
expected = [encode.row_ids(tokenizer, row) for row in facts + replay] * 2
trainer = sft.trainer(model, tokenizer, expected, cell, tempfile.mkdtemp())
batches = list(trainer.get_train_dataloader())
batch, trained = batches[0], [row[row != -100].tolist() for part in batches for row in part["labels"]]
given = {key: batch[key] for key in ("input_ids", "attention_mask", "labels")}
count = (given["labels"][:, 1:] != -100).sum()
losses = [of.compute_loss(trainer, model, dict(given), num_items_in_batch=count).item() for of in (on_gpu, on_cpu)]
children = len(multiprocessing.active_children())
trainer.train()
print(json.dumps({
    "rewritten": "Unsloth" in type(trainer).__name__, "asked": asked, "losses": losses,
    "got": {name: getattr(trainer.args, name) for name in WATCHED}, "children": children,
    "workers": get_dataset_num_proc(None),
    "rows": [{"input_ids": row["input_ids"], "labels": row["labels"]} for row in trainer.train_dataset] == expected,
    "order": trained == [[token for token in row["labels"] if token != -100] for row in expected],
    "steps": trainer.state.global_step,
    "logged": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
}))
"""


@pytest.fixture(scope="module")
def as_on_a_gpu():
    """What a training with Unsloth's rewritten trainer did, in a process of its own."""
    ended = subprocess.run(python(AS_ON_A_GPU), capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.splitlines()[-1])


def test_unsloths_trainer_keeps_our_rows_labels_order_and_arguments(as_on_a_gpu):
    assert as_on_a_gpu["rewritten"]
    assert as_on_a_gpu["rows"] and as_on_a_gpu["order"]
    assert as_on_a_gpu["got"] == as_on_a_gpu["asked"]
    assert as_on_a_gpu["asked"]["padding_free"] is False and as_on_a_gpu["asked"]["packing"] is False


def test_unsloths_trainer_has_the_losses_of_the_cpu_path(as_on_a_gpu):
    on_gpu, on_cpu = as_on_a_gpu["losses"]
    assert on_gpu == pytest.approx(on_cpu, rel=1e-5)
    assert len(as_on_a_gpu["logged"]) == as_on_a_gpu["steps"] == 3  # of twelve rows by four
    assert all(loss > 0 for loss in as_on_a_gpu["logged"])


def test_rows_are_prepared_in_this_process_because_a_fork_of_it_could_not_use_the_gpu(as_on_a_gpu):
    assert as_on_a_gpu["workers"] is None and as_on_a_gpu["children"] == 0
