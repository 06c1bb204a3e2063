"""What a grid will cost, from its rows and questions and from the speeds of earlier results."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from lib.cell import Cell
from lib.data import of_cell
from lib.data.encode import count_tokens
from lib.data.facts import facts_of, take, texts
from lib.paths import RESULTS, UserError
from lib.study import store

# Of a GPU that has not been measured, all of it guesses on the slow side. The rate: less than a tenth of what an H100's
# data sheet promises in bfloat16, a fifth of an A100's. Besides, what small models wait for on any card: a cell to
# import and load, a step to start thousands of small kernels, a question its share of a batch's tokens one by one.
GPU_RATE = 60e12  # FLOPs a second
GPU_FIXED, GPU_STEP, GPU_QUESTION = 60, 0.15, 0.02  # seconds
TOKENS_A_QUESTION = 60  # prompt and answer
BYTES_A_QUESTION = 390  # of a result file
TOKENS_A_REPLAY_ROW = 46
SIZED = 64  # profiles; a user may bring thousands


@dataclass(frozen=True)
class Speed:
    """What earlier results of a model measured, each cell in a process of its own."""

    tokens_per_second: float  # of training
    fixed: float  # seconds of a cell that is asked nothing: imports, loading
    per_question: float  # seconds
    dtype: str  # of the weights

    def seconds(self, tokens: float, questions: float) -> float:
        """Expected seconds of a cell."""
        return self.fixed + self.per_question * questions + tokens / self.tokens_per_second


# Of SmolLM2 on a core of a recent server processor, until there are results.
DEFAULT = Speed(tokens_per_second=190.0, fixed=15.0, per_question=0.25, dtype="bfloat16")


def seconds(cells: Iterable[Cell]) -> Mapping[Cell, float]:
    """The seconds that each cell is expected to take: by earlier results of its model, or of a usual machine."""
    table = costs(list(cells))
    return dict(zip(table["cell"], table["seconds"], strict=True))


def costs(cells: list[Cell]) -> pd.DataFrame:
    """One row a cell: `cell`, its parameters, training `tokens` (SmolLM2's tokenizer) and `steps`, `questions` asked,
    `seconds` expected, in which `dtype`, and whether they are those of a GPU (`on_gpu`): of a model that is not
    bundled and was not measured on this machine or any. Where its name tells no size, they are those of SmolLM2.
    """
    from transformers import PreTrainedTokenizerFast

    from lib.train import weights

    tokenizer = PreTrainedTokenizerFast.from_pretrained(weights.resolve("smollm2-135m")[0])
    speeds = {model: measured(model) for model in {cell.model for cell in cells}}
    sizes, rows = {}, []
    for cell in cells:
        same = cell.model_copy(update={"model": "smollm2-135m"})  # tokens and questions do not depend on the model
        if same not in sizes:
            sizes[same] = _size(same, tokenizer)
        tokens, steps_, asked = sizes[same]
        speed = speeds[cell.model] or DEFAULT
        on_gpu = not speeds[cell.model] and cell.model not in weights.MAKERS
        if on_gpu and parameters(cell.model):
            expected = gpu_seconds(cell, tokens, steps_, asked)
        else:
            expected = speed.seconds(tokens, asked)
        rows.append({"cell": cell, **cell.model_dump(), "tokens": round(tokens), "steps": steps_, "questions": asked,
                     "seconds": expected, "on_gpu": on_gpu, "dtype": speed.dtype})  # fmt: skip
    return pd.DataFrame(rows)


def _size(cell, tokenizer):
    """Training tokens, steps and questions of a cell: counted of up to SIZED profiles, and scaled to all of them."""
    profiles = take(of_cell.candidates(cell), cell.n_entities)
    scale = len(profiles) / min(len(profiles), SIZED)
    profiles = profiles[:SIZED]
    asked = round(scale * len(of_cell.questions_for(cell, profiles))) + len(texts("general")["questions"])
    if cell.format == "none":
        return 0, 0, asked
    rows = of_cell.training_rows(cell, profiles)
    epochs = of_cell.epochs(cell, tokenizer, profiles, rows)
    tokens = scale * epochs * count_tokens(tokenizer, rows) + cell.replay * TOKENS_A_REPLAY_ROW
    taken = math.ceil((scale * epochs * len(rows) + cell.replay) / cell.batch_size)
    return tokens, taken, asked + round(scale * cell.checkpoints * len(facts_of(profiles)))


def parameters(model: str) -> float | None:
    """The number of parameters that a model's name tells ("Qwen3-4B", "smollm2-135m"); None if it tells none."""
    found = re.search(r"(\d+(?:\.\d+)?)([bm])\b", model.partition("@")[0].lower())
    return float(found[1]) * {"b": 1e9, "m": 1e6}[found[2]] if found else None


def gpu_seconds(cell: Cell, tokens: float, steps_: int, questions: float) -> float:
    """Seconds that a cell is expected to take on a GPU, alone on it.

    A training token takes 4 FLOPs a parameter where the weights are frozen and 6 where they are not, a token read or
    said takes 2 (Kaplan et al. 2020, arXiv 2001.08361, without the gradients of frozen weights).
    """
    a_token = 4 if cell.lora_rank else 6
    flops = parameters(cell.model) * (a_token * tokens + 2 * TOKENS_A_QUESTION * questions)
    return flops / GPU_RATE + GPU_FIXED + GPU_STEP * steps_ + GPU_QUESTION * questions


def measured(model: str) -> Speed | None:
    """The speed of a model's earlier results, in every study under results/; None if there is none.

    If some are in bfloat16, those alone count: a processor without it takes two to three times as long.
    """
    rows = []
    for path in sorted(RESULTS.glob("*/experiments/*.json")):
        try:
            result = store.read(path)
        except UserError:  # a run will say so; a plan need not
            continue
        if result["cell"]["model"] == model:
            training = result["training"] or {"seconds": 0.0, "tokens_per_second": None, "curve": []}
            asked = len(result["items"]) + len(training["curve"]) * len(result["facts"]["ids"])
            rest = result["manifest"]["seconds"] - training["seconds"]
            rows.append({"rate": training["tokens_per_second"], "questions": asked, "rest": rest,
                         "dtype": result["manifest"]["dtype"]})  # fmt: skip
    table = pd.DataFrame(rows, columns=["rate", "questions", "rest", "dtype"])
    if table["rate"].isna().all():
        return None
    if (table["dtype"][table["rate"].notna()] == "bfloat16").any():
        table = table[table["dtype"] == "bfloat16"]
    (fixed, per_question), _ = nnls(np.column_stack([np.ones(len(table)), table["questions"]]), table["rest"])
    return Speed(float(table["rate"].astype(float).median()), float(fixed), float(per_question), table["dtype"].iloc[0])


def describe(cells: Mapping[Cell, str], jobs: int) -> str:
    """The cells by part and format, their tokens, and the hours expected: with so many cells at once where the models
    were measured, and of one GPU where they were not."""
    table = costs(list(cells)).assign(part=list(cells.values()))
    by = ["part", "format"] if table["model"].nunique() == 1 else ["model", "part", "format"]
    grouped = table.groupby(by, sort=False).agg(
        cells=("tokens", "size"), seeds=("seed", "nunique"), tokens=("tokens", "sum"), questions=("questions", "sum"),
        hours=("seconds", "sum"),
    )  # fmt: skip
    total = f"{len(cells)} cells, {table['tokens'].sum():,} training tokens, {table['questions'].sum():,} questions"
    unknown = table.loc[table["on_gpu"] & table["model"].map(parameters).isna(), "model"].unique()
    if len(unknown):
        why = "hours not known: no earlier result, and no number of parameters in the name, of " + ", ".join(unknown)
        return f"{grouped.drop(columns='hours').to_string()}\n\n{total}\n{why}"
    on_gpu = table["on_gpu"].any()
    grouped["hours"] /= 3600 * (1 if on_gpu else jobs)
    shown = f"{grouped.to_string(float_format='{:.2f}'.format)}\n\n{total}"
    if on_gpu:
        return f"{shown}\n{gpu_hours(table)}"
    dtypes = " and ".join(table["dtype"].unique())
    return f"{shown}; {grouped['hours'].sum():.1f} hours expected with {jobs} cells at once, in {dtypes}"


def gpu_hours(table: pd.DataFrame) -> str:
    """Hours on one GPU and disk of models that were never measured, and the model that says so."""
    weights = 2 * table["model"].drop_duplicates().map(parameters).sum() / 2**30
    disk = table["questions"].sum() * BYTES_A_QUESTION / 2**30
    return (
        f"about {table['seconds'].sum() / 3600:.1f} GPU-hours: {GPU_RATE / 1e12:.0f} TFLOP/s, and {GPU_FIXED} s a "
        f"cell, {GPU_STEP} s a step, {GPU_QUESTION} s a question; disk: {weights:.0f} GiB of weights on each node, "
        f"{disk:.1f} GiB of results"
    )
