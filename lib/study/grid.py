"""A study as a YAML grid: which experiments make it, and which part of the study each is of."""

import difflib
import itertools
import math
from pathlib import Path

import yaml

from lib.cell import Cell, from_parameters
from lib.paths import GRIDS, UserError

# What a block is for. Contrasts and figures select experiments by part, never by guessing from the parameters.
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

# A file beyond these is no grid but a mistake or an attack; the largest of the project has 700 experiments.
EXPERIMENTS, NODES, DEPTH = 5000, 200_000, 20
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the former is ten times as fast


def grid_path(name: str) -> Path:
    """The YAML file of a grid, by name or by path; UserError lists the known names."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else GRIDS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in GRIDS.glob("*.yaml")))
        raise UserError(f"no grid {name!r}: known are {known}, or give the path of a .yaml file")
    return path


def load_grid(name: str) -> dict[Cell, str]:
    """The experiments of a grid in order, without repeats, each with its part.

    A grid is a YAML list of blocks; a parameter that is a list is an axis, and a block stands for the product of its
    axes. `part` says what the block is for; it is not a parameter of the experiment and not in its id. An experiment
    of two blocks has the part of the first. Raises UserError naming the file, the block and the parameter.
    """
    path = grid_path(name)
    try:
        blocks = _read(path)
    except (yaml.YAMLError, ValueError, OSError) as error:  # ValueError: not UTF-8, or a number of thousands of digits
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks) or not blocks:
        raise UserError(f"{path}: expected a list of blocks of parameters")
    cells = {}
    for number, block in enumerate(blocks, 1):
        try:
            cells |= {cell: cells.get(cell, part) for cell, part in _cells(block)}
            if len(cells) > EXPERIMENTS:
                raise UserError(f"more than {EXPERIMENTS:,} experiments: make several grids")
        except UserError as error:
            raise UserError(f"{path}, block {number}: {error}") from None
    return cells


def _read(path):
    """What a YAML file says. YAMLError for a key twice in a mapping, and for what is nested too deep or too large."""
    text, depth = path.read_text(encoding="utf-8"), 0
    for event in yaml.parse(text, LOADER):  # before it is composed, which calls itself for each level
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise yaml.YAMLError(f"more than {DEPTH} lists in lists, line {event.start_mark.line + 1}")
    sizes = {}

    def size(node):  # with every alias written out
        if id(node) not in sizes:
            sizes[id(node)] = math.inf  # of an alias in itself
            children = node.value if isinstance(node, yaml.CollectionNode) else []
            if isinstance(node, yaml.MappingNode):
                names = [key.value for key, _ in children if isinstance(key, yaml.ScalarNode)]
                if twice := [name for name in names if names.count(name) > 1]:
                    raise yaml.YAMLError(f"{twice[0]} twice in one block, line {node.start_mark.line + 1}")
                children = itertools.chain(*children)
            sizes[id(node)] = 1 + sum(map(size, children))
        return sizes[id(node)]

    if (node := yaml.compose(text, LOADER)) and size(node) > NODES:
        raise yaml.YAMLError(f"more than {NODES:,} values, its aliases written out")
    return yaml.load(text, LOADER)


def _cells(block):
    """The experiments of a block, each with its part."""
    part, parameters = block.get("part"), {name: value for name, value in block.items() if name != "part"}
    if part not in PARTS:
        close = difflib.get_close_matches(str(part)[:80], PARTS, n=1)
        known = f"expected one of {', '.join(PARTS)}" + (f"; {close[0]}?" if close else "")
        raise UserError(f"part is {part!r:.80}: {known}")
    if empty := [str(name) for name, value in parameters.items() if value == []]:
        raise UserError(f"{', '.join(empty)} is an empty list")
    axes = [value if isinstance(value, list) else [value] for value in parameters.values()]
    if (number := math.prod(map(len, axes))) > EXPERIMENTS:
        raise UserError(f"{number:,} experiments, more than {EXPERIMENTS:,}: make several grids")
    for values in itertools.product(*axes):
        yield from_parameters(dict(zip(parameters, values, strict=True))), part
