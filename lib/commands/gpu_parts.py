"""The checks of `make gpu-check` that each need a process of their own, because Unsloth keeps settings in it.

`python -m lib.commands.gpu_parts PART REPLAY` does one and prints what it found as JSON. REPLAY is where the rows of
replay go that were made on the way, for the measurements of lib/commands/speeds.py.
"""

import json
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lib.cell import Cell
from lib.commands.speeds import fact_rows, first_cell
from lib.data import encode
from lib.data.facts import take
from lib.data.formats import Row
from lib.evaluate import general
from lib.evaluate.generate import whole_string_logprobs
from lib.paths import UserError
from lib.study import steps

NATS = 0.5  # by which the score of a string may depend on the padding before it: bfloat16 has three digits
FALL = 0.9  # of the loss in the first quarter of a training, what may be left in the last
WHOLE = {"lora_rank": 0, "learning_rate": 0.0001, "epochs": 4, "replay": 0}  # of the cell that trains every weight


def card(_: Path) -> dict:
    """What torch says of the GPU, after a matrix product on it. Raises UserError where it cannot use one."""
    import torch

    if not torch.version.cuda:
        raise UserError(f"torch {torch.__version__} is the CPU build")
    if not torch.cuda.is_available():
        raise UserError(f"torch {torch.__version__} does not reach the GPU")
    torch.ones(64, 64, device="cuda").matmul(torch.ones(64, 64, device="cuda")).sum().item()
    return {
        "cuda": torch.version.cuda,
        "capability": ".".join(map(str, torch.cuda.get_device_capability())),
        "bfloat16": torch.cuda.is_bf16_supported(including_emulation=False),
    }


def adapters(replay: Path) -> dict:
    """A forward pass, and a training of adapters that is evaluated on the way; the replay rows are written down."""
    cell = first_cell("article").model_copy(update={"checkpoints": 1})
    model, tokenizer = loaded(cell)
    found = {"perplexity": forward(model, tokenizer)}
    replayed = steps.replay_rows(model, tokenizer, cell)
    replay.write_text(json.dumps([asdict(row) for row in replayed]))
    return found | training(model, tokenizer, cell, replayed)


def whole(_: Path) -> dict:
    """A short training of every weight, evaluated on the way."""
    cell = first_cell("article").model_copy(update={**WHOLE, "checkpoints": 1})
    model, tokenizer = loaded(cell)
    return training(model, tokenizer, cell, [])


def loaded(cell: Cell):
    """Model and tokenizer of a cell, as its notebook loads them, ready to be asked."""
    from lib.train import model, sft

    made, tokenizer = model.load(cell.model, sft.MAX_LENGTH, cell.lora_rank == 0)
    return made.eval(), tokenizer


def forward(model, tokenizer) -> float:
    """The perplexity of an English text. Raises UserError if logits are missing, no numbers, or moved by padding.

    Options are scored after a short and a long prompt, together, so that the short one is padded on the left, and
    apart.
    """
    text = general.perplexity(model, tokenizer)
    if not math.isfinite(text) or not 1 < text < 2 * len(tokenizer):
        raise UserError(f"the perplexity of an English text is {text}: the model computes no probabilities")
    prompts = [encode.prompt_ids(tokenizer, [said]) for said in ("Hi.", "What is the capital of France, dear friend?")]
    options = [[tokenizer(name, add_special_tokens=False)["input_ids"] for name in ("Paris", "Rome")]] * 2
    together = whole_string_logprobs(model, tokenizer, prompts, options)
    apart = [whole_string_logprobs(model, tokenizer, [prompts[i]], [options[i]])[0] for i in range(2)]
    off = max(abs(a - b) for one, other in zip(together, apart, strict=True) for a, b in zip(one, other, strict=True))
    if not off < NATS:
        raise UserError(f"padding changes the score of a string by {off:.2f} nats: left padding or positions are wrong")
    return text


def training(model, tokenizer, cell: Cell, replay: Sequence[Row]) -> dict:
    """Train a cell and ask at its checkpoint. Raises UserError if it does not learn or cannot be asked."""
    import torch

    from lib.train import model as models
    from lib.train import sft

    profiles = take(steps.candidates(cell), cell.n_entities)
    model = models.make_trainable(model, cell.lora_rank, cell.seed, sft.MAX_LENGTH)
    dtype = next(weight.dtype for weight in model.parameters() if weight.requires_grad)  # training ends with a cast
    if cell.lora_rank == 0 and dtype != torch.float32:
        raise UserError(f"every weight is to be trained in float32, and is {dtype}")
    trained = sft.train(
        model, tokenizer, fact_rows(cell), replay, cell, cell.epochs,
        evaluate=lambda: steps.checkpoint(model, tokenizer, cell, profiles),
    )  # fmt: skip
    part = max(1, len(trained.losses) // 4)
    first, last = (statistics.mean(losses) for losses in (trained.losses[:part], trained.losses[-part:]))
    if not last < FALL * first:  # also where one is no number
        raise UserError(f"the loss went from {first:.2f} to {last:.2f} in {trained.steps} steps: nothing was learned")
    if [len(point["recall"]) for point in trained.curve] != [sum(map(len, profiles))]:
        raise UserError(f"the checkpoint gave {trained.curve} for {sum(map(len, profiles))} facts")
    on_gpu = model.device.type == "cuda"
    return {
        "losses": [first, last],
        "recalled": trained.curve[0]["recall"].count("1"),
        "facts": len(trained.curve[0]["recall"]),
        "examples_per_second": (trained.rows * trained.epochs + trained.replay) / trained.seconds,
        "dtype": str(dtype).removeprefix("torch."),
        "memory_gb": torch.cuda.max_memory_allocated() / 2**30 if on_gpu else None,
    }


PARTS = {"card": card, "adapters": adapters, "whole": whole}

if __name__ == "__main__":
    try:
        print(json.dumps(PARTS[sys.argv[1]](Path(sys.argv[2]))))
    except UserError as error:
        sys.exit(str(error))
