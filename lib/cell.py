"""A cell: the parameters of one experiment. A study is a list of cells, written as a YAML grid."""

import difflib
import hashlib
import itertools
import json
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args, get_origin

import yaml

from lib.errors import UserError
from lib.paths import GRIDS


@dataclass(frozen=True)
class Cell:
    """The parameters of one experiment, all JSON scalars, because papermill and JSON must carry them unchanged.

    `format: none` is the untrained base model: it measures the floor, and the ceiling with the fact in the prompt.
    Every fact is seen `paraphrases x epochs` times, whatever the format (unless `budget` says otherwise).
    """

    model: str  # smollm2-135m, tiny, a local folder, or a hub id, optionally with @revision
    entity: Literal["fictional", "real", "persona", "airport"]
    info: Literal["numeric", "categorical", "tone"]
    format: Literal["none", "article", "qa", "chat", "cloze", "reasoning", "mixed"]
    n_facts: int  # of a tone: the topics of its example conversations
    seed: int  # draws the facts, orders the rows and initialises the adapters
    paraphrases: int = 0
    epochs: int = 0
    learning_rate: float = 0.0
    lora_rank: int = 0  # 0 in a trained cell: every weight is trained
    batch_size: int = 0
    evals: Literal["core", "all"] = "core"  # all: also reverse, untrained, reasoning and forgetting
    tone: str = ""  # the tone that the conversations have, where info is tone
    # tokens: as many epochs as it takes to see the tokens that an article cell sees in `epochs`
    budget: Literal["facts", "tokens"] = "facts"
    checkpoints: int = 0  # how often the cell is evaluated while it trains, the end not counted

    def __post_init__(self):
        """Raises UserError for a wrong type, a value out of range, or parameters that contradict each other."""
        for field in fields(self):
            _check_type(field.name, getattr(self, field.name), field.type)
        if not math.isfinite(self.learning_rate):
            raise UserError(f"learning_rate is {self.learning_rate}: expected a finite number")
        if self.seed < 0:
            raise UserError(f"seed is {self.seed}: expected 0 or more")
        if self.n_facts < 1:
            raise UserError(f"n_facts is {self.n_facts}: a cell needs at least one fact")
        self._check_training()
        self._check_facts()

    def _check_training(self):
        training = ("paraphrases", "epochs", "learning_rate", "batch_size")
        if self.format == "none":
            given = [name for name in (*training, "lora_rank", "checkpoints") if getattr(self, name) != 0]
            if given:
                raise UserError(f"format: none trains nothing, so {', '.join(given)} must be 0 or left out")
        else:
            missing = [name for name in training if getattr(self, name) <= 0]
            if missing:
                raise UserError(f"format: {self.format} needs {', '.join(missing)} greater than 0")
        for name in ("lora_rank", "checkpoints"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} is {getattr(self, name)}: expected 0 or more")
        if self.budget == "tokens" and self.format in ("none", "article"):
            raise UserError(f"budget: tokens matches a cell to its articles: format: {self.format} cannot have it")

    def _check_facts(self):
        if (self.info == "tone") != bool(self.tone):
            raise UserError(
                f"info: {self.info} with tone: {self.tone!r}: info: tone needs a tone, and nothing else does"
            )
        if self.info == "tone" and (self.entity != "persona" or self.format not in ("none", "chat")):
            raise UserError("info: tone needs entity: persona and format: chat or none: a tone is how the model talks")
        if self.evals == "all" and self.info != "tone" and self.n_facts < 2:
            raise UserError("n_facts is 1: evals: all compares two facts, ask for 2 or more")
        if self.format == "reasoning" and (self.n_facts < MIN_REASONING or self.paraphrases < 2):
            raise UserError(
                f"format: reasoning needs n_facts of {MIN_REASONING} or more, so that pairs are left to ask about, and "
                "2 or more paraphrases: one tells the fact, the other works an example"
            )

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of the parameters: the name of the result file.

        A parameter at its default is left out, so that a new parameter does not orphan the results that came before.
        """
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:12]

    def __str__(self) -> str:
        what = self.tone or self.info
        return f"{self.format} {what} {self.entity} n={self.n_facts} seed={self.seed}"


# Evaluations compare facts with their neighbours in value; of four facts, each has a pair left to train on.
MIN_REASONING = 4


def _check_type(name, value, expected):
    if get_origin(expected) is Literal:
        if value not in get_args(expected):
            raise UserError(f"{name} is {value!r}: expected one of {', '.join(get_args(expected))}")
        return
    accepted = (int, float) if expected is float else expected
    if isinstance(value, bool) or not isinstance(value, accepted):
        hint = " (YAML reads 1e-3 as text: write 0.001)" if expected is float and isinstance(value, str) else ""
        raise UserError(f"{name} is {value!r} ({type(value).__name__}): expected {expected.__name__}{hint}")


def from_parameters(parameters: dict) -> Cell:
    """A Cell from a plain mapping; UserError names an unknown or missing parameter."""
    known = {field.name for field in fields(Cell)}
    for name in parameters:
        if not isinstance(name, str):
            raise UserError(f"{name!r} is no name of a parameter: known are {', '.join(sorted(known))}")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"
            raise UserError(f"unknown parameter {name!r}: {hint}")
    if parameters.get("format", "none") != "none" and "lora_rank" not in parameters:
        raise UserError("lora_rank is missing: give the rank of the adapters, or 0 to train every weight")
    try:
        # 1 and 1.0 are the same learning rate and must not make two cells
        floats = {"learning_rate": float(parameters["learning_rate"])} if _is_number(parameters) else {}
        return Cell(**{**parameters, **floats})
    except TypeError as error:
        raise UserError(str(error).replace("Cell.__init__()", "the cell is")) from None


def _is_number(parameters):
    value = parameters.get("learning_rate")
    return isinstance(value, int | float) and not isinstance(value, bool)


def grid_path(name: str) -> Path:
    """The YAML file of a grid, by name or by path; UserError lists the known names."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else GRIDS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in GRIDS.glob("*.yaml")))
        raise UserError(f"no grid {name!r}: known are {known}, or give the path of a .yaml file")
    return path


def load_grid(name: str) -> list[Cell]:
    """The cells of a grid, in order, without repeats.

    A grid is a YAML list of blocks; a parameter that is a list is an axis, and a block stands for the product
    of its axes. Raises UserError naming the file, the block and the parameter.
    """
    path = grid_path(name)
    try:
        blocks = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks) or not blocks:
        raise UserError(f"{path}: expected a list of blocks of parameters")
    cells = {}
    for number, block in enumerate(blocks, 1):
        empty = [name for name, value in block.items() if value == []]
        if empty:
            raise UserError(f"{path}, block {number}: {', '.join(map(str, empty))} is an empty list")
        axes = [value if isinstance(value, list) else [value] for value in block.values()]
        for values in itertools.product(*axes):
            try:
                cell = from_parameters(dict(zip(block, values, strict=True)))
            except UserError as error:
                raise UserError(f"{path}, block {number}: {error}") from None
            cells[cell.id] = cell
    return list(cells.values())
