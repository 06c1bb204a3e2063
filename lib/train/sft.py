"""Supervised finetuning with TRL's SFTTrainer, every hyper-parameter explicit, loss on the completions alone."""

import functools
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lib.data.encode import MAX_LENGTH, row_ids
from lib.data.formats import Row
from lib.train.schedule import Schedule


class Recipe(Protocol):
    """What training needs to know of a cell."""

    model: str
    paraphrases: int
    learning_rate: float
    batch_size: int
    checkpoints: int
    seed: int


@dataclass(frozen=True)
class Trained:
    """What a training run was: sizes, time, and the loss of every step."""

    rows: int  # distinct training rows about facts
    replay: int  # rows of replay, each seen once
    epochs: float  # times each row about facts was seen
    tokens: int  # tokens seen over all epochs, padding excluded; of a part of an epoch, the part of its tokens
    trained_tokens: int  # of them, tokens with a loss
    replay_tokens: int  # of them, tokens of replay
    steps: int
    seconds: float  # without the evaluations at checkpoints
    evaluation_seconds: float  # of the evaluations at checkpoints
    tokens_per_second: float
    losses: list[float]
    compiled: bool  # were the decoder layers compiled?
    curve: list[dict]  # of each checkpoint: step, exposures of a fact so far, and what `evaluate` returned


def config(cell: Recipe, bf16: bool, output_dir: str):
    """The SFTConfig of a cell. Nothing is left to a default, because Unsloth changes defaults on a GPU.

    One epoch is all of the training: the schedule repeats the rows.
    """
    from trl import SFTConfig

    return SFTConfig(
        output_dir=output_dir, num_train_epochs=1, gradient_accumulation_steps=1, auto_find_batch_size=False,
        per_device_train_batch_size=cell.batch_size, per_device_eval_batch_size=cell.batch_size,
        eval_accumulation_steps=None, torch_empty_cache_steps=None, seed=cell.seed, data_seed=cell.seed,
        learning_rate=cell.learning_rate, lr_scheduler_type="linear", warmup_steps=5,
        optim="adamw_torch_fused", weight_decay=0.0, adam_beta1=0.9,
        adam_beta2=0.95,  # over 60 steps, 0.999 would never forget the first gradients
        adam_epsilon=1e-8, max_grad_norm=1.0, label_smoothing_factor=0.0, neftune_noise_alpha=None,
        bf16=bf16, fp16=False, gradient_checkpointing=False, loss_type="nll", completion_only_loss=True,
        max_length=MAX_LENGTH, packing=False, padding_free=False, dataset_num_proc=None, dataloader_num_workers=0,
        dataloader_drop_last=False, dataloader_pin_memory=False, logging_strategy="steps", logging_steps=1,
        logging_nan_inf_filter=False, disable_tqdm=True, include_num_input_tokens_seen="no", report_to="none",
        save_strategy="no", eval_strategy="no",
    )  # fmt: skip


def trainer(model, tokenizer, rows: Sequence[Row], replay: Sequence[Row], cell: Recipe, epochs: float, output_dir: str):
    """An SFTTrainer over these rows, already tokenized. Raises ValueError for a row that would be cut."""
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback
    from unsloth import is_bfloat16_supported

    bf16 = cell.model != "tiny" and is_bfloat16_supported()
    encoded = [row_ids(tokenizer, row) for row in (*rows, *replay)]
    lengths = [len(row["input_ids"]) for row in encoded]
    if max(lengths) >= MAX_LENGTH:
        raise ValueError(f"a row has {max(lengths)} tokens or more, the limit is {MAX_LENGTH}")
    made = trainer_class(model.device.type)(
        model=model,
        args=config(cell, bf16, output_dir),
        train_dataset=Dataset.from_list(encoded),
        processing_class=tokenizer,
    )
    made.remove_callback(PrinterCallback)  # the losses are in the result; a line a step hides everything else
    if len(made.train_dataset) != len(encoded):
        raise ValueError(f"{len(encoded)} rows went in and {len(made.train_dataset)} came out of the trainer")
    made.schedule = Schedule(lengths, len(rows), epochs, cell.batch_size, cell.seed)
    torch.manual_seed(cell.seed)
    return made


@functools.cache
def trainer_class(device: str):
    """SFTTrainer with the study's schedule, on a CPU with the vocabulary head only where a token is trained.

    TRL's default loss (`chunked_nll`) does so, too, but rounds the trained positions up to chunks of 256, computes the
    head again in the backward pass, and adds entropy and accuracy: forward and backward take a quarter longer with it
    (in float32: docs/performance.md). The loss is the same. On a GPU, Unsloth has its own fused loss.
    """
    from torch.nn.functional import cross_entropy
    from trl import SFTTrainer

    class ScheduledTrainer(SFTTrainer):
        def _get_train_sampler(self, train_dataset=None):
            return self.schedule

    class CompletionTrainer(ScheduledTrainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            labels = inputs["labels"][:, 1:]
            trained = (labels != -100).any(0).nonzero().squeeze(1)
            outputs = model(inputs["input_ids"], inputs["attention_mask"], use_cache=False, logits_to_keep=trained)
            logits, targets = outputs.logits.flatten(0, 1).float(), labels[:, trained].flatten()
            if num_items_in_batch is None:  # models that do not take the count of a whole step
                num_items_in_batch = (targets != -100).sum()
            loss = cross_entropy(logits, targets, ignore_index=-100, reduction="sum") / num_items_in_batch
            return (loss, outputs) if return_outputs else loss

    return CompletionTrainer if device == "cpu" else ScheduledTrainer


def train(
    model,
    tokenizer,
    rows: Sequence[Row],
    replay: Sequence[Row],
    cell: Recipe,
    epochs: float,
    evaluate: Callable[[], dict] | None = None,
    report: Callable[[str], None] = lambda stage: None,
) -> Trained:
    """Finetune the model in place on these rows and say what was done.

    At the cell's checkpoints, evenly spaced over the steps, `evaluate` is called and what it returns becomes a point
    of the curve. It must draw no random numbers: the training goes on as if it had not been interrupted. `report` is
    told the stage ("step 20 of 180").
    """
    import torch

    tokenizer.padding_side = "right"
    with tempfile.TemporaryDirectory() as output_dir:
        sft = trainer(model, tokenizer, rows, replay, cell, epochs, output_dir)
        lengths, labels = list(map(len, sft.train_dataset["input_ids"])), sft.train_dataset["labels"]
        trained = [sum(token != -100 for token in of_row) for of_row in labels]
        n = len(rows)
        watch = curve_callback()(cell, epochs, evaluate, report, sft.args.bf16)
        sft.add_callback(watch)
        compiled = compile_layers(model) if sft.args.bf16 and model.device.type == "cpu" else False
        start = time.perf_counter()
        sft.train()
        seconds = time.perf_counter() - start - watch.seconds
    if sft.args.bf16:
        # Autocast rounded the trained weights to bfloat16 in every step; stored so, they answer faster and alike. Not
        # the buffers: rotary frequencies in bfloat16 would be other ones than the model was trained with.
        for weight in model.parameters():
            weight.data = weight.data.to(torch.bfloat16)
    tokenizer.padding_side = "left"
    losses = [entry["loss"] for entry in sft.state.log_history if "loss" in entry]
    tokens = round(epochs * sum(lengths[:n])) + sum(lengths[n:])
    return Trained(
        rows=n, replay=len(replay), epochs=epochs, tokens=tokens,
        trained_tokens=round(epochs * sum(trained[:n])) + sum(trained[n:]), replay_tokens=sum(lengths[n:]),
        steps=sft.state.global_step, seconds=seconds, evaluation_seconds=watch.seconds,
        tokens_per_second=tokens / seconds, losses=losses, compiled=compiled, curve=watch.curve,
    )  # fmt: skip


def compile_layers(model) -> bool:
    """Compile the decoder layers for training on a CPU; False without a C++ compiler or Python's headers.

    Fusing what stands between the matrix products makes a step 14 to 29 % shorter. Layer by layer it is one small
    graph, compiled in 20 seconds once on a machine and read from the compiler's cache in 3 by every later cell.
    """
    import torch
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler
    from transformers.modeling_layers import GradientCheckpointingLayer

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return False
    torch._dynamo.config.specialize_float = True  # dynamic floats have each graph traced twice
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in layers[1:]:  # the input of the first needs no gradient, which would make a second graph
        layer.compile(dynamic=True)  # one graph for all lengths
    return True


@functools.cache
def curve_callback():
    """The TrainerCallback that evaluates a cell at its checkpoints; a function, so that importing this is quick."""
    import torch
    from transformers import TrainerCallback

    class Curve(TrainerCallback):
        def __init__(self, cell, epochs, evaluate, report, bf16):
            self.cell, self.epochs, self.evaluate, self.report, self.bf16 = cell, epochs, evaluate, report, bf16
            self.curve, self.seconds = [], 0.0

        def on_step_end(self, args, state, control, model, **kwargs):
            self.report(f"step {state.global_step} of {state.max_steps}")
            parts = self.cell.checkpoints + 1
            if state.global_step not in {round(state.max_steps * i / parts) for i in range(1, parts)}:
                return
            start = time.perf_counter()
            model.eval()
            with torch.autocast(model.device.type, torch.bfloat16, enabled=self.bf16), merged(model):
                found = self.evaluate()
            model.train()
            exposures = self.cell.paraphrases * self.epochs * state.global_step / state.max_steps
            self.curve.append({"step": state.global_step, "exposures": exposures, **found})
            self.seconds += time.perf_counter() - start

    return Curve


@contextmanager
def merged(model):
    """The model as it would be saved for use: adapters merged into its weights, in their precision; undone afterwards.

    Answers come a third faster than beside the adapters. A model without adapters is left as it is.
    """
    from peft.tuners.lora import LoraLayer

    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    if not layers or model.device.type != "cpu":  # on a GPU, Unsloth has kernels of its own for adapters
        yield
        return
    kept = [layer.get_base_layer().weight.data for layer in layers]
    with model.disable_adapter():
        for layer, weight in zip(layers, kept, strict=True):
            layer.get_base_layer().weight.data = (weight + layer.get_delta_weight("default")).to(weight.dtype)
        try:
            yield
        finally:
            for layer, weight in zip(layers, kept, strict=True):
                layer.get_base_layer().weight.data = weight
