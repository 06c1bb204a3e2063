"""Loading models and putting adapters on them, always through Unsloth, on CPU and GPU alike.

Whoever imports trl, transformers or peft imports this before: Unsloth changes them when it is imported.
"""

import os
import re
import tempfile

from lib.data.encode import CONTEXT
from lib.paths import UserError
from lib.train.weights import first_line, resolve, set_template

# Unsloth writes generated code to the working directory, where processes race. This goes when the process ends; of one
# that was killed, lib/study/run.py removes it.
SCRATCH = tempfile.TemporaryDirectory(prefix=f"unsloth-{os.getpid()}-")
TARGET_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def set_unsloth_up() -> None:
    """Set the environment variables that Unsloth and CUDA read when they start; what the user set stays."""
    os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", SCRATCH.name)
    os.environ.setdefault("UNSLOTH_CPU_CHUNKED_CE", "0")  # it would stand in for the loss of lib/train/sft.py
    # On a GPU only: it would prepare rows in forked processes, after CUDA has started, and compile the layers anew in
    # the process of every experiment.
    os.environ.setdefault("UNSLOTH_DATASET_NUM_PROC", "0")
    os.environ.setdefault("UNSLOTH_BLOCK_COMPILE", "0")
    # One GPU, the first that may be seen, and none if none may: with several, transformers' Trainer would take a batch
    # for each of them, and train another thing.
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]


set_unsloth_up()

import torch  # noqa: E402
import unsloth  # noqa: E402


def in_bfloat16(model: str) -> bool:
    """Whether a model is computed in bfloat16: where the machine does, but for `tiny`, whose tests compare numbers."""
    return model != "tiny" and unsloth.is_bfloat16_supported()


def load(model: str, full_finetuning: bool = False):
    """Model and tokenizer by name: a bundled one, a local folder or GGUF file, or a hub id: docs/models.md.

    The base weights are bfloat16 where it is computed in bfloat16, and float32 elsewhere. `full_finetuning` says that
    every weight will be trained. Raises UserError if there is no such model, or no memory for it.
    """
    path, revision = resolve(model)
    options = {}
    if not torch.cuda.is_available():
        # On a CPU the backward of SDPA took a quarter of a training step at our row lengths; eager does not.
        options["attn_implementation"] = "eager"
    elif full_finetuning:
        # Without this Unsloth keeps the trained weights in bfloat16 and switches autocast off; make_trainable's float32
        # weights would be trained in pure float32 and meet a bfloat16 cache when asked: docs/internals/gpu-audit.md.
        options["float32_mixed_precision"] = True
    try:
        loaded, tokenizer = unsloth.FastLanguageModel.from_pretrained(
            model_name=path, revision=revision, max_seq_length=CONTEXT, load_in_4bit=False,
            dtype=torch.bfloat16 if in_bfloat16(model) else torch.float32, full_finetuning=full_finetuning,
            use_exact_model_name=True, use_gradient_checkpointing=False, **options,
        )  # fmt: skip
    except Exception as error:  # of the file formats' libraries, too, which raise nothing narrower
        what = f"cannot be loaded from {path}"
        advice = "Give smollm2-135m, the folder of a whole saved model, or a hub id."
        if isinstance(error, MemoryError) or re.search("out of memory|can't allocate memory", str(error), re.I):
            what = "does not fit into memory"
            advice = "Take a smaller model, a larger machine, or fewer experiments at once: see docs/gpu.md."
        raise UserError(f"model {model!r} {what}: {first_line(error)} {advice}") from None
    if loaded.device.type == "cpu":
        # The head gets a strided view of the last position; torch would copy its 28 million weights for every row.
        loaded.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))
    set_template(tokenizer)
    tokenizer.padding_side = "left"
    tokenizer.clean_up_tokenization_spaces = False  # meant for another kind of tokenizer; warns when it is on
    return loaded, tokenizer


def make_trainable(model, rank: int, seed: int):
    """The model with LoRA adapters of this rank on every linear layer (alpha = rank, no dropout).

    Of rank 0, the model itself in float32, with every weight to be trained.
    """
    if rank == 0:
        return model.float().requires_grad_(True)
    return unsloth.FastLanguageModel.get_peft_model(
        model, r=rank, lora_alpha=rank, lora_dropout=0.0, bias="none", target_modules=TARGET_MODULES,
        use_gradient_checkpointing=False, random_state=seed,
    )  # fmt: skip
