"""Running a notebook with papermill."""

import tempfile
from pathlib import Path

import nbformat

from lib.paths import NOTEBOOKS, UserError


def execute(name: str, output: Path, parameters: dict) -> None:
    """Execute notebooks/<name>.ipynb with parameters and keep the executed copy at `output`.

    Raises UserError for a parameter that the notebook does not declare, where papermill only warns, and
    papermill.PapermillExecutionError when a cell of the notebook fails.
    """
    import papermill
    from traitlets.config import Config

    source = str(NOTEBOOKS / f"{name}.ipynb")
    declared = papermill.inspect_notebook(source)
    if unknown := sorted(set(parameters) - set(declared)):
        raise UserError(f"{source} has no parameter {', '.join(unknown)}: it has {', '.join(declared)}")
    output.parent.mkdir(parents=True, exist_ok=True)
    # A kernel talks to its own runner alone: over file sockets, not TCP ports, in a folder that no other kernel uses.
    with tempfile.TemporaryDirectory(prefix="kernel-") as sockets:
        config = Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/ipc"})
        executed = papermill.execute_notebook(
            source, str(output), parameters, progress_bar=False, log_output=False, config=config
        )
    executed.metadata.pop("papermill")  # it tells the folders of this machine
    nbformat.write(executed, output)
