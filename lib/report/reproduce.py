"""`make reproduce`: published experiments once more on this machine, beside their published results."""

import random
import sys

import pandas as pd

from lib.cell import from_parameters
from lib.paths import UserError
from lib.report import intervals, scores
from lib.study import run, store

SAME = "the same to the letter"
WITHIN = "not the same to the letter, every score within its published interval"
# Of a manifest: what explains that a run did not give the same.
CAUSES = ("device_name", "dtype", "threads", "versions", "git_commit", "facts_sha256", "model_sha256")


def reproduce(study: str, n: int, seed: int | None) -> bool:
    """Run n randomly chosen experiments of a published study again; whether every one of them agrees.

    One agrees when its answers and its curve are the same to the letter, which they are on the same type of machine
    with as many threads, or when each strict share lies within the 95 % interval of the published one. Responses in a
    tone have no score in one experiment alone: where they are not the same, the rest is compared.
    """
    published = {result["id"]: result for result in store.load(study)}
    if n > len(published):
        raise UserError(f"--n is {n}: expected 1 to {len(published)}, the experiments of results/{study}")
    chosen = random.Random(seed).sample(sorted(published), n)
    cells, agreed = [from_parameters(published[id]["cell"]) for id in chosen], 0
    for ended, _ in run.local(cells, "reproduce", run.default_jobs()):
        for cell, outcome in ended.items():
            text = f"FAILED: {outcome.error}" if outcome.error else verdict(published[cell.id], outcome.result)
            agreed += text in (SAME, WITHIN)
            print(f"{cell.id} {cell}: {text}", flush=True)
            if outcome.error:
                print(outcome.log, file=sys.stderr)
    print(f"{agreed} of {n} experiments of results/{study} reproduced")
    return agreed == n


def verdict(published: dict, again: dict) -> str:
    """How two results of an experiment compare: SAME, WITHIN, or which scores lie outside and what else differs."""
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
    items = scores.items([{"part": None, **result}])  # a result that was just made is of no study's part
    return intervals.accuracy(items, ["eval"]).set_index("eval")


def _made(result):
    """What training and asking made, and no clock or machine: the items, and the curve of a trained experiment."""
    return result["items"], result["training"] and result["training"]["curve"]
