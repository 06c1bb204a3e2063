"""`make facts`: a user's own table, from the file to a report and a model that knows it."""

import sys
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lib.paths import ROOT
from lib.study.run import default_jobs
from lib.user_facts import study
from lib.user_facts.facts import untold
from lib.user_facts.table import read

LONG = 3600  # seconds from which a sample is offered


def facts(
    path: Path, model_name: str, templates: Path | None, articles: Path | None, sample: int | None, exposures: int,
    save: str, merged: bool, folder: str | None, dry_run: bool,
) -> bool:  # fmt: skip
    """Read, plan, train, report and save; whether every cell came through."""
    own = study.prepare(read(path, templates, articles), model_name, exposures, sample=sample, study=folder)
    show(own)
    expected = study.expected(own)
    took = clock(expected.seconds)
    without = "two to three times as long on a processor without bfloat16"
    print(f"results/{own.name}: about {took}, {default_jobs()} cells at once; {without}", flush=True)
    if expected.seconds > LONG and sample is None and own.entities > 1:
        fitting = expected.fitting()
        print(f"That is long. `--sample {fitting}` takes that many of the {own.entities} entities: an hour.")
        if not dry_run and sys.stdin.isatty():
            typer.confirm("Train on all of them?", abort=True)
    if dry_run:
        return True
    from lib.user_facts import model, report  # not before the plan is shown: they take seconds to import

    if study.execute(own):
        print(f"some cells failed; see results/{own.name}/executed, and run the same command again", file=sys.stderr)
        return False
    chosen, said = report.write(own.name)
    print(report.summary(own.name, said))
    print(f"report: results/{own.name}/README.md and report.html")
    if wanted := save if save != "best" else chosen:
        saved = model.save(own.name, wanted, merged).relative_to(ROOT)
        print(f'model:  {saved}\nask it: python -m lib ask {saved} "your question"')
    else:
        print("no model is kept; name a format to keep one all the same: --save qa")
    return True


def show(own: study.Own) -> None:
    """Print the attributes with their types and one sentence of each kind."""
    table = Table("attribute", "type", "facts", "asked", "told", title=f"{own.entities} entities")
    first = {fact["attribute"]: fact for profile in reversed(own.facts["profiles"]) for fact in profile}
    for column in own.columns:
        fact = first.get(column.name)
        if fact is None:  # no entity of the sample has it
            continue
        filled = [column.sentences[kind][0].format(name=fact["name"], value=fact["value"])
                  for kind in ("questions", "statements")]  # fmt: skip
        told = sum(fact["attribute"] == column.name for profile in own.facts["profiles"] for fact in profile)
        table.add_row(*map(escape, (column.name, column.kind, str(told), *(text[:200] for text in filled))))
    Console(emoji=False).print(table)
    if left_out := untold(own.facts):
        print(f"Your articles leave {left_out} facts out: no value stands there to the letter.")


def clock(seconds: float) -> str:
    """Minutes below an hour, hours above."""
    return f"{seconds / 60:.0f} minutes" if seconds < LONG else f"{seconds / 3600:.1f} hours"
