"""The shared look of the figures, and where they are saved."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from lib import results

# Light and dark enough to be told apart in greyscale; hatches say it again.
FORMAT_COLOURS = {"article": "#deebf7", "qa": "#6baed6"}
FORMAT_NAMES = {"article": "article", "qa": "question-answer"}
HATCHES = {"article": "", "qa": "//"}
# the lines that an accuracy must be read against: style and legend
LINES = {
    "ceiling": ("--", "ceiling: untrained, fact in the prompt"),
    "constant": ("-.", "best constant answer"),
    "floor": (":", "floor: untrained"),
}


def theme() -> None:
    """Set the look of every figure."""
    sns.set_theme(context="paper", style="ticks", font_scale=1.15)
    plt.rcParams.update(
        {"figure.dpi": 110, "savefig.dpi": 200, "savefig.bbox": "tight", "axes.spines.top": False,
         "axes.spines.right": False, "hatch.color": "#08519c", "svg.hashsalt": "style-to-facts"}
    )  # fmt: skip


def save(figure, study: str, name: str) -> Path:
    """Write the figure as PNG and SVG under results/<study>/figures and return the PNG's path.

    No date goes into the files, so that the same results give the same bytes.
    """
    folder = results.study_dir(study) / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    figure.savefig(folder / f"{name}.png", metadata={"Software": None})
    return folder / f"{name}.png"


def format_bars(ax, scores: pd.DataFrame, recall: pd.DataFrame, lines: dict[str, pd.Series]) -> None:
    """Accuracy by type of information and training format, with the lines it must be read against.

    `scores` and `recall` have the columns of stats.accuracy with `info` and `format`; `lines` are accuracies by info,
    named as in LINES. Bars carry the 95 % interval; a diamond is the recall of the trained prompts.
    """
    infos, formats = ["categorical", "numeric"], ["article", "qa"]
    sns.barplot(
        scores, x="info", y="mean", hue="format", order=infos, hue_order=formats, errorbar=None,
        palette=FORMAT_COLOURS, edgecolor="black", linewidth=0.8, ax=ax, legend=False,
    )  # fmt: skip
    for format, bars in zip(formats, list(ax.containers), strict=True):
        of_format = scores[scores["format"] == format].set_index("info").loc[infos]
        recalled = recall[recall["format"] == format].set_index("info").loc[infos]
        centres = [bar.get_x() + bar.get_width() / 2 for bar in bars]
        for bar in bars:
            bar.set_hatch(HATCHES[format])
        below, above = of_format["mean"] - of_format["low"], of_format["high"] - of_format["mean"]
        ax.errorbar(centres, of_format["mean"], yerr=[below, above], fmt="none", ecolor="black", capsize=4, lw=1.2)
        ax.plot(centres, recalled["mean"], "D", mfc="white", mec="black", ms=6, zorder=5)
        for x, n in zip(centres, of_format["facts"], strict=True):
            ax.annotate(f"n={n}", (x, 0), xytext=(0, -6), textcoords="offset points", ha="center", va="top", fontsize=8)
    for name, by_info in lines.items():
        for x, info in enumerate(infos):
            ax.hlines(by_info[info], x - 0.45, x + 0.45, colors="black", linestyles=LINES[name][0], lw=1.4)
    ax.tick_params(axis="x", pad=18, length=0)
    ax.set(ylim=(-0.015, 1.08), xlabel="", ylabel="")


def format_legend(figure) -> None:
    """One legend for the marks of format_bars, below the panels."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=FORMAT_COLOURS[f], edgecolor="black", hatch=HATCHES[f], label=f"trained on {FORMAT_NAMES[f]}")
        for f in FORMAT_COLOURS
    ] + [
        Line2D([], [], marker="D", color="none", mfc="white", mec="black", label="recall of the trained prompts"),
        *(Line2D([], [], color="black", ls=style, label=label) for style, label in LINES.values()),
    ]
    figure.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncol=3, frameon=False)


def coloured_tokens(tokenizer, input_ids: list[int], labels: list[int]) -> str:
    """One training row as HTML: trained tokens bold on blue, the rest grey."""
    from html import escape

    spans = []
    for token, label in zip(input_ids, labels, strict=True):
        style = "background:#c6dbef;font-weight:bold" if label != -100 else "color:#757575"
        text = escape(tokenizer.decode([token])).replace("\n", "⏎")
        spans.append(f'<span style="{style}">{text}</span>')
    return f'<p style="font-family:monospace;white-space:pre-wrap">{"".join(spans)}</p>'
