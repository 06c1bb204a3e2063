"""Running a notebook with papermill, in a kernel that is started anew or forked."""

import asyncio
import os
import sys
import tempfile
from multiprocessing.context import ForkProcess
from pathlib import Path

from jupyter_client import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

from lib.errors import UserError
from lib.paths import NOTEBOOKS


def execute(name: str, output: Path, parameters: dict, fork: bool = False) -> None:
    """Execute notebooks/<name>.ipynb with parameters and keep the executed copy at `output`.

    `fork` has the kernel start as a fork of this process, with all that is imported here. Raises UserError for a
    parameter that the notebook does not declare, where papermill only warns, and papermill.PapermillExecutionError
    when a cell of the notebook fails.
    """
    import papermill
    from traitlets.config import Config

    source = str(NOTEBOOKS / f"{name}.ipynb")
    declared = papermill.inspect_notebook(source)
    unknown = sorted(set(parameters) - set(declared))
    if unknown:
        raise UserError(f"{source} has no parameter {', '.join(unknown)}: it has {', '.join(declared)}")
    output.parent.mkdir(parents=True, exist_ok=True)
    # A kernel talks to its own runner alone: over file sockets, not TCP ports, in a folder that no other kernel uses.
    with tempfile.TemporaryDirectory(prefix="kernel-") as sockets:
        papermill.execute_notebook(
            source,
            str(output),
            parameters,
            progress_bar=False,
            log_output=False,
            config=Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/ipc"}),
            kernel_manager_class=ForkedKernelManager if fork else AsyncKernelManager,
        )


class ForkedKernelManager(AsyncKernelManager):
    """Starts kernels as forks of this process: they need not import torch, which takes longer than asking a model."""

    async def _async_pre_start_kernel(self, **kwargs):
        self.provisioner = ForkProvisioner(parent=self, kernel_id=self.kernel_id or "", kernel_spec=self.kernel_spec)
        return await super()._async_pre_start_kernel(**kwargs)


class ForkProvisioner(LocalProvisioner):
    """Jupyter's local provisioner with a fork in the place of a subprocess."""

    async def launch_kernel(self, cmd, **kwargs):
        """Fork a kernel that listens where the connection file says."""
        self.process = ForkedKernel(target=_run_kernel, args=(self.parent.connection_file, os.getpid()))
        self.process.start()
        self.pid = self.process.pid  # and no process group: it is that of this process
        return self.connection_info


class ForkedKernel(ForkProcess):
    """A process with the methods of subprocess.Popen that Jupyter uses."""

    stdin = stdout = stderr = None

    def poll(self):
        return self.exitcode

    def wait(self):
        self.join()
        return self.exitcode

    def send_signal(self, signum):
        os.kill(self.pid, signum)


def _run_kernel(connection_file, parent):
    from ipykernel.kernelapp import launch_new_instance

    asyncio.set_event_loop(asyncio.new_event_loop())  # the one that runs here is the parent's
    if "torch" in sys.modules:  # it read the number of threads when it was imported
        sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    launch_new_instance(argv=["-f", connection_file, f"--IPKernelApp.parent_handle={parent}"])
