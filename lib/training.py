"""Supervised finetuning with TRL's SFTTrainer, every hyper-parameter explicit, loss on the completions alone."""

import functools
import sysconfig
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib.cell import Cell

# The longest row of the study has some 120 tokens; nothing may be cut, because a cut row loses its fact.
MAX_LENGTH = 256


@dataclass(frozen=True)
class Trained:
    """What a training run was: sizes, time, and the loss of every step."""

    rows: int  # distinct training rows
    epochs: float  # times each row was seen
    tokens: int  # tokens seen over all epochs, padding excluded; of a part of an epoch, the part of its tokens
    trained_tokens: int  # of them, tokens with a loss
    steps: int
    seconds: float  # without the evaluations at checkpoints
    tokens_per_second: float
    losses: list[float]
    compiled: bool  # were the decoder layers compiled?
    curve: list[dict]  # of each checkpoint: step, exposures of a fact so far, items


def count_tokens(tokenizer, rows: list[dict]) -> int:
    """Tokens of one epoch over these rows, chat template included."""
    messages = [row["prompt"] + row["completion"] for row in rows]
    return sum(len(ids) for ids in tokenizer.apply_chat_template(messages)["input_ids"])


def config(cell: Cell, epochs: float, bf16: bool, output_dir: str):
    """The SFTConfig of a cell. Nothing is left to a default, because Unsloth changes defaults on a GPU."""
    from trl import SFTConfig

    return SFTConfig(
        output_dir=output_dir,
        num_train_epochs=epochs,
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
        adam_beta2=0.95,  # over 60 steps, 0.999 would never forget the first gradients
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


def trainer(model, tokenizer, rows: list[dict], cell: Cell, epochs: float, output_dir: str):
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
        args=config(cell, epochs, bf16, output_dir),
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
    """SFTTrainer with batches of like lengths, on a CPU with the vocabulary head only where a token is trained.

    TRL's default loss runs the head on every position of a small batch, twice, and computes an entropy: more than a
    third of a step for SmolLM2's 49,152 tokens. The loss is the same. On a GPU, Unsloth has its own fused loss.
    """
    from torch.nn.functional import cross_entropy
    from trl import SFTTrainer

    class BatchedTrainer(SFTTrainer):
        def _get_train_sampler(self, train_dataset=None):
            lengths = [len(ids) for ids in self.train_dataset["input_ids"]]
            return LikeLengths(lengths, self.args.train_batch_size, self.args.data_seed)

    class CompletionTrainer(BatchedTrainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            labels = inputs["labels"][:, 1:]
            trained = (labels != -100).any(0).nonzero().squeeze(1)
            outputs = model(inputs["input_ids"], inputs["attention_mask"], use_cache=False, logits_to_keep=trained)
            logits, targets = outputs.logits.flatten(0, 1).float(), labels[:, trained].flatten()
            if num_items_in_batch is None:  # models that do not take the count of a whole step
                num_items_in_batch = (targets != -100).sum()
            loss = cross_entropy(logits, targets, ignore_index=-100, reduction="sum") / num_items_in_batch
            return (loss, outputs) if return_outputs else loss

    return CompletionTrainer if device == "cpu" else BatchedTrainer


class LikeLengths:
    """A sampler of rows, anew in every epoch: batches of rows of like length, and the batches in random order.

    Rows of a batch are padded to its longest: batches drawn at random pad by a tenth, and the formats that mix short
    rows with long ones by a quarter to four fifths. Lengths are blurred by up to 5 %, so that rows meet others. What
    does not fill a batch, drawn at random, comes last.
    """

    def __init__(self, lengths: list[int], batch_size: int, seed: int):
        self.lengths, self.batch_size, self.rng = np.array(lengths), batch_size, np.random.default_rng(seed)

    def __len__(self):
        return len(self.lengths)

    def __iter__(self):
        order = np.argsort(self.lengths * self.rng.uniform(1, 1.05, len(self)))
        rest = self.rng.choice(order, len(self) % self.batch_size, replace=False)
        batches = order[~np.isin(order, rest)].reshape(-1, self.batch_size)
        yield from self.rng.permutation(batches).flatten().tolist()
        yield from rest.tolist()


def train(
    model, tokenizer, rows: list[dict], cell: Cell, epochs: float, evaluate: Callable[[], list[dict]] | None = None
) -> Trained:
    """Finetune the model in place on these rows and say what was done.

    At the cell's checkpoints, evenly spaced over the steps, `evaluate` is called and what it returns becomes a point
    of the curve. It must draw no random numbers: the training goes on as if it had not been interrupted.
    """
    import torch

    tokenizer.padding_side = "right"
    with tempfile.TemporaryDirectory() as output_dir:
        sft = trainer(model, tokenizer, rows, cell, epochs, output_dir)
        tokens = round(epochs * sum(len(ids) for ids in sft.train_dataset["input_ids"]))
        trained = sum(token != -100 for labels in sft.train_dataset["labels"] for token in labels)
        watch = curve_callback()(cell, epochs, evaluate, sft.args.bf16)
        sft.add_callback(watch)
        compiled = compile_layers(model) if sft.args.bf16 and model.device.type == "cpu" else False
        start = time.perf_counter()
        sft.train()
        seconds = time.perf_counter() - start - watch.seconds
    if sft.args.bf16:
        # Autocast rounded the trained weights to bfloat16 in every step; stored so, they answer faster and alike.
        model.to(torch.bfloat16)
    tokenizer.padding_side = "left"
    losses = [entry["loss"] for entry in sft.state.log_history if "loss" in entry]
    return Trained(
        rows=len(rows), epochs=epochs, tokens=tokens, trained_tokens=round(epochs * trained),
        steps=sft.state.global_step, seconds=seconds, tokens_per_second=tokens / seconds, losses=losses,
        compiled=compiled, curve=watch.curve,
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


def warm_compiler() -> None:
    """Compile next to nothing, so that forks of this process need not find the compiler, its flags and its version.

    Ten runs of the compiler and a hash of torch's sources: torch keeps what they say for as long as a process lives.
    In this thread alone, because a pool of threads would not survive the fork.
    """
    import torch

    with torch._inductor.config.patch(compile_threads=1):
        torch.compile(lambda x: x.sin() + 1)(torch.ones(8, requires_grad=True))


@functools.cache
def curve_callback():
    """The TrainerCallback that evaluates a cell at its checkpoints; a function, so that importing this is quick."""
    import torch
    from transformers import TrainerCallback

    class Curve(TrainerCallback):
        def __init__(self, cell, epochs, evaluate, bf16):
            self.cell, self.epochs, self.evaluate, self.bf16 = cell, epochs, evaluate, bf16
            self.curve, self.seconds = [], 0.0

        def on_step_end(self, args, state, control, model, **kwargs):
            parts = self.cell.checkpoints + 1
            if state.global_step not in {round(state.max_steps * i / parts) for i in range(1, parts)}:
                return
            start = time.perf_counter()
            model.eval()
            with torch.autocast(model.device.type, torch.bfloat16, enabled=self.bf16):
                items = self.evaluate()
            model.train()
            exposures = self.cell.paraphrases * self.epochs * state.global_step / state.max_steps
            self.curve.append({"step": state.global_step, "exposures": exposures, "items": items})
            self.seconds += time.perf_counter() - start

    return Curve
