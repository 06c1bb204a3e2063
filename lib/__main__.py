"""The command line: python -m lib plan|run|status|figures."""

import argparse
import sys

from lib import results
from lib.cell import load_grid
from lib.errors import UserError


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 some cells failed, 2 the user's mistake, 130 interrupted."""
    arguments = parser().parse_args(argv)
    try:
        return arguments.command(arguments)
    except (UserError, OSError) as error:  # a full disk or a folder without permission is the user's to mend, too
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted: finished cells are kept, run the same command to go on", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(
        prog="python -m lib", description="Run a grid of finetuning cells and draw its figures."
    )
    commands = top.add_subparsers(required=True, metavar="plan|run|status|figures")
    for name, function, text in (
        ("plan", plan, "print the cells of a grid by axis, and the hours that they will take"),
        ("run", run, "run the cells that are not finished, then redraw the figures"),
        ("status", status, "say which cells of a grid are finished"),
        ("figures", figures, "redraw the figures and claims of a study from its results"),
    ):
        command = commands.add_parser(name, help=text)
        command.set_defaults(command=function)
        command.add_argument("grid", help="name of a grid in lib/grids, or a .yaml file")
        if name != "plan":
            command.add_argument("--study", help="folder under results/ (default: the grid's name)")
        if name in ("plan", "run"):
            command.add_argument("--jobs", type=_positive, help="cells to run at once (default: one a core)")
        if name == "run":
            command.add_argument("--engine", choices=["local", "ray"], default="local",
                                 help="this machine, or the Ray cluster at RAY_ADDRESS (default: local)")  # fmt: skip
    return top


def plan(arguments) -> int:
    """Print the cells by axis and what they will cost, after the same checks as a run's."""
    from lib.plan import describe
    from lib.process import default_jobs
    from lib.study import check

    cells = load_grid(arguments.grid)
    check(cells)
    print(describe(cells, arguments.jobs or default_jobs()))
    return 0


def run(arguments) -> int:
    """Run what is missing; redraw the figures if a result is newer than they are; print what was found."""
    from lib import cluster, models, process, report, study

    studies = _studies(arguments)
    for name, cells in studies.items():
        study.check(cells)
        models.check_hub(cells[0].model)
        results.check_belongs(name, cells)
    if arguments.engine == "ray":
        jobs, engine = cluster.connect(arguments.jobs or process.cores()), cluster.run
    else:
        jobs, engine = arguments.jobs or process.default_jobs(), process.run_local
    failed = 0
    for name, cells in studies.items():
        missing = len(study.run(cells, name, jobs, engine))
        if missing:
            print(f"{missing} of {len(cells)} cells failed; run the same command to try them again", file=sys.stderr)
            failed += missing
            continue
        if not report.is_current(name):
            report.draw(name, arguments.grid)
        print(report.summary(name))
    return 1 if failed else 0


def status(arguments) -> int:
    """Print which cells are finished; exit code 1 while some are not."""
    from lib.study import finished

    all_missing = 0
    for name, cells in _studies(arguments).items():
        missing = [cell for cell in cells if not finished(name, cell)]
        for cell in missing:
            print(f"missing  {cell.id}  {cell}")
        print(f"{name}: {len(cells) - len(missing)} of {len(cells)} cells finished")
        all_missing += len(missing)
    return 1 if all_missing else 0


def figures(arguments) -> int:
    """Redraw everything that is made from the results."""
    from lib import report

    for name, cells in _studies(arguments).items():
        results.check_belongs(name, cells)
        report.draw(name, arguments.grid)
        print(report.summary(name))
    return 0


def _studies(arguments):
    """The cells of each study: a study is of one model, so a grid of several is a study of each."""
    name = arguments.study or arguments.grid.rsplit("/", 1)[-1].removesuffix(".yaml").removesuffix(".yml")
    cells = load_grid(arguments.grid)
    models = list(dict.fromkeys(cell.model for cell in cells))
    short = {model: model.rstrip("/").rsplit("/", 1)[-1].partition("@")[0].lower() for model in models}
    names = {model: f"{name}-{short[model]}" if len(models) > 1 else name for model in models}
    if len(set(names.values())) < len(models):
        raise UserError(f"{arguments.grid}: two models have the same last name, {', '.join(models)}: a grid of each")
    for one in names.values():
        results.study_dir(one)  # refuses a name that is a path
    return {names[model]: [cell for cell in cells if cell.model == model] for model in models}


def _positive(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of at least 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
