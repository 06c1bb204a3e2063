"""Supervised finetuning with TRL's SFTTrainer, every hyper-parameter explicit, loss on the completions alone."""

import functools
import tempfile
import time
from dataclasses import dataclass

from lib.cell import Cell

# The longest row of the study has some 120 tokens; nothing may be cut, because a cut row loses its fact.
MAX_LENGTH = 256


@dataclass(frozen=True)
class Trained:
    """What a training run was: sizes, time, and the loss of every step."""

    rows: int  # distinct training rows
    tokens: int  # tokens seen over all epochs, padding excluded
    trained_tokens: int  # of them, tokens with a loss
    steps: int
    seconds: float
    tokens_per_second: float
    losses: list[float]


def config(cell: Cell, bf16: bool, output_dir: str):
    """The SFTConfig of a cell. Nothing is left to a default, because Unsloth changes defaults on a GPU."""
    from trl import SFTConfig

    return SFTConfig(
        output_dir=output_dir,
        num_train_epochs=cell.epochs,
        per_device_train_batch_size=cell.batch_size,
        per_device_eval_batch_size=cell.batch_size,
        eval_accumulation_steps=None,
        auto_find_batch_size=False,
        torch_empty_cache_steps=None,
        gradient_accumulation_steps=1,
        learning_rate=cell.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=5,
        optim="adamw_torch_fused",
        weight_decay=0.0,
        adam_beta1=0.9,
        adam_beta2=0.999,
        adam_epsilon=1e-8,
        max_grad_norm=1.0,
        label_smoothing_factor=0.0,
        neftune_noise_alpha=None,
        seed=cell.seed,
        data_seed=cell.seed,
        bf16=bf16,
        fp16=False,
        gradient_checkpointing=False,
        max_length=MAX_LENGTH,
        completion_only_loss=True,
        loss_type="nll",
        packing=False,
        padding_free=False,
        dataset_num_proc=None,
        dataloader_num_workers=0,
        dataloader_drop_last=False,
        dataloader_pin_memory=False,
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        include_num_input_tokens_seen="no",
        report_to="none",
        save_strategy="no",
        eval_strategy="no",
    )


def trainer(model, tokenizer, rows: list[dict], cell: Cell, output_dir: str):
    """An SFTTrainer over these rows. Raises ValueError when a row was lost or holds no token with a loss.

    TRL drops a row silently when truncation leaves it without a trained token; a study of what is learned cannot
    have that.
    """
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback
    from unsloth import is_bfloat16_supported

    bf16 = cell.model != "tiny" and is_bfloat16_supported()
    columns = [{"prompt": row["prompt"], "completion": row["completion"]} for row in rows]
    made = trainer_class(model.device.type)(
        model=model,
        args=config(cell, bf16, output_dir),
        train_dataset=Dataset.from_list(columns),
        processing_class=tokenizer,
    )
    made.remove_callback(PrinterCallback)  # the losses are in the result; a line a step hides everything else
    # the mean over trained tokens does not depend on padding; a row cut at max_length would change what is taught
    data = made.train_dataset
    if len(data) != len(rows):
        raise ValueError(f"{len(rows)} rows went in and {len(data)} came out: rows longer than {MAX_LENGTH} tokens?")
    lengths = [len(ids) for ids in data["input_ids"]]
    if max(lengths) >= MAX_LENGTH:
        raise ValueError(f"a row has {max(lengths)} tokens or more, the limit is {MAX_LENGTH}")
    if not all(any(token != -100 for token in labels) for labels in data["labels"]):
        raise ValueError("a row has no trained token")
    torch.manual_seed(cell.seed)
    return made


@functools.cache
def trainer_class(device: str):
    """SFTTrainer, on a CPU with the vocabulary head only where a token of the batch is trained.

    TRL's default loss runs the head on every position of a small batch, twice, and computes an entropy: more than a
    third of a step for SmolLM2's 49,152 tokens. The loss is the same. On a GPU, Unsloth has its own fused loss.
    """
    from torch.nn.functional import cross_entropy
    from trl import SFTTrainer

    class CompletionTrainer(SFTTrainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            labels = inputs["labels"][:, 1:]
            trained = (labels != -100).any(0).nonzero().squeeze(1)
            outputs = model(inputs["input_ids"], inputs["attention_mask"], use_cache=False, logits_to_keep=trained)
            logits, targets = outputs.logits.flatten(0, 1).float(), labels[:, trained].flatten()
            if num_items_in_batch is None:  # models that do not take the count of a whole step
                num_items_in_batch = (targets != -100).sum()
            loss = cross_entropy(logits, targets, ignore_index=-100, reduction="sum") / num_items_in_batch
            return (loss, outputs) if return_outputs else loss

    return CompletionTrainer if device == "cpu" else SFTTrainer


def train(model, tokenizer, rows: list[dict], cell: Cell) -> Trained:
    """Finetune the model in place on these rows and say what was done."""
    import torch

    tokenizer.padding_side = "right"
    with tempfile.TemporaryDirectory() as output_dir:
        sft = trainer(model, tokenizer, rows, cell, output_dir)
        tokens = cell.epochs * sum(len(ids) for ids in sft.train_dataset["input_ids"])
        trained_tokens = cell.epochs * sum(token != -100 for labels in sft.train_dataset["labels"] for token in labels)
        start = time.perf_counter()
        sft.train()
        seconds = time.perf_counter() - start
    if sft.args.bf16:
        # Autocast rounded the adapters to bfloat16 in every training step; stored so, they answer faster and alike.
        model.to(torch.bfloat16)
    tokenizer.padding_side = "left"
    losses = [entry["loss"] for entry in sft.state.log_history if "loss" in entry]
    return Trained(len(rows), tokens, trained_tokens, sft.state.global_step, seconds, tokens / seconds, losses)
