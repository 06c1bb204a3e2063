"""A study as a YAML grid: which cells make it, and which part of the study each is of."""

import difflib
import itertools
from pathlib import Path

import yaml

from lib.cell import Cell, from_parameters
from lib.paths import GRIDS, UserError

# What a block is for. Contrasts and figures select cells by part, never by guessing from the parameters.
PARTS = (
    "main",  # the comparison of formats, with the base model on the same facts
    "replay",  # other amounts of replay
    "amount",  # other numbers of entities
    "paraphrases",  # as many exposures in fewer or more wordings
    "volume",  # as many tokens as articles
    "capacity",  # other ranks of the adapters
    "rate",  # other learning rates
    "formats",  # further training formats
    "tone",  # the style end
    "tune",  # rate and replay of each format, on seeds that no other study uses
)


def grid_path(name: str) -> Path:
    """The YAML file of a grid, by name or by path; UserError lists the known names."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else GRIDS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in GRIDS.glob("*.yaml")))
        raise UserError(f"no grid {name!r}: known are {known}, or give the path of a .yaml file")
    return path


def load_grid(name: str) -> dict[Cell, str]:
    """The cells of a grid in order, without repeats, each with its part.

    A grid is a YAML list of blocks; a parameter that is a list is an axis, and a block stands for the product of its
    axes. `part` says what the block is for; it is not a parameter of the cell and not in its id. A cell of two blocks
    has the part of the first. Raises UserError naming the file, the block and the parameter.
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
        try:
            for cell, part in _cells(block):
                cells.setdefault(cell, part)
        except UserError as error:
            raise UserError(f"{path}, block {number}: {error}") from None
    return cells


def _cells(block):
    """The cells of a block, each with its part."""
    part, parameters = block.get("part"), {name: value for name, value in block.items() if name != "part"}
    if part not in PARTS:
        close = difflib.get_close_matches(str(part), PARTS, n=1)
        raise UserError(f"part is {part!r}: expected one of {', '.join(PARTS)}" + (f"; {close[0]}?" if close else ""))
    if empty := [str(name) for name, value in parameters.items() if value == []]:
        raise UserError(f"{', '.join(empty)} is an empty list")
    axes = [value if isinstance(value, list) else [value] for value in parameters.values()]
    for values in itertools.product(*axes):
        yield from_parameters(dict(zip(parameters, values, strict=True))), part
