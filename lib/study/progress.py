"""What a run tells: each experiment's stage while it runs, its scores when it ends, and when the rest will be."""

import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from lib.cell import Cell

EVERY = 60  # seconds between the lines about running experiments where there is no terminal


class Watch:
    """What a run tells, while `with watch.bar`: a line of each experiment that ended; below them, at a terminal, a bar
    of the study and of each running experiment; elsewhere a line a minute.

    `expected` are the seconds of each experiment from the plan. What is left is corrected by how the ended experiments
    compared with theirs.
    """

    def __init__(self, expected: Mapping[Cell, float], jobs: int):
        self.expected, self.total, self.jobs, self.start = dict(expected), len(expected), jobs, time.monotonic()
        self.taken = self.planned = 0.0  # seconds of the ended experiments, and what the plan had said of them
        self.since, self.tasks, self.spoke = {}, {}, self.start
        self.console = Console(soft_wrap=True, highlight=False, markup=False)
        columns = TextColumn("{task.description}", markup=False), BarColumn(20)
        self.bar = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self.whole = self.bar.add_task("", total=sum(expected.values()))

    def show(self, stages: Mapping[Cell, str]) -> None:
        """Tell what each running experiment is doing."""
        now = time.monotonic()
        for cell, stage in stages.items():
            if cell not in self.tasks:
                self.since[cell], self.tasks[cell] = now, self.bar.add_task("", total=self.expected[cell])
            self.bar.update(self.tasks[cell], completed=now - self.since[cell], description=f"  {cell}: {stage}")
        self.bar.update(self.whole, description=self.clocks())
        if self.bar.disable and now - self.spoke >= EVERY:
            self.spoke = now
            running = "; ".join(f"{cell}: {stage}" for cell, stage in stages.items())
            self.console.print(f"  running: {running or 'starting'}; {self.clocks()}")

    def ended(self, cell: Cell, outcome, notebook: Path) -> None:
        """Tell what an experiment scored, or why it failed and where to look."""
        expected = self.expected.pop(cell)
        self.bar.advance(self.whole, expected)
        if cell in self.tasks:
            self.bar.remove_task(self.tasks[cell])
        if outcome.error:
            text = f"FAILED: {outcome.error}" + (f"; see {notebook}" if outcome.notebook else "")
        else:
            seconds, training = outcome.result["manifest"]["seconds"], outcome.result["training"]
            self.taken, self.planned = self.taken + seconds, self.planned + expected
            shares = {name: scores["strict"] for name, scores in outcome.result["evals"].items()}
            text = " ".join(f"{name} {share:.2f}" for name, share in shares.items() if share is not None)
            speed = f", {training['tokens_per_second']:.0f} tokens/s" if training else ""
            text += f" ({seconds:.0f} s{speed})"
        self.console.print(
            f"[{self.total - len(self.expected)}/{self.total}] {cell.id} {cell}: {text}; {self.clocks()}"
        )

    def left(self) -> float:
        """Seconds that the rest will take: the plan's, by the pace so far, less what running ones have behind them."""
        pace, now = self.taken / self.planned if self.planned else 1.0, time.monotonic()
        left = [max(0.0, pace * plan - (now - self.since.get(cell, now))) for cell, plan in self.expected.items()]
        return max(max(left, default=0.0), sum(left) / self.jobs)

    def clocks(self) -> str:
        """How long the run has taken, and how long it will take."""
        gone, left = (f"{int(s // 60)}:{int(s % 60):02d}" for s in (time.monotonic() - self.start, self.left()))
        return f"{gone} gone, about {left} left"
