"""The measurements of `make bench` and `make gpu-check` that each need a process of their own: Unsloth changes TRL when
it is imported.

`python -m lib.commands.speeds PART REPLAY` does one and prints it as JSON. REPLAY is a JSON file of the replay rows,
which the plain baselines train too and could not make without Unsloth.
"""

import functools
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from lib.cell import Cell
from lib.data import encode
from lib.data.facts import take
from lib.data.formats import Row
from lib.evaluate import ask, generate
from lib.study import steps
from lib.study.grid import load_grid
from lib.train import bundled, sft
from lib.train import model as models

ROUNDS = 3
DEFAULT_STEPS = 8  # of a training with the libraries' defaults; ours is a whole cell
GPU_STEPS, GPU_WARM = 60, 20  # on a GPU, whose first steps compile and are not counted
PROFILED_STEPS, PROFILE_WARM = 24, 8  # of a training that is profiled; the first compile and are not counted
# Where the time of a training goes: torch's operators by the start of their names.
OPERATORS = {
    "matrix products": ("aten::mm", "aten::addmm", "mkldnn::", "mkl::"),
    "products of attention": ("aten::bmm", "aten::baddbmm"),
    "softmax and loss": ("aten::_softmax", "aten::_log_softmax", "aten::nll_loss"),
    "optimizer": ("Optimizer.", "aten::_fused_adamw", "aten::_foreach"),
    "compiled layers between the products": ("Torch-Compiled", "CompiledFunction", "## Call CompiledFxGraph"),
}


def first_cell(format: str) -> Cell:
    """The first cell of a format in the quick grid; every training of the benchmark trains that of articles."""
    return next(cell for cell in load_grid("quick") if cell.format == format)


def fact_rows(cell: Cell) -> list[Row]:
    """The rows about facts, of the first profiles: whether the model knows them does not matter for the speed."""
    return steps.training_rows(cell, take(steps.candidates(cell), cell.n_entities))


def replay_rows(cell: Cell, _) -> list[dict]:
    """The replay rows of the cell, as JSON takes them."""
    model, tokenizer = models.load(cell.model, sft.MAX_LENGTH)
    return [asdict(row) for row in steps.replay_rows(model.eval(), tokenizer, cell)]


def ours(cell: Cell, replay: list[Row]) -> dict:
    """A whole training of the study, as it is in a cell, but for the checkpoints."""
    rows = fact_rows(cell)
    model, tokenizer = models.load(cell.model, sft.MAX_LENGTH)
    model = models.make_trainable(model, cell.lora_rank, cell.seed, sft.MAX_LENGTH)
    needed = cell.epochs * flops(model, tokenizer, rows) + flops(model, tokenizer, replay)
    trained = sft.train(model, tokenizer, rows, replay, cell.model_copy(update={"checkpoints": 0}), cell.epochs)
    examples = trained.rows * trained.epochs + trained.replay
    return {"examples_per_second": examples / trained.seconds, "flops_per_second": needed / trained.seconds}


def flops(model, tokenizer, rows: Sequence[Row]) -> int:
    """Floating-point operations that an epoch needs, as torch counts them: each row alone, so without padding, the head
    at trained tokens only, and no gradient of a frozen weight."""
    total = 0
    for row in rows:
        encoded = encode.row_ids(tokenizer, row)
        kept = (torch.tensor(encoded["labels"][1:]) != -100).nonzero().squeeze(1)  # each token is predicted one before
        with (
            FlopCounterMode(display=False) as counter,
            torch.autocast("cpu", torch.bfloat16, enabled=_dtype() == torch.bfloat16),
        ):
            model(torch.tensor([encoded["input_ids"]]), use_cache=False, logits_to_keep=kept).logits.sum().backward()
        total += counter.get_total_flops()
    model.zero_grad()
    return total


def profile(cell: Cell, replay: list[Row]) -> dict:
    """The shares of a training's time by group of operators, and what is outside of them: Python."""
    rows = sample(replay, PROFILED_STEPS * cell.batch_size)
    model, tokenizer = models.load(cell.model, sft.MAX_LENGTH)
    model = models.make_trainable(model, cell.lora_rank, cell.seed, sft.MAX_LENGTH)
    profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
    at = {}

    def report(stage):
        _, step, _, last = stage.split()
        if int(step) == PROFILE_WARM:
            profiler.start()
            at["start"] = time.perf_counter()
        if step == last:
            at["end"] = time.perf_counter()
            profiler.stop()

    sft.train(model, tokenizer, rows, [], cell.model_copy(update={"checkpoints": 0}), 1, report=report)
    wall, shares = at["end"] - at["start"], Counter()
    for event in profiler.key_averages():
        groups = [group for group, starts in OPERATORS.items() if event.key.startswith(starts)]
        shares[groups[0] if groups else "other operators"] += event.self_cpu_time_total / 1e6 / wall
    return {**shares, "outside of operators": 1 - sum(shares.values())}


def plain_trl(cell: Cell, replay: list[Row], own_template: bool = True) -> dict:
    """TRL with its defaults and these adapters, on all cores; with the model's own chat template, or with the study's,
    which has no system prompt."""
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path, _ = models.resolve(cell.model)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(path), AutoTokenizer.from_pretrained(path)
    adapters = LoraConfig(r=cell.lora_rank, lora_alpha=cell.lora_rank, target_modules=models.TARGET_MODULES)
    return _train_with_defaults(model, tokenizer, replay, own_template, peft_config=adapters)


def unsloth_defaults(cell: Cell, replay: list[Row]) -> dict:
    """Unsloth with its defaults and these adapters, on all cores, with the chat template that the model came with."""
    os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", tempfile.mkdtemp())  # its default is the folder of the project
    from unsloth import FastLanguageModel  # before TRL, which it changes

    model, tokenizer = FastLanguageModel.from_pretrained(models.resolve(cell.model)[0], load_in_4bit=False)
    model = FastLanguageModel.get_peft_model(model, r=cell.lora_rank, lora_alpha=cell.lora_rank)
    return _train_with_defaults(model, tokenizer, replay, own_template=True)


def _train_with_defaults(model, tokenizer, replay, own_template, **more):
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Clock(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == warm:
                self.start = time.perf_counter()

    on_gpu = torch.cuda.is_available()
    n_steps, warm = (GPU_STEPS, GPU_WARM) if on_gpu else (DEFAULT_STEPS, 0)
    if own_template:
        tokenizer.chat_template = bundled.smollm2_template()
    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(folder, max_steps=n_steps, report_to="none", save_strategy="no", use_cpu=not on_gpu)
        n = n_steps * config.per_device_train_batch_size * config.gradient_accumulation_steps
        data = Dataset.from_list([encode.row_ids(tokenizer, row) for row in sample(replay, n)])
        trainer = SFTTrainer(model=model, args=config, train_dataset=data, processing_class=tokenizer, **more)
        clock = Clock()
        trainer.add_callback(clock)
        clock.start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - clock.start
    return {"examples_per_second": n * (n_steps - warm) / n_steps / seconds}


def sample(replay: list[Row], n: int) -> list[Row]:
    """n rows of what the cell trains, facts as often as it repeats them and replay, spread evenly over the lengths."""
    cell = first_cell("article")
    rows = sorted([*fact_rows(cell) * cell.epochs, *replay], key=lambda row: len("".join(row.turns)))
    return [rows[(2 * i + 1) * len(rows) // (2 * n)] for i in range(n)]


def matmul(*_) -> dict:
    """The rate of a large matrix product in this process, in the type of number that it trains in."""
    n = 2048
    a, b = torch.randn(n, n, dtype=_dtype()), torch.randn(n, n, dtype=_dtype())
    a @ b
    start, times = time.perf_counter(), 0
    while time.perf_counter() - start < 5:
        a @ b
        times += 1
    return {"flops_per_second": 2 * n**3 * times / (time.perf_counter() - start)}


def asking_ratio(cell: Cell, _) -> dict:
    """How much longer the questions of a cell take one by one."""
    model, tokenizer = models.load(cell.model, sft.MAX_LENGTH)
    model.eval()
    asked = steps.questions_for(cell, take(steps.candidates(cell), cell.n_entities))
    prompts = [encode.prompt_ids(tokenizer, [*q.history, q.prompt], q.prefix) for q in asked[::3]]
    ratios = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        generate.generate(model, tokenizer, prompts, ask.MAX_NEW_TOKENS, batch_size=1)
        between = time.perf_counter()
        generate.generate(model, tokenizer, prompts, ask.MAX_NEW_TOKENS)
        ratios.append((between - start) / (time.perf_counter() - between))
    return {"ratio": statistics.median(ratios)}


def _dtype():
    from unsloth import is_bfloat16_supported

    return torch.bfloat16 if is_bfloat16_supported() else torch.float32


DEFAULTS = {
    "plain_trl": plain_trl,
    "plain_trl_our_template": functools.partial(plain_trl, own_template=False),
    "unsloth_defaults": unsloth_defaults,
}
PARTS = {"replay": replay_rows, "ours": ours, "matmul": matmul, "profile": profile, "asking": asking_ratio, **DEFAULTS}

if __name__ == "__main__":
    given = [Row(**row) for row in json.loads(Path(sys.argv[2]).read_text())]
    print(json.dumps(PARTS[sys.argv[1]](first_cell("article"), given)))
