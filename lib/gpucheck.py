"""`make gpu-check`: one published cell once more on a GPU, beside the CPU's result."""

import sys

from lib import process, reproduce, results
from lib.cell import load_grid
from lib.errors import UserError


def main() -> int:
    """Run a question cell of the quick grid on the GPU; 0 if it agrees with the published one, 1 if not, 2 without GPU.

    It agrees when the rows and facts are the same, the first loss is the same within bfloat16's rounding, and each
    strict share of the GPU lies within the 95 % interval of the CPU's. Later losses differ by rounding that adds up.
    """
    if not process.has_gpu():
        print("error: no NVIDIA GPU here: there is nothing to check", file=sys.stderr)
        return 2
    wanted = ("qa", "fictional", "categorical")
    cell = next(c for c in load_grid("quick") if (c.format, c.entity, c.info) == wanted)
    outcome = process.run_cell(cell, "gpu-check", process.cores())
    if outcome.error:
        print(f"error: {outcome.error}\n{outcome.log}", file=sys.stderr)
        return 1
    try:
        differing = compare(results.read(results.cell_path("quick", cell)), outcome.result)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 1 if differing else 0


def compare(cpu: dict, gpu: dict) -> list[str]:
    """Print two results of a cell side by side; returns the names of what differs by more than it may."""
    rows = [("device", cpu["manifest"]["device_name"], gpu["manifest"]["device_name"],
             gpu["manifest"]["device"].startswith("cuda"))]  # fmt: skip
    rows += [(key, cpu["manifest"][key][:12], gpu["manifest"][key][:12], cpu["manifest"][key] == gpu["manifest"][key])
             for key in ("facts_sha256", "model_sha256")]  # fmt: skip
    rows += [(key, cpu["training"][key], gpu["training"][key], cpu["training"][key] == gpu["training"][key])
             for key in ("rows", "tokens", "trained_tokens", "steps")]  # fmt: skip
    first, same = (result["training"]["losses"][0] for result in (cpu, gpu))
    rows.append(("first loss", f"{first:.3f}", f"{same:.3f}", abs(first - same) < 0.02 * first))
    rows += reproduce.shares(cpu, gpu)
    rows.append(("tokens/s", *(f"{result['training']['tokens_per_second']:.0f}" for result in (cpu, gpu)), True))
    for name, left, right, agrees in rows:
        print(f"{name:16}{left!s:>28}{right!s:>28}  {'' if agrees else 'DIFFERS'}")
    return [name for name, _, _, agrees in rows if not agrees]


if __name__ == "__main__":
    sys.exit(main())
