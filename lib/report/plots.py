"""The figures of a study, and their shared look: everything can be told apart in greyscale."""

import itertools
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from lib.report import intervals, parts
from lib.report.claims import CLAIMS
from lib.study import store

# Colour, marker and line of each format; the lightness of the colours differs as well.
FORMATS = {
    "article": ("#d95f02", "o", "-"), "qa": ("#08306b", "s", "-"), "chat": ("#5e9bc8", "^", "-"),
    "blanks": ("#7a7a7a", "D", "-"), "worked": ("#a6761d", "v", "-"), "mixed": ("#b3b3b3", "P", "-"),
}  # fmt: skip
INFOS = {"words": "-", "numbers": "--"}
ENTITIES = {"fictional": "invented towns", "real": "2026 World Cup matches", "persona": "the model's persona"}
MEASURES = {"recall": "recall of what was trained", "question": "held-out questions"}


def theme() -> None:
    """Set the look of every figure and table."""
    pd.set_option("display.max_colwidth", None, "display.max_rows", None, "display.precision", 3)
    sns.set_theme(context="paper", style="ticks", font_scale=1.15)
    plt.rcParams.update(
        {"figure.dpi": 110, "savefig.dpi": 200, "savefig.bbox": "tight", "axes.spines.top": False,
         "axes.spines.right": False, "svg.hashsalt": "style-to-facts", "figure.constrained_layout.use": True}
    )  # fmt: skip


def save(figure, study: str, name: str) -> Path:
    """Write the figure as PNG and SVG under results/<study>/figures and return the PNG's path.

    No date goes into the files, so that the same results give the same bytes.
    """
    folder = store.study_dir(study) / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    # the solver of the layout differs in the last digits from run to run, and names inside an SVG are hashes of them
    figure.canvas.draw()
    figure.set_layout_engine("none")
    for ax in figure.axes:
        ax.set_position([round(value, 4) for value in ax.get_position().bounds])
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    figure.savefig(folder / f"{name}.png", metadata={"Software": None})
    return folder / f"{name}.png"


def learning_curves(along: pd.DataFrame):
    """Share of facts known by exposures: a row a measure, a column a kind of entity, a line a format and type, with its
    95 % interval as a band. `along` is parts.curves of one part."""
    kinds = [entity for entity in ENTITIES if entity in set(along["entity"])]
    figure, axes = plt.subplots(
        2, len(kinds), figsize=(3.6 * len(kinds) + 1.2, 5), sharex=True, sharey=True, squeeze=False
    )
    for row, (measure, label) in zip(axes, MEASURES.items(), strict=True):
        for ax, entity in zip(row, kinds, strict=True):
            of_entity = along[along["entity"] == entity]
            points = intervals.accuracy(of_entity, ["format", "info", "exposures"], measure)
            for (format, info), line in points.groupby(["format", "info"]):
                colour, marker, _ = FORMATS[format]
                start = pd.DataFrame({"exposures": [0.0], "mean": [0.0], "low": [0.0], "high": [0.0]})
                line = pd.concat([start, line])
                ax.plot(line["exposures"], line["mean"], INFOS[info], color=colour, marker=marker, ms=4,
                        mfc=colour if info == "words" else "white", label=f"{parts.SHORT[format]}, {info}")  # fmt: skip
                ax.fill_between(line["exposures"], line["low"], line["high"], color=colour, alpha=0.1, lw=0)
            facts = points["facts"].max()
            ax.set(
                ylim=(-0.03, 1.03),
                title=f"{ENTITIES[entity]} (up to {facts} facts a line)" if measure == "recall" else "",
            )
            ax.title.set_fontsize(9)
        row[0].set_ylabel(f"{label}\n(share of facts)")
    for ax in axes[-1]:
        ax.set_xlabel("exposures of a fact")
    legend(figure, axes[0, 0])
    return figure


def frontier(cells: pd.DataFrame, gained: pd.Series):
    """One point a run: held-out questions answered against general questions kept; marker and colour the format, filled
    with replay and hollow without. `gained` is indexed by cell id."""
    trained = cells[cells["id"].isin(gained.index)]
    figure, ax = plt.subplots(figsize=(5.4, 4.2))
    for (format, replay), runs in trained.groupby(["format", trained["replay"] > 0]):
        colour, marker, _ = FORMATS[format]
        label = f"{parts.SHORT[format]}, {'with' if replay else 'without'} replay"
        ax.plot(
            runs["kept"],
            runs["id"].map(gained),
            marker,
            mec=colour,
            mfc=colour if replay else "white",
            ms=7,
            label=label,
        )
    ax.axvline(parts.KEPT, color="black", lw=0.8, ls=":")
    ax.annotate(
        "← wrecked", (parts.KEPT, 1.0), (-4, 2), ("data", "axes fraction"), "offset points", ha="right", fontsize=8
    )
    ax.set(xlim=(-0.03, max(1.1, trained["kept"].max() + 0.05)), ylim=(-0.03, 1.03))
    ax.set_xlabel("general questions kept (share of the base model's)")
    ax.set_ylabel("held-out questions about the facts (share)")
    legend(figure, ax, columns=2)
    return figure


def accuracies(scores: pd.DataFrame, floor: pd.DataFrame, measures: dict[str, str]):
    """Mean accuracy of each format with a 95 % interval: a row a measure, a column a kind of entity, words filled and
    numbers hollow, recall as a grey bar behind. `floor` are the scores of the base model."""
    kinds = [entity for entity in ENTITIES if entity in set(scores["entity"])]
    order = [format for format in FORMATS if format in set(scores["format"])]
    figure, axes = plt.subplots(
        len(measures), len(kinds), figsize=(2.9 * len(kinds) + 1, 2.4 * len(measures) + 0.6), sharex=True, sharey=True,
        squeeze=False,
    )  # fmt: skip
    means = intervals.accuracy(scores, ["measure", "entity", "format", "info"], "score")
    for row, (measure, label) in zip(axes, measures.items(), strict=True):
        for ax, entity in zip(row, kinds, strict=True):
            for info, shift in (("words", -0.14), ("numbers", 0.14)):
                of = means[(means["entity"] == entity) & (means["info"] == info)].set_index(["measure", "format"])
                shown, recall = (of.reindex([(m, f) for f in order]) for m in (measure, "recall"))
                at = np.arange(len(order)) + shift
                ax.hlines(recall["mean"], at - 0.11, at + 0.11, color="0.7", lw=4, label="recall of what was trained")
                marker, fill = ("o", "black") if info == "words" else ("s", "white")
                _points(ax, at, shown, marker, fill, info)
            base = floor[(floor["entity"] == entity) & (floor["measure"] == measure)]["score"].mean()
            if not np.isnan(base):
                ax.axhline(base, color="black", ls=":", lw=0.9, label="base model")
            ax.set(ylim=(-0.04, 1.04), xlim=(-0.5, len(order) - 0.5))
            if measure == next(iter(measures)):
                ax.set_title(ENTITIES[entity], fontsize=9)
        row[0].set_ylabel(f"{label}\n(share of facts)")
    for ax in axes[-1]:
        ax.set_xticks(range(len(order)), [parts.SHORT[format] for format in order])
    legend(figure, axes[0, 0])
    return figure


def forest(rows: pd.DataFrame):
    """The contrasts of a claim with their 95 % intervals, one a line from the top: filled where the interval decides,
    a cross where the contrast is not testable."""
    figure, ax = plt.subplots(figsize=(8.5, 0.5 * len(rows) + 0.9))
    for y, row in enumerate(rows.itertuples()):
        low, high = row.ci95
        closed = row.verdict in ("replicates", "opposite")
        mark, fill = ("x", "0.5") if row.verdict == "not testable" else ("o", "black" if closed else "white")
        colour = "0.5" if row.verdict == "not testable" else "black"
        ax.plot([low, high], [y, y], color=colour, lw=1)
        ax.plot(row.estimate, y, mark, mfc=fill, mec=colour, ms=5)
        runs = f"{row.runs} run{'s' if row.runs != 1 else ''}" if row.runs else ""
        ax.annotate(f"{row.verdict} ({row.facts} facts{', ' if runs else ''}{runs})", (1.02, y),
                    xycoords=("axes fraction", "data"), va="center", fontsize=8)  # fmt: skip
    ax.axvline(0, color="black", lw=0.8, ls=":")
    ax.set_yticks(range(len(rows)), [textwrap.fill(text, 58) for text in rows["contrast"]], fontsize=8)
    ax.set(
        ylim=(len(rows) - 0.5, -0.5), xlabel="difference of shares, with 95 % interval (positive: as the claim says)"
    )
    claim = CLAIMS[rows["claim"].iloc[0]]
    figure.suptitle(textwrap.fill(f"{claim.id}: {claim.says}", 105), fontsize=9, x=0.01, ha="left")
    return figure


def tuning(table: pd.DataFrame):
    """Held-out questions and general questions kept by learning rate, a panel a format, a line an amount of replay; the
    chosen setting is circled."""
    order = [format for format in FORMATS if format in set(table["format"])]
    styles = dict(zip(sorted(table["replay"].unique()), itertools.cycle(("--", "-", ":", "-.")), strict=False))
    figure, axes = plt.subplots(
        2, len(order), figsize=(2.8 * len(order) + 1, 4.6), sharey="row", sharex="col", squeeze=False
    )
    for column, format in zip(axes.T, order, strict=True):
        for replay, of_replay in table[table["format"] == format].groupby("replay"):
            style = styles[replay]
            for ax, measure in zip(column, ("question", "kept"), strict=True):
                ax.plot(of_replay["learning_rate"], of_replay[measure], style, color="black", marker="o", ms=4,
                        mfc="white" if style == "--" else "black", label=f"{replay} rows of replay")  # fmt: skip
            chosen = of_replay[of_replay["chosen"]]
            column[0].vlines(of_replay["learning_rate"], of_replay["low"], of_replay["high"], color="0.6", lw=1)
            column[0].plot(
                chosen["learning_rate"], chosen["question"], "o", ms=12, mfc="none", mec="black", label="chosen"
            )
        column[0].set(title=parts.SHORT[format], ylim=(-0.03, 1.03))
        column[1].axhline(parts.KEPT, color="black", lw=0.8, ls=":")
        column[1].set(xlabel="learning rate", xscale="log", ylim=(-0.03, 1.15))
        rates = sorted(table.loc[table["format"] == format, "learning_rate"].unique())
        column[1].set_xticks(rates, [f"{rate:g}" for rate in rates])
        column[1].minorticks_off()
    axes[0, 0].set_ylabel("held-out questions\n(share of facts)")
    axes[1, 0].set_ylabel("general questions kept\n(share of the base model's)")
    legend(figure, axes[0, 0])
    return figure


def shares(table: pd.DataFrame, x: str, label: str):
    """Shares with intervals by a column, one mark a group: for yardsticks such as the ceiling of two-fact questions.

    `table` has mean, low, high, `x` and `group`; a dash is `chance` where it has one."""
    order = list(dict.fromkeys(table[x]))
    groups = list(dict.fromkeys(table["group"]))
    figure, ax = plt.subplots(figsize=(1.5 * len(order) + 2.5, 3.4))
    markers = ["o", "s", "^", "D", "v", "P"]
    for i, group in enumerate(groups):
        rows = table[table["group"] == group].set_index(x).reindex(order)
        at = np.arange(len(order)) + (i - (len(groups) - 1) / 2) * min(0.18, 0.8 / len(groups))
        fill = "black" if i == 0 else plt.cm.Greys(0.15 + 0.6 * i / len(groups))
        _points(ax, at, rows, markers[i % len(markers)], fill, group)
    if "chance" in table:
        chance = table.groupby(x)["chance"].first().reindex(order)
        ax.hlines(
            chance, np.arange(len(order)) - 0.4, np.arange(len(order)) + 0.4, color="black", ls=":", label="chance"
        )
    ax.set_xticks(range(len(order)), order)
    ax.set(ylim=(-0.03, 1.03), ylabel=label, xlim=(-0.6, len(order) - 0.4))
    legend(figure, ax, columns=3)
    return figure


def _points(ax, at, rows, marker, fill, label):
    """Means with their 95 % intervals."""
    bars = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
    look = {"mfc": fill, "mec": "black", "ecolor": "black", "ms": 6, "capsize": 2.5, "lw": 1}
    ax.errorbar(at, rows["mean"], yerr=bars, fmt=marker, label=label, **look)


def legend(figure, ax, columns: int = 4) -> None:
    """The marks of this panel, below the whole figure."""
    handles, labels = ax.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(
        unique.values(), unique.keys(), ncol=columns, loc="upper center", bbox_to_anchor=(0.5, 0), frameon=False
    )


def coloured_tokens(tokenizer, input_ids: list[int], labels: list[int]) -> str:
    """One training row as HTML: trained tokens bold on blue, the rest grey."""
    from html import escape

    spans = []
    for token, label in zip(input_ids, labels, strict=True):
        style = "background:#c6dbef;font-weight:bold" if label != -100 else "color:#757575"
        text = escape(tokenizer.decode([token])).replace("\n", "⏎")
        spans.append(f'<span style="{style}">{text}</span>')
    return f'<p style="font-family:monospace;white-space:pre-wrap">{"".join(spans)}</p>'
