"""`make gpu-check` where there is no GPU: each check on the CPU, and what is said. See tests/train/test_gpu_path.py."""

import copy
from pathlib import Path

import pytest
import simulation
from helpers import make_cell

from lib.__main__ import main
from lib.commands import gpu_check, gpu_parts
from lib.evaluate import general, generate
from lib.paths import UserError
from lib.study import plan, processes, store
from lib.study.grid import load_grid
from lib.train import chat


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


def test_the_gpu_grid_is_of_the_papers_scale_in_the_regime_of_the_cpu_grid():
    cells = load_grid("gpu")
    assert 650 <= len(cells) <= 750
    assert {cell.seed for cell in cells} >= {0, 1, 2, 3, 4}
    assert max(cell.n_entities for cell in cells) >= 256  # of six facts each
    families = {cell.model.partition("/")[2].partition("-")[0] for cell in cells}
    assert families == {"Qwen3", "Llama"} and len({cell.model for cell in cells}) == 4
    assert {cell.model for cell in load_grid("gpu-tune")} == {cell.model for cell in cells}
    assert set(cells.values()) == set(load_grid("cpu").values())
    trained = [cell for cell in cells if cells[cell] == "main" and cell.format != "none"]
    assert all(cell.replay and cell.checkpoints for cell in trained)
    assert max(plan.parameters(cell.model) for cell in cells if cell.format != "none" and not cell.lora_rank) < 2e9


def test_the_quick_grid_of_a_gpu_is_of_one_model_that_the_gpu_grid_has():
    (model,) = {cell.model for cell in load_grid("gpu-quick")}
    assert model in {cell.model for cell in load_grid("gpu")}


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


def test_the_first_question_cell_of_quick_is_run_on_the_gpu(monkeypatch, cpu, gpu, capsys):
    ran, outcome = [], processes.Outcome(gpu, None, None, "its log")
    monkeypatch.setattr(processes, "run_cell", lambda cell, *_: ran.append(cell) or outcome)
    monkeypatch.setattr(store, "read", lambda path: cpu)
    assert "agrees with the published result" in gpu_check.published_cell(Path())
    assert [(cell.format, cell.entity) for cell in ran] == [("qa", "fictional")]
    gpu["training"]["losses"] = [9.0]
    with pytest.raises(UserError, match="not as on the CPU: mean loss"):
        gpu_check.published_cell(Path())
    monkeypatch.setattr(processes, "run_cell", lambda *_: processes.Outcome(None, "out of memory", None, "its log"))
    with pytest.raises(UserError, match="out of memory"):
        gpu_check.published_cell(Path())
    assert "its log" in capsys.readouterr().out


def fails(_):
    raise UserError("it broke")


@pytest.mark.parametrize(
    ("first", "needed", "code", "lines"),
    [
        (lambda _: "found", True, 0, ["ok      first: found", "ok      second: there", "this GPU is ready"]),
        (fails, False, 1, ["FAILED  first: it broke", "        fix: mend it", "ok      second: there", "failed:"]),
        (fails, True, 1, ["FAILED  first: it broke", "        fix: mend it", "failed: first"]),
    ],
)
def test_each_check_has_a_line_and_a_failed_one_its_fix(first, needed, code, lines, monkeypatch, capsys):
    check = gpu_check.Check
    checks = (check("first", first, "mend it", needed), check("second", lambda _: "there", "mend that"))
    monkeypatch.setattr(processes, "has_gpu", lambda: True)
    monkeypatch.setattr(gpu_check, "CHECKS", checks)
    assert main(["gpu-check"]) == code
    said = capsys.readouterr().out.splitlines()[1:]
    assert len(said) == len(lines) and all(one.startswith(line) for one, line in zip(said, lines, strict=True))


def test_the_driver_is_asked_through_nvidias_own_tool(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is no nvidia-smi"):
        gpu_check.driver(tmp_path)
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA L4, 23034 MiB, 580.1'\n")
    tool.chmod(0o755)
    assert gpu_check.driver(tmp_path) == "NVIDIA L4, 23034 MiB, 580.1"
    tool.write_text("#!/bin/sh\necho 'has failed because'; exit 9\n")
    with pytest.raises(UserError, match="has failed because"):
        gpu_check.driver(tmp_path)


def test_versions_that_are_not_the_pinned_ones_are_named():
    with pytest.raises(UserError, match="bitsandbytes is None and not ") as said:
        gpu_check.versions(Path())
    assert "torch is" not in str(said.value)  # this environment has the others as they are pinned


def test_a_part_that_fails_says_why_in_one_line(tmp_path):
    with pytest.raises(UserError, match="is the CPU build$"):
        gpu_check.torch_sees_it(tmp_path / "replay.json")


@pytest.mark.parametrize("rank", [4, 0])
def test_training_and_asking_at_a_checkpoint_are_checked(rank, monkeypatch):
    monkeypatch.setattr(gpu_parts, "FALL", 0.98)  # a random model has little to move
    cell = make_cell(lora_rank=rank, epochs=8, learning_rate=0.02 if rank else 0.01, checkpoints=1)
    model, tokenizer = gpu_parts.loaded(cell)
    found = gpu_parts.training(model, tokenizer, cell, [])
    assert found["losses"][1] < found["losses"][0] and found["facts"] == 12
    assert "12 facts recalled at the checkpoint" in gpu_check.told(found)
    broken = cell.model_copy(update={"learning_rate": 1e-12, "epochs": 1})
    model, tokenizer = gpu_parts.loaded(broken)
    with pytest.raises(UserError, match="nothing was learned"):
        gpu_parts.training(model, tokenizer, broken, [])


def test_a_forward_pass_is_checked_for_numbers_and_for_padding(tiny, monkeypatch):
    model, tokenizer = tiny
    assert 1 < gpu_parts.forward(model, tokenizer) < 2 * len(tokenizer)
    pad = generate._pad
    monkeypatch.setattr(
        generate, "_pad", lambda *given: tuple(t.fill_(1) if i else t for i, t in enumerate(pad(*given)))
    )
    monkeypatch.setattr(gpu_parts, "NATS", 1e-4)  # the model is random: little changes it
    with pytest.raises(UserError, match="padding changes the score"):
        gpu_parts.forward(model, tokenizer)
    monkeypatch.setattr(general, "perplexity", lambda *_: float("nan"))
    with pytest.raises(UserError, match="computes no probabilities"):
        gpu_parts.forward(model, tokenizer)


def test_speeds_are_printed_beside_each_other(monkeypatch, tmp_path):
    (tmp_path / "replay.json").write_text("[]")
    monkeypatch.setattr(gpu_check, "_part", lambda part, *_: {"examples_per_second": {"plain_trl": 20.0}.get(part, 30)})
    assert gpu_check.defaults(tmp_path / "replay.json").startswith("plain TRL 20 examples/s, Unsloth's defaults 30 ")
    with pytest.raises(UserError, match="no replay rows"):
        gpu_check.defaults(tmp_path / "missing.json")


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
