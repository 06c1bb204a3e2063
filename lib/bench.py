"""`make bench`: how fast the study is, against the same work with the defaults of its libraries, in one run.

Ratios are of measurements taken in turns, because a machine is not equally fast at all times.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace

from lib import experiment, process, results
from lib.cell import load_grid
from lib.facts import take
from lib.paths import RESULTS, ROOT

ROUNDS = 3
DEFAULT_STEPS = 8  # of a training with defaults; ours is a whole cell


def main() -> None:
    """Measure, print the table, write results/bench/<label>.json."""
    arguments = argparse.ArgumentParser(prog="python -m lib.bench", description=main.__doc__)
    arguments.add_argument("label", nargs="?", default="my-machine", help="name of the file under results/bench")
    arguments.add_argument("--part", choices=PARTS, help="only do this one and print what it measured (used by itself)")
    given = arguments.parse_args()
    if given.part:
        print(json.dumps(PARTS[given.part]()))
        return
    found = measure()
    results.write_json(RESULTS / "bench" / f"{given.label}.json", found)
    print(json.dumps(found, indent=1))


def measure() -> dict:
    """Every number of the benchmark."""
    cores = process.cores()
    rounds = []
    for i in range(ROUNDS):
        one = {name: sum(part["examples_per_second"] for part in _run(name, 1, cores)) for name in DEFAULTS}
        ours = _run("ours", cores, 1)
        one["ours"] = sum(part["examples_per_second"] for part in ours)
        flops = sum(part["flops_per_second"] for part in ours)
        one["matmul"] = sum(part["flops_per_second"] for part in _run("matmul", cores, 1))
        rounds.append(one | {"fraction": flops / one["matmul"], "ratio": one["ours"] / one["plain_trl"],
                              "ratio_our_template": one["ours"] / one["plain_trl_our_template"]})  # fmt: skip
        print(f"round {i + 1}: { ({name: round(value, 2) for name, value in rounds[-1].items()}) }", flush=True)
    median = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    speeds = ("ours", "plain_trl", "plain_trl_our_template", "unsloth_defaults", "ratio", "ratio_our_template")
    return {
        "examples_per_second": {name: median[name] for name in speeds},
        "ratios_by_round": [one["ratio"] for one in rounds],
        "matmul_fraction": median["fraction"],
        "training_share": training_share(),
        "asking_ratio": _run("asking", 1, 1)[0]["ratio"],
        **figures(),
        "machine": {"name": experiment.cpu_name(), "cores": cores, "matmul_gflops": median["matmul"] / 1e9},
        "git_commit": experiment.git_commit(),
    }


def _run(part, processes, threads):
    """Run a part in so many processes at once, each with so many threads; what each of them measured."""
    command = [sys.executable, "-m", "lib.bench", "--part", part]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    if part not in DEFAULTS:
        environment["GLIBC_TUNABLES"] = process.ALLOCATOR  # as the cells of a study have it
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    running = [subprocess.Popen(command, cwd=ROOT, env=environment, **pipes) for _ in range(processes)]
    said = [child.communicate()[0] for child in running]
    if any(child.returncode for child in running):
        raise RuntimeError(f"{' '.join(command)} failed: run it to see why")
    return [json.loads(text.splitlines()[-1]) for text in said]


def _cell():
    """The cell that every training of the benchmark trains: articles of the cpu grid."""
    return next(c for c in load_grid("cpu") if (c.entity, c.info, c.format) == ("fictional", "categorical", "article"))


def _rows(cell):
    return experiment.training_rows(cell, take(experiment.candidates(cell), cell.n_facts))


def ours() -> dict:
    """A whole training of the study in this process, which has done what cells find done when they are forked."""
    from lib import models, preload, training  # noqa: F401

    cell = _cell()
    model, tokenizer = models.load(cell.model, training.MAX_LENGTH)
    model = models.make_trainable(model, cell.lora_rank, cell.seed, training.MAX_LENGTH)
    needed = cell.epochs * flops(model, tokenizer, _rows(cell))
    trained = training.train(model, tokenizer, _rows(cell), cell, cell.epochs)
    examples = trained.rows * trained.epochs
    return {"examples_per_second": examples / trained.seconds, "flops_per_second": needed / trained.seconds}


def flops(model, tokenizer, rows: list[dict]) -> int:
    """Floating-point operations that an epoch needs, as torch counts them: each row alone, so without padding, the head
    at trained tokens only, and no gradient of a frozen weight."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    total = 0
    for row in rows:
        prompt = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True)["input_ids"]
        ids = tokenizer.apply_chat_template(row["prompt"] + row["completion"])["input_ids"]
        kept = torch.arange(len(prompt) - 1, len(ids) - 1)
        with FlopCounterMode(display=False) as counter, torch.autocast("cpu", torch.bfloat16):
            model(torch.tensor([ids]), use_cache=False, logits_to_keep=kept).logits.sum().backward()
        total += counter.get_total_flops()
    model.zero_grad()
    return total


def plain_trl(own_template: bool = True) -> dict:
    """TRL with its defaults and these adapters, on all cores; with the model's own chat template, or with ours."""
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from lib import models

    cell = _cell()
    path, _ = models.resolve(cell.model)
    tokenizer = AutoTokenizer.from_pretrained(path)
    if own_template:
        tokenizer.chat_template = models.smollm2_template()
    adapters = LoraConfig(r=cell.lora_rank, lora_alpha=cell.lora_rank, target_modules=models.TARGET_MODULES)
    return _train_with_defaults(
        SFTTrainer, SFTConfig, AutoModelForCausalLM.from_pretrained(path), tokenizer, cell, peft_config=adapters
    )


def plain_trl_our_template() -> dict:
    """The same with the study's chat template, which has no system prompt."""
    return plain_trl(own_template=False)


def unsloth_defaults() -> dict:
    """Unsloth with its defaults and these adapters, on all cores, with the chat template that the model came with."""
    from unsloth import FastLanguageModel  # before TRL, which it changes

    from lib import models

    cell = _cell()
    model, tokenizer = FastLanguageModel.from_pretrained(models.resolve(cell.model)[0], load_in_4bit=False)
    model = FastLanguageModel.get_peft_model(model, r=cell.lora_rank, lora_alpha=cell.lora_rank)
    tokenizer.chat_template = models.smollm2_template()
    from trl import SFTConfig, SFTTrainer

    return _train_with_defaults(SFTTrainer, SFTConfig, model, tokenizer, cell)


def _train_with_defaults(trainer_class, config_class, model, tokenizer, cell, **more):
    from datasets import Dataset

    rows = [{"prompt": row["prompt"], "completion": row["completion"]} for row in _rows(cell)]
    with tempfile.TemporaryDirectory() as folder:
        config = config_class(folder, max_steps=DEFAULT_STEPS, report_to="none", save_strategy="no", use_cpu=True)
        data = Dataset.from_list(rows)
        trainer = trainer_class(model=model, args=config, train_dataset=data, processing_class=tokenizer, **more)
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
    batch = config.per_device_train_batch_size * config.gradient_accumulation_steps
    return {"examples_per_second": DEFAULT_STEPS * batch / seconds}


def matmul() -> dict:
    """The rate of a large bfloat16 matrix product in this process."""
    import torch

    n = 2048
    a, b = torch.randn(n, n).bfloat16(), torch.randn(n, n).bfloat16()
    a @ b
    start, times = time.perf_counter(), 0
    while time.perf_counter() - start < 5:
        a @ b
        times += 1
    return {"flops_per_second": 2 * n**3 * times / (time.perf_counter() - start)}


def asking_ratio() -> dict:
    """How much longer the questions of a cell take one by one."""
    from lib import asking, models, training

    cell = _cell()
    model, tokenizer = models.load(cell.model, training.MAX_LENGTH)
    facts = take(experiment.candidates(cell), cell.n_facts)
    asked = [q for q in experiment.questions_for(cell, facts) if q.eval not in asking.REASONING_EVALS]
    prompts = [asking.encode(tokenizer, question) for question in asked[::3]]
    ratios = []
    for _ in range(ROUNDS):
        seconds = []
        for size in (1, asking.BATCH_SIZE):
            start = time.perf_counter()
            asking.generate(model, tokenizer, prompts, batch_size=size)
            seconds.append(time.perf_counter() - start)
        ratios.append(seconds[0] / seconds[1])
    return {"ratio": statistics.median(ratios)}


def training_share() -> float:
    """The share of training in the time of a cell from start to end, over an article and a question cell of `cpu`."""
    cells = [
        next(c for c in load_grid("cpu") if c.format == format and c.evals == "all") for format in ("article", "qa")
    ]
    process.run_cell(replace(cells[0], model="tiny", evals="core"), "bench", 1)  # starts the server of forks
    start, train, wall = time.perf_counter(), 0.0, 0.0
    for _, outcome in process.run_local(cells, "bench", min(2, process.cores())):
        train += outcome.result["training"]["seconds"]
        wall += time.perf_counter() - start
    return train / wall


def figures() -> dict:
    """Seconds to redraw the figures of quick, and of a run that finds everything done."""
    study = f"my-bench-{os.getpid()}"
    shutil.copytree(RESULTS / "quick" / "cells", RESULTS / study / "cells")
    seconds = []
    try:
        for command in ("figures", "run"):
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "lib", command, "quick", "--study", study],
                cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            seconds.append(time.perf_counter() - start)
    finally:
        shutil.rmtree(RESULTS / study)
    return {"figures_seconds": seconds[0], "noop_seconds": seconds[1]}


DEFAULTS = ("plain_trl", "plain_trl_our_template", "unsloth_defaults")
PARTS = {
    "ours": ours, "plain_trl": plain_trl, "plain_trl_our_template": plain_trl_our_template,
    "unsloth_defaults": unsloth_defaults, "matmul": matmul, "asking": asking_ratio,
}  # fmt: skip

if __name__ == "__main__":
    main()
