"""A study of a user's own facts: its experiments, what they will take, and running them."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lib.cell import Cell, from_parameters
from lib.data import of_cell
from lib.data.encode import messages
from lib.paths import RESULTS, UserError
from lib.study import plan, run, store
from lib.train import weights
from lib.user_facts.facts import PARAPHRASES, facts_file, written
from lib.user_facts.table import Table

# Rows a step.
BATCH = {"article": 4, "statement": 8, "qa": 8, "chat": 4, "both": 8, "unsure": 8}
# To go on with documents, to answer questions, to do both, and to answer and say what it does not know: four uses.
FORMATS = ("article", "qa", "both", "unsure")
UNSURE = 80  # rows that say "I do not know.": 160 decline more, and kept less than 0.8 (the part `unsure` of the study)
RATES = {"smollm2-135m": 0.002, "tiny": 0.002}  # the former by results/tune
RATE = 0.0003  # of models that were not tuned: a usual one for adapters
CHECKPOINTS = 4  # fewer where a training has fewer steps
HOUR = 60  # minutes from which a sample is offered


class Study(NamedTuple):
    """A study of a user's facts before it runs: nothing of it is written yet."""

    name: str  # of its folder under results/
    facts: dict  # what its facts file will hold
    cells: tuple[Cell, ...]  # the base model, and one of each format
    entities: int  # a wide one is told in several profiles


def prepare(
    table: Table, model: str, exposures: int = 32, replay: int = 360, sample: int | None = None,
    study: str | None = None, formats: Sequence[str] = (),
) -> Study:  # fmt: skip
    """The study of a table: with `sample`, of so many of its entities, drawn by a seed.

    Each fact is told `exposures` times, in PARAPHRASES wordings. Without `study`, the folder is named after the file
    and what is trained, so that a changed table has a folder of its own and the same one goes on where it was. Raises
    UserError for what the facts file refuses, for a format that there is not, and for exposures that are no multiple
    of PARAPHRASES.
    """
    known = table.around["formats"]
    formats = formats or [format for format in FORMATS if format in known]
    if unknown := {*formats} - {*known}:
        raise UserError(f"no format {min(unknown)!r} of {table.path.name}: take some of {', '.join(known)}")
    if exposures < PARAPHRASES or exposures % PARAPHRASES:
        raise UserError(f"exposures is {exposures}: expected a multiple of {PARAPHRASES}, the wordings of a fact")
    weights.check_hub(model)
    facts = facts_file(table, weights.tokenizer(model), sample)
    unsure = UNSURE if "unsure" in formats else 0
    trained = json.dumps([facts, model, exposures, replay, formats, BATCH, RATES, unsure])
    digest = hashlib.sha256(trained.encode()).hexdigest()[:12]  # other facts make other experiments
    slug = re.sub(r"\W+", "-", table.path.stem).strip("-").lower()[:40] or "table"
    name = study or f"my-facts-{slug}-{digest[:8]}"
    n, entity = len(facts["profiles"]), f"{store.study_dir(name).name}/facts-{digest}.json"
    shared = {"model": model, "entity": entity, "n_entities": n, "seed": 0}
    trained = {"paraphrases": PARAPHRASES, "epochs": exposures // PARAPHRASES, "replay": replay, "lora_rank": 32,
               "learning_rate": RATES.get(model, RATE)}  # fmt: skip
    cells = [from_parameters({**shared, "format": "none"})]
    fewest_rows = n * exposures + replay  # of articles; the other formats have more
    for format in formats:
        checkpoints = min(CHECKPOINTS, (fewest_rows - 1) // BATCH[format])
        own = {"format": format, "batch_size": BATCH[format], "checkpoints": checkpoints,
               "unsure": unsure if format == "unsure" else 0}  # fmt: skip
        cells.append(from_parameters({**shared, **trained, **own}))
    return Study(name, facts, tuple(cells), len({profile[0]["name"] for profile in facts["profiles"]}))


def expected(study: Study) -> tuple[pd.DataFrame, int]:
    """What the study will take: for each format, and last for all, some at once, `training tokens` (SmolLM2's) and
    `minutes`; and about how many of its entities would take an hour, at least one."""
    with written(study.facts) as entity:
        costs = plan.costs([cell.model_copy(update={"entity": entity}) for cell in study.cells])
    jobs = min(run.default_jobs(study.cells), len(costs))
    table = costs[["format", "tokens"]].assign(minutes=costs["seconds"] / 60).replace("none", "base model, asked")
    table.loc[len(table)] = f"all, {jobs} at once", table["tokens"].sum(), table["minutes"].sum() / jobs
    fitting = max(1, int(study.entities * HOUR / table["minutes"].iloc[-1]))
    return table.round({"minutes": 1}).rename(columns={"tokens": "training tokens"}), fitting


def write_rows(study: Study) -> Path:
    """Write the facts file and, into rows/<format>.jsonl, one epoch of each format's rows about facts as chat messages,
    as TRL and others read them; the folder of the rows."""
    store.write_json(RESULTS / study.cells[0].entity, study.facts)
    folder = store.study_dir(study.name) / "rows"
    for cell in study.cells[1:]:
        profiles = of_cell.candidates(cell)
        rows = of_cell.training_rows(cell, profiles) + of_cell.unsure_rows(cell, profiles)
        lines = [json.dumps({"messages": messages(row.turns)}, ensure_ascii=False) for row in rows]
        store.write_text(folder / f"{cell.format}.jsonl", "".join(f"{line}\n" for line in lines))
    return folder


def execute(study: Study) -> list[Cell]:
    """Write the rows, and run what is not finished of the study; the experiments that failed."""
    write_rows(study)
    return run.run(dict.fromkeys(study.cells, "main"), study.name, run.default_jobs(study.cells))
