"""The command line: python -m lib plan|run|status|figures."""

from typing import Annotated, Literal

import typer

from lib.errors import UserError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, rich_markup_mode=None)
Grid = Annotated[str, typer.Argument(help="name of a grid in lib/grids, or a .yaml file")]
Study = Annotated[str | None, typer.Option(help="folder under results/ (default: the grid's name)")]
Jobs = Annotated[int | None, typer.Option(min=1, help="cells to run at once (default: one a core)")]


@app.command()
def run(grid: Grid, study: Study = None, jobs: Jobs = None, engine: Annotated[Literal["local", "ray"], typer.Option(help="this machine, or the Ray cluster at RAY_ADDRESS")] = "local") -> None:
    """Run the cells that are not finished, then redraw the figures."""
    print(f"reading {grid} and checking its cells", flush=True)
    from lib.study import processes
    from lib.study import run as runner
    from lib.study.grid import load_grid

    cells = list(load_grid(grid))
    runner.check(cells)
    failed = runner.run(cells, study or grid, jobs or processes.default_jobs())
    raise typer.Exit(1 if failed else 0)


@app.command()
def plan(grid: Grid, jobs: Jobs = None) -> None:
    from lib.study import processes
    from lib.study.plan import describe
    from lib.study.grid import load_grid
    print(describe(load_grid(grid), jobs or processes.default_jobs()))


if __name__ == "__main__":
    app()
