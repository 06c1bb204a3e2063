"""The pins are stated once, exactly, and are what is installed."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, requires, version

import pytest
import simulation
import yaml
from helpers import BLOCK
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lib.paths import LIB, RESULTS, ROOT

FIGURES, STUDY, NODEPS, GPU = FILES = [f"requirements{kind}.txt" for kind in ("-figures", "", "-nodeps", "-gpu")]
LOCKS = {"figures": [FIGURES], "cpu": [FIGURES, STUDY, NODEPS], "gpu": FILES}  # and what each is made of
SITE = {"site": ["requirements-site.txt"]}  # for an environment of its own


def pins(name):
    """The packages that a file names itself, by their names as an index has them, with their versions."""
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    stated = [line.split("==") for line in lines if line and line != f"-r {FIGURES}"]
    return {canonicalize_name(name): pin for name, pin in stated}


def locked(kind):
    """The requirements of a lock, each with the number of its hashes."""
    text = (ROOT / "locks" / f"{kind}.txt").read_text()
    entries = re.sub(r"#.*", "", text).replace("\\\n", " ").strip().splitlines()
    return [(Requirement(entry.split(" --hash")[0]), entry.count(" --hash=sha256:")) for entry in entries]


@pytest.mark.parametrize(("kind", "files"), (LOCKS | SITE).items())
def test_a_lock_has_every_pin_a_hash_of_each_package_and_no_address(kind, files):
    text = (ROOT / "locks" / f"{kind}.txt").read_text() + (ROOT / "locks" / "torch-cpu.txt").read_text()
    assert "://" not in text and "--find-links" not in text and "-index" not in text
    entries = [*locked(kind), *(locked("torch-cpu") if kind == "cpu" else [])]
    assert all(hashes for _, hashes in entries)
    versions = {(entry.name, str(entry.specifier).removeprefix("==").split("+")[0]) for entry, _ in entries}
    assert {pin for file in files for pin in pins(file).items()} <= versions, "run `make lock`"


def test_the_locks_agree_and_only_that_for_gpus_has_cuda():
    figures, cpu, gpu = ({f"{entry.name}{entry.specifier}" for entry, _ in locked(kind)} for kind in LOCKS)
    cuda = re.compile("nvidia-|cuda-|triton|torch=")
    assert figures < cpu < gpu and any(map(cuda.match, gpu)) and not any(map(cuda.match, cpu))
    assert not {"transformers", "datasets", "jupyterlab", "ray"} & {entry.name for entry, _ in locked("figures")}


def test_what_is_locked_is_installed():
    wanted = [entry for entry, _ in locked("cpu") if not entry.marker or entry.marker.evaluate()]
    found = {entry: version(entry.name) for entry in wanted}
    assert {str(entry): has for entry, has in found.items() if has not in entry.specifier} == {}
    assert version("torch").split("+")[0] == pins(STUDY)["torch"]


def test_a_study_is_drawn_with_the_packages_of_the_figures_alone(study, tmp_path):
    """Every other package is as if it were not there, in the command and in the kernels of its notebooks."""
    have = {entry.name for entry, _ in locked("figures")} | {"style-to-facts"}
    found = packages_distributions().items()
    others = {module for module, packages in found if not have & {*map(canonicalize_name, packages)}}
    assert {"torch", "transformers", "unsloth", "datasets", "pytest"} < others
    (tmp_path / "sitecustomize.py").write_text(BLOCK.format(others=others))
    tuned = {simulation.cell(format): "tune" for format in ("none", "qa")}
    simulation.study(study, simulation.main_part(seeds=(0,)) | tuned, simulation.shares())
    command = [sys.executable, "-m", "lib", "figures", str(RESULTS / study / "grid.yaml"), "--study", study]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    drawn = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert drawn.returncode == 0 and "report: " in drawn.stdout, drawn.stderr
    figures = {path.stem for path in (RESULTS / study / "figures").glob("*.svg")}
    assert {"fig_formats", "fig_curves", "fig_frontier", "fig_mistakes", "fig_tuning", "fig_claims"} <= figures


def test_a_pin_is_stated_once_and_conda_takes_it_from_the_same_files():
    stated = [name for file in FILES for name in pins(file)]
    assert len(set(stated)) == len(stated) and f"\n-r {FIGURES}\n" in (ROOT / STUDY).read_text()
    for kind, files in (("", [STUDY]), ("-gpu", [STUDY, GPU])):
        environment = yaml.safe_load((ROOT / f"environment{kind}.yml").read_text())
        assert environment["name"] == f"style-to-facts{kind}"
        assert environment["dependencies"][-1] == {"pip": [f"-r {file}" for file in files]}


FAKE_PYTHON = """#!/bin/sh
case "$*" in *venv*) [ "$3" = --clear ] && rm -rf .venv; mkdir -p .venv/bin
    printf '#!/bin/sh\necho pip "$@" >> calls\ncase "$*" in *torch-cpu*) exit $(cat missing) ;; esac\n' > .venv/bin/pip
    printf '#!/bin/sh\necho uv "$@" >> calls\n' > .venv/bin/uv
    printf '#!/bin/sh\nexit 0\n' > .venv/bin/python; chmod +x .venv/bin/*;; esac
"""


def executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def make(folder, *arguments, **settings):
    """Run make in a folder, with settings in the environment and tools from bin/; what stood-in tools were called."""
    environment = {name: value for name, value in os.environ.items() if name not in ("GPU", "MAKEFLAGS", "MAKELEVEL")}
    environment |= {"PATH": f"{folder / 'bin'}:{environment['PATH']}", **settings}
    (folder / "calls").write_text("")
    ended = subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return (folder / "calls").read_text().splitlines()


@pytest.fixture
def make_env(tmp_path):
    """Runs `make env` with stand-ins for Python and pip; what was asked to install."""
    for name in ("Makefile", "pyproject.toml", STUDY):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "locks", tmp_path / "locks")
    executable(tmp_path / "bin" / "fake-python", FAKE_PYTHON)

    def run(*settings, gpu=None, missing=False):
        executable(tmp_path / "bin" / "nvidia-smi", f"#!/bin/sh\necho '{gpu}'\n" if gpu else "#!/bin/sh\nexit 9\n")
        (tmp_path / "missing").write_text(str(int(missing)))
        return make(tmp_path, "env", "PYTHON=fake-python", *settings)

    return run


PIP, HASHED = "pip install --quiet", "--no-deps --require-hashes"
PROJECT = f"{PIP} --no-deps --no-build-isolation -e ."
CPU = [f"{PIP} {HASHED} -r locks/torch-cpu.txt", f"{PIP} {HASHED} -r locks/cpu.txt", PROJECT]
CUDA = [f"{PIP} {HASHED} -r locks/gpu.txt", PROJECT]


def test_the_gpu_packages_are_installed_where_there_is_a_gpu_or_gpu_asks_for_them_and_once(make_env):
    gpu = "GPU 0: NVIDIA L4 (UUID: GPU-1)"
    for seen, settings, calls in [
        (None, [], CPU), ("No devices were found", [], []), (gpu, [], CUDA), (gpu, ["GPU=0"], CPU),
        (gpu, ["GPU=1"], CUDA), (gpu, ["GPU=0"], CPU),
    ]:  # fmt: skip
        assert make_env(*settings, gpu=seen) == calls
        assert make_env(*settings, gpu=seen) == [], "a second run finds everything there"


def test_uv_takes_the_cpu_build_where_the_ordinary_index_has_none_and_an_index_of_the_users_is_asked_instead(make_env):
    first, uv, taken, *rest = make_env("GPU=0", missing=True)
    assert [first, *rest] == CPU and uv.startswith(f"{PIP} uv==")
    assert taken == f"uv {PIP} --python .venv/bin/python {HASHED} --torch-backend cpu -r locks/torch-cpu.txt"
    assert not any("torch-cpu" in call for call in make_env("GPU=1", missing=True))
    indexed = f"{PIP} --extra-index-url there torch=={pins(STUDY)['torch']}"
    assert make_env("GPU=0", "TORCH_INDEX=there", missing=True) == [indexed, *CPU[1:]]


ODD = "my 'odd' \"name\" `touch pwned` $(touch pwned) $HOME; touch pwned, 日本"


@pytest.mark.parametrize(
    ("target", "settings", "arguments"),
    [
        ("study", {"GRID": f"{ODD}.yaml", "STUDY": ODD, "JOBS": "2"},
         ["-m", "lib", "run", f"{ODD}.yaml", "--study", ODD, "--engine", "local", "--jobs", "2"]),
        ("facts", {"FACTS": f"{ODD}.csv"}, ["-m", "lib", "facts", f"{ODD}.csv"]),
        ("reproduce", {"N": "3; touch pwned", "STUDY": ODD},
         ["--log-output", "--no-progress-bar", "-p", "n", "3; touch pwned", "-r", "study", ODD]),
        ("bench", {"LABEL": ODD}, ["benchmarks/speed.py", ODD]),  # it reads LABEL
    ],
)  # fmt: skip
def test_what_a_user_sets_on_the_command_line_or_around_it_reaches_the_command_as_it_is(
    target, settings, arguments, tmp_path
):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for tool in ("python", "papermill"):
        executable(tmp_path / ".venv" / "bin" / tool, '#!/bin/sh\nprintf "%s\\n" "$@" "$LABEL" >> calls\n')
    (tmp_path / "locks").mkdir()
    for name in ("locks/cpu.txt", "pyproject.toml", ".venv/.ready-cpu"):
        (tmp_path / name).touch()
    on_line = [f"{name}={value}" for name, value in settings.items()]
    for called in (make(tmp_path, target, "GPU=0", *on_line), make(tmp_path, target, "GPU=0", **settings)):
        assert called[: len(arguments)] == arguments
        assert not (tmp_path / "pwned").exists()


def test_the_gpu_pins_cover_what_unsloth_asks_for():
    have = {name for file in FILES for name in pins(file)}
    # wheel and certifi come with pip and requests; triton with CUDA torch; the rest with transformers and papermill
    transitive = {"wheel", "certifi", "triton", "packaging", "tqdm", "huggingface-hub", "click", "json5", "regex",
                  "requests", "typing-extensions", "pillow"}  # fmt: skip
    linux = {"sys_platform": "linux", "platform_machine": "x86_64", "python_version": "3.11", "extra": ""}
    for requirement in map(Requirement, [*requires("unsloth"), *requires("unsloth_zoo")]):
        if not requirement.marker or requirement.marker.evaluate(linux):
            assert canonicalize_name(requirement.name) in have | transitive, requirement


def test_every_room_of_lib_is_a_package_and_what_it_reads_is_packaged():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packaged = {path for pattern in settings["package-data"]["lib"] for path in LIB.glob(pattern)}
    for path in LIB.rglob("*"):
        if path.suffix == ".py":
            assert (path.parent / "__init__.py").exists(), path
        elif path.is_file() and path.suffix != ".pyc":
            assert path in packaged, path
