"""`make reproduce`: published cells once more on this machine, beside their published results."""

import random
import sys

import pandas as pd

from lib.cell import from_parameters
from lib.paths import UserError
from lib.report import intervals, parts
from lib.study import processes, store

SAME = "the same to the letter"
WITHIN = "not the same to the letter, every score within its published interval"
# Of a manifest: what explains that a run did not give the same.
CAUSES = ("device_name", "dtype", "threads", "versions", "git_commit", "facts_sha256", "model_sha256")


def reproduce(study: str, n: int, seed: int | None) -> bool:
    """Run n randomly chosen cells of a published study again; whether every one of them agrees.

    A cell agrees when its answers and its curve are the same to the letter, which they are on the same type of machine
    with as many threads a cell, or when each strict share lies within the 95 % interval of the published one. Responses
    in a tone have no score in one cell alone: where they are not the same, the rest is compared.
    """
    published = {result["id"]: result for result in store.load(study)}
    if n > len(published):
        raise UserError(f"--n is {n}: expected 1 to {len(published)}, the cells of results/{study}")
    chosen = random.Random(seed).sample(sorted(published), n)
    cells = [from_parameters(published[id]["cell"]) for id in chosen]
    agreed = 0
    for cell, outcome in processes.run_local(cells, "reproduce", processes.default_jobs(), lambda cell, stage: None):
        said = f"FAILED: {outcome.error}" if outcome.error else verdict(published[cell.id], outcome.result)
        agreed += said in (SAME, WITHIN)
        print(f"{cell.id} {cell}: {said}", flush=True)
        if outcome.error:
            print(outcome.log, file=sys.stderr)
    print(f"{agreed} of {n} cells of results/{study} reproduced")
    return agreed == n


def verdict(published: dict, again: dict) -> str:
    """How two results of a cell compare: SAME, WITHIN, or which scores lie outside and what else differs."""
    if _made(published) == _made(again):
        return SAME
    outside = [name for name, _, _, agrees in shares(published, again) if not agrees]
    if not outside:
        return WITHIN
    differs = [key for key in CAUSES if published["manifest"].get(key) != again["manifest"].get(key)]
    why = f"other {', '.join(differs)}" if differs else "on the same machine type"
    return f"DIFFERS in {', '.join(outside)} ({why})"


def shares(published: dict, again: dict) -> list[tuple[str, str, str, bool]]:
    """Of each evaluation: name, published share with its interval, share of the other run, is it within?"""
    was, got = _accuracy(published), _accuracy(again)["mean"]
    return [
        (name, intervals.shown(row["mean"], row["low"], row["high"]), f"{got[name]:.2f}",
         row["low"] - 1e-9 <= got[name] <= row["high"] + 1e-9)
        for name, row in was.iterrows()
    ]  # fmt: skip


def _accuracy(result: dict) -> pd.DataFrame:
    items = parts.items([{"part": None, **result}])  # a result that was just made is of no study's part
    return intervals.accuracy(items, ["eval"]).set_index("eval")


def _made(result):
    """What training and asking made, and no clock or machine: the items, and the curve of a trained cell."""
    return result["items"], result["training"] and result["training"]["curve"]
