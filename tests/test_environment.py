"""The pins are stated once, exactly, and are what is installed."""

import os
import shutil
import subprocess
import tomllib
from importlib.metadata import requires, version

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lib.paths import LIB, ROOT

FILES = ("requirements.txt", "requirements-nodeps.txt", "requirements-gpu.txt")


def pins(name):
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    return dict(line.split("==") for line in lines if line)


def test_every_requirement_has_an_exact_pin_stated_once_and_is_what_is_installed():
    stated = [(name, pin, file) for file in FILES for name, pin in pins(file).items()]
    assert len({name for name, _, _ in stated}) == len(stated)
    for name, pin, file in stated:
        if file != "requirements-gpu.txt":
            assert version(name).split("+")[0] == pin, name


def test_conda_takes_its_pins_from_the_same_files():
    for kind, files in (("", FILES[:1]), ("-gpu", [FILES[0], FILES[2]])):
        environment = yaml.safe_load((ROOT / f"environment{kind}.yml").read_text())
        assert environment["name"] == f"style-to-facts{kind}"
        assert environment["dependencies"][-1] == {"pip": [f"-r {file}" for file in files]}


FAKE_PYTHON = """#!/bin/sh
case "$*" in *venv*) [ "$3" = --clear ] && rm -rf .venv; mkdir -p .venv/bin
    printf '#!/bin/sh\necho pip "$@" >> calls\ncat would 2>/dev/null; true\n' > .venv/bin/pip
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
    """Runs `make env` with stand-ins for Python and pip; the packages that pip was asked for."""
    for name in ("Makefile", "pyproject.toml", *FILES):
        shutil.copy(ROOT / name, tmp_path)
    executable(tmp_path / "bin" / "fake-python", FAKE_PYTHON)

    def run(*settings, gpu=None, would=""):
        executable(tmp_path / "bin" / "nvidia-smi", f"#!/bin/sh\necho '{gpu}'\n" if gpu else "#!/bin/sh\nexit 9\n")
        (tmp_path / "would").write_text(would)
        return [call for call in make(tmp_path, "env", "PYTHON=fake-python", *settings) if "--dry-run" not in call]

    return run


CPU = "pip install --quiet -r requirements.txt"


def test_the_gpu_packages_are_installed_where_there_is_a_gpu_or_gpu_asks_for_them_and_once(make_env):
    gpu = "GPU 0: NVIDIA L4 (UUID: GPU-1)"
    with_gpu = f"{CPU} -r requirements-gpu.txt"
    for seen, settings, first in [
        (None, [], CPU), ("No devices were found", [], None), (gpu, [], with_gpu), (gpu, ["GPU=0"], CPU),
        (gpu, ["GPU=1"], with_gpu), (gpu, ["GPU=0"], CPU),
    ]:  # fmt: skip
        assert make_env(*settings, gpu=seen)[:1] == ([first] if first else [])
        assert make_env(*settings, gpu=seen) == [], "a second run finds everything there"


def test_uv_takes_the_cpu_build_only_where_the_ordinary_index_would_bring_cuda(make_env):
    would = "Would install nvidia-cublas-13 torch-2.13.0"
    installed = make_env("GPU=0", would=would)
    assert installed[0].startswith("pip install --quiet uv==")
    cpu_build = "uv pip install --quiet --python .venv/bin/python --torch-backend cpu torch==2.13.0"
    assert installed[1:3] == [cpu_build, CPU]
    assert not any("uv" in call for call in make_env("GPU=1", would=would))
    indexed = make_env("GPU=0", "TORCH_INDEX=there", would=would)
    assert indexed[0] == "pip install --quiet --extra-index-url there -r requirements.txt"


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
    for name in ("requirements.txt", "requirements-nodeps.txt", "pyproject.toml", ".venv/.ready-cpu"):
        (tmp_path / name).touch()
    on_line = [f"{name}={value}" for name, value in settings.items()]
    for called in (make(tmp_path, target, "GPU=0", *on_line), make(tmp_path, target, "GPU=0", **settings)):
        assert called[: len(arguments)] == arguments
        assert not (tmp_path / "pwned").exists()


def test_the_gpu_pins_cover_what_unsloth_asks_for():
    have = {canonicalize_name(name) for file in FILES for name in pins(file)}
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
