"""What of the GPU path can be run where there is no GPU: docs/gpu-audit.md says what each test guards."""

import ast
import importlib.util
import subprocess
import types
from pathlib import Path

import pytest
import torch
from helpers import make_cell, profiles, python, tokenizer

from lib.data import encode, of_cell
from lib.evaluate import ask
from lib.paths import UserError
from lib.study.grid import load_grid
from lib.train import models, sft

UNSLOTH = Path(importlib.util.find_spec("unsloth").origin).parent / "models"

RUNNER = """
import sys
import lib.__main__
from lib.study import grid, plan, progress, ray, run
from lib.report import pages, reproduce
from lib.user_facts import study
cells = list(grid.load_grid("quick"))
plan.check(cells[:2])
assert not {"torch", "transformers", "unsloth", "trl", "peft"} & set(sys.modules)
plan.costs(cells[:1])  # of transformers, the tokenizer: it imports torch
assert not sys.modules["torch"].cuda.is_initialized()
assert not {"unsloth", "trl", "peft"} & set(sys.modules)
"""


def test_what_plans_runs_and_draws_studies_needs_no_torch():
    """It would cost every command seconds, and a fork of a process that has started CUDA cannot use it."""
    ended = subprocess.run(python(RUNNER), capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-3000:]


def test_training_every_weight_on_a_gpu_asks_for_float32_weights_and_autocast():
    assert models.device_options(True, True) == {"float32_mixed_precision": True}
    assert models.device_options(True, False) == {}
    assert models.device_options(False, True) == models.device_options(False, False) == {"attn_implementation": "eager"}
    assert "float32_mixed_precision" in parameters("loader.py", "FastLanguageModel", "from_pretrained")


def parameters(file, class_name, function):
    """Names of the parameters of a method in Unsloth's source, which is read: it cannot be imported without a GPU."""
    tree = ast.parse((UNSLOTH / file).read_text())
    cls = next(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == class_name)
    method = next(node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name == function)
    return {argument.arg for argument in method.args.args + method.args.kwonlyargs}


def passed(function):
    """Names of the keywords that lib passes to this function of FastLanguageModel."""
    calls = [node for node in ast.walk(ast.parse(Path(models.__file__).read_text())) if isinstance(node, ast.Call)]
    named = [call for call in calls if ast.unparse(call.func) == f"unsloth.FastLanguageModel.{function}"]
    return {keyword.arg for call in named for keyword in call.keywords if keyword.arg}


@pytest.mark.parametrize(
    ("file", "class_name", "function"),
    [("loader.py", "FastLanguageModel", "from_pretrained"), ("llama.py", "FastLlamaModel", "get_peft_model")],
)
def test_unsloth_on_a_gpu_has_every_keyword_that_is_passed(file, class_name, function):
    assert len(passed(function)) >= 7
    # in **kwargs a keyword that was renamed would be lost without a word
    assert passed(function) <= parameters(file, class_name, function)


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_the_families_of_the_gpu_grid_have_kernels_of_their_own_in_unsloth(family):
    assert (UNSLOTH / f"{family}.py").exists()


def test_unsloths_forward_has_every_argument_that_asking_passes():
    """And logits where none are trained: it returns an empty placeholder only beside a loss."""
    tree = ast.parse((UNSLOTH / "llama.py").read_text())
    forward = next(
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "_CausalLM_fast_forward"
    )
    names = {argument.arg for argument in forward.args.args}
    assert {"input_ids", "attention_mask", "position_ids", "use_cache", "logits_to_keep"} <= names
    source = ast.unparse(forward)
    assert "if not RETURN_LOGITS and labels is not None:" in source
    assert source.index("elif num_logits_to_keep != 0:") < source.index("RETURN_LOGITS = ")


@pytest.mark.parametrize("name", ["UNSLOTH_DATASET_NUM_PROC", "UNSLOTH_BLOCK_COMPILE", "UNSLOTH_COMPILE_LOCATION"])
def test_unsloth_reads_the_variables_that_are_set_for_it(name, monkeypatch):
    monkeypatch.delenv(name, raising=False)
    models.set_unsloth_up()
    assert models.os.environ[name]
    monkeypatch.setenv(name, "mine")
    models.set_unsloth_up()
    assert models.os.environ[name] == "mine"
    packages = [UNSLOTH.parent, Path(importlib.util.find_spec("unsloth_zoo").origin).parent]
    assert any(name in path.read_text() for package in packages for path in package.rglob("*.py"))


@pytest.mark.parametrize(
    ("given", "seen"), [(None, "0"), ("", ""), ("3", "3"), ("2,1", "2"), ("GPU-5e,GPU-7f", "GPU-5e")]
)
def test_a_cell_sees_one_gpu_because_the_trainer_would_spread_a_batch_over_several(given, seen, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    models.set_unsloth_up()
    assert models.os.environ["CUDA_VISIBLE_DEVICES"] == seen


def test_every_prompt_fits_with_room_to_spare_where_unsloth_would_cut_it():
    """Unsloth cuts what is longer than MAX_LENGTH without an error. Other tokenizers take at most twice the tokens."""
    cells = {
        (cell.entity, cell.format == "none", cell.tone): cell
        for cell in [*load_grid("gpu"), *load_grid("gpu-quick")]
        if cell.evals == "all" or cell.tone
    }
    longest = 0
    for cell in cells.values():
        for question in of_cell.questions_for(cell, profiles(cell.entity, cell.n_entities, cell.seed)):
            options = [len(tokenizer()(f" {option}")["input_ids"]) for option in question.fact.options]
            room = max([ask._room(tokenizer(), question), *options])
            longest = max(longest, len(encode.prompt_ids(tokenizer(), question.turns, question.prefix)) + room)
    assert 100 < longest < sft.MAX_LENGTH / 2


@pytest.mark.parametrize("format", ["article", "qa", "chat", "blanks", "worked", "mixed"])
def test_every_row_fits_with_room_to_spare(format):
    cell = make_cell(format=format, n_entities=16, paraphrases=4)
    rows = of_cell.training_rows(cell, profiles("fictional", 16))
    assert max(len(encode.row_ids(tokenizer(), row)["input_ids"]) for row in rows) < sft.MAX_LENGTH / 2


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), MemoryError(),
              RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)  # fmt: skip
def test_a_model_without_memory_for_it_is_told_from_a_wrong_name(error, monkeypatch):
    def refuse(**_):
        raise error

    monkeypatch.setattr(models.unsloth, "FastLanguageModel", types.SimpleNamespace(from_pretrained=refuse))
    with pytest.raises(UserError, match="does not fit into memory: .*docs/gpu.md") as said:
        models.load("tiny", sft.MAX_LENGTH)
    assert "hub id" not in str(said.value)


def test_tests_see_no_gpu():
    assert models.os.environ["CUDA_VISIBLE_DEVICES"] == "" and not torch.cuda.is_available()
