"""Supervised finetuning with TRL's SFTTrainer, every hyper-parameter explicit, loss on the completions alone."""

import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lib.cell import Cell
from lib.data.encode import CONTEXT, row_ids
from lib.data.formats import Row
from lib.paths import LIB
from lib.train.models import in_bfloat16

# isort: split
# after Unsloth, which lib/train/models.py imports
import numpy as np
import torch
import yaml
from datasets import Dataset
from peft.tuners.lora import LoraLayer
from torch._inductor.cpp_builder import get_cpp_compiler
from torch._inductor.exc import InvalidCxxCompiler
from torch.nn.functional import cross_entropy
from transformers import PrinterCallback, TrainerCallback
from transformers.modeling_layers import GradientCheckpointingLayer
from trl import SFTConfig, SFTTrainer

# The arguments of SFTConfig that no parameter of an experiment sets, with their reasons.
ARGUMENTS = yaml.safe_load((LIB / "train" / "sft.yaml").read_text(encoding="utf-8"))


def config(cell: Cell, bf16: bool, output_dir: str) -> SFTConfig:
    """The SFTConfig of an experiment: what sft.yaml has, and the parameters of the experiment."""
    return SFTConfig(
        **ARGUMENTS, output_dir=output_dir, bf16=bf16, max_length=CONTEXT, seed=cell.seed, data_seed=cell.seed,
        learning_rate=cell.learning_rate, per_device_train_batch_size=cell.batch_size,
        per_device_eval_batch_size=cell.batch_size,
    )  # fmt: skip


def order(lengths: Sequence[int], facts: int, epochs: int, batch_size: int, seed: int) -> list[int]:
    """In which order rows are trained: of facts each epoch anew, with the rows seen once spread over all epochs.

    `lengths` are those of the `facts` fact rows, in tokens, and then of the rows that are seen once.
    Rows of like length share a batch, since a batch is padded to its longest: drawn at random they pad by a tenth, and
    short rows among long ones by a quarter to four fifths. Lengths are blurred by up to 5 %, so that rows meet others.
    Batches of an epoch come in random order; what does not fill one, drawn at random, goes on to the next.
    """
    lengths, rng = np.array(lengths), np.random.default_rng(seed)
    once = np.array_split(rng.permutation(np.arange(facts, len(lengths))), epochs)
    ordered, rest = [], np.array([], dtype=int)
    for of_once in once:
        rows = np.concatenate([rest, np.arange(facts), of_once])
        rows = rows[np.argsort(lengths[rows] * rng.uniform(1, 1.05, len(rows)))]
        over = rng.choice(len(rows), len(rows) % batch_size, replace=False)
        rest = rows[over]
        batches = np.delete(rows, over).reshape(-1, batch_size)
        ordered += rng.permutation(batches).flatten().tolist()
    return ordered + rest.tolist()


class CompletionTrainer(SFTTrainer):
    """SFTTrainer with the vocabulary head only where a token is trained, for a CPU; on a GPU, Unsloth has a fused loss.

    TRL's default (`chunked_nll`) is the same loss, but rounds the trained positions up to chunks of 256, computes the
    head twice, and adds entropy and accuracy: a quarter longer (in float32: docs/internals/performance.md).
    """

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The mean loss of the trained tokens of a step."""
        labels = inputs["labels"][:, 1:]
        trained = (labels != -100).any(0).nonzero().squeeze(1)
        outputs = model(inputs["input_ids"], inputs["attention_mask"], use_cache=False, logits_to_keep=trained)
        logits, targets = outputs.logits.flatten(0, 1).float(), labels[:, trained].flatten()
        loss = cross_entropy(logits, targets, ignore_index=-100)  # a batch is a step, so its own count will do
        return (loss, outputs) if return_outputs else loss


@dataclass
class Curve(TrainerCallback):
    """Evaluates an experiment at its checkpoints, evenly spaced over the steps, and tells the step."""

    cell: Cell
    evaluate: Callable[[], dict] | None
    report: Callable[[str], None]
    points: list[dict] = field(default_factory=list)
    seconds: float = 0.0

    def on_step_end(self, args, state, control, model, **kwargs):
        """Called by the trainer."""
        self.report(f"step {state.global_step} of {state.max_steps}")
        parts = self.cell.checkpoints + 1
        if state.global_step not in {round(state.max_steps * i / parts) for i in range(1, parts)}:
            return
        start = time.perf_counter()
        model.eval()
        with torch.autocast(model.device.type, torch.bfloat16, enabled=args.bf16), merged(model):
            scores = self.evaluate()
        model.train()
        exposures = self.cell.paraphrases * self.cell.epochs * state.global_step / state.max_steps
        self.points.append({"step": state.global_step, "exposures": exposures, **scores})
        self.seconds += time.perf_counter() - start


def trainer(model, tokenizer, rows: Sequence[dict], cell: Cell, output_dir: str) -> SFTTrainer:
    """An SFTTrainer over these rows of token ids, in their order. Raises ValueError for a row that would be cut."""
    if (longest := max(len(row["input_ids"]) for row in rows)) > CONTEXT:
        raise ValueError(f"a row has {longest} tokens, the limit is {CONTEXT}")
    kind = CompletionTrainer if model.device.type == "cpu" else SFTTrainer
    args = config(cell, in_bfloat16(cell.model), output_dir)
    made = kind(model=model, args=args, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    made.remove_callback(PrinterCallback)  # the losses are in the result; a line a step hides everything else
    if len(made.train_dataset) != len(rows):
        raise ValueError(f"{len(rows)} rows went in and {len(made.train_dataset)} came out of the trainer")
    torch.manual_seed(cell.seed)
    return made


def train(
    model, tokenizer, rows: Sequence[Row], once: Sequence[Row], cell: Cell,
    evaluate: Callable[[], dict] | None = None, report: Callable[[str], None] = lambda stage: None,
) -> dict:  # fmt: skip
    """Finetune the model in place on these rows and those that are seen once, and say what was done: the `training` of
    docs/internals/result-files.md.

    At the checkpoints, `evaluate` is called and what it returns becomes a point of the curve. It must draw no random
    numbers: the training goes on as if it had not been interrupted. `report` is told the stage ("step 20 of 180").
    """
    tokenizer.padding_side = "right"
    encoded = [row_ids(tokenizer, row) for row in (*rows, *once)]
    lengths = [len(row["input_ids"]) for row in encoded]
    trained = [encoded[i] for i in order(lengths, len(rows), cell.epochs, cell.batch_size, cell.seed)]
    with tempfile.TemporaryDirectory() as output_dir:
        sft = trainer(model, tokenizer, trained, cell, output_dir)
        sft.add_callback(curve := Curve(cell, evaluate, report))
        compiled = sft.args.bf16 and model.device.type == "cpu" and compile_layers(model)
        start = time.perf_counter()
        sft.train()
        seconds = time.perf_counter() - start - curve.seconds
    if sft.args.bf16:
        # Autocast rounded the trained weights to bfloat16 in every step; stored so, they answer faster and alike. Not
        # the buffers: rotary frequencies in bfloat16 would be other ones than the model was trained with.
        for weight in model.parameters():
            weight.data = weight.data.to(torch.bfloat16)
    tokenizer.padding_side = "left"
    tokens = sum(len(row["input_ids"]) for row in trained)
    return {
        "rows": len(rows), "once": len(once), "epochs": cell.epochs, "tokens": tokens,
        "trained_tokens": sum(label != -100 for row in trained for label in row["labels"]),
        "once_tokens": sum(lengths[len(rows) :]), "steps": sft.state.global_step, "seconds": seconds,
        "evaluation_seconds": curve.seconds, "tokens_per_second": tokens / seconds, "compiled": compiled,
        "losses": [entry["loss"] for entry in sft.state.log_history if "loss" in entry], "curve": curve.points,
    }  # fmt: skip


def compile_layers(model) -> bool:
    """Compile the decoder layers for training on a CPU; False without a C++ compiler or Python's headers.

    Fusing what stands between the matrix products makes a step 14 to 29 % shorter. Layer by layer it is one small
    graph, compiled in 20 seconds once on a machine and read from the compiler's cache in 3 by every later experiment.
    """
    try:
        get_cpp_compiler()
        Path(sysconfig.get_path("include"), "Python.h").stat()
    except (InvalidCxxCompiler, FileNotFoundError):
        return False
    torch._dynamo.config.specialize_float = True  # dynamic floats have each graph traced twice
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in layers[1:]:  # the input of the first needs no gradient, which would make a second graph
        layer.compile(dynamic=True)  # one graph for all lengths
    return True


@contextmanager
def merged(model):
    """The model as it would be saved for use: adapters merged into its weights, in their precision; undone afterwards.

    Answers come a third faster than beside the adapters. The weights themselves are kept and put back: peft's
    unmerge_adapter subtracts, which is not exact in bfloat16, and after a checkpoint the training goes on.
    """
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
