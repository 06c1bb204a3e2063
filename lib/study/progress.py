"""What a running study tells: each cell's stage while it runs, its scores when it ends, and when the rest will be."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from lib.cell import Cell

EVERY = 60  # seconds between the lines about running cells where there is no terminal to redraw


class Progress:
    """Progress of a run as a context: at a terminal the stages are redrawn below the lines of ended cells.

    `expected` are the seconds of each cell from the plan. What is left is corrected by how the ended cells compared
    with theirs.
    """

    def __init__(self, expected: Mapping[Cell, float], jobs: int):
        self.expected, self.jobs, self.start = dict(expected), jobs, time.monotonic()
        self.running: dict[Cell, tuple[float, str]] = {}  # since when, and the stage
        self.taken = self.planned = 0.0  # seconds of the ended cells, and what the plan had said of them
        self.done, self.total = 0, len(self.expected)
        self.lock, self.stop = threading.Lock(), threading.Event()
        self.console = Console(soft_wrap=True, highlight=False)
        self.live = Live(get_renderable=self._running, console=self.console, refresh_per_second=1)
        self.speaker = threading.Thread(target=self._speak, daemon=True)

    def __enter__(self):
        (self.live if self.console.is_terminal else self.speaker).start()
        return self

    def __exit__(self, *error):
        self.live.stop()
        self.stop.set()

    def stage(self, cell: Cell, stage: str) -> None:
        """Take note of what a running cell is doing."""
        with self.lock:
            since, _ = self.running.get(cell, (time.monotonic(), None))
            self.running[cell] = since, stage

    def ended(self, cell: Cell, result: dict) -> None:
        """Say what a cell scored."""
        seconds, training = result["manifest"]["seconds"], result["training"]
        with self.lock:
            self.taken += seconds
            self.planned += self.expected[cell]
        scores = [f"{name} {of['strict']:.2f}" for name, of in result["evals"].items() if of["strict"] is not None]
        speed = f", {training['tokens_per_second']:.0f} tokens/s" if training else ""
        self._close(cell, f"{' '.join(scores)} ({seconds:.0f} s{speed})")

    def failed(self, cell: Cell, error: str, notebook: Path | None) -> None:
        """Say why a cell failed and where to look."""
        self._close(cell, f"FAILED: {error}" + (f"\n  its notebook: {notebook}" if notebook else ""))

    def left(self) -> float:
        """Seconds that the rest will take: the plan's, by the pace so far, less what running cells have behind them."""
        with self.lock:
            pace = self.taken / self.planned if self.planned else 1.0
            now = time.monotonic()
            begun = {cell: since for cell, (since, _) in self.running.items()}
            left = [max(0.0, pace * of - (now - begun.get(cell, now))) for cell, of in self.expected.items()]
        return max(max(left, default=0.0), sum(left) / self.jobs)

    def _close(self, cell, said):
        with self.lock:
            self.done += 1
            del self.expected[cell]
            self.running.pop(cell, None)
        self.console.print(Text(f"[{self.done}/{self.total}] {cell.id} {cell}: {said}; {self._clocks()}"))

    def _clocks(self):
        return f"{_clock(time.monotonic() - self.start)} gone, about {_clock(self.left())} left"

    def _stages(self):
        with self.lock:
            return [f"{cell}: {stage}" for cell, (_, stage) in self.running.items()]

    def _running(self):
        lines = [f"  {stage}" for stage in self._stages()]
        return Group(*map(Text, [*lines, f"{self.done} of {self.total} cells, {self._clocks()}"]))

    def _speak(self):
        while not self.stop.wait(EVERY):
            self.console.print(Text(f"  running: {'; '.join(self._stages()) or 'starting'}; {self._clocks()}"))


def _clock(seconds):
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
