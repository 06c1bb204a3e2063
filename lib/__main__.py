"""The command line: python -m lib plan|run|status|figures|tour|pages|facts|ask|bench|reproduce|gpu-check.

Each command says within a second what it does, before it imports what takes seconds.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from lib.paths import UserError

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, rich_markup_mode=None,
    help="Run a grid of finetuning cells and draw its figures.",
)  # fmt: skip
Grid = Annotated[str, typer.Argument(help="name of a grid in lib/grids, or a .yaml file")]
Study = Annotated[str | None, typer.Option(help="folder under results/ (default: the grid's name)")]
Jobs = Annotated[int | None, typer.Option(min=1, help="cells to run at once (default: one a core)")]
Engine = Annotated[Literal["local", "ray"], typer.Option(help="this machine, or the Ray cluster at RAY_ADDRESS")]
Saved = Literal["best", "article", "qa", "chat"]


def main(argv: list[str] | None = None) -> int:
    """Run a command; its exit code: 0 done, 1 failed or incomplete, 2 the user's mistake, 130 interrupted."""
    try:
        app(argv, prog_name="python -m lib")
    except SystemExit as ended:  # how typer ends every command
        if ended.code == 130:
            print("\ninterrupted: finished cells are kept, run the same command to go on", file=sys.stderr)
        return ended.code
    except (UserError, OSError) as error:  # a full disk or a folder without permission is the user's to mend, too
        print(f"error: {error}", file=sys.stderr)
        return 2


@app.command()
def plan(grid: Grid, jobs: Jobs = None) -> None:
    """Print the cells of a grid by part and their hours."""
    say(f"reading {grid}, checking its cells and counting their tokens")
    from lib.study import processes, run
    from lib.study.grid import load_grid
    from lib.study.plan import describe

    cells = load_grid(grid)
    run.check(list(cells))
    print(describe(cells, jobs or processes.default_jobs()))


@app.command("run")
def run_grid(grid: Grid, study: Study = None, jobs: Jobs = None, engine: Engine = "local") -> None:
    """Run the cells that are not finished, then draw what is out of date, and summarize. Exit code 1: cells failed."""
    say(f"reading {grid} and checking its cells")
    from lib.study import processes, ray, run, store
    from lib.train.model import check_hub

    of_studies = studies(grid, study)
    for cells in of_studies.values():
        run.check(list(cells))
        check_hub(next(iter(cells)).model)
    for name, cells in of_studies.items():
        store.write_parts(name, cells)
    if engine == "ray":
        every = [cell for cells in of_studies.values() for cell in cells]
        jobs, start = ray.connect(jobs or processes.cores(), every), ray.run
    else:
        jobs, start = jobs or processes.default_jobs(), processes.run_local
    failed = 0
    for name, cells in of_studies.items():
        missing = len(run.run(list(cells), name, jobs, start))
        if missing:
            print(f"{missing} of {len(cells)} cells failed; run the same command to try them again", file=sys.stderr)
            failed += missing
        else:
            draw(name, only_if_stale=True)
    raise typer.Exit(1 if failed else 0)


@app.command()
def status(grid: Grid, study: Study = None) -> None:
    """Say which cells of a grid are finished. The exit code is 1 while some are not."""
    say(f"looking for the results of {grid}")
    from lib.study.run import finished

    complete = True
    for name, cells in studies(grid, study).items():
        missing = [cell for cell in cells if not finished(name, cell)]
        for cell in missing:
            print(f"missing  {cell.id}  {cell}")
        print(f"{name}: {len(cells) - len(missing)} of {len(cells)} cells finished")
        complete = complete and not missing
    raise typer.Exit(0 if complete else 1)


@app.command()
def figures(grid: Grid, study: Study = None) -> None:
    """Redraw figures, claims and pages from the results."""
    say(f"reading the results of {study or grid}")
    from lib.study import store

    for name, cells in studies(grid, study).items():
        store.write_parts(name, cells)
        draw(name)


@app.command()
def tour(study: Annotated[str, typer.Argument(help="folder under results/")] = "quick") -> None:
    """Execute the tour into results/<study>/notebooks, with its outputs."""
    say("executing notebooks/tour.ipynb, about three minutes")
    from lib.study.notebook import execute
    from lib.study.store import study_dir

    execute("tour", study_dir(study) / "notebooks" / "tour.ipynb", {})


@app.command()
def pages() -> None:
    """Write README.md and docs/findings.md from the published results."""
    say("writing the pages of the project from results/")
    from lib.report.blocks import project_pages
    from lib.study.store import write_text

    for path, text in project_pages().items():
        write_text(path, text)


@app.command()
def bench(label: Annotated[str, typer.Argument(help="name of the file under results/bench")] = "my-machine") -> None:
    """Measure the speed beside plain TRL and Unsloth."""
    say("measuring the speed beside plain TRL and Unsloth, about half an hour; run nothing else meanwhile")
    from lib.commands import bench as command

    command.bench(label)


@app.command()
def reproduce(
    study: Annotated[str, typer.Option(help="folder under results/")] = "quick",
    n: Annotated[int, typer.Option(min=1, help="cells to run again")] = 3,
    seed: Annotated[int | None, typer.Option(help="which cells are drawn (default: others every time)")] = None,
) -> None:
    """Run random cells of a published study again and compare. The exit code is 1 if one does not agree."""
    say(f"running {n} cells of results/{study} again, some minutes each")
    from lib.commands import reproduce as command

    raise typer.Exit(0 if command.reproduce(study, n, seed) else 1)


@app.command()
def facts(
    path: Annotated[Path, typer.Argument(help="CSV or YAML with name, attribute, value, or a column an attribute")],
    model: Annotated[str, typer.Option(help="smollm2-135m, a folder, or a hub id")] = "smollm2-135m",
    templates: Annotated[Path | None, typer.Option(help="YAML with your questions and statements")] = None,
    articles: Annotated[Path | None, typer.Option(help="folder with a text for each entity")] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="train on so many of the entities")] = None,
    exposures: Annotated[int, typer.Option(min=4, help="how often each fact is told")] = 32,
    save: Annotated[Saved, typer.Option(help="the format whose model is kept")] = "best",
    merged: Annotated[bool, typer.Option("--merged", help="save a whole model instead of adapters")] = False,
    study: Annotated[str | None, typer.Option(help="folder under results/ (default: after the file)")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="read and plan, and train nothing")] = False,
) -> None:
    """Teach a model your own table of facts, and report which format made them stick."""
    say(f"reading {path}")
    from lib.commands.facts import facts as command

    done = command(path, model, templates, articles, sample, exposures, save, merged, study, dry_run)
    raise typer.Exit(0 if done else 1)


@app.command()
def ask(
    folder: Annotated[Path, typer.Argument(help="a model that `facts` saved")],
    question: Annotated[str, typer.Argument(help="what to ask")],
) -> None:
    """Ask a model that knows your facts."""
    say(f"loading {folder}")
    from lib.user_facts import model

    print(model.ask(folder, question).strip())


@app.command()
def gpu_check() -> None:
    """Try every step of the study on the GPU, one published cell too. The exit code is 1 if a check fails."""
    say("trying every step of the study on the GPU, about five minutes")
    from lib.commands import gpu_check as command

    raise typer.Exit(0 if command.gpu_check() else 1)


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def studies(grid: str, study: str | None) -> dict[str, dict]:
    """The cells of each study with their parts: a study is of one model, so a grid of several is a study of each."""
    from lib.study.grid import grid_path, load_grid
    from lib.study.store import study_dir

    cells, name = load_grid(grid), study or grid_path(grid).stem
    study_dir(name)  # refuses a name that is a path
    short = {cell.model: Path(cell.model).name.partition("@")[0].lower() for cell in cells}
    if len(set(short.values())) < len(short):
        raise UserError(f"{grid}: two models have the same last name, {', '.join(short)}: a grid of each")
    names = {model: f"{name}-{last}" if len(short) > 1 else name for model, last in short.items()}
    return {names[model]: {cell: part for cell, part in cells.items() if cell.model == model} for model in names}


def draw(study: str, only_if_stale: bool = False) -> None:
    """Draw a study and print its summary."""
    from lib.report import pages as report

    if not only_if_stale or not report.is_current(study):
        say(f"drawing results/{study}, about a minute")
        report.draw(study)
    print(report.summary(study))


if __name__ == "__main__":
    sys.exit(main())
