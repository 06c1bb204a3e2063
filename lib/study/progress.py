"""What a run tells: each experiment's stage while it runs, its scores when it ends, and when the rest will be."""

import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from lib.cell import Cell

EVERY = 60  # seconds between the lines about running experiments where there is no terminal


class Watch:
    """While `with watch.bar`: a line of each experiment that ended; below them, at a terminal, a bar and the stage of
    each running experiment; elsewhere a line a minute. `expected` are the planned seconds of each experiment."""

    def __init__(self, expected: Mapping[Cell, float], jobs: int):
        self.expected, self.total, self.jobs = dict(expected), len(expected), jobs
        self.taken = self.planned = 0.0  # seconds of the ended experiments, and what the plan had said of them
        self.start = self.spoke = time.monotonic()
        self.since = {}  # when each experiment was first seen running
        self.console = Console(soft_wrap=True, highlight=False, markup=False)
        columns = BarColumn(20), TextColumn("{task.description}", markup=False)
        self.bar = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self.task = self.bar.add_task("", total=sum(expected.values()))

    def show(self, stages: Mapping[Cell, str]) -> None:
        """Tell what each running experiment is doing."""
        now = time.monotonic()
        self.since = dict.fromkeys(stages, now) | self.since
        running = [f"{cell}: {stage}" for cell, stage in stages.items()]
        self.bar.update(self.task, description="\n".join([self.clocks(), *running]))
        if self.bar.disable and now - self.spoke >= EVERY:
            self.spoke = now
            self.console.print(f"  running: {'; '.join(running) or 'starting'}; {self.clocks()}")

    def ended(self, cell: Cell, outcome, folder: Path) -> None:
        """Tell what an experiment scored, or why it failed and where to look: in `folder`."""
        expected = self.expected.pop(cell)
        self.bar.advance(self.task, expected)
        if outcome.error:
            text = f"FAILED: {outcome.error}" + (f"; see {folder}/{cell.id}.ipynb" if outcome.files else "")
        else:
            seconds, training = outcome.result["manifest"]["seconds"], outcome.result["training"]
            self.taken, self.planned = self.taken + seconds, self.planned + expected
            scores = {name: score["strict"] for name, score in outcome.result["evals"].items()}
            text = " ".join(f"{name} {share:.2f}" for name, share in scores.items() if share is not None)
            text += f" ({seconds:.0f} s" + (f", {training['tokens_per_second']:.0f} tokens/s)" if training else ")")
        number = self.total - len(self.expected)
        self.console.print(f"[{number}/{self.total}] {cell.id} {cell}: {text}; {self.clocks()}")

    def clocks(self) -> str:
        """How long the run has taken, and the rest will: as planned, by the pace so far, less what has been running."""
        pace, now = self.taken / self.planned if self.planned else 1.0, time.monotonic()
        left = [max(0.0, pace * plan - (now - self.since.get(cell, now))) for cell, plan in self.expected.items()]
        clocks = now - self.start, max(max(left, default=0.0), sum(left) / self.jobs)
        return "{} gone, about {} left".format(*(f"{int(s // 60)}:{int(s % 60):02d}" for s in clocks))
