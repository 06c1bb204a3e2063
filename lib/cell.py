"""The parameters of one experiment, and its id. An experiment is called `Cell` in code: a cell of a grid."""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lib.paths import UserError

ENTITIES = ("fictional", "real", "persona")
TRAINING = ("paraphrases", "epochs", "learning_rate", "batch_size")
MIN_ENTITIES = 4  # two-fact problems compare neighbours in value: of four, each has a pair left to train on
Count = Annotated[int, Field(ge=0, lt=2**32)]  # beyond any use, and within what torch and numpy take as a seed


class Cell(BaseModel):
    """The parameters of one experiment, all JSON scalars, because papermill and JSON must carry them unchanged.

    `format: none` is the base model: it measures the floor, and the ceiling with the facts in the prompt. Every fact is
    seen `paraphrases x epochs` times, whatever the format, unless `budget` says otherwise. Raises pydantic's
    ValidationError, of which `from_parameters` makes one line.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    model: str  # smollm2-135m, tiny, a local folder, or a hub id, optionally with @revision
    entity: str  # fictional, real, persona, or the facts file of a user's own table, below results/
    format: Literal["none", "article", "qa", "chat", "blanks", "worked", "mixed"]
    n_entities: int = Field(ge=1, lt=2**32)  # profiles that are trained and asked about; of a tone, its topics
    seed: Count  # draws the facts, orders the rows and initialises the adapters
    tone: str = ""  # the tone of the conversations; empty: the experiment teaches facts
    paraphrases: Count = 0
    epochs: Count = 0
    learning_rate: float = Field(0.0, ge=0)
    lora_rank: Count = 0  # 0 in a trained one: every weight is trained
    batch_size: Count = 0
    replay: Count = 0  # rows of the base model's own answers that are trained between the facts, each once
    # tokens: as many epochs as it takes to see the tokens that articles have in `epochs`
    budget: Literal["facts", "tokens"] = "facts"
    checkpoints: Count = 0  # how often it is evaluated while it trains, the end not counted
    evals: Literal["core", "all"] = "core"  # all: also reverse, unseen and two-fact questions

    @model_validator(mode="after")
    def _consistent(self):
        own, trained = is_own(self.entity), self.format != "none"
        given = [name for name in (*TRAINING, "lora_rank", "replay", "checkpoints") if getattr(self, name)]
        missing = [name for name in TRAINING if name not in given]
        for wrong, message in (
            (not own and self.entity not in ENTITIES,
             f"entity is {self.entity!r}: expected one of {', '.join(ENTITIES)}, or a facts file"),
            (own and (self.evals == "all" or self.format not in ("none", "article", "qa", "chat")),
             "a table of one's own needs evals: core and format: none, article, qa or chat"),
            (not trained and given, f"format: none trains nothing, so {', '.join(given)} must be 0 or left out"),
            (trained and missing, f"format: {self.format} needs {', '.join(missing)} greater than 0"),
            (self.budget == "tokens" and self.format in ("none", "article"),
             f"budget: tokens matches what articles have: format: {self.format} cannot have it"),
            (self.tone and (self.entity != "persona" or self.format not in ("none", "chat")),
             "a tone needs entity: persona and format: chat or none: a tone is how the model talks"),
            (self.tone and self.checkpoints, "checkpoints ask about facts, and a tone has none: leave checkpoints out"),
            (not self.tone and self.evals == "all" and self.n_entities < 2,
             "n_entities is 1: evals: all compares two entities, ask for 2 or more"),
            (self.format == "worked" and (self.n_entities < MIN_ENTITIES or self.paraphrases < 2),
             f"format: worked needs n_entities of {MIN_ENTITIES} or more, to have pairs to ask about, and 2 or more "
             "paraphrases: one tells the facts, the other works an example"),
            (trained and "lora_rank" not in self.model_fields_set,
             "lora_rank is missing: give the rank of the adapters, or 0 to train every weight"),
        ):  # fmt: skip
            if wrong:
                raise ValueError(message)
        return self

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of the parameters: the name of the result file. Defaults are left
        out, so that a new parameter does not orphan the results that came before."""
        given = json.dumps(self.model_dump(exclude_defaults=True), sort_keys=True)
        return hashlib.sha256(given.encode()).hexdigest()[:12]

    def __str__(self) -> str:
        entity = "own facts" if is_own(self.entity) else self.entity
        replay = f" replay={self.replay}" if self.replay else ""
        return f"{self.format} {self.tone or entity} n={self.n_entities} seed={self.seed}{replay}"


def is_own(entity: str) -> bool:
    """Whether the entities are a user's own: then `entity` is their facts file below results/."""
    return entity.endswith(".json")


def from_parameters(parameters: dict) -> Cell:
    """A Cell from a plain mapping; UserError names the parameter, and what is wrong with it."""
    try:
        return Cell.model_validate(parameters)
    except ValidationError as error:
        # a misspelled name is unknown, and the right one missing: say the former
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    name, message = ".".join(map(str, first["loc"]))[:80], first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        raise UserError(f"unknown parameter {name!r}: known are {', '.join(Cell.model_fields)}")
    if first["type"] == "missing":
        raise UserError(f"{name} is missing")
    if first["type"] == "float_type":
        message += " (YAML reads 1e-3 as text: write 0.001)"
    raise UserError(f"{name} is {first['input']!r:.80}: {message}" if name else message)
