"""The README of a results folder, in markdown."""

import pandas as pd

from lib import claims, compare, results, stats, tables
from lib.facts import TABLES

# The figure that shows each claim.
FIGURES = {
    "C1": "fig_formats", "C2": "fig_numbers", "C3": "fig_reasoning", "C4": "fig_controls", "C5": "fig_entities",
    "C6": "fig_corners",
}  # fmt: skip


def text(study: str, grid: str, loaded: list[dict], found: list[dict], drawn: list[str]) -> str:
    """README.md of a results folder, from its results, its claims and the names of its figures."""
    items, cells = results.items(loaded), results.cells(loaded)
    parts = lead(study, grid, loaded, found)
    if found:
        parts += [
            "## Claims",
            "Every contrast is positive where the paper is right, and its verdict follows from the interval alone; it "
            "is `undecided` where no answer to a comparison says yes or no, which tells how a model answers and not "
            "how it reasons. "
            f"95 % percentile bootstrap ({stats.RESAMPLES:,} resamples, seeded) over seeds and over the facts within a "
            "seed; where all facts agree, the rule of three. `effective`: how many independent facts would give "
            "an interval as wide. Where `seeds` is 1, the interval does not cover the variation between training runs. "
            f"`recall`: of the trained prompts, in the format that has least. A cell that recalls less than "
            f"{compare.LEARNED} is under-trained; the last column is the row without such cells.",
            *(_claim(claim, [row for row in found if row["claim"] == claim], drawn) for claim in claims.PAPER),
        ]
    shown = {FIGURES[row["claim"]] for row in found}
    parts += [_figure(notebook) for notebook in drawn if notebook not in shown]
    if len(compared := compare.main(items)):
        parts += [
            "## Strict accuracy",
            "The main part: share of held-out questions answered with the expected value and no other of the closed "
            "set, with Wilson's 95 % interval over the effective number of facts. Recall: the trained prompts. Floor: "
            "the untrained model. Ceiling: the untrained model with the fact in its prompt. Constant: the best single "
            "value, said to every question.",
            markdown(tables.strict(compared)),
            "## All evaluations",
            "Of the main part, the share of items by evaluation and format: strict, lenient, and the choice corrected "
            "for chance, which is fair only where the value is due next: not after a question to models that were "
            "taught to answer in sentences. `untrained`: of how many entities never seen nothing was asserted.",
            markdown(tables.evaluations(compared)),
        ]
    if len(style := tables.tones(items)):
        parts += [
            "## Tones",
            "Whose response is it, corrected for chance; and does the model name its tone?",
            markdown(style),
        ]
    parts += ["## Cells", f"`recall` of the trained prompts; * below {compare.LEARNED}: under-trained.",
              markdown(_cell_table(cells, items))]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def lead(study: str, grid: str, loaded: list[dict], found: list[dict]) -> list[str]:
    """What a README and a report begin with, as parts in markdown: the run, the verdicts, and what to do with them."""
    items = results.items(loaded)
    parts = [f"# Results: {study}", _how_it_was_run(study, grid, loaded, results.cells(loaded))]
    if found:
        parts += ["## The claims in short", markdown(_verdicts(found))]
    practice = [
        ("What each format teaches of facts about the same kinds of entity, and what a fact costs: tokens and seconds "
         "of one process to train it, and the same for every fact that held-out questions then find."
         f"{_general(items)}",
         tables.prices(loaded)),
        ("Other learning rates: what they teach of the same facts, and leave of other knowledge.",
         tables.rates(items)),
        ("Held-out questions by the number of paraphrases of a fact, which is seen equally often.",
         tables.paraphrases(items)),
        (f"Exposures of a fact at the first checkpoint of a run that answers {tables.REACHED:.0%} or more, empty where "
         "none does. The rate falls along a run: one that ends there may learn less.", tables.exposures(loaded)),
    ]  # fmt: skip
    shown = [part for said, table in practice if len(table) for part in (said, markdown(table))]
    return [*parts, *(["## In practice", *shown] if shown else [])]


def _general(items):
    """What the untrained model is worth in the column of general questions, if any were asked."""
    asked = items[items["eval"] == "forgetting"]
    untrained = asked[asked["format"] == "none"]
    if untrained.empty:
        return ""
    share = untrained["strict"].astype(float).mean()
    return f" The untrained model answers {share:.2f} of the {asked['fact'].nunique()} general questions."


def _verdicts(found):
    """One row a claim: what the paper says, our headline contrast with its verdict, and how all of them came out."""
    rows = []
    for row in found:
        if row["contrast"] == claims.HEADLINE[row["claim"]]:
            counts = pd.Series([other["verdict"] for other in found if other["claim"] == row["claim"]]).value_counts()
            rows.append({
                "claim": row["claim"], "the paper": claims.PAPER[row["claim"]], "contrast": row["contrast"],
                "estimate": estimate(row), "verdict": row["verdict"], "without under-trained cells": _without(row),
                "all contrasts": ", ".join(f"{count} {verdict}" for verdict, count in counts.items()),
            })  # fmt: skip
    return pd.DataFrame(rows)


def _claim(claim, rows, drawn):
    if not rows:
        return ""
    shown = pd.DataFrame(
        [
            {"contrast": row["contrast"], "estimate": estimate(row), "verdict": row["verdict"],
             **{key: row[key] for key in ("cells", "seeds", "facts")}, "effective": row["effective_facts"],
             "recall": row["recall"], "without under-trained cells": _without(row)}
            for row in rows
        ]
    )  # fmt: skip
    figure = _figure(FIGURES[claim]) if FIGURES[claim] in drawn else ""
    said = f"**{claim}.** The paper: {claims.PAPER[claim]}. What would change our mind: {claims.CHANGE[claim]}."
    return "\n\n".join(part for part in (said, markdown(shown), figure) if part)


def estimate(row: dict, prefix: str = "") -> str:
    """Estimate and interval of a row of claims.json; with the prefix learned_, without the under-trained cells."""
    low, high = row[f"{prefix}ci95"]
    return f"{row[f'{prefix}estimate']:+.2f} [{low:+.2f}, {high:+.2f}]"


def _without(row):
    if row["learned_facts"] is None:
        return "none left"
    if (row["learned_facts"], row["learned_estimate"]) == (row["facts"], row["estimate"]):
        return "the same"
    return f"{estimate(row, 'learned_')} {row['learned_verdict']} ({row['learned_facts']} facts)"


def _figure(notebook):
    return f"![{notebook.removeprefix('fig_')}](figures/{notebook}.png)"


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
    counts = ", ".join(f"{count} {info}" for info, count in real.groupby("info")["dropped_known"].sum().items())
    return f"\n\nReal facts dropped in {len(real)} draws because the untrained model answers them: {counts}."


def _cell_table(cells, items):
    marked = compare.recall(items).map(lambda share: f"{share:.2f}" + "*" * (share < compare.LEARNED))
    cells = cells.assign(recall=cells["id"].map(marked).fillna(""))
    # a column that never varies says nothing
    varied = [name for name in (*compare.CONTROLS, "tone") if cells[name].nunique() > 1]
    columns = ["id", "entity", "info", "format", "seed", "learning_rate", *varied, "used", "dropped_known", "recall",
               "tokens", "steps", "tokens_per_second", "seconds", "peak_memory_mb"]  # fmt: skip
    return cells[columns].rename(columns={"used": "facts"}).sort_values(["format", "entity", "info", "learning_rate"])


def markdown(frame: pd.DataFrame) -> str:
    """The table in markdown: four digits, and large numbers whole."""
    # four digits would give a large number an exponent
    formats = [",.0f" if pd.to_numeric(frame[name], errors="coerce").max() >= 10_000 else ".4g" for name in frame]
    frame = frame.astype(object).where(frame.notna(), "")
    escaped = frame.map(lambda value: value.replace("|", "\\|") if isinstance(value, str) else value)
    return escaped.to_markdown(index=False, floatfmt=formats)
