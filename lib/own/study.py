"""A study of a user's own facts: its cells, what they will take, and running them."""

import hashlib
import random
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.data.encode import count_tokens
from lib.data.facts import build, facts_of
from lib.data.formats import rows
from lib.errors import UserError
from lib.evaluate import general
from lib.own.compile import PARAPHRASES, Attribute, attributes, facts_file, name_of
from lib.own.read import Table
from lib.paths import RESULTS
from lib.study import plan, processes, run, store
from lib.study.cell import Cell, from_parameters

# What the tune grid chose for SmolLM2 (lib/grids/tune.yaml).
SETTINGS = {
    "article": {"learning_rate": 0.002, "batch_size": 4},
    "qa": {"learning_rate": 0.002, "batch_size": 8},
    "chat": {"learning_rate": 0.001, "batch_size": 4},
}
RATE = 0.0003  # of models that were not tuned: a usual one for adapters
RANK = 32
CHECKPOINTS = 4  # fewer where a training has fewer steps
SAMPLED = 100  # profiles whose rows are counted for the plan


@dataclass(frozen=True)
class Own:
    """A study of a user's facts before it runs: nothing of it is written yet."""

    name: str  # of its folder under results/
    file: str  # of its facts, below results/
    facts: dict  # what the file will hold
    tokenizer: object  # the model's
    columns: tuple[Attribute, ...]
    cells: tuple[Cell, ...]  # the base model, and one of each format
    entities: int


def prepare(
    table: Table, model: str, exposures: int = 32, replay: int = 360, sample: int | None = None,
    study: str | None = None,
) -> Own:  # fmt: skip
    """The study of a table: with `sample`, of so many of its entities, drawn by a seed.

    Each fact is told `exposures` times, in PARAPHRASES wordings. Without `study`, the folder is named after the file
    and what is trained, so that a changed table has a folder of its own and the same one goes on where it was. Raises
    UserError for what the facts file refuses, and for exposures that are no multiple of PARAPHRASES.
    """
    from transformers import AutoTokenizer

    from lib.train.chat import set_template
    from lib.train.model import check_hub, resolve

    if exposures < PARAPHRASES or exposures % PARAPHRASES:
        raise UserError(f"exposures is {exposures}: expected a multiple of {PARAPHRASES}, the wordings of a fact")
    check_hub(model)
    path, revision = resolve(model)
    tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
    set_template(tokenizer)
    columns = attributes(table)
    names = list(dict.fromkeys(entry.name for entry in table.entries))
    if sample and sample < len(names):
        drawn = set(random.Random(0).sample(names, sample))
        table = Table(
            table.path, tuple(entry for entry in table.entries if entry.name in drawn), table.questions,
            table.statements, {name: text for name, text in table.articles.items() if name in drawn},
        )  # fmt: skip
        names = [name for name in names if name in drawn]
    facts = facts_file(table, columns, tokenizer)
    file = name_of(facts)
    trained = f"{file} {model} {exposures} {replay} {SETTINGS}"
    slug = re.sub(r"\W+", "-", table.path.stem).strip("-").lower()[:40] or "table"
    name = study or f"my-facts-{slug}-{hashlib.sha256(trained.encode()).hexdigest()[:8]}"
    entity = f"{store.study_dir(name).name}/{file}"
    fewest_rows = len(facts["profiles"]) * exposures + replay  # of articles; the other formats have more
    shared = {"model": model, "entity": entity, "n_entities": len(facts["profiles"]), "seed": 0}
    base = from_parameters({**shared, "format": "none"})
    cells = [
        from_parameters({
            **shared, "format": format, "paraphrases": PARAPHRASES, "epochs": exposures // PARAPHRASES,
            "lora_rank": RANK, "replay": replay, **settings,
            "checkpoints": min(CHECKPOINTS, (fewest_rows - 1) // settings["batch_size"]),
            **({} if model in ("smollm2-135m", "tiny") else {"learning_rate": RATE}),
        })
        for format, settings in SETTINGS.items()
    ]  # fmt: skip
    return Own(name, entity, facts, tokenizer, tuple(columns), (base, *cells), len(names))


def seconds(own: Own) -> float:
    """What the study is expected to take on this machine, from the rows of up to SAMPLED profiles."""
    speed = plan.measured(own.cells[0].model) or plan.Speed(**plan.DEFAULT)
    every = max(1, len(own.facts["profiles"]) // SAMPLED)
    with tempfile.TemporaryDirectory() as folder:  # nothing is written to results/ before it runs
        path = Path(folder) / "sampled.json"
        store.write_json(path, own.facts | {"profiles": own.facts["profiles"][::every]})
        profiles = build(str(path), 0)
        trained = {cell: rows(profiles, cell.format, PARAPHRASES, 0) for cell in own.cells[1:]}
    scale = len(own.facts["profiles"]) / len(profiles)
    facts = scale * len(facts_of(profiles))
    asked = 3 * facts + len(own.facts["unseen"]["names"]) + len(general.data()["questions"])
    total = speed.seconds(0, asked + facts)
    for cell, of_cell in trained.items():
        tokens = scale * cell.epochs * count_tokens(own.tokenizer, of_cell)
        tokens += cell.replay * plan.TOKENS_A_REPLAY_ROW
        total += speed.seconds(tokens, asked + (1 + 2 * cell.checkpoints) * facts)
    return total / min(processes.default_jobs(), len(own.cells))


def fitting(own: Own, expected: float, hours: float = 1.0) -> int:
    """How many of the entities can be trained in so many hours, where all take `expected` seconds; at least one."""
    return max(1, int(own.entities * hours * 3600 / expected))


def execute(own: Own, jobs: int | None = None) -> Sequence[Cell]:
    """Run what is not finished of the study; the cells that failed."""
    store.write_parts(own.name, dict.fromkeys(own.cells, "main"))
    store.write_json(RESULTS / own.file, own.facts)
    return run.run(list(own.cells), own.name, jobs or processes.default_jobs())
