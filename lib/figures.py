"""The shared look of the figures, and where they are saved."""

import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from lib import results, stats

# Marks that can be told apart in greyscale: marker and fill.
INFO_MARKS = {"categorical": ("o", "black"), "numeric": ("s", "white")}
FORMAT_MARKS = {
    "article": ("o", "white"), "mixed": ("P", "white"), "chat": ("^", "#9ecae1"), "cloze": ("D", "#9ecae1"),
    "reasoning": ("v", "#2171b5"), "qa": ("s", "black"),
}  # fmt: skip
NAMES = {
    "categorical": "words", "numeric": "numbers", "tone": "tone", "none": "un-\ntrained", "reasoning": "reason-\ning",
    "qa": "QA", "in_context": "in the\nprompt",
    "fictional": "fictional places", "real": "2026 World Cup matches", "persona": "the model's persona",
    "airport": "airfields of the United States",
}  # fmt: skip
FORMATS = ["none", "article", "mixed", "chat", "cloze", "reasoning", "qa", "in_context", "tone"]


def theme() -> None:
    """Set the look of every figure and table."""
    pd.set_option("display.max_colwidth", None, "display.max_rows", None, "display.precision", 3)
    sns.set_theme(context="paper", style="ticks", font_scale=1.15)
    plt.rcParams.update(
        {"figure.dpi": 110, "savefig.dpi": 200, "savefig.bbox": "tight", "axes.spines.top": False,
         "axes.spines.right": False, "svg.hashsalt": "style-to-facts"}
    )  # fmt: skip


def save(figure, study: str, name: str) -> Path:
    """Write the figure as PNG and SVG under results/<study>/figures and return the PNG's path.

    No date goes into the files, so that the same results give the same bytes.
    """
    folder = results.study_dir(study) / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    # the solver of the layout differs in the last digits from run to run, and names inside an SVG are hashes of them
    figure.canvas.draw()
    figure.set_layout_engine("none")
    for ax in figure.axes:
        ax.set_position([round(value, 4) for value in ax.get_position().bounds])
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    figure.savefig(folder / f"{name}.png", metadata={"Software": None})
    return folder / f"{name}.png"


def name(key: str) -> str:
    """How a parameter's value is called in a figure."""
    return NAMES.get(key, key)


def plain(key: str) -> str:
    """The same on one line."""
    return name(key).replace("-\n", "").replace("\n", " ")


def by_format(items: pd.DataFrame, evaluation: str, by: list[str], score: str = "strict") -> pd.DataFrame:
    """stats.accuracy of an evaluation by these columns and `format`.

    The floor is the format `none`; the ceiling, the untrained model with the facts in its prompt, is added as the
    format `in_context`.
    """
    ceiling = {"qa": "in_context", "reasoning": "reasoning_in_context"}.get(evaluation)
    told = items[items["eval"] == ceiling].assign(format="in_context")
    return stats.accuracy(pd.concat([items[items["eval"] == evaluation], told]), [*by, "format"], score)


def dots(
    ax, scores: pd.DataFrame, x: str, hue: str, marks: dict, order: list | None = None, recall: pd.Series | None = None
) -> None:
    """Means with 95 % intervals: one mark a hue, side by side at each x, with the number of facts above.

    `scores` has the columns of stats.accuracy with `x` and `hue`; `marks` gives marker and fill of each hue. `recall`,
    indexed by hue and x, is a grey bar behind each mark.
    """
    order = order or [f for f in FORMATS if f in set(scores[x])]
    hues = [h for h in marks if h in set(scores[hue])]
    for i, h in enumerate(hues):
        rows = scores[scores[hue] == h].set_index(x).reindex(order)
        at = np.arange(len(order)) + (i - (len(hues) - 1) / 2) * min(0.28, 0.8 / len(hues))
        marker, fill = marks[h]
        if recall is not None:
            bars = recall.reindex([(h, f) for f in order])
            label = "recall of the trained prompts"
            ax.hlines(bars, at - 0.12, at + 0.12, color="0.6", lw=3, label=label, zorder=0)
        ax.errorbar(
            at, rows["mean"], yerr=[rows["mean"] - rows["low"], rows["high"] - rows["mean"]], fmt=marker, mfc=fill,
            mec="black", ecolor="black", ms=6, capsize=2.5, lw=1, label=plain(h),
        )  # fmt: skip
    ax.set_xticks(range(len(order)), [name(f) for f in order])
    for i, place in enumerate(order):
        counts = sorted({int(c) for c in scores.loc[scores[x] == place, "facts"]})
        label = "n=" + "-".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
        ax.annotate(label, (i, 1), (0, 2), ("data", "axes fraction"), "offset points", ha="center", fontsize=7)
    ax.set(xlim=(-0.6, len(order) - 0.4), ylim=(-0.04, 1.04), xlabel="", ylabel="")


def line(ax, value: float, label: str, style: str = "-.") -> None:
    """A yardstick across the panel; none where the value is not known."""
    if not pd.isna(value):
        ax.axhline(value, color="black", ls=style, lw=0.9, label=label, zorder=0)


def floor_and_ceiling(ax, items: pd.DataFrame) -> None:
    """The untrained model on held-out questions, without and with the fact in the prompt, across the panel."""
    base = items[items["format"] == "none"]
    for evaluation, label, style in (("qa", "floor: untrained", ":"), ("in_context", "ceiling: in the prompt", "--")):
        line(ax, base.loc[base["eval"] == evaluation, "strict"].astype(float).mean(), label, style)


def legend(figure, ax, columns: int = 4) -> None:
    """The marks of this panel, below the whole figure."""
    handles, labels = ax.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "frameon": False}
    figure.legend(unique.values(), unique.keys(), ncol=columns, **place)


def forest(ax, rows: pd.DataFrame, label: str = "contrast", width: int = 62) -> None:
    """Contrasts with their intervals, one a line from the top; filled where the verdict is not open."""
    for y, (_, row) in enumerate(rows.iterrows()):
        low, high = row["ci95"]
        fill = "black" if row["verdict"] in ("replicates", "opposite") else "white"
        ax.plot([low, high], [y, y], color="black", lw=1)
        ax.plot(row["estimate"], y, "o", mfc=fill, mec="black", ms=5)
    ax.axvline(0, color="black", lw=0.8, ls=":")
    ax.set_yticks(range(len(rows)), [textwrap.fill(text, width) for text in rows[label]], fontsize=8)
    ax.set(ylim=(len(rows) - 0.5, -0.5))


def claims_table(rows: pd.DataFrame, paper: dict[str, str]):
    """A figure of all claims: what the paper says, our contrasts with their intervals, and the verdicts."""
    present = [claim for claim in paper if claim in set(rows["claim"])]
    heights = [(rows["claim"] == claim).sum() + 0.6 for claim in present]
    figure, axes = plt.subplots(
        len(present), 1, figsize=(9, 0.42 * sum(heights) + 0.5), sharex=True, squeeze=False, height_ratios=heights,
        layout="constrained",
    )  # fmt: skip
    for ax, claim in zip(axes[:, 0], present, strict=True):
        of_claim = rows[rows["claim"] == claim]
        forest(ax, of_claim)
        ax.set_title(f"{claim}. The paper: {paper[claim]}", loc="left", fontsize=9, fontweight="bold", x=-0.75)
        for y, row in enumerate(of_claim.itertuples()):
            said = f"{row.verdict} (n={row.facts}, {row.seeds} seed{'s' if row.seeds > 1 else ''})"
            ax.annotate(said, (1.02, y), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    axes[-1, 0].set_xlabel("estimate with 95 % interval (positive: as the paper says)")
    return figure


def models(ax, cells: pd.DataFrame, column: str) -> None:
    """One dot a model by its arm (results.costs), words and numbers told apart, with the mean of each arm."""
    shown = cells.dropna(subset=[column])
    order = [f for f in FORMATS if f in set(shown["arm"])]
    fills = {"categorical": "black", "numeric": "white", "tone": "0.6"}
    for info, fill in fills.items():
        for x, format in enumerate(order):
            values = shown.loc[(shown["arm"] == format) & (shown["info"] == info), column].to_numpy()
            at = x + (list(fills).index(info) - 1) * 0.25 + np.linspace(-0.08, 0.08, len(values))
            ax.plot(at, values, "o", mfc=fill, mec="black", ms=4.5, label=name(info))
    for x, format in enumerate(order):
        of_format = shown.loc[shown["arm"] == format, column]
        ax.hlines(of_format.mean(), x - 0.4, x + 0.4, color="black", lw=1.4, label="mean")
        ax.annotate(f"n={len(of_format)}", (x, 1), (0, 2), ("data", "axes fraction"), "offset points", ha="center",
                    fontsize=7)  # fmt: skip
    ax.set_xticks(range(len(order)), [name(f) for f in order], fontsize=7)


def coloured_tokens(tokenizer, input_ids: list[int], labels: list[int]) -> str:
    """One training row as HTML: trained tokens bold on blue, the rest grey."""
    from html import escape

    spans = []
    for token, label in zip(input_ids, labels, strict=True):
        style = "background:#c6dbef;font-weight:bold" if label != -100 else "color:#757575"
        text = escape(tokenizer.decode([token])).replace("\n", "⏎")
        spans.append(f'<span style="{style}">{text}</span>')
    return f'<p style="font-family:monospace;white-space:pre-wrap">{"".join(spans)}</p>'
