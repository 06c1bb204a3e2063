"""The pins are stated once, exactly, and are what is installed."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, version

import yaml

from lib.paths import LIB, ROOT

PIN = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)$")


def pins(name):
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    found = [(line, PIN.match(line)) for line in lines if line]
    assert all(match for _, match in found), [line for line, match in found if not match]
    return {match[1]: match[2] for _, match in found}


def test_every_requirement_has_an_exact_pin_stated_once():
    names = [
        name for file in ("requirements.txt", "requirements-nodeps.txt", "requirements-gpu.txt") for name in pins(file)
    ]
    assert len(names) == len(set(names))


def test_installed_packages_are_the_pinned_ones():
    for file in ("requirements.txt", "requirements-nodeps.txt"):
        for name, pin in pins(file).items():
            assert version(name).split("+")[0] == pin, name


def test_a_cpu_environment_has_none_of_the_gpu_packages():
    import torch

    if torch.cuda.is_available():
        return  # a GPU environment has them
    for name in ("bitsandbytes", "xformers", "torchao"):
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue
        raise AssertionError(f"{name} {installed} is installed and only a GPU needs it")


def test_conda_takes_its_pins_from_the_same_files():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert pip == ["-r requirements.txt", "-r requirements-gpu.txt"]


def test_the_gpu_pins_cover_what_unsloth_asks_for():
    from importlib.metadata import requires

    from packaging.requirements import Requirement

    have = {
        name.lower().replace("_", "-") for file in ("requirements.txt", "requirements-gpu.txt") for name in pins(file)
    }
    # wheel and certifi come with pip and requests; triton with CUDA torch; the rest with transformers and papermill
    transitive = {"wheel", "certifi", "triton", "packaging", "tqdm", "huggingface-hub",
                  "click", "json5", "regex", "requests", "typing-extensions", "pillow",
                  "unsloth-zoo"}  # fmt: skip
    for package in ("unsloth", "unsloth_zoo"):
        for line in requires(package):
            requirement = Requirement(line)
            linux = {"sys_platform": "linux", "platform_machine": "x86_64", "python_version": "3.11", "extra": ""}
            if requirement.marker and not requirement.marker.evaluate(linux):
                continue
            assert requirement.name.lower().replace("_", "-") in have | transitive, line


def test_every_room_of_lib_is_a_package_and_what_it_reads_is_packaged():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packaged = {path for pattern in settings["package-data"]["lib"] for path in LIB.glob(pattern)}
    for path in LIB.rglob("*"):
        if path.suffix == ".py":
            assert (path.parent / "__init__.py").exists(), path
        elif path.is_file() and path.suffix != ".pyc":
            assert path in packaged, path
