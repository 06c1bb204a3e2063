"""What can be known of the GPU path where there is no GPU."""

import ast
import copy
import importlib.util
import sys
from pathlib import Path

import pytest
from conftest import make_cell
from simulation import simulated_result

from lib import gpucheck, models, process
from lib.cell import load_grid

UNSLOTH = Path(importlib.util.find_spec("unsloth").origin).parent / "models"


def parameters(file, class_name, function):
    """Names of the parameters of a method in Unsloth's source, which is read: it cannot be imported without a GPU."""
    tree = ast.parse((UNSLOTH / file).read_text())
    cls = next(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == class_name)
    method = next(node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name == function)
    return {argument.arg for argument in method.args.args + method.args.kwonlyargs}


def passed(function):
    """Names of the keywords that lib passes to this function of FastLanguageModel."""
    calls = [node for node in ast.walk(ast.parse(Path(models.__file__).read_text())) if isinstance(node, ast.Call)]
    named = [call for call in calls if ast.unparse(call.func) == f"FastLanguageModel.{function}"]
    return {keyword.arg for call in named for keyword in call.keywords if keyword.arg}


@pytest.mark.parametrize(
    ("file", "class_name", "function"),
    [("loader.py", "FastLanguageModel", "from_pretrained"), ("llama.py", "FastLlamaModel", "get_peft_model")],
)
def test_unsloth_on_a_gpu_has_every_keyword_that_is_passed(file, class_name, function):
    assert len(passed(function)) >= 7
    # in **kwargs a keyword that was renamed would be lost without a word
    assert passed(function) <= parameters(file, class_name, function)


def test_the_gpu_grid_is_of_the_papers_scale():
    cells = load_grid("gpu")
    assert len(cells) >= 700
    assert {cell.seed for cell in cells} == {0, 1, 2}
    assert max(cell.n_facts for cell in cells if cell.entity == "airport") >= 2000
    families = {cell.model.partition("/")[2].partition("-")[0] for cell in cells}
    assert families == {"Qwen3", "Llama"} and len({cell.model for cell in cells}) == 3
    assert {cell.model for cell in load_grid("gpu-tune")} == {cell.model for cell in cells}


def test_without_a_gpu_there_is_nothing_to_check(monkeypatch, capsys):
    monkeypatch.setattr(process, "has_gpu", lambda: False)
    assert gpucheck.main() == 2
    assert "no NVIDIA GPU here" in capsys.readouterr().err


def test_a_gpu_result_agrees_or_what_differs_is_named():
    cpu = simulated_result(make_cell(n_facts=8), {"recall": 1.0, "qa": 0.75})
    cpu["manifest"]["model_sha256"] = "0"
    gpu = copy.deepcopy(cpu)
    gpu["manifest"] |= {"device": "cuda:0", "device_name": "a GPU"}
    assert gpucheck.compare(cpu, gpu) == []
    gpu["evals"]["recall"]["strict"] = 0.1
    gpu["training"]["losses"][0] *= 1.5
    assert gpucheck.compare(cpu, gpu) == ["first loss", "recall"]
    assert gpucheck.compare(cpu, cpu)[0] == "device"


def test_a_cell_on_a_gpu_machine_starts_without_what_cannot_be_forked(monkeypatch):
    seen = []
    monkeypatch.setattr("multiprocessing.context.ForkServerContext.set_forkserver_preload", lambda _, m: seen.append(m))
    monkeypatch.setattr(sys, "platform", "linux")
    for there in (True, False):
        monkeypatch.setattr(process, "has_gpu", lambda there=there: there)
        process._context()
    assert seen == [[], ["lib.preload"]]


@pytest.mark.parametrize("family", models.TEMPLATES)
def test_chat_templates_hold_the_turns_and_nothing_else(family):
    import jinja2

    turns = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A."}]
    render = jinja2.Template(models.TEMPLATES[family]).render
    prompt = render(messages=turns[:1], add_generation_prompt=True, bos_token="<s>")
    whole = render(messages=turns, add_generation_prompt=False, bos_token="<s>")
    assert whole.startswith(prompt)  # else TRL would mask the wrong tokens
    assert whole.removeprefix(prompt).strip() in ("A.<|im_end|>", "A.<|eot_id|>")
    assert "system" not in whole and "202" not in whole
