"""Running a study: what is not finished, each experiment as a notebook in a kernel of its own. Killed, it goes on."""

import json
import math
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from subprocess import DEVNULL
from typing import NamedTuple

import psutil
from filelock import FileLock, Timeout

from lib.cell import Cell
from lib.paths import NOTEBOOKS, UserError
from lib.study import store
from lib.study.progress import Watch
from lib.train.weights import first_line, resolve

# Bytes that an experiment on SmolLM2 takes at its peak, with every weight trained; with adapters it is two thirds.
MEMORY = 4 * 2**30
# glibc gives a large block back to the kernel once it is freed, and the next step has it zeroed anew, page by page.
# Kept, and in huge pages, it makes a training step 8 % shorter. glibc reads this when a process, here a kernel, starts.
ALLOCATOR = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=8000000000:glibc.malloc.hugetlb=1"
# Of a GPU that this process may use: NVIDIA's driver and devices (a container may have only these), WSL, AMD.
GPU_PATHS = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
SCRATCH = "style-to-facts"  # what temporary folders are called: <SCRATCH>-<process>-<random>
SOCKETS = "/tmp"  # not what TMPDIR says, which may be long: a socket's path may have 107 bytes


class Outcome(NamedTuple):
    """What came of an experiment. Nothing of it is on the runner's disk: it may have run on another machine."""

    result: dict | None
    error: str | None = None  # in one line, if there is no result
    files: Mapping[str, str] = {}  # .ipynb: the executed notebook, as far as it came; .log: what its kernel printed


# Starts experiments of a study, so many at once. Left by an exception, it stops those that still run.
Engine = Callable[[list[Cell], str, int], AbstractContextManager[dict[Future, Cell]]]


def run(cells: Mapping[Cell, str], study: str, jobs: int, engine: Engine | None = None) -> list[Cell]:
    """Run every experiment of a study, each with its part, that is not finished; returns those that failed. Raises
    UserError when the folder cannot be written, another run is working in it, or it holds results of another grid."""
    folder, failed = store.study_dir(study), []
    with store.writing(folder):
        (folder / "experiments").mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(folder / ".lock", timeout=0).acquire()
        except Timeout:
            raise UserError(f"another run is working in {folder}: wait for it or stop it") from None
    with lock:
        for left in (*folder.glob(".*.*"), *folder.glob("[!.]*/.*.*")):  # what a killed run was writing
            shutil.rmtree(left, ignore_errors=True)
        store.write_parts(study, cells)
        todo = [cell for cell in cells if not finished(study, cell)]
        shares = f"{len(cells) - len(todo)} done, {len(todo)} to run"
        print(f"{study}: {len(cells)} experiments, {shares}, {jobs} at a time", flush=True)
        if not todo:
            return []
        from lib.study import plan  # it takes seconds to import

        expected = dict(zip(todo, plan.costs(todo)["seconds"], strict=True))
        commit = store.git_commit()  # now: the code may change before the last has ended
        # seed by seed: stopped, a study has all parts of the first ones; the longest first: none is alone at the end
        todo.sort(key=lambda cell: (cell.seed, -expected[cell]))
        watch = Watch(expected, jobs)
        with watch.bar, (engine or local)(todo, study, jobs) as runs:
            while runs:
                for one in wait(runs, timeout=1, return_when=FIRST_COMPLETED).done:
                    cell, error = runs.pop(one), one.exception()  # Ray's, where a node was lost again and again
                    outcome = Outcome(None, f"{type(error).__name__}: {first_line(error)}") if error else one.result()
                    if outcome.result:  # before the notebook, which may find the disk full
                        outcome.result["manifest"]["git_commit"] = commit
                        store.write_json(store.cell_path(study, cell), outcome.result)
                    for suffix, text in outcome.files.items():
                        store.write_text(folder / "executed" / f"{cell.id}{suffix}", text)
                    failed += [cell] if outcome.error else []
                    watch.ended(cell, outcome, folder / "executed")
                stages = {}
                for cell in (cell for one, cell in runs.items() if one.running()):
                    stage = f"{SCRATCH}-{os.getpid()}-{cell.id}_*/result.json.stage"
                    for path in Path(tempfile.gettempdir()).glob(stage):
                        with suppress(FileNotFoundError):  # it has just ended
                            stages[cell] = path.read_text(encoding="utf-8")
                watch.show(stages)
    return failed


def finished(study: str, cell: Cell) -> bool:
    """Whether an experiment has a result that reads and matches its parameters; a damaged one is told on stderr."""
    path = store.cell_path(study, cell)
    try:
        return path.exists() and bool(store.read(path))
    except UserError as error:
        print(f"not finished: {error}", file=sys.stderr)
        return False


@contextmanager
def local(cells: list[Cell], study: str, jobs: int) -> Iterator[dict[Future, Cell]]:
    """Experiments that run on this machine, so many at once: the future of each Outcome."""
    threads = cores() // jobs or 1
    with ThreadPoolExecutor(jobs) as pool:
        runs = {pool.submit(run_cell, cell, study, threads): cell for cell in cells}
        try:
            yield runs
        except BaseException:  # interrupted, or a result could not be written: the others would be lost too
            pool.shutdown(wait=False, cancel_futures=True)
            while any(one.running() for one in runs):  # again and again: one may have been about to start
                for kernel in psutil.Process().children():
                    with suppress(psutil.NoSuchProcess):
                        if "ipykernel_launcher" in kernel.cmdline():
                            kernel.kill()
                time.sleep(0.1)
            raise


def run_cell(cell: Cell, study: str, threads: int) -> Outcome:
    """Execute experiment.ipynb in a kernel with so many threads. The kernel is a process of its own, and ends with this
    one, even if this one is killed: ipykernel sees to it."""
    told = {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false", "PYTHONUTF8": "1"}
    environment = {"GLIBC_TUNABLES": ALLOCATOR, **os.environ, **told}
    prefix, result, error, files = f"{SCRATCH}-{os.getpid()}-{cell.id}_", None, None, {}
    try:
        sweep(*{tempfile.gettempdir(), SOCKETS})  # often one folder
        with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
            output, notebook, log = (Path(folder, name) for name in ("result.json", "cell.ipynb", "cell.log"))
            try:
                with log.open("wb") as printed:
                    parameters = {**cell.model_dump(), "study": study, "output": str(output)}
                    execute("experiment", notebook, parameters, env=environment, stdout=printed, stderr=printed)
                result = json.loads(output.read_text(encoding="utf-8"))
            finally:
                files = {path.suffix: path.read_text("utf-8", "replace") for path in (notebook, log) if path.exists()}
    except Exception as failure:  # whatever it is, the other experiments go on
        error = str(failure) if isinstance(failure, UserError) else f"{type(failure).__name__}: {failure}"
        if "Kernel died" in error:
            error += ": it was killed or crashed, most often for want of memory: run fewer at a time (--jobs)"
        error = " ".join(error.split())
    return Outcome(result, error, files)


def execute(name: str, output: Path, parameters: dict, shared=None, **process) -> None:
    """Execute notebooks/<name>.ipynb with parameters and keep the executed copy at `output`, as far as it came.

    It runs in a `shared` kernel, where it finds no names of the notebooks before it, or in one of its own, started with
    `process`. Raises UserError for an error in the notebook, and for a parameter that it does not declare, where
    papermill only warns.
    """
    import nbformat
    import papermill  # it takes seconds: a run that has nothing to do goes without
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, papermill_engines
    from papermill.exceptions import PapermillExecutionError
    from papermill.log import logger

    class KernelEngine(NBClientEngine):
        """Papermill's own engine, in a kernel that it has not started: emptied before, so that its cells count from
        one, and left without the open files that papermill would leave."""

        @classmethod
        def execute_managed_notebook(cls, nb_man, kernel_name, manager, **_):
            options = {"log": logger, "startup_timeout": 600, "record_timing": False}  # seconds
            client = PapermillNotebookClient(nb_man, manager, **options)
            with client.setup_kernel():
                try:
                    client.wait_for_reply(client.kc.execute("get_ipython().reset()", silent=True))
                    client.execute()
                finally:
                    client.kc.stop_channels()

    papermill_engines.register(SCRATCH, KernelEngine)
    logger.setLevel("CRITICAL")  # who runs a notebook tells what failed
    source = str(NOTEBOOKS / f"{name}.ipynb")
    declared = papermill.inspect_notebook(source)
    if unknown := sorted(set(parameters) - set(declared)):
        raise UserError(f"{source} has no parameter {', '.join(unknown)}: it has {', '.join(declared)}")
    output.parent.mkdir(parents=True, exist_ok=True)
    with nullcontext(shared) if shared else kernel(**process) as manager, store.writing(output):
        try:
            executed = papermill.execute_notebook(
                source, str(output), parameters, SCRATCH, progress_bar=False, manager=manager
            )
        except PapermillExecutionError as error:
            raise UserError(" ".join(f"{name}.ipynb: {error.ename}: {error.evalue}".split())) from None
    del executed.metadata["papermill"]  # it tells the folders and times of this machine
    for part in executed.cells:
        del part.metadata["papermill"]
        if "injected-parameters" in part.metadata.tags:
            part["id"] = f"parameters-of-{output.stem}"  # papermill draws one at random
    store.write_text(output, nbformat.writes(executed))


@contextmanager
def kernel(code: str = "", **process) -> Iterator:
    """The manager of a kernel, which runs this code first. Its process is started with `env`, `stdout`, `stderr`."""
    from jupyter_client import KernelManager

    # A kernel talks to its own runner alone: over file sockets, not TCP ports, in a folder that no other kernel uses.
    with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}-{os.getpid()}-", dir=SOCKETS) as sockets:
        client = "jupyter_client.asynchronous.AsyncKernelClient"  # papermill needs this one
        manager = KernelManager(transport="ipc", ip=f"{sockets}/ipc", client_class=client)
        options = ["--HistoryManager.hist_file=:memory:", f"--IPKernelApp.code_to_run={code}"]
        manager.start_kernel(extra_arguments=options, **{"stdout": DEVNULL, "stderr": DEVNULL, **process})
        try:
            yield manager
        finally:
            manager.shutdown_kernel()


def default_jobs(cells: Iterable[Cell]) -> int:
    """Experiments to run at once: one a core, as far as memory goes; one on a GPU machine."""
    gpu = any(Path(path).exists() for path in GPU_PATHS)  # torch takes seconds to say so
    return 1 if gpu else max(1, min(cores(), psutil.virtual_memory().available // memory(cells)))


def memory(cells: Iterable[Cell]) -> int:
    """Bytes that the largest of these experiments takes at its peak. Makes the models that are made here."""
    # Of a local model 2.5 times its weights, which a CPU may hold in float32, and 3.3 GiB: so that it is what Qwen's
    # 0.5B and 1.5B took with adapters. How large a model of the hub is cannot be seen before it is downloaded.
    folders = [Path(resolve(model)[0]) for model in {cell.model for cell in cells}]
    sizes = [sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 2**30 for folder in folders]
    return max([MEMORY, *(math.ceil(3.3 + 2.5 * size) * 2**30 for size in sizes)])


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sweep(*folders: Path | str) -> None:
    """Remove what runs, kernels and drawings that were killed left in these folders: scratch folders, whose names tell
    their process, and it is gone."""
    for left in (left for folder in folders for left in Path(folder).iterdir()):
        owner = re.fullmatch(rf"(?:{SCRATCH}|unsloth|\.drawing)-(\d+)(?:-\w+)?", left.name)
        if owner and not psutil.pid_exists(int(owner[1])):
            shutil.rmtree(left, ignore_errors=True)
