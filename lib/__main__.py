"""The command line. Each command says within a second what it does, before it imports what takes seconds."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from lib.paths import NOTEBOOKS, ROOT, UserError

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, rich_markup_mode=None,
    help="Run a grid of finetuning experiments and draw its figures.",
)  # fmt: skip
Grid = Annotated[str, typer.Argument(help="name of a grid in lib/grids, or a .yaml file")]
Study = Annotated[str | None, typer.Option(help="folder under results/ (default: the grid's or table's name)")]
Jobs = Annotated[int | None, typer.Option(min=1, help="experiments to run at once (default: one a core)")]
Engine = Annotated[Literal["local", "ray"], typer.Option(help="this machine, or the Ray cluster at RAY_ADDRESS")]
Gpus = Annotated[float | None, typer.Option(min=0, help="of a Ray cluster: share of a card that an experiment takes")]
say = partial(print, flush=True)  # at once, also into a pipe


def main(argv: list[str] | None = None) -> int:
    """Run a command; its exit code: 0 done, 1 failed or incomplete, 2 the user's mistake, 130 interrupted."""
    try:
        app(argv, prog_name="python -m lib")
    except SystemExit as ended:  # how typer ends every command
        if ended.code == 130:
            print("\ninterrupted: what is finished is kept, run the same command to go on", file=sys.stderr)
        return ended.code
    except (UserError, OSError) as error:  # a full disk or a folder without permission is the user's to mend, too
        print(f"error: {error}", file=sys.stderr)
        return 2


@app.command()
def plan(grid: Grid, jobs: Jobs = None) -> None:
    """Print the experiments of a grid by part and their hours."""
    say(f"reading {grid}, checking its experiments and counting their tokens")
    from lib.study.grid import load_grid

    cells = load_grid(grid)  # before the next imports, which take seconds
    from lib.study import plan, run

    plan.check(cells)
    print(plan.describe(cells, jobs or run.default_jobs(cells)))


@app.command("run")
def run_grid(grid: Grid, study: Study = None, jobs: Jobs = None, engine: Engine = "local", gpus: Gpus = None) -> None:
    """Run the experiments that are not finished, draw what is out of date, and summarize. Exit code 1: some failed."""
    say(f"reading {grid} and checking its experiments")
    from lib.study import run, store

    cells_of = studies(grid, study)
    new = [cell for name, cells in cells_of.items() for cell in cells if not run.finished(name, cell)]
    if new:  # what has a result can be had
        from lib.study import plan
        from lib.train.weights import check_hub

        plan.check(new)
        for model in {cell.model for cell in new}:
            check_hub(model)
    for name, cells in cells_of.items():
        store.refuse_others(name, {cell.id for cell in cells})
    start, jobs = run.local, jobs or run.default_jobs(new)
    if engine == "ray":
        from lib.study import ray

        jobs, start = ray.connect(jobs, gpus, run.memory(new))
    failed = 0
    for name, cells in cells_of.items():
        if missing := len(run.run(cells, name, jobs, start)):
            say(f"{missing} of {len(cells)} experiments failed; run the same command again", file=sys.stderr)
            failed += missing
        else:
            draw(name, only_if_stale=True)
    raise typer.Exit(failed > 0)


@app.command()
def status(grid: Grid, study: Study = None) -> None:
    """Say which experiments of a grid are finished. The exit code is 1 while some are not."""
    say(f"looking for the results of {grid}")
    from lib.study.run import finished

    missing = 0
    for name, cells in studies(grid, study).items():
        unfinished = [f"missing  {cell.id}  {cell}" for cell in cells if not finished(name, cell)]
        print(*unfinished, f"{name}: {len(cells) - len(unfinished)} of {len(cells)} experiments finished", sep="\n")
        missing += len(unfinished)
    raise typer.Exit(missing > 0)


@app.command()
def figures(grid: Grid, study: Study = None) -> None:
    """Redraw figures, claims and pages from the results."""
    say(f"reading the results of {study or grid}")
    from lib.study import store

    for name, cells in studies(grid, study).items():
        store.files(name)  # refuses a study without results
        store.write_parts(name, cells)
        draw(name)


@app.command()
def facts(
    path: Annotated[Path, typer.Argument(help="CSV, JSON or YAML with name, attribute, value, or columns")],
    model: Annotated[str, typer.Option(help="a name, folder or hub id: docs/models.md")] = "smollm2-135m",
    templates: Annotated[Path | None, typer.Option(help="YAML with your questions and statements")] = None,
    articles: Annotated[Path | None, typer.Option(help="folder with a text for each entity")] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="train on so many of the entities")] = None,
    exposures: Annotated[int, typer.Option(min=4, help="how often each fact is told")] = 32,
    formats: Annotated[str, typer.Option(help="any of article, statement, qa, chat, both, unsure")] = "",
    save: Annotated[str, typer.Option(help="the format whose model is kept")] = "best",
    merged: Annotated[bool, typer.Option("--merged", help="save a whole model instead of adapters")] = False,
    name: Annotated[str | None, typer.Option(help="column of the names, or several with commas between")] = None,
    question: Annotated[str | None, typer.Option(help="column of questions, a number if there is no header")] = None,
    answer: Annotated[str | None, typer.Option(help="column of their answers")] = None,
    study: Study = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="read and plan, and train nothing")] = False,
    rows_only: Annotated[bool, typer.Option("--rows-only", help="write the rows, and train nothing")] = False,
) -> None:
    """Teach a model your own table of facts, and report which format made them stick."""
    say(f"reading {path}")
    if bool(question) != bool(answer):
        raise UserError("--question and --answer go together: name a column for each")
    if name and question:
        raise UserError("--name is of a table of names, --question and --answer of pairs: give one of them")
    from lib.user_facts import study as own
    from lib.user_facts.facts import untold
    from lib.user_facts.table import read

    pair = [question, answer] if question else []
    table = read(path, templates, articles, name, pair)
    for what, number in table.left_out.items():
        print(f"left out: {number} {what}")
    wanted = formats.replace(",", " ").split()
    mine = own.prepare(table, model, exposures, sample=sample, study=study, formats=wanted)
    trained = [cell.format for cell in mine.cells[1:]]
    if save not in ("best", *trained):
        raise UserError(f"--save {save}: no model of it will be trained, take best or one of {', '.join(trained)}")
    print(f"{mine.entities} entities")
    for attribute, column in mine.facts["attributes"].items():
        told = [fact for profile in mine.facts["profiles"] for fact in profile if fact["attribute"] == attribute]
        sentences = (column[kind][0].format(**told[0])[:200] for kind in ("questions", "statements"))
        print(f"  {attribute} ({column['info']}, {len(told)} facts):", *sentences)
    if left_out := untold(mine.facts):
        print(f"Your articles leave {left_out} facts out: no value stands there to the letter.")
    costs, fitting = own.expected(mine)
    say(f"results/{mine.name} will take, and two to three times as long on a processor without bfloat16:\n"
        f"{costs.to_string(index=False)}")  # fmt: skip
    if costs["minutes"].iloc[-1] > own.HOUR and sample is None and mine.entities > 1:
        print(f"That is long. `--sample {fitting}` takes that many of the {mine.entities} entities: about an hour.")
        if not dry_run and sys.stdin.isatty():
            typer.confirm("Train on all of them?", abort=True)
    if rows_only:
        print(f"rows: {own.write_rows(mine).relative_to(ROOT)}; nothing is trained")
    if dry_run or rows_only:
        return
    if own.execute(mine):
        say(f"some experiments failed; see results/{mine.name}/executed, and run the same command again",
            file=sys.stderr)  # fmt: skip
        raise typer.Exit(1)
    from lib.user_facts import report  # not before the plan is shown: it takes seconds to import

    files = {"facts": path, "templates": templates, "articles": articles}
    given = {key: os.path.relpath(file, NOTEBOOKS) for key, file in files.items() if file}
    given |= {"model": model, "exposures": exposures, "sample": sample or 0, "name": name or "", "pair": pair,
              "formats": " ".join(trained)}  # fmt: skip
    chosen, summary = report.write(mine.name, mine.facts, given, table.left_out)
    print(f"{summary}\nreport: results/{mine.name}/README.md and report.html")
    if not (kept := chosen if save == "best" else save):
        print("no model is kept; name a format to keep one all the same: --save qa")
        return
    saved = report.save(mine.name, kept, merged)
    say(report.ask_again(mine.name, kept, saved))
    folder = saved.relative_to(ROOT)
    print(f'model:  {folder}\nask it: python -m lib ask {folder} "your question"')


@app.command()
def ask(
    folder: Annotated[Path, typer.Argument(help="a model that `facts` saved")],
    question: Annotated[str, typer.Argument(help="what to ask")],
) -> None:
    """Ask a model that knows your facts."""
    say(f"loading {folder}")
    from lib.user_facts import report

    print(*report.ask(folder, [question]))


def studies(grid: str, study: str | None) -> dict[str, dict]:
    """The experiments of each study with their parts: a study is of one model, a grid of several is a study of each."""
    from lib.study.grid import grid_path, load_grid

    cells, name = load_grid(grid), study or grid_path(grid).stem
    models = {cell.model: Path(cell.model).name.partition("@")[0].lower() for cell in cells}
    if len(set(models.values())) < len(models):
        raise UserError(f"{grid}: two models have the same last name, {', '.join(models)}: a grid of each")
    return {
        f"{name}-{last}" if len(models) > 1 else name: {c: part for c, part in cells.items() if c.model == model}
        for model, last in models.items()
    }


def draw(study: str, only_if_stale: bool = False) -> None:
    """Draw a study and print its summary."""
    from lib.report import pages as report

    if not only_if_stale or not report.is_current(study):
        say(f"drawing results/{study}, about a minute")
        report.draw(study)
    print(report.summary(study))


if __name__ == "__main__":
    sys.exit(main())
