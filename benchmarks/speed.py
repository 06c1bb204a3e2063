"""How fast is the study beside the same work with the defaults of its libraries, and where does its time go?

    LABEL=my-machine python benchmarks/speed.py   all parts, half an hour, into results/bench/my-machine.json
    python benchmarks/speed.py PART               one part in this process; its numbers as one line of JSON

MODEL=qwen2.5-coder-0.5b before either measures that model in place of SmolLM2.

Each part has a process of its own, because Unsloth changes TRL when it is imported. Parts are measured in turns, round
by round, because no machine is equally fast at all times: believe the ratios, not the rates.
"""

import dataclasses
import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import torch
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from lib.data import encode, of_cell
from lib.data.facts import take
from lib.data.formats import Row
from lib.evaluate import generate
from lib.paths import CACHE, RESULTS, ROOT
from lib.study import store
from lib.study.grid import load_grid
from lib.study.run import ALLOCATOR, cores, execute
from lib.study.store import cpu_name, git_commit
from lib.train import weights

# lib/train changes TRL, by importing Unsloth, and Unsloth's own defaults.
if sys.argv[1:2] not in (["plain_trl"], ["plain_trl_our_template"], ["unsloth_defaults"]):
    from lib.train import models, sft
    from lib.train import replay as replay_rows

ROUNDS = 3
PROFILED_STEPS = 16
LOSS_BATCHES = 16  # of each format; the first is not counted
REPLAY = CACHE / "bench-replay.json"  # rows that plain TRL trains, too, and could not make without Unsloth
# The first experiment of each format in the quick grid, and the first profiles, whether the model knows them or not.
MEASURED = {"model": os.environ.get("MODEL") or "smollm2-135m", "checkpoints": 0}
CELLS = {cell.format: cell.model_copy(update=MEASURED) for cell in reversed(load_grid("quick"))}
ARTICLE, PROFILES = CELLS["article"], take(of_cell.candidates(CELLS["article"]), CELLS["article"].n_entities)
# Where the time of a training goes: torch's operators by the start of their names.
OPERATORS = {
    "matrix products": ("aten::mm", "aten::addmm", "mkldnn::", "mkl::"),
    "products of attention": ("aten::bmm", "aten::baddbmm"),
    "softmax and loss": ("aten::_softmax", "aten::_log_softmax", "aten::nll_loss"),
    "optimizer": ("Optimizer.", "aten::_fused_adamw", "aten::_foreach"),
    "compiled layers between the products": ("Torch-Compiled", "CompiledFunction", "## Call CompiledFxGraph"),
}


def trainable():
    """Model with adapters, and tokenizer."""
    model, tokenizer = models.load(ARTICLE.model)
    return models.make_trainable(model, ARTICLE.lora_rank, ARTICLE.seed), tokenizer


def autocast(model):
    return torch.autocast("cpu", torch.bfloat16, enabled=model.dtype == torch.bfloat16)


def replay() -> dict:
    """Make the replay rows, outside of what is timed."""
    model, tokenizer = models.load(ARTICLE.model)
    rows = replay_rows.rows(model.eval(), tokenizer, ARTICLE.model, ARTICLE.replay)
    store.write_json(REPLAY, [dataclasses.asdict(row) for row in rows])
    return {"rows": len(rows)}


def trained_rows() -> tuple[list[Row], list[Row]]:
    """What is trained with articles: the rows about facts, and those of replay."""
    if not REPLAY.exists():
        run("replay")
    return of_cell.training_rows(ARTICLE, PROFILES), [Row(**row) for row in json.loads(REPLAY.read_text())]


def sample(n: int) -> list[Row]:
    """n of these rows, facts as often as they are repeated, spread evenly over the lengths."""
    facts, replay = trained_rows()
    rows = sorted([*facts * ARTICLE.epochs, *replay], key=lambda row: len("".join(row.turns)))
    return [rows[(2 * i + 1) * len(rows) // (2 * n)] for i in range(n)]


def ours() -> dict:
    """A whole training of the study."""
    (model, tokenizer), (facts, replay) = trainable(), trained_rows()
    needed = ARTICLE.epochs * flops(model, tokenizer, facts) + flops(model, tokenizer, replay)
    trained = sft.train(model, tokenizer, facts, replay, ARTICLE)
    examples, seconds = trained["rows"] * trained["epochs"] + trained["once"], trained["seconds"]
    return {"examples_per_second": examples / seconds, "flops_per_second": needed / seconds}


def flops(model, tokenizer, rows: list[Row]) -> int:
    """Floating-point operations that an epoch needs, as torch counts them: each row alone, so without padding, the head
    at trained tokens only, and no gradient of a frozen weight."""
    with FlopCounterMode(display=False) as counter, autocast(model):
        for row in rows:
            encoded = encode.row_ids(tokenizer, row)
            kept = (torch.tensor(encoded["labels"][1:]) != -100).nonzero().squeeze(1)  # predicted one position before
            model(torch.tensor([encoded["input_ids"]]), use_cache=False, logits_to_keep=kept).logits.sum().backward()
    model.zero_grad()
    return counter.get_total_flops()


def matmul() -> dict:
    """The rate of a large matrix product in this process, in the type of number in which the model trains."""
    n = 2048
    a, b = torch.randn(2, n, n, dtype=models.load(ARTICLE.model)[0].dtype)
    timer = Timer("a @ b", globals={"a": a, "b": b})
    return {"flops_per_second": 2 * n**3 / timer.blocked_autorange(min_run_time=5).mean}


def profile() -> dict:
    """The shares of a training's time by group of operators, and what is outside of them: Python."""
    (model, tokenizer), shares = trainable(), Counter()
    training = sample(PROFILED_STEPS * ARTICLE.batch_size), [], ARTICLE.model_copy(update={"epochs": 1})
    sft.train(model, tokenizer, *training)  # compiles
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        seconds = sft.train(model, tokenizer, *training)["seconds"]
    for event in profiler.key_averages():
        groups = (group for group, starts in OPERATORS.items() if event.key.startswith(starts))
        shares[next(groups, "other operators")] += event.self_cpu_time_total / 1e6 / seconds
    return {**shares, "outside of operators": 1 - sum(shares.values())}


def loss() -> dict:
    """Forward, loss and backward with TRL's default loss, as a multiple of their time with ours: the same batches in
    turns, one ratio a batch. It is the processor's time, so that other processes do not count."""
    model, tokenizer = trainable()
    from trl import SFTTrainer  # after Unsloth

    tokenizer.padding_side, by_batch = "right", {"article": [], "qa": []}
    for format, ratios in by_batch.items():
        facts = of_cell.training_rows(CELLS[format], PROFILES)
        encoded = [encode.row_ids(tokenizer, row) for row in facts] * 2
        ours = sft.trainer(model.train(), tokenizer, encoded, CELLS[format], tempfile.mkdtemp())
        config = dataclasses.replace(ours.args, loss_type="chunked_nll")
        default = SFTTrainer(model, config, train_dataset=ours.train_dataset, processing_class=tokenizer)
        if ours.args.bf16:
            sft.compile_layers(model)
        for batch in [*ours.get_train_dataloader()][:LOSS_BATCHES]:
            seconds, losses, count = {}, {}, (batch["labels"][:, 1:] != -100).sum()
            for trainer in (ours, default) if len(ratios) % 2 else (default, ours):
                start = time.process_time()
                with autocast(model):
                    losses[trainer] = trainer.compute_loss(model, dict(batch), num_items_in_batch=count)
                losses[trainer].backward()
                seconds[trainer] = time.process_time() - start
                model.zero_grad()
            assert torch.isclose(losses[ours], losses[default], rtol=0.01), "not the same loss"
            ratios.append(seconds[default] / seconds[ours])
    medians = {format: statistics.median(ratios[1:]) for format, ratios in by_batch.items()}
    return {**medians, "by_batch": by_batch, "dtype": str(model.dtype), "machine": cpu_name()}


def defaults(unsloth: bool = False, own_template: bool = True) -> dict:
    """TRL or Unsloth with its defaults and our adapters, with the chat template that the model came with or with the
    study's, which has no system prompt. On a GPU the first steps compile: it takes more of them."""
    path, rank, on_gpu = weights.resolve(ARTICLE.model)[0], ARTICLE.lora_rank, torch.cuda.is_available()
    if unsloth:
        from unsloth import FastLanguageModel  # before TRL, which it changes

        model, _ = FastLanguageModel.from_pretrained(path, load_in_4bit=False)
        model, adapters = FastLanguageModel.get_peft_model(model, r=rank, lora_alpha=rank), None
    else:
        from peft import LoraConfig
        from transformers import AutoModelForCausalLM

        assert "unsloth" not in sys.modules, "TRL is no longer plain"
        model = AutoModelForCausalLM.from_pretrained(path)
        adapters = LoraConfig(r=rank, lora_alpha=rank, target_modules=r".*_proj")
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    tokenizer = AutoTokenizer.from_pretrained(path)
    if own_template:
        [file] = weights.parts(ARTICLE.model)
        tokenizer.chat_template = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).chat_template
    n_steps = 100 if on_gpu else 8
    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(folder, max_steps=n_steps, report_to="none", save_strategy="no", use_cpu=not on_gpu)
        n = n_steps * config.per_device_train_batch_size * config.gradient_accumulation_steps
        data = Dataset.from_list([encode.row_ids(tokenizer, row) for row in sample(n)])
        trainer = SFTTrainer(model, config, train_dataset=data, processing_class=tokenizer, peft_config=adapters)
        return {"examples_per_second": n / trainer.train().metrics["train_runtime"]}


def asking() -> dict:
    """How much longer the questions of an experiment take one by one than in batches."""
    (model, tokenizer), seconds = models.load(ARTICLE.model), {1: [], generate.BATCH_SIZE: []}
    questions = of_cell.questions_for(ARTICLE, PROFILES)[::3]
    prompts = [encode.prompt_ids(tokenizer, [*q.history, q.prompt], q.prefix) for q in questions]
    for batch_size in list(seconds) * ROUNDS:
        start = time.perf_counter()
        generate.generate(model.eval(), tokenizer, prompts, ARTICLE.room, batch_size)
        seconds[batch_size].append(time.perf_counter() - start)
    return {"ratio": statistics.median(seconds[1]) / statistics.median(seconds[generate.BATCH_SIZE])}


def experiment(format: str) -> dict:
    """Seconds of an experiment from start to end, and of its training."""
    with tempfile.TemporaryDirectory() as folder:
        output, start = Path(folder, "result.json"), time.perf_counter()
        execute("experiment", Path(folder, "out.ipynb"), {**CELLS[format].model_dump(), "output": str(output)})
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "training": json.loads(output.read_text())["training"]["seconds"]}


DEFAULTS = {
    "plain_trl": defaults,
    "plain_trl_our_template": functools.partial(defaults, own_template=False),
    "unsloth_defaults": functools.partial(defaults, unsloth=True),
}
PARTS = {part.__name__: part for part in (replay, ours, matmul, profile, loss, asking)} | DEFAULTS
PARTS |= {format: functools.partial(experiment, format) for format in ("article", "qa")}


def run(*parts: str, threads: int = 1) -> list[dict]:
    """Run parts at once, each in a process of its own with so many threads: what each measured."""
    settings = {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    if parts[0] not in DEFAULTS:
        settings["GLIBC_TUNABLES"] = ALLOCATOR  # as experiments have it
    options = {"env": {**os.environ, **settings}, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    children = [subprocess.Popen([sys.executable, __file__, part], **options) for part in parts]
    printed = [child.communicate()[0] for child in children]
    if any(child.returncode for child in children):
        sys.exit(f"failed: python benchmarks/speed.py {parts[0]} says why")
    return [json.loads(lines.splitlines()[-1]) for lines in printed]


def timed(command: str, study: str) -> float:
    """Seconds of a command about the quick grid in this study."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "lib", command, "quick", "--study", study], cwd=ROOT, check=True)
    return time.perf_counter() - start


def measure() -> dict:
    """Every number of the benchmark."""
    n, rounds = cores(), []
    with tempfile.TemporaryDirectory(dir=RESULTS, prefix="my-bench-") as folder:
        shutil.copytree(RESULTS / "quick", folder, dirs_exist_ok=True)
        timed("status", Path(folder).name)  # ends the benchmark here where an experiment of quick has no result
        seconds = {name: timed(name, Path(folder).name) for name in ("figures", "run")}
    run("replay", threads=n)
    for i in range(ROUNDS):
        rates = {name: run(name, threads=n)[0]["examples_per_second"] for name in DEFAULTS}
        rates |= pd.DataFrame(run(*["ours"] * n)).sum().rename({"examples_per_second": "ours"})
        rates["matmul"] = sum(product["flops_per_second"] for product in run(*["matmul"] * n))
        rounds.append(rates)
        print(f"round {i + 1} of {ROUNDS}: {rates}", flush=True)
    df = pd.DataFrame(rounds)
    df["ratio"], df["ratio_our_template"] = df["ours"] / df["plain_trl"], df["ours"] / df["plain_trl_our_template"]
    median, experiments = df.median(), pd.DataFrame(run("article", "qa")).sum()
    return {
        "examples_per_second": median[["ours", *DEFAULTS, "ratio", "ratio_our_template"]].to_dict(),
        "ratios_by_round": df["ratio"].tolist(),
        "matmul_fraction": (df["flops_per_second"] / df["matmul"]).median(),
        "profile": run("profile")[0],
        "training_share": experiments["training"] / experiments["seconds"],
        "asking_ratio": run("asking")[0]["ratio"],
        "loss": run("loss")[0],
        "figures_seconds": seconds["figures"],
        "noop_seconds": seconds["run"],
        "machine": {"name": cpu_name(), "cores": n, "matmul_gflops": median["matmul"] / 1e9},
        "git_commit": git_commit(),
    }


if __name__ == "__main__":
    if sys.argv[1:]:
        measured = PARTS[sys.argv[1]]()
    else:
        store.write_json(RESULTS / "bench" / f"{os.environ.get('LABEL', 'my-machine')}.json", measured := measure())
    print(json.dumps(measured))
