"""What a grid will cost, from its rows and questions and from the speeds of earlier results."""

from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from lib import experiment, results, training
from lib.cell import Cell
from lib.errors import UserError
from lib.facts import take
from lib.forgetting import general
from lib.paths import RESULTS

# Of a GPU that has not been measured: the bfloat16 rate of an H100's data sheet; the share of it that steps of some 400
# tokens reach, which is a guess on the low side; and the seconds in which a cell imports and loads.
GPU_FLOPS, GPU_UTILIZATION, GPU_FIXED = 989e12, 0.05, 60
TOKENS_A_QUESTION = 100  # prompt and answer
BYTES_A_QUESTION = 390  # of a result file, as in results/quick and results/tune
TRAINING = ["paraphrases", "epochs", "learning_rate", "lora_rank", "batch_size", "budget", "checkpoints"]
AXES = ["model", "entity", "info", "tone", "format", "n_facts", *TRAINING, "evals", "seed"]


@dataclass(frozen=True)
class Speed:
    """What earlier results of a model measured, each cell in a process of its own."""

    tokens_per_second: dict[str, float]  # of training, by format
    fixed: float  # seconds of a cell that is asked nothing: imports, loading
    per_question: float  # seconds
    untrained: float  # seconds a question more for the untrained model, which answers at length

    def seconds(self, format: str, tokens: int, questions: int) -> float:
        """Expected seconds of a cell; a format never measured trains at the median of the others."""
        asking = self.per_question + (self.untrained if format == "none" else 0)
        rate = self.tokens_per_second.get(format, np.median(list(self.tokens_per_second.values())))
        return self.fixed + asking * questions + tokens / rate


def costs(cells: list[Cell]) -> pd.DataFrame:
    """One row a cell: parameters, training `tokens` (SmolLM2's tokenizer), `questions` asked, `seconds` expected.

    The seconds are missing for a model without earlier results.
    """
    from transformers import AutoTokenizer

    from lib import models

    tokenizer = AutoTokenizer.from_pretrained(models.resolve("smollm2-135m")[0])
    speeds = {model: measured(model) for model in {cell.model for cell in cells}}
    sizes, rows = {}, []
    for cell in cells:
        same = replace(cell, model="smollm2-135m").id  # tokens and questions do not depend on the model
        if same not in sizes:
            sizes[same] = _size(cell, tokenizer)
        tokens, asked = sizes[same]
        speed = speeds[cell.model]
        seconds = speed.seconds(cell.format, tokens, asked) if speed else np.nan
        rows.append({**asdict(cell), "tokens": round(tokens), "questions": asked, "seconds": seconds})
    return pd.DataFrame(rows)


def _size(cell, tokenizer):
    """Training tokens and questions of a cell."""
    facts = take(experiment.candidates(cell), cell.n_facts)
    tokens = 0
    if cell.format != "none":
        made = experiment.training_rows(cell, facts)
        tokens = experiment.epochs(cell, tokenizer, facts, made) * training.count_tokens(tokenizer, made)
    asked = len(experiment.questions_for(cell, facts)) * (1 + cell.checkpoints)
    return tokens, asked + (len(general()["questions"]) if cell.evals == "all" else 0)


def measured(model: str) -> Speed | None:
    """The speed of a model's earlier results, in every study under results/; None if there is none."""
    rows = []
    for path in sorted(RESULTS.glob("*/cells/*.json")):
        try:
            result = results.read(path)
        except UserError:  # a run will say so; a plan need not
            continue
        if result["cell"]["model"] == model:
            asked = len(result["items"]) + sum(len(point["items"]) for point in result["training"].get("curve", []))
            rest = result["manifest"]["seconds"] - result["training"]["seconds"]
            rate = result["training"]["tokens_per_second"]
            rows.append({"format": result["cell"]["format"], "rate": rate, "questions": asked, "rest": rest})
    table = pd.DataFrame(rows)
    if table.empty or table["rate"].isna().all():
        return None
    asked, untrained = table["questions"], table["questions"] * (table["format"] == "none")
    (fixed, per_question, more), _ = nnls(np.column_stack([np.ones(len(table)), asked, untrained]), table["rest"])
    rates = table.dropna(subset="rate").groupby("format")["rate"].median().to_dict()
    return Speed(rates, fixed, per_question, more)


def describe(cells: list[Cell], jobs: int) -> str:
    """The cells by axis, their tokens, and the hours expected with so many cells at once."""
    table = costs(cells)
    lines = []
    trained = table[table["format"] != "none"]
    for axis in AXES:
        counts = (trained if axis in TRAINING else table)[axis].value_counts(sort=False).to_dict()
        if len(counts) > 1:
            lines.append(f"{axis:14}" + ", ".join(f"{value}: {n}" for value, n in counts.items() if value != ""))
        elif (value := next(iter(counts), "")) != "":
            lines.append(f"{axis:14}{value}")
    by_format = table.groupby("format", sort=False).agg(
        cells=("tokens", "size"),
        tokens=("tokens", "sum"),
        questions=("questions", "sum"),
        hours=("seconds", lambda seconds: seconds.sum(min_count=1)),
    )
    by_format["hours"] /= 3600 * jobs
    lines += ["", by_format.to_string(float_format="{:.2f}".format), ""]
    total = f"{len(cells)} cells, {table['tokens'].sum():,} training tokens, {table['questions'].sum():,} questions"
    if table["seconds"].isna().any():
        return "\n".join([*lines, f"{total}; hours not known: no earlier result of this model", gpu_hours(table)])
    hours = table["seconds"].sum() / 3600 / jobs
    return "\n".join([*lines, f"{total}; {hours:.1f} hours expected with {jobs} cells at once"])


def gpu_hours(table: pd.DataFrame) -> str:
    """GPU-hours and disk of models that were never measured, from the parameters that their names tell ("Qwen3-4B").

    A training token takes 4 FLOPs a parameter where the weights are frozen and 6 where they are not, a token read or
    said takes 2 (Kaplan et al. 2020, arXiv 2001.08361, without the gradients of frozen weights).
    """
    size = table["model"].str.extract(r"(\d+(?:\.\d+)?)[bB]\b")[0].astype(float) * 1e9
    if size.isna().any():
        return "GPU-hours not known: no number of parameters in the name of " + ", ".join(
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
