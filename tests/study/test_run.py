"""The runner. Most experiments are stand-ins: a kernel that trains nothing; tests/helpers.py has them."""

import errno
import os
import platform
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import Future
from contextlib import nullcontext
from pathlib import Path

import nbformat
import psutil
import pytest
from filelock import FileLock
from helpers import bare_result, command, descendants, ended, kernels, make_cell, stand_in, wait_for

from lib.paths import UserError
from lib.study import plan, run, store
from lib.study.grid import load_grid
from lib.study.run import Outcome

CELLS = [make_cell(seed=seed) for seed in range(4)]
MAIN = dict.fromkeys(CELLS, "main")


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """Makes experiments do what is given, in place of training."""

    def use(behaviour=""):
        monkeypatch.setattr(run, "NOTEBOOKS", stand_in(tmp_path / "notebooks", behaviour))
        return tmp_path / "notebooks"

    return use


@pytest.fixture
def quick_plan(monkeypatch):
    """A plan that says the same of every experiment, without counting tokens."""
    monkeypatch.setattr(plan, "costs", lambda cells: {"seconds": [10.0] * len(cells)})


@pytest.fixture
def grid(tmp_path):
    """The path of a grid of CELLS."""
    path = tmp_path / "four experiments 'of' 日本.yaml"
    block = "part: main, model: tiny, entity: fictional, format: qa, n_entities: 2, seed: [0, 1, 2, 3], paraphrases: 2"
    path.write_text("- {" + block + ", epochs: 1, learning_rate: 0.001, lora_rank: 4, batch_size: 4}", encoding="utf-8")
    assert list(load_grid(str(path))) == CELLS
    return str(path)


def test_failures_are_told_and_kept_and_the_others_go_on(study, quick_plan, notebooks, capsys):
    behaviour = """
if cell.seed == 1: raise KeyError("x [bold]")
if cell.seed == 2: os.kill(os.getpid(), signal.SIGKILL)
if cell.seed == 3: open(output, "w").write("{"); raise SystemExit
"""
    notebooks(behaviour)
    assert set(run.run(MAIN, study, 2)) == set(CELLS[1:])
    text, executed = capsys.readouterr().out, store.study_dir(study) / "executed"
    assert f"{study}: 4 experiments, 0 done, 4 to run, 2 at a time" in text
    assert f"{CELLS[0].id} {CELLS[0]}: question 1.00 (1 s); 0:" in text
    assert f"{CELLS[1]}: FAILED: experiment.ipynb: KeyError: 'x [bold]'; see {executed}/{CELLS[1].id}.ipynb" in text
    assert f"{CELLS[2]}: FAILED: DeadKernelError: Kernel died: it was killed or crashed, most often for want of" in text
    assert f"{CELLS[3]}: FAILED: JSONDecodeError" in text
    for cell in CELLS[1:]:
        assert "what the kernel printed" in (executed / f"{cell.id}.log").read_text(encoding="utf-8")
        assert "from_parameters" in (executed / f"{cell.id}.ipynb").read_text(encoding="utf-8")
    assert [run.finished(study, cell) for cell in CELLS] == [True, False, False, False]
    assert not list(Path(tempfile.gettempdir()).glob(f"{run.SCRATCH}-{os.getpid()}-*"))


def test_a_kernel_has_its_threads_and_allocator_and_tells_its_stage(study, quick_plan, notebooks, monkeypatch):
    behaviour = """
import resource
for _ in range(2):  # the second buffer costs nothing where the first was kept
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(64 * 2**20)
extra = {"faults": resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before,
         "setting": os.environ["GLIBC_TUNABLES"], "utf8": sys.flags.utf8_mode}
time.sleep(3)
"""
    notebooks(behaviour)
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(run, "cores", lambda: 8)
    cell, told = CELLS[0], {}
    monkeypatch.setattr(run.Watch, "show", lambda watch, stages: told.update(stages))
    assert run.run({cell: "main"}, study, 3) == []
    manifest = store.load(study)[0]["manifest"]
    assert told == {cell: "step 1 of 2"} and manifest["threads"] == 2 and manifest["utf8"] == 1
    if platform.libc_ver()[0] == "glibc":
        assert manifest["faults"] < 1000 and manifest["setting"] == run.ALLOCATOR  # of 16,384 pages
    assert "GLIBC_TUNABLES" not in os.environ
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=3")
    kept = run.run_cell(cell, study, 1).result["manifest"]["setting"]
    assert kept == "glibc.malloc.tcache_count=3", "what the user set stays"


def test_notebooks_in_one_kernel_find_no_names_of_each_other_and_count_from_one(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "NOTEBOOKS", tmp_path)
    metadata = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    for name, lines in {"first": ["import os", "made = os.getpid()", "made"], "second": ["1", "made"]}.items():
        cells = [nbformat.v4.new_code_cell(line) for line in lines]
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), tmp_path / f"{name}.ipynb")
    files = []
    with run.kernel() as shared:
        for path in (tmp_path / "one" / "out.ipynb", tmp_path / "two" / "out.ipynb"):
            with pytest.raises(UserError, match=r"second.ipynb: NameError: name 'made' is not defined"):
                run.execute("second", path, {}, shared)
            run.execute("first", path, {}, shared)
            files.append(psutil.Process().num_fds())
        assert files[1] <= files[0], "a run of hundreds of experiments would have too many open"
        assert len(list(Path(shared.ip).parent.glob("ipc-*"))) == 5, "its channels are files"
    one, two = (nbformat.read(tmp_path / name / "out.ipynb", 4).cells for name in ("one", "two"))
    assert [cell.execution_count for cell in two] == [1, 2, 3] and one[2].outputs == two[2].outputs, "one process"


def test_a_killed_run_loses_nothing_and_goes_on(study, notebooks, grid):
    folder, start = store.study_dir(study), [*command(notebooks("if cell.seed: time.sleep(3600)")), "run", grid]
    first = subprocess.Popen([*start, "--study", study, "--jobs", "2"], stdout=subprocess.DEVNULL)
    done = store.cell_path(study, CELLS[0])
    wait_for(done.exists)
    wait_for(lambda: len(kernels(first.pid)) == 2)
    below, scratch = descendants(first.pid), f"{run.SCRATCH}-{first.pid}-*"
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    _, alive = psutil.wait_procs(below, timeout=60)
    assert not alive and list(Path(tempfile.gettempdir()).glob(scratch))
    before = done.stat().st_mtime_ns
    store.cell_path(study, CELLS[1]).write_text('{"schema": 4')  # damaged meanwhile
    (folder / "experiments" / f".{CELLS[2].id}.json.k1lled").mkdir()  # where it was writing a result

    notebooks()
    second = subprocess.run([*start, "--study", study, "--jobs", "2"], capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    assert "4 experiments, 1 done, 3 to run, 2 at a time" in second.stdout and second.stdout.endswith("drawn\n")
    assert f"not finished: {store.cell_path(study, CELLS[1])} is damaged" in second.stderr
    assert done.stat().st_mtime_ns == before and len(store.load(study)) == 4
    assert not list(Path(tempfile.gettempdir()).glob(scratch)), "the next run removes what the killed one left"
    assert not [path for path in folder.rglob(".*") if path.name != ".lock"]


@pytest.mark.parametrize(("arguments", "n"), [("run --jobs 2", 2), ("figures", 1)])
def test_an_interrupt_leaves_no_process_and_says_so_in_a_line(arguments, n, study, notebooks, grid):
    store.write_json(store.cell_path(study, CELLS[0]), bare_result(CELLS[0], study))
    folder = notebooks("time.sleep(3600)")
    out = str(folder / "out.ipynb")
    drawing = f"commands.draw = lambda study: run.execute('experiment', Path({out!r}), {{'output': {out!r} + '.json'}})"
    start = [*command(folder, before=drawing), *arguments.split(), grid, "--study", study]
    process = subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(kernels(process.pid)) == n)
    below = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.strip() == "interrupted: what is finished is kept, run the same command to go on"
    assert not psutil.wait_procs(below, timeout=60)[1]


def test_a_study_goes_on_in_folders_of_any_name(study, quick_plan, notebooks, monkeypatch, tmp_path, capsys):
    odd = tmp_path / "a 'b' \"c\" $d; 日本"
    odd.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    monkeypatch.setattr(store, "RESULTS", odd)
    notebooks()
    assert run.run({CELLS[0]: "main"}, study, 1) == []
    assert len(store.load(study)) == 1 and [path.name for path in odd.iterdir()] == [study]
    assert run.run({CELLS[0]: "main"}, study, 2) == []
    assert "1 experiments, 1 done, 0 to run" in capsys.readouterr().out


def test_an_engine_gets_seed_by_seed_the_longest_first_and_what_it_yields_is_kept(study, monkeypatch, capsys):
    cells = [make_cell(format=format, seed=seed) for format in ("qa", "article", "chat") for seed in (1, 0)]
    seconds, given = {"qa": 1.0, "article": 3.0, "chat": 2.0}, []
    monkeypatch.setattr(plan, "costs", lambda todo: {"seconds": [seconds[cell.format] for cell in todo]})
    monkeypatch.setattr(store, "git_commit", lambda: "of the start")
    good = Outcome(bare_result(cells[0], study), files={".ipynb": "a notebook", ".log": "a log"})
    lost, bad = Future(), Outcome(None, "ValueError: no", {".log": "another log"})
    lost.set_exception(RuntimeError("a lost\nnode"))

    def engine(todo, study, jobs):
        given.extend((cell.seed, cell.format) for cell in todo)
        return nullcontext({lost: cells[2]} | ended({cells[0]: good, cells[1]: bad}))

    assert set(run.run(dict.fromkeys(cells, "main"), study, 1, engine)) == {cells[1], cells[2]}
    assert f"{cells[2]}: FAILED: RuntimeError: a lost;" in capsys.readouterr().out
    assert given == [(seed, format) for seed in (0, 1) for format in ("article", "chat", "qa")]
    assert store.read(store.cell_path(study, cells[0]))["manifest"]["git_commit"] == "of the start"
    assert {path.name: path.read_text() for path in (store.study_dir(study) / "executed").iterdir()} == {
        f"{cells[0].id}.ipynb": "a notebook", f"{cells[0].id}.log": "a log", f"{cells[1].id}.log": "another log"
    }  # fmt: skip


def test_a_second_run_in_a_folder_is_refused_and_changes_nothing(study):
    store.write_parts(study, MAIN)
    folder = store.study_dir(study)
    with FileLock(folder / ".lock"), pytest.raises(UserError, match="another run is working in .*: wait"):
        run.run(dict.fromkeys(CELLS, "rate"), study, 1)
    assert store.parts(study) == {cell.id: "main" for cell in CELLS}


def test_a_folder_that_cannot_be_made_is_named_before_anything_runs(study, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(store, "RESULTS", tmp_path)
    (tmp_path / study).write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot be written .*: make it writable"):
        run.run(MAIN, study, 1)
    assert not capsys.readouterr().out


def test_scratch_folders_of_processes_that_are_gone_are_removed_and_no_others(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    names = [f"{run.SCRATCH}-{gone.pid}-x", f"unsloth-{gone.pid}", f".drawing-{gone.pid}-x",
             f"{run.SCRATCH}-{os.getpid()}-x", f".drawing-{os.getpid()}-x", "unsloth-mine"]  # fmt: skip
    for name in names:
        (tmp_path / name / "inner").mkdir(parents=True)
    run.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(names[3:])


@pytest.mark.parametrize(
    ("gpu", "cores", "memory", "jobs"), [(True, 8, 99, 1), (False, 8, 99, 8), (False, 8, 9, 2), (False, 8, 1, 1)]
)
def test_jobs_are_one_a_core_as_far_as_memory_goes_and_one_on_a_gpu(gpu, cores, memory, jobs, monkeypatch, tmp_path):
    monkeypatch.setattr(run, "GPU_PATHS", (str(tmp_path / "nvidia0"),))
    if gpu:
        (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(run, "cores", lambda: cores)
    monkeypatch.setattr(psutil, "virtual_memory", type("Memory", (), {"available": memory * 2**30}))
    assert run.default_jobs([make_cell()]) == jobs


@pytest.mark.parametrize(("weights", "gib"), [([], 4), ([0.25], 4), ([1.18], 7), ([1.31, 2], 12), ([13], 36)])
def test_an_experiment_takes_more_memory_the_larger_its_local_model_is(weights, gib, monkeypatch, tmp_path):
    """SmolLM2 has 0.25 GiB of weights in 16 bits, Qwen's 0.5B and 1.5B with heads of their own have 1.2 and 3.3."""
    for i, size in enumerate(weights):
        with (tmp_path / f"{i}.safetensors").open("wb") as file:
            file.truncate(int(size * 2**30))
    monkeypatch.setattr(run, "resolve", lambda model: (str(tmp_path) if model == "tiny" else model, None))
    assert run.memory([make_cell(), make_cell(model="own/model")]) == gib * 2**30


def test_a_full_disk_keeps_what_is_finished_and_names_the_path(study, quick_plan, monkeypatch, capsys):
    folder, left, sync = store.study_dir(study), [None] * 5, os.fsync  # of the grid, two results and their notebooks

    def fill(file):
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        left.pop()
        sync(file)

    def engine(todo, study, jobs):
        return nullcontext(ended({cell: Outcome(bare_result(cell, study), None, {".ipynb": ""}) for cell in todo}))

    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(UserError, match=rf"{folder}/\S+ cannot be written \(No space left on device\): .*make room"):
        run.run(MAIN, study, 1, engine)
    monkeypatch.setattr(os, "fsync", sync)
    assert len(list((folder / "experiments").iterdir())) == 2
    assert run.run(MAIN, study, 1, engine) == []
    assert "4 experiments, 2 done, 2 to run" in capsys.readouterr().out
