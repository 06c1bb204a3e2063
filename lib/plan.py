"""What a grid will cost, from its rows and questions and from the speeds of earlier results."""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from lib import experiment, results, training
from lib.cell import Cell
from lib.errors import UserError
from lib.facts import take
from lib.forgetting import general
from lib.paths import RESULTS

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
    rows = []
    for cell in cells:
        facts = take(experiment.candidates(cell), cell.n_facts)
        tokens = 0
        if cell.format != "none":
            made = experiment.training_rows(cell, facts)
            tokens = experiment.epochs(cell, tokenizer, facts, made) * training.count_tokens(tokenizer, made)
        asked = len(experiment.questions_for(cell, facts)) * (1 + cell.checkpoints)
        asked += len(general()["questions"]) if cell.evals == "all" else 0
        speed = speeds[cell.model]
        seconds = speed.seconds(cell.format, tokens, asked) if speed else np.nan
        rows.append({**asdict(cell), "tokens": round(tokens), "questions": asked, "seconds": seconds})
    return pd.DataFrame(rows)


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
        cells=("tokens", "size"), tokens=("tokens", "sum"), questions=("questions", "sum"), hours=("seconds", "sum")
    )
    by_format["hours"] /= 3600 * jobs
    lines += ["", by_format.to_string(float_format="{:.2f}".format), ""]
    total = f"{len(cells)} cells, {table['tokens'].sum():,} training tokens, {table['questions'].sum():,} questions"
    if table["seconds"].isna().any():
        return "\n".join([*lines, f"{total}; hours not known: no earlier result of this model under results/"])
    hours = table["seconds"].sum() / 3600 / jobs
    return "\n".join([*lines, f"{total}; {hours:.1f} hours expected with {jobs} cells at once"])
