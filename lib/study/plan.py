"""What a grid will cost, from its rows and questions and from the speeds of earlier results."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from lib.data.encode import count_tokens
from lib.data.facts import facts_of, take
from lib.errors import UserError
from lib.evaluate import general
from lib.paths import RESULTS
from lib.study import steps, store
from lib.study.cell import Cell

# Of a GPU that has not been measured: the bfloat16 rate of an H100's data sheet; the share of it that steps of some 400
# tokens reach, which is a guess on the low side; and the seconds in which a cell imports and loads.
GPU_FLOPS, GPU_UTILIZATION, GPU_FIXED = 989e12, 0.05, 60
TOKENS_A_QUESTION = 60  # prompt and answer
BYTES_A_QUESTION = 390  # of a result file
TOKENS_A_REPLAY_ROW = 46
# Of SmolLM2 on a core of a recent server processor, until there are results of this machine.
DEFAULT = {"tokens_per_second": 190.0, "fixed": 15.0, "per_question": 0.25}


@dataclass(frozen=True)
class Speed:
    """What earlier results of a model measured, each cell in a process of its own."""

    tokens_per_second: float  # of training
    fixed: float  # seconds of a cell that is asked nothing: imports, loading
    per_question: float  # seconds

    def seconds(self, tokens: float, questions: float) -> float:
        """Expected seconds of a cell."""
        return self.fixed + self.per_question * questions + tokens / self.tokens_per_second


def seconds(cells: Iterable[Cell]) -> Mapping[Cell, float]:
    """The seconds that each cell is expected to take: by earlier results of its model, or of a usual machine."""
    table = costs(list(cells))
    return dict(zip(table["cell"], table["seconds"], strict=True))


def costs(cells: list[Cell]) -> pd.DataFrame:
    """One row a cell: `cell`, its parameters, training `tokens` (SmolLM2's tokenizer), `questions` asked, `seconds`
    expected, and whether the model was `measured` on this machine or any."""
    from transformers import AutoTokenizer

    from lib.train import bundled

    tokenizer = AutoTokenizer.from_pretrained(bundled.folder("smollm2-135m"))
    speeds = {model: measured(model) for model in {cell.model for cell in cells}}
    sizes, rows = {}, []
    for cell in cells:
        same = cell.model_copy(update={"model": "smollm2-135m"})  # tokens and questions do not depend on the model
        if same not in sizes:
            sizes[same] = _size(same, tokenizer)
        tokens, asked = sizes[same]
        speed = speeds[cell.model]
        expected = (speed or Speed(**DEFAULT)).seconds(tokens, asked)
        rows.append({"cell": cell, **cell.model_dump(), "tokens": round(tokens), "questions": asked,
                     "seconds": expected, "measured": speed is not None})  # fmt: skip
    return pd.DataFrame(rows)


def _size(cell, tokenizer):
    """Training tokens and questions of a cell."""
    profiles = take(steps.candidates(cell), cell.n_entities)
    asked = len(steps.questions_for(cell, profiles)) + len(general.data()["questions"])
    if cell.format == "none":
        return 0, asked
    rows = steps.training_rows(cell, profiles)
    tokens = steps.epochs(cell, tokenizer, profiles, rows) * count_tokens(tokenizer, rows)
    tokens += cell.replay * TOKENS_A_REPLAY_ROW
    return tokens, asked + cell.checkpoints * len(facts_of(profiles))


def measured(model: str) -> Speed | None:
    """The speed of a model's earlier results, in every study under results/; None if there is none."""
    rows = []
    for path in sorted(RESULTS.glob("*/cells/*.json")):
        try:
            result = store.read(path)
        except UserError:  # a run will say so; a plan need not
            continue
        if result["cell"]["model"] == model:
            training = result["training"] or {"seconds": 0.0, "tokens_per_second": None, "curve": []}
            asked = len(result["items"]) + len(training["curve"]) * len(result["facts"]["ids"])
            rest = result["manifest"]["seconds"] - training["seconds"]
            rows.append({"rate": training["tokens_per_second"], "questions": asked, "rest": rest})
    table = pd.DataFrame(rows, columns=["rate", "questions", "rest"])
    if table["rate"].isna().all():
        return None
    (fixed, per_question), _ = nnls(np.column_stack([np.ones(len(table)), table["questions"]]), table["rest"])
    return Speed(float(table["rate"].astype(float).median()), float(fixed), float(per_question))


def describe(cells: Mapping[Cell, str], jobs: int) -> str:
    """The cells by part and format, their tokens, and the hours expected with so many cells at once."""
    table = costs(list(cells)).assign(part=list(cells.values()))
    by = ["part", "format"] if table["model"].nunique() == 1 else ["model", "part", "format"]
    grouped = table.groupby(by, sort=False).agg(
        cells=("tokens", "size"), seeds=("seed", "nunique"), tokens=("tokens", "sum"), questions=("questions", "sum"),
        hours=("seconds", "sum"),
    )  # fmt: skip
    grouped["hours"] /= 3600 * jobs
    total = f"{len(cells)} cells, {table['tokens'].sum():,} training tokens, {table['questions'].sum():,} questions"
    if not table["measured"].all():
        return f"{grouped.drop(columns='hours').to_string()}\n\n{total}\n{gpu_hours(table)}"
    hours = table["seconds"].sum() / 3600 / jobs
    shown = grouped.to_string(float_format="{:.2f}".format)
    return f"{shown}\n\n{total}; {hours:.1f} hours expected with {jobs} cells at once"


def gpu_hours(table: pd.DataFrame) -> str:
    """GPU-hours and disk of models that were never measured, from the parameters that their names tell ("Qwen3-4B").

    A training token takes 4 FLOPs a parameter where the weights are frozen and 6 where they are not, a token read or
    said takes 2 (Kaplan et al. 2020, arXiv 2001.08361, without the gradients of frozen weights).
    """
    size = table["model"].str.extract(r"(\d+(?:\.\d+)?)[bB]\b")[0].astype(float) * 1e9
    if size.isna().any():
        return "hours not known: no earlier result, and no number of parameters in the name, of " + ", ".join(
            table.loc[size.isna(), "model"].unique()
        )
    training = table["tokens"] * np.where(table["lora_rank"] == 0, 6, 4)
    flops = (size * (training + 2 * TOKENS_A_QUESTION * table["questions"])).sum()
    hours = flops / (GPU_FLOPS * GPU_UTILIZATION) / 3600 + len(table) * GPU_FIXED / 3600
    weights = 2 * size.groupby(table["model"]).first().sum() / 2**30
    disk = table["questions"].sum() * BYTES_A_QUESTION / 2**30
    return (
        f"about {hours:.0f} GPU-hours at {GPU_UTILIZATION:.0%} of {GPU_FLOPS / 1e12:.0f} TFLOP/s and {GPU_FIXED} s a "
        f"cell; disk: {weights:.0f} GiB of weights on each node, {disk:.1f} GiB of results"
    )
