"""`make gpu-check` where there is no GPU, and the grids of GPUs. tests/train/ has the guards of the GPU path."""

import json
import shutil
import subprocess

import pytest
import simulation
from helpers import run_notebook

from lib.paths import ROOT
from lib.study import store
from lib.study.grid import load_grid


@pytest.fixture
def checked(study):
    """Parameters of the notebook, and the result files of a study as the check makes it, with `tiny` for the model."""
    cells = {cell.model_copy(update={"model": "tiny"}): part for cell, part in load_grid("gpu-check").items()}
    for name in (study, f"{study}-published"):
        simulation.study(name, cells, simulation.shares())
    paths = zip(("none", "qa", "article", "whole"), (store.cell_path(study, cell) for cell in cells), strict=True)
    yield {"study": study, "published": f"{study}-published", "on_gpu": False}, dict(paths)
    shutil.rmtree(store.study_dir(f"{study}-published"))


@pytest.mark.parametrize(
    ("name", "training", "error"),
    [
        ("whole", None, "no result of article, every weight"),
        ("whole", {"losses": [3.0, 2.9]}, "nothing was learned"),
        ("article", {"curve": []}, "0 checkpoints: article"),
        ("qa", {"tokens": 9999, "losses": [9.0, 1.0]}, "not as on the CPU: tokens about facts, mean loss"),
    ],
)
def test_the_checks_pass_on_results_as_they_should_be_and_one_that_fails_says_what_it_saw(
    checked, name, training, error, capsys
):
    parameters, paths = checked
    run_notebook("gpu_check", **parameters)
    printed = capsys.readouterr().out
    assert "article, every weight: loss 3.00 to 0.50" in printed and "of 24 facts recalled" in printed
    assert "agrees" in printed and "tokens about facts" in printed
    result = json.loads(paths[name].read_text())
    paths[name].unlink()
    if training:
        store.write_json(paths[name], result | {"training": result["training"] | training})
    with pytest.raises(AssertionError, match=error):
        run_notebook("gpu_check", **parameters)


def test_without_a_gpu_the_check_says_so_first_and_make_before_it_installs_anything(monkeypatch, tmp_path):
    for gpu, said in (("0", "no NVIDIA GPU here"), ("yes", 'GPU is "yes": expected 1')):
        command = ["make", "--no-print-directory", "gpu-check", f"GPU={gpu}"]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode == 2 and said in ended.stderr and ended.stdout == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    for said in ("there is no nvidia-smi", "has failed because"):
        with pytest.raises(AssertionError, match=f"no NVIDIA GPU here: {said}"):
            run_notebook("gpu_check")
        (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'has failed because'; exit 9\n")
        (tmp_path / "nvidia-smi").chmod(0o755)


def test_the_grids_of_gpus_have_the_published_question_experiment_and_the_papers_scale():
    gpu, kinds = load_grid("gpu"), {(cell.format, cell.lora_rank): cell for cell in load_grid("gpu-check")}
    assert set(kinds) == {("article", 0), ("article", 32), ("none", 0), ("qa", 32)}
    assert kinds["qa", 32] in load_grid("quick")
    assert 650 <= len(gpu) <= 750 and {cell.seed for cell in gpu} >= set(range(5))
    assert max(cell.n_entities for cell in gpu) >= 256  # of six facts each
    models = {cell.model for cell in gpu}
    assert {model.partition("/")[2].partition("-")[0] for model in models} == {"Qwen3", "Llama"} and len(models) == 4
    assert {cell.model for cell in load_grid("gpu-tune")} == models > {cell.model for cell in load_grid("gpu-quick")}
    assert set(gpu.values()) == set(load_grid("cpu").values())
    trained = [cell for cell in gpu if cell.format != "none"]
    assert all(cell.replay and cell.checkpoints for cell in trained if gpu[cell] == "main")
    # every weight takes 16 bytes a parameter: 64 GB of a model of 4B
    assert all(cell.lora_rank for cell in trained if "4B" in cell.model)
