"""A study as a YAML grid: which experiments make it, and which part of the study each is of."""

import itertools
import math
from pathlib import Path

import yaml

from lib.cell import Cell, from_parameters
from lib.paths import GRIDS, UserError

# What a block is for, as docs/internals/scaling.md says. Contrasts and figures select experiments by it.
PARTS = (
    "main", "kinds", "replay", "wordings", "entities", "capacity", "reasoning", "unsure", "coding", "tone", "tune",
    "room",
)  # fmt: skip
EXPERIMENTS = 5000  # more is a mistake; the largest grid of the project has 700
DEPTH = 3  # a list of blocks of lists: what is nested deeper is no grid


class UniqueKeys:
    """YAML without a key twice in a block, of which PyYAML would take the last."""

    def construct_mapping(self, node, deep=False):
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := [name for name in names if names.count(name) > 1]:
            raise yaml.YAMLError(f"{twice[0]} twice in one block, line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)


class _Loader(UniqueKeys, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # the former is ten times as fast
    """Of a grid."""


def grid_path(name: str) -> Path:
    """The YAML file of a grid, by name or by path; UserError lists the known names."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else GRIDS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in GRIDS.glob("*.yaml")))
        raise UserError(f"no grid {name!r}: known are {known}, or give the path of a .yaml file")
    return path


def load_grid(name: str) -> dict[Cell, str]:
    """The experiments of a grid in order, without repeats, each with its part: that of the first block it is in.

    A grid is a YAML list of blocks; a parameter that is a list is an axis, and a block stands for the product of its
    axes. Raises UserError naming the file, the block and the parameter.
    """
    path = grid_path(name)
    try:
        text, depth = path.read_text(encoding="utf-8"), 0
        for event in yaml.parse(text, _Loader):  # before it is composed, which calls itself for each level
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            # an alias counts: with aliases of aliases a small file can stand for more than memory holds
            if depth + isinstance(event, yaml.AliasEvent) > DEPTH:
                raise yaml.YAMLError(f"lists in lists, line {event.start_mark.line + 1}")
        blocks = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, OSError, RecursionError) as error:  # ValueError: not UTF-8, or a huge number
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks) or not blocks:
        raise UserError(f"{path}: expected a list of blocks of parameters")
    cells, size = {}, 0
    for number, block in enumerate(blocks, 1):
        try:
            if (part := block.get("part")) not in PARTS:
                raise UserError(f"part is {part!r:.80}: expected one of {', '.join(PARTS)}")
            axes = {key: v if isinstance(v, list) else [v] for key, v in block.items() if key != "part"}
            if [] in axes.values():
                raise UserError(f"{next(key for key, values in axes.items() if not values)} is an empty list")
            if (size := size + math.prod(map(len, axes.values()))) > EXPERIMENTS:
                raise UserError(f"more than {EXPERIMENTS:,} experiments: make several grids")
            for values in itertools.product(*axes.values()):
                cells.setdefault(from_parameters(dict(zip(axes, values, strict=True))), part)
        except (UserError, ValueError) as error:  # ValueError: a number that is too long to be told
            raise UserError(f"{path}, block {number}: {error}") from None
    return cells
