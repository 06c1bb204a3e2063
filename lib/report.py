"""What a study says: its figures, claims.json, the table, and the README of its results folder."""

import pandas as pd

from lib import claims, compare, results, stats
from lib.facts import TABLES
from lib.notebooks import execute
from lib.paths import ROOT


def draw(study: str, grid: str) -> None:
    """Write claims.json, every figure and README.md of a study, from its result files alone."""
    loaded = results.load(study)
    folder = results.study_dir(study)
    items = results.items(loaded)
    found = claims.claims(items)
    for notebook in (drawn := figure_notebooks(items)):
        execute(notebook, folder / "executed" / f"{notebook}.ipynb", {"study": study})
    for path in (folder / "figures").glob("fig_*"):
        if path.stem not in drawn:  # these results no longer feed it
            path.unlink()
    results.write_json(folder / "claims.json", found)
    (folder / "README.md").write_text(readme(study, grid, loaded, found))


def is_current(study: str) -> bool:
    """Whether draw has been through since the last result: the README is what it writes last."""
    folder = results.study_dir(study)
    drawn = folder / "README.md"
    newest = max(path.stat().st_mtime_ns for path in (folder / "cells").glob("*.json"))
    return drawn.exists() and drawn.stat().st_mtime_ns > newest


def figure_notebooks(items: pd.DataFrame) -> list[str]:
    """The figure notebooks that these results can feed, in the order of reading."""
    compared = compare.main(items)
    formats, evals = set(compared["format"]), set(items["eval"])
    both = {"article", "qa"} <= formats
    rates = items[items["format"] != "none"].groupby(["format", *compare.CONTROLS])["learning_rate"].nunique()
    feeds = {
        "fig_claims": both,
        "fig_corners": both and bool(compare.walk(items)),
        "fig_formats": both,
        "fig_numbers": both and set(claims.INFOS) <= set(compared["info"]),
        "fig_entities": both and compared["entity"].nunique() > 1,
        "fig_reasoning": both and "reasoning" in evals,
        "fig_controls": both and bool(compare.sweeps(items)),
        "fig_capacity": both and len(compare.capacity(items)) > 0,
        "fig_training": (items["checkpoints"] > 0).any(),
        "fig_forgetting": "forgetting" in evals,
        "fig_learning_rate": not both and rates.max() > 1,
    }
    return [notebook for notebook, fed in feeds.items() if fed]


def table(items: pd.DataFrame) -> pd.DataFrame:
    """One row per fact set and format: strict accuracy of the held-out questions with interval, and its yardsticks.

    `constant` is what the best single value said to every question would score.
    """
    sets = ["entity", "info"]
    trained = items[items["format"] != "none"]
    held_out = stats.accuracy(trained[trained["eval"] == "qa"], [*sets, "format"])
    rows = held_out[[*sets, "format", "facts"]].copy()
    rows["held-out question"] = [
        f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}]" for _, row in held_out.iterrows()
    ]
    for name, source, evaluation, keys in (
        ("held-out cloze", trained, "cloze", [*sets, "format"]),
        ("recall", trained, "recall", [*sets, "format"]),
        ("floor", items[items["format"] == "none"], "qa", sets),
        ("ceiling", items[items["format"] == "none"], "in_context", sets),
    ):
        means = (
            source[source["eval"] == evaluation]
            .astype({"strict": float})
            .groupby(keys)["strict"]
            .mean()
            .rename(name)
            .reset_index()
        )
        rows = rows.merge(means, on=keys, how="left")
    constant = (
        items[items["eval"] == "qa"].groupby(sets)["expected"].agg(lambda v: v.value_counts(normalize=True).max())
    )
    return rows.merge(constant.rename("constant").reset_index(), on=sets)


def evaluations(items: pd.DataFrame) -> pd.DataFrame:
    """Mean scores by evaluation and format over all items, with their number."""
    scored = items.astype({name: float for name in ("strict", "lenient", "corrected")})
    by = scored.groupby(["eval", "format"])
    return by.agg(
        strict=("strict", "mean"), lenient=("lenient", "mean"), corrected=("corrected", "mean"), items=("id", "size")
    ).reset_index()


def tone_table(items: pd.DataFrame) -> pd.DataFrame:
    """Attribution and naming of the tones: trained, and untrained but told (in_context). Empty without two tones."""
    found = compare.style_means(items).drop(columns="entity")
    named = items[items["eval"] == "naming"].astype({"strict": float, "corrected": float})
    rows = named.replace({"format": {"none": "in_context"}}).groupby("format")[["strict", "corrected"]].mean()
    # untold, the untrained model is asked for its tone as well: the floor of naming
    return found.merge(rows.add_prefix("naming, ").reset_index(), on="format", how="left")


def summary(study: str) -> str:
    """A short account of a study for the terminal."""
    loaded = results.load(study)
    items = results.items(loaded)
    folder = results.study_dir(study)
    lines = []
    if len(compared := compare.main(items)):
        lines += [table(compared).to_string(index=False, float_format="{:.2f}".format), ""]
    if found := claims.claims(items):
        lines += [*(_claim_line(row) for row in found), ""]
    if len(style := tone_table(items)):
        lines += ["tones: attribution corrected for chance, and naming", style.to_string(index=False), ""]
    lines += [f"figure: {_relative(path)}" for path in sorted((folder / "figures").glob("*.png"))]
    lines.append(f"report: {_relative(folder / 'README.md')}")
    return "\n".join(lines)


def readme(study: str, grid: str, loaded: list[dict], found: list[dict]) -> str:
    """README.md of a results folder, from its results and claims."""
    items, cells = results.items(loaded), results.cells(loaded)
    folder = results.study_dir(study)
    parts = [f"# Results: {study}", _how_it_was_run(study, grid, loaded, cells)]
    if found:
        parts += [
            "## Claims",
            "Every contrast is positive where the paper is right, and its verdict follows from the interval alone. "
            f"95 % percentile bootstrap ({stats.RESAMPLES:,} resamples, seeded) over seeds and over the facts within a "
            "seed; where all facts agree, the rule of three. `effective_facts`: how many independent facts would give "
            "an interval as wide. Where `seeds` is 1, the interval does not cover the variation between training runs. "
            "`recall`: of the trained prompts, in the format that has least; a row with little says nothing.",
            *(_claim_table(claim, [row for row in found if row["claim"] == claim]) for claim in claims.PAPER),
        ]
    for path in [folder / "figures" / f"{notebook}.png" for notebook in figure_notebooks(items)]:
        parts.append(f"![{path.stem.removeprefix('fig_')}](figures/{path.name})")
    if len(compared := compare.main(items)):
        parts += [
            "## Strict accuracy",
            "The main part: share of held-out questions answered with the expected value and no other of the closed "
            "set, with Wilson's 95 % interval over the effective number of facts. Recall: the trained prompts. Floor: "
            "the untrained model. Ceiling: the untrained model with the fact in its prompt. Constant: the best single "
            "value, said to every question.",
            _markdown(table(compared)),
        ]
        parts += [
            "## All evaluations",
            "Of the main part, the share of items by evaluation and format: strict, lenient, and the choice corrected "
            "for chance. `untrained`: of how many entities never seen nothing was asserted.",
            _markdown(evaluations(compared)),
        ]
    if len(style := tone_table(items)):
        parts += [
            "## Tones",
            "Whose response is it, corrected for chance; and does the model name its tone?",
            _markdown(style),
        ]
    parts += ["## Cells", _markdown(_cell_table(cells))]
    return "\n\n".join(part for part in parts if part) + "\n"


def _claim_table(claim, rows):
    if not rows:
        return ""
    shown = pd.DataFrame([{**row, "ci95": "[{}, {}]".format(*row["ci95"])} for row in rows]).drop(columns="claim")
    return f"**{claim}.** The paper: {claims.PAPER[claim]}.\n\n{_markdown(shown)}"


def _how_it_was_run(study, grid, loaded, cells):
    manifests = [result["manifest"] for result in loaded]
    commits = ", ".join(sorted({m["git_commit"] or "unknown" for m in manifests}))
    machines = ", ".join(sorted({f"{m['device_name']} ({m['threads']} thread a cell)" for m in manifests}))
    versions = {name: number for m in manifests for name, number in m["versions"].items()}
    if any(m["versions"] != versions for m in manifests):
        versions = {"more than one version of a package": "see the manifests of the cells"}
    return (
        f"Grid `{grid}`: {len(cells)} cells of {', '.join(sorted(set(cells['model'])))}, "
        f"{cells['seconds'].sum() / 3600:.2f} process-hours, {cells['tokens'].sum():,} training tokens, peak memory "
        f"of a cell {cells['peak_memory_mb'].max():,} MB. Machine: {machines}. Code: {commits}. "
        f"{', '.join(f'{name} {number}' for name, number in versions.items())}." + _dropped(cells)
    )


def _dropped(cells):
    real = cells[cells["entity"].isin(TABLES)].drop_duplicates(["model", "info", "seed", "n_facts"])
    if real.empty:
        return ""
    counts = ", ".join(f"{row['dropped_known']} {row['info']}" for _, row in real.iterrows())
    return f"\n\nReal facts dropped because the untrained model answers them: {counts}."


def _cell_table(cells):
    # a column that never varies says nothing
    varied = [name for name in (*compare.CONTROLS, "tone") if cells[name].nunique() > 1]
    columns = ["id", "entity", "info", "format", "seed", "learning_rate", *varied, "used", "dropped_known", "tokens",
               "steps", "tokens_per_second", "seconds", "peak_memory_mb"]  # fmt: skip
    return cells[columns].rename(columns={"used": "facts"}).sort_values(["format", "entity", "info", "learning_rate"])


def _claim_line(row):
    low, high = row["ci95"]
    return f"{row['claim']}  {row['contrast']}: {row['estimate']:+.2f} [{low:+.2f}, {high:+.2f}] {row['verdict']}"


def _markdown(frame):
    return frame.to_markdown(index=False, floatfmt=".4g")


def _relative(path):
    return path.relative_to(ROOT)
