"""Running a notebook with papermill: this module imports it, which takes seconds."""

import os
import tempfile
from pathlib import Path
from subprocess import DEVNULL

import nbformat
import papermill
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.log import logger
from traitlets.config import Config

from lib.paths import NOTEBOOKS, UserError
from lib.study import store
from lib.study.run import SCRATCH


class _Engine(NBClientEngine):
    """Papermill's own engine, but that it says how the kernel's process is started."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, config, process, **_):
        PapermillNotebookClient(nb_man, kernel_name=kernel_name, config=config, log=logger).execute(**process)


papermill_engines.register(SCRATCH, _Engine)
logger.setLevel("CRITICAL")  # who runs a notebook tells what failed
SOCKETS = "/tmp" if os.path.isdir("/tmp") else None  # a socket's path may have 107 bytes


def execute(name: str, output: Path, parameters: dict, **process) -> None:
    """Execute notebooks/<name>.ipynb with parameters and keep the executed copy at `output`, as far as it came.

    `process` is what the kernel's process is started with: `env`, and where its `stdout` and `stderr` go. Raises
    UserError for a parameter that the notebook does not declare, where papermill only warns, and
    PapermillExecutionError for an error in it.
    """
    source = str(NOTEBOOKS / f"{name}.ipynb")
    declared = papermill.inspect_notebook(source)
    if unknown := sorted(set(parameters) - set(declared)):
        raise UserError(f"{source} has no parameter {', '.join(unknown)}: it has {', '.join(declared)}")
    output.parent.mkdir(parents=True, exist_ok=True)
    # A kernel talks to its own runner alone: over file sockets, not TCP ports, in a folder that no other kernel uses.
    with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}-{os.getpid()}-", dir=SOCKETS) as sockets:
        config = Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/ipc"})
        with store.writing(output):
            executed = papermill.execute_notebook(
                source,
                str(output),
                parameters,
                SCRATCH,
                progress_bar=False,
                config=config,
                process={"stdout": DEVNULL, "stderr": DEVNULL, **process},
            )
    executed.metadata.pop("papermill")  # it tells the folders of this machine
    store.write_text(output, nbformat.writes(executed))
