"""What can be known of the GPU path where there is no GPU."""

import ast
import copy
import importlib.util
from pathlib import Path

import pytest
import simulation
from helpers import make_cell

from lib.__main__ import main
from lib.commands import gpu_check
from lib.study import processes, store
from lib.study.grid import load_grid
from lib.train import chat
from lib.train import model as models

UNSLOTH = Path(importlib.util.find_spec("unsloth").origin).parent / "models"


@pytest.fixture
def cpu():
    """A published result, and the same as a GPU would have it."""
    made = simulation.result(make_cell(n_entities=8), "quick", lambda cell, evaluation, info: 0.75)
    made["manifest"] |= {"device": "cpu", "facts_sha256": "0", "model_sha256": "0"}
    return made


@pytest.fixture
def gpu(cpu):
    made = copy.deepcopy(cpu)
    made["manifest"] |= {"device": "cuda:0", "device_name": "a GPU"}
    return made


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
    assert len(cells) >= 500
    assert {cell.seed for cell in cells} >= {0, 1, 2}
    assert max(cell.n_entities for cell in cells) >= 256  # of six facts each
    families = {cell.model.partition("/")[2].partition("-")[0] for cell in cells}
    assert families == {"Qwen3", "Llama"} and len({cell.model for cell in cells}) == 3
    assert {cell.model for cell in load_grid("gpu-tune")} == {cell.model for cell in cells}


def test_without_a_gpu_there_is_nothing_to_check(monkeypatch, capsys):
    monkeypatch.setattr(processes, "has_gpu", lambda: False)
    assert main(["gpu-check"]) == 2
    assert "no NVIDIA GPU here" in capsys.readouterr().err


def test_a_result_of_a_gpu_agrees_where_only_the_machine_differs(cpu, gpu, capsys):
    gpu["training"]["tokens_per_second"] *= 100
    assert gpu_check.compare(cpu, gpu) == []
    assert "DIFFERS" not in capsys.readouterr().out


def test_whatever_differs_on_a_gpu_is_named(cpu, gpu, capsys):
    gpu["training"]["losses"] = [1.5 * loss for loss in gpu["training"]["losses"]]
    gpu["training"]["tokens"] += 1
    for item in gpu["items"]:
        if item["eval"] == "recall":
            item["strict"] = False
    assert gpu_check.compare(cpu, gpu) == ["tokens about facts", "mean loss", "recall"]
    assert capsys.readouterr().out.count("DIFFERS") == 3


def test_other_replay_of_a_gpu_is_no_difference_of_the_facts(cpu, gpu):
    for key in ("tokens", "replay_tokens"):
        gpu["training"][key] += 5
    assert gpu_check.compare(cpu, gpu) == []


def test_a_check_that_ran_on_the_cpu_after_all_is_noticed(cpu):
    assert gpu_check.compare(cpu, copy.deepcopy(cpu)) == ["device"]


@pytest.mark.parametrize(("error", "code"), [(None, 0), ("out of memory", 1)])
def test_the_first_question_cell_of_quick_is_run_on_the_gpu(error, code, monkeypatch, cpu, gpu, capsys):
    ran, outcome = [], processes.Outcome(None if error else gpu, error, None, "its log")
    monkeypatch.setattr(processes, "has_gpu", lambda: True)
    monkeypatch.setattr(processes, "run_cell", lambda cell, *_: ran.append(cell) or outcome)
    monkeypatch.setattr(store, "read", lambda path: cpu)
    assert main(["gpu-check"]) == code
    assert [(cell.format, cell.entity) for cell in ran] == [("qa", "fictional")]
    assert ("FAILED: out of memory" in capsys.readouterr().out) == bool(code)


@pytest.mark.parametrize("family", chat.TEMPLATES)
def test_chat_templates_hold_the_turns_and_nothing_else(family):
    import jinja2

    turns = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A."}]
    render = jinja2.Template(chat.TEMPLATES[family]).render
    prompt = render(messages=turns[:1], add_generation_prompt=True, bos_token="<s>")
    whole = render(messages=turns, add_generation_prompt=False, bos_token="<s>")
    assert whole.startswith(prompt)  # else the wrong tokens would be trained
    assert whole.removeprefix(prompt).strip() in ("A.<|im_end|>", "A.<|eot_id|>")
    assert "system" not in whole and "202" not in whole
