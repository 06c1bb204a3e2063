"""A study of a user's own facts: its cells, what they will take, and running them."""

import hashlib
import random
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.cell import Cell, from_parameters
from lib.paths import RESULTS, UserError
from lib.study import plan, processes, run, store
from lib.user_facts.facts import PARAPHRASES, Attribute, attributes, facts_file, name_of
from lib.user_facts.table import Table

# What the tune grid chose for SmolLM2 (lib/grids/tune.yaml).
SETTINGS = {
    "article": {"learning_rate": 0.002, "batch_size": 4},
    "qa": {"learning_rate": 0.002, "batch_size": 8},
    "chat": {"learning_rate": 0.001, "batch_size": 4},
}
RATE = 0.0003  # of models that were not tuned: a usual one for adapters
RANK = 32
CHECKPOINTS = 4  # fewer where a training has fewer steps
SAMPLED = 64  # profiles that are planned; the others are taken to be like them


@dataclass(frozen=True)
class Own:
    """A study of a user's facts before it runs: nothing of it is written yet."""

    name: str  # of its folder under results/
    file: str  # of its facts, below results/
    facts: dict  # what the file will hold
    columns: tuple[Attribute, ...]
    cells: tuple[Cell, ...]  # the base model, and one of each format
    entities: int


@dataclass(frozen=True)
class Expected:
    """Seconds of a study: what it takes whatever its facts, and for each of its profiles."""

    fixed: float
    a_profile: float
    profiles: int
    entities: int

    @property
    def seconds(self) -> float:
        """Of the whole study."""
        return self.fixed + self.a_profile * self.profiles

    def fitting(self, hours: float = 1.0) -> int:
        """How many of the entities can be trained in so many hours; at least one."""
        if self.profiles == 1:
            return 1
        profiles = (3600 * hours - self.fixed) / self.a_profile
        return max(1, int(profiles * self.entities / self.profiles))


def prepare(
    table: Table, model: str, exposures: int = 32, replay: int = 360, sample: int | None = None,
    study: str | None = None,
) -> Own:  # fmt: skip
    """The study of a table: with `sample`, of so many of its entities, drawn by a seed.

    Each fact is told `exposures` times, in PARAPHRASES wordings. Without `study`, the folder is named after the file
    and what is trained, so that a changed table has a folder of its own and the same one goes on where it was. Raises
    UserError for what the facts file refuses, and for exposures that are no multiple of PARAPHRASES.
    """
    from lib.train import weights

    if exposures < PARAPHRASES or exposures % PARAPHRASES:
        raise UserError(f"exposures is {exposures}: expected a multiple of {PARAPHRASES}, the wordings of a fact")
    weights.check_hub(model)
    tokenizer = weights.tokenizer(model)
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
    return Own(name, entity, facts, tuple(columns), (base, *cells), len(names))


def expected(own: Own) -> Expected:
    """What the study will take, by the plan of up to SAMPLED of its profiles."""
    profiles = own.facts["profiles"]
    sampled = profiles[:: -(-len(profiles) // SAMPLED)]
    one, all_sampled = _seconds(own, sampled[:1]), _seconds(own, sampled)
    a_profile = (all_sampled - one) / max(1, len(sampled) - 1)
    return Expected(one - a_profile, a_profile, len(profiles), own.entities)


def _seconds(own, profiles):
    with tempfile.TemporaryDirectory() as folder:  # nothing is written to results/ before it runs
        path = Path(folder) / "facts.json"
        store.write_json(path, own.facts | {"profiles": profiles})
        sampled = {"entity": str(path), "n_entities": len(profiles)}
        seconds = plan.seconds(cell.model_copy(update=sampled) for cell in own.cells).values()
    return sum(seconds) / min(processes.default_jobs(), len(own.cells))


def execute(own: Own, jobs: int | None = None) -> Sequence[Cell]:
    """Run what is not finished of the study; the cells that failed."""
    store.write_parts(own.name, dict.fromkeys(own.cells, "main"))
    store.write_json(RESULTS / own.file, own.facts)
    return run.run(list(own.cells), own.name, jobs or processes.default_jobs())
