"""`make reproduce`: published cells once more on this machine, beside their published results."""

import argparse
import random
import sys

from lib import process, results, stats
from lib.cell import from_parameters
from lib.errors import UserError


def main(argv: list[str] | None = None) -> int:
    """Run randomly chosen cells of a published study again; 0 if every one agrees, 1 if not, 2 for a user's mistake.

    A cell agrees when its items are the same to the letter, which they are on the same type of machine with as many
    threads a cell, or when each strict share lies within the 95 % interval of the published one. Responses in a tone
    have no score in one cell alone: where they are not the same, the rest is compared.
    """
    arguments = argparse.ArgumentParser(prog="python -m lib.reproduce", description=main.__doc__)
    arguments.add_argument("--study", default="cpu", help="folder under results/")
    arguments.add_argument("--n", type=int, default=3, help="cells to run again")
    arguments.add_argument("--seed", type=int, help="which cells are drawn (default: others every time)")
    given = arguments.parse_args(argv)
    try:
        published = {result["id"]: result for result in results.load(given.study)}
        if not 1 <= given.n <= len(published):
            raise UserError(f"--n is {given.n}: expected 1 to {len(published)}, the cells of results/{given.study}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    chosen = random.Random(given.seed).sample(sorted(published), given.n)
    cells = [from_parameters(published[id]["cell"]) for id in chosen]
    agreed = 0
    for cell, outcome in process.run_local(cells, "reproduce", process.default_jobs()):
        said = outcome.error or verdict(published[cell.id], outcome.result)
        agreed += said in (SAME, WITHIN)
        print(f"{cell.id} {cell}: {said}", flush=True)
        if outcome.error:
            print(outcome.log, file=sys.stderr)
    print(f"{agreed} of {given.n} cells of results/{given.study} reproduced")
    return 0 if agreed == given.n else 1


SAME = "the same items to the letter"
WITHIN = "other items, every score within its published interval"


def verdict(published: dict, again: dict) -> str:
    """How two results of a cell compare: SAME, WITHIN, or which scores lie outside and what else differs."""
    if published["items"] == again["items"]:
        return SAME
    outside = [name for name, _, _, agrees in shares(published, again) if not agrees]
    if not outside:
        return WITHIN
    differs = [key for key in ("device_name", "threads", "versions", "git_commit", "facts_sha256", "model_sha256")
               if published["manifest"].get(key) != again["manifest"].get(key)]  # fmt: skip
    return (
        f"DIFFERS in {', '.join(outside)} ({'other ' + ', '.join(differs) if differs else 'on the same machine type'})"
    )


def shares(published: dict, again: dict) -> list[tuple[str, str, str, bool]]:
    """Of each evaluation: name, published share with its interval, share of the other run, is it within?"""
    rows = []
    for _, row in stats.accuracy(results.items([published]), ["eval"]).iterrows():
        got = again["evals"][row["eval"]]["strict"]
        interval = stats.shown(row["mean"], row["low"], row["high"])
        rows.append((row["eval"], interval, f"{got:.2f}", row["low"] - 1e-9 <= got <= row["high"] + 1e-9))
    return rows


if __name__ == "__main__":
    sys.exit(main())
