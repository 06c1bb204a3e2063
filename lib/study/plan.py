"""Whether a grid can be had, and what it will cost: from its rows and questions, and the speeds of earlier results."""

from collections.abc import Collection, Mapping
from contextlib import suppress

import pandas as pd

from lib.cell import Cell
from lib.data import of_cell, questions
from lib.data.encode import count_tokens
from lib.data.facts import take, texts
from lib.paths import RESULTS, UserError
from lib.study import store
from lib.train import weights

TOKENS_A_REPLAY_ROW = 46
SIZED = 64  # profiles; a user may bring thousands
# Of SmolLM2 on a core of a recent server processor, until there are results.
DEFAULT = {"tokens_per_second": 380.0, "per_question": 0.12, "dtype": "bfloat16"}


def check(cells: Collection[Cell]) -> None:
    """Raises UserError, before anything runs, for experiments whose facts, paraphrases or model cannot be had."""
    try:
        for cell in {cell.model: cell for cell in cells}.values():
            weights.check(cell.model)
        for cell in {cell.model_copy(update={"model": ""}): cell for cell in cells}.values():  # rows are of any model
            chosen = take(of_cell.candidates(cell), cell.n_entities)
            rows = len(of_cell.training_rows(cell, chosen)) * cell.epochs
            if 0 < rows + cell.replay * cell.replay_times + cell.unsure <= cell.checkpoints * cell.batch_size:
                raise UserError(f"checkpoints is {cell.checkpoints}, more than the experiment has steps")
            if cell.replay > (prompts := len(of_cell.replay_prompts())):
                raise UserError(f"replay is {cell.replay}, but there are {prompts} prompts")
            of_cell.unsure_rows(cell, chosen)  # raises, as asking does, where too few entities are left for it
            of_cell.questions_for(cell, chosen)
    except UserError as error:
        raise UserError(f"experiment {cell}: {error}") from None


def costs(cells: Collection[Cell]) -> pd.DataFrame:
    """One row an experiment: its parameters, training `tokens` (SmolLM2's tokenizer) and `questions`, both scaled up
    from SIZED profiles, `seconds` expected in which `dtype`, and whether that is of earlier results (`measured`)."""
    tokenizer, speeds, sizes, rows = weights.tokenizer("smollm2-135m"), measured(), {}, []
    for cell in cells:
        same = cell.model_copy(update={"model": "smollm2-135m"})  # tokens and questions do not depend on the model
        if same not in sizes:
            profiles = take(of_cell.candidates(same), same.n_entities)
            scale, profiles = max(1, len(profiles) / SIZED), profiles[:SIZED]
            asked = round(scale * len(of_cell.questions_for(same, profiles))) + len(texts("general")["questions"])
            trained, once = of_cell.training_rows(same, profiles), of_cell.unsure_rows(same, profiles)
            tokens = scale * same.epochs * count_tokens(tokenizer, trained) + count_tokens(tokenizer, once)
            tokens += same.replay * same.replay_times * TOKENS_A_REPLAY_ROW
            if same.checkpoints:
                asked += round(scale * same.checkpoints * len(questions.questions(profiles)))
            sizes[same] = tokens, asked
        tokens, asked = sizes[same]
        speed = speeds.get(cell.model, DEFAULT)
        expected = tokens / speed["tokens_per_second"] + asked * speed["per_question"]
        rows.append({**cell.model_dump(), "tokens": round(tokens), "questions": asked, "seconds": expected,
                     "dtype": speed["dtype"], "measured": cell.model in speeds})  # fmt: skip
    return pd.DataFrame(rows)


def measured() -> dict[str, dict]:
    """The speed of each model that was trained in any study under results/: medians of `tokens_per_second` of training
    and of seconds `per_question`, loading included, and their `dtype`: bfloat16, where some are in it."""
    rows = []
    for path in RESULTS.glob("*/experiments/*.json"):
        with suppress(UserError):  # a run will say what is damaged; a plan need not
            result = store.read(path)
            if training := result["training"]:
                held_out = sum(item["eval"] == "question" for item in result["items"])
                asked = len(result["items"]) + len(training["curve"]) * held_out
                rest = result["manifest"]["seconds"] - training["seconds"]
                rows.append([result["cell"]["model"], result["manifest"]["dtype"], training["tokens_per_second"],
                             rest / max(1, asked)])  # fmt: skip
    df = pd.DataFrame(rows, columns=["model", "dtype", "tokens_per_second", "per_question"])
    medians = df.groupby(["model", "dtype"], as_index=False).median()  # sorted: bfloat16 comes first
    return medians.drop_duplicates("model").set_index("model").to_dict("index")


def describe(cells: Mapping[Cell, str], jobs: int) -> str:
    """The experiments by part and format, their tokens, and the hours expected with so many at once, where known."""
    df = costs(cells).assign(part=cells.values(), hours=lambda df: df["seconds"] / 3600 / jobs)
    table = df.groupby(["model", "part", "format"], sort=False).agg(
        experiments=("tokens", "size"), seeds=("seed", "nunique"), tokens=("tokens", "sum"),
        questions=("questions", "sum"), hours=("hours", "sum"),
    )  # fmt: skip
    total = f"{len(cells)} experiments, {df['tokens'].sum():,} training tokens, {df['questions'].sum():,} questions"
    dtypes = " and ".join(df["dtype"].unique())
    hours = f"{df['hours'].sum():.1f} hours expected with {jobs} experiments at once, in {dtypes}"
    unknown = df.loc[~df["measured"] & (df["model"] != "smollm2-135m"), "model"].unique()
    if len(unknown):
        del table["hours"]
        hours = f"hours not known: no earlier result of {', '.join(unknown)}; docs/internals/scaling.md helps to guess"
    return f"{table.to_string(float_format='{:.2f}'.format)}\n\n{total}\n{hours}"
