"""The shared look of the figures, which their notebooks draw: everything can be told apart in greyscale."""

import string
import textwrap
from pathlib import Path

import matplotlib
import pandas as pd
import seaborn as sns

from lib.report.scores import NAMES

FORMATS, ENTITIES = NAMES["marks"], NAMES["entities"]


def theme() -> None:
    """Set the look of every figure and table, whatever it was before."""
    matplotlib.rcdefaults()
    pd.set_option("display.max_colwidth", None, "display.max_rows", None, "display.precision", 3)
    rc = {"figure.dpi": 110, "savefig.dpi": 200, "savefig.bbox": "tight", "svg.hashsalt": "style-to-facts",
          "axes.spines.top": False, "axes.spines.right": False, "figure.constrained_layout.use": True}  # fmt: skip
    sns.set_theme(context="paper", style="ticks", font_scale=1.15, rc=rc)


def headline(figure, message: str) -> None:
    """What a figure shows as its title, and a letter at each of several panels."""
    text = textwrap.fill(message, int(12 * figure.get_figwidth()))
    figure.suptitle(text, x=0.01, ha="left", fontsize=10, fontweight="bold")
    for letter, ax in zip(string.ascii_lowercase, figure.axes[len(figure.axes) == 1 :], strict=False):
        ax.set_title(letter, loc="left", fontsize=10, fontweight="bold")


def save(figure, folder: str | Path | bool, name: str) -> None:
    """Write the figure as PNG and SVG into this folder (False: not at all): the same bytes for the same results."""
    if not folder:
        return
    # the solver of the layout differs in the last digits from run to run, and names inside an SVG are hashes of them
    figure.canvas.draw()
    figure.set_layout_engine("none")
    for ax in figure.axes:
        ax.set_position([round(value, 4) for value in ax.get_position().bounds])
    figure.savefig(Path(folder) / f"{name}.svg", metadata={"Date": None})
    figure.savefig(Path(folder) / f"{name}.png", metadata={"Software": None})


def points(ax, at, rows: pd.DataFrame, marker: str, fill, label: str) -> None:
    """Means with their 95 % intervals: columns mean, low and high."""
    bars = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
    look = {"mfc": fill, "mec": "black", "color": "black", "ms": 6, "capsize": 2.5, "lw": 1}
    ax.errorbar(at, rows["mean"], yerr=bars, fmt=marker, label=label, **look)


def curve(ax, rows: pd.DataFrame, style: str, colour: str, label: str, dodge: float) -> None:
    """A learning curve from 0 exposures, where nothing is known, and `dodge` beside its end the 95 % interval: columns
    exposures, in order, mean, low and high."""
    ax.plot([0, *rows["exposures"]], [0, *rows["mean"]], style, color=colour, ms=5, label=label)
    end = rows.iloc[-1]
    bar = [[end["mean"] - end["low"]], [end["high"] - end["mean"]]]
    ax.errorbar(end["exposures"] + dodge, end["mean"], yerr=bar, color=colour, capsize=2, lw=1.2)


def legend(figure, ax, columns: int = 4) -> None:
    """The marks of this panel, below the whole figure."""
    handles, labels = ax.get_legend_handles_labels()
    marks = dict(zip(labels, handles, strict=True))
    figure.legend(marks.values(), marks, ncol=columns, loc="upper center", bbox_to_anchor=(0.5, 0), frameon=False)
