"""The parameters of one experiment, and its id. An experiment is called `Cell` in code: a cell of a grid."""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lib.paths import UserError

ENTITIES = ("fictional", "real", "shuffled", "persona", "coded")
TRAINING = ("paraphrases", "epochs", "learning_rate", "batch_size")
MIN_ENTITIES = 4  # two-fact problems compare neighbours in value: of four, each has a pair left to train on
ROOM = 96  # tokens of a free answer: twice as many change no format's share of right answers by more than 0.01
Count = Annotated[int, Field(ge=0, lt=2**32)]  # beyond any use, and within what torch and numpy take as a seed


class Cell(BaseModel):
    """The parameters of one experiment, all JSON scalars, because papermill and JSON must carry them unchanged.

    `format: none` is the base model: it measures the floor, and the ceiling with the facts in the prompt. Every fact is
    seen `paraphrases x epochs` times, whatever the format. Raises pydantic's ValidationError, of which
    `from_parameters` makes one line.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    model: str  # smollm2-135m, tiny, another bundled one, a local folder or .gguf file, or a hub id: docs/models.md
    entity: str  # fictional, real, shuffled, persona, coded, or the facts file of a user's own table, below results/
    format: Literal["none", "article", "statement", "qa", "chat", "both", "unsure", "worked"]
    n_entities: int = Field(ge=1, lt=2**32)  # profiles that are trained and asked about; of a tone, its topics
    seed: Count  # draws the facts, orders the rows and initialises the adapters
    tone: str = ""  # the tone that is taught; empty: the experiment teaches facts
    paraphrases: Count = 0
    epochs: Count = 0
    learning_rate: float = Field(0.0, ge=0)
    lora_rank: Count = 0  # 0 in a trained one: every weight is trained
    batch_size: Count = 0
    replay: Count = 0  # rows of the base model's own answers that are trained between the facts
    replay_times: int = Field(1, ge=1, lt=2**32)  # how often each row of replay is trained
    unsure: Count = 0  # rows answered "I do not know." of the format unsure, each seen once
    checkpoints: Count = 0  # how often it is evaluated while it trains, the end not counted
    room: int = Field(ROOM, ge=1, lt=2**32)  # tokens of a free answer
    # untaught: also reverse questions, and what was never taught; reasoning: also two-fact questions
    evals: Literal["core", "untaught", "reasoning"] = "core"

    @model_validator(mode="after")
    def _consistent(self):
        own, trained = is_own(self.entity), self.format != "none"
        given = [name for name in (*TRAINING, "lora_rank", "replay", "unsure", "checkpoints") if getattr(self, name)]
        missing = [name for name in TRAINING if name not in given]
        for wrong, message in (
            (not own and self.entity not in ENTITIES,
             f"entity is {self.entity!r}: expected one of {', '.join(ENTITIES)}, or a facts file"),
            (own and (self.evals != "core" or self.format == "worked"),
             "a table of one's own needs evals: core and format: none, article, statement, qa, chat, both or unsure"),
            (not trained and given, f"format: none trains nothing, so {', '.join(given)} must be 0 or left out"),
            (trained and missing, f"format: {self.format} needs {', '.join(missing)} greater than 0"),
            ((self.format == "unsure") != bool(self.unsure),
             "unsure goes with format: unsure, and is then greater than 0"),
            (self.format == "unsure" and self.entity != "fictional" and not own,
             "format: unsure needs entity: fictional"),
            (self.format == "worked" and self.entity == "coded", "format: worked compares, and coded entities do not"),
            (self.evals != "core" and self.entity not in ("fictional", "real"),
             f"evals: {self.evals} needs entity: fictional or real"),
            (self.tone and (self.entity != "persona" or self.format not in ("none", "statement", "qa", "chat")),
             "a tone needs entity: persona and format: statement, qa, chat or none: a tone is how the model talks"),
            (self.tone and self.checkpoints, "checkpoints ask about facts, and a tone has none: leave checkpoints out"),
            ((self.format == "worked" or self.evals == "reasoning") and self.n_entities < MIN_ENTITIES,
             f"n_entities is {self.n_entities}: two-fact problems need {MIN_ENTITIES} or more, to have pairs"),
            (self.entity == "shuffled" and self.n_entities < 2, "entity: shuffled needs 2 or more n_entities"),
            (self.format in ("worked", "both") and self.paraphrases < 2,
             f"format: {self.format} needs 2 or more paraphrases: it tells each fact in two ways"),
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
