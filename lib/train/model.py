"""Models and tokenizers, always through Unsloth, on CPU and GPU alike."""

import hashlib
import os
import tempfile
from pathlib import Path

from lib.paths import UserError
from lib.train import bundled
from lib.train.chat import set_template

TARGET_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def load(model: str, max_length: int, full_finetuning: bool = False):
    """Model and tokenizer by name: `smollm2-135m`, `tiny`, a local folder, or a hub id ("owner/name@revision").

    The base weights are bfloat16 where the machine computes in it, and float32 otherwise and for `tiny`, whose
    tests compare numbers. `full_finetuning` says that every weight will be trained. Raises UserError if there is no
    such model, or no memory for it.
    """
    set_unsloth_up()
    import torch
    from unsloth import FastLanguageModel, is_bfloat16_supported

    path, revision = resolve(model)
    float32 = model == "tiny" or not is_bfloat16_supported()
    try:
        loaded, tokenizer = FastLanguageModel.from_pretrained(
            model_name=path,
            revision=revision,
            max_seq_length=max_length,
            dtype=torch.float32 if float32 else torch.bfloat16,
            load_in_4bit=False,
            full_finetuning=full_finetuning,
            use_exact_model_name=True,
            use_gradient_checkpointing=False,
            **device_options(torch.cuda.is_available(), full_finetuning),
        )
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        if is_out_of_memory(error):
            raise UserError(
                f"model {model!r} does not fit into memory: {reason} Take a smaller model, a larger machine, or fewer "
                "cells at once: docs/gpu.md says what a model takes."
            ) from None
        raise UserError(
            f"model {model!r} cannot be loaded: {reason} Give smollm2-135m, a folder or a hub id."
        ) from None
    if loaded.device.type == "cpu":
        # The head gets a strided view of the last position; torch would copy its 28 million weights for every row.
        loaded.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))
    set_template(tokenizer)
    tokenizer.padding_side = "left"
    tokenizer.clean_up_tokenization_spaces = False  # meant for another kind of tokenizer; warns when it is on
    return loaded, tokenizer


def device_options(on_gpu: bool, full_finetuning: bool) -> dict:
    """What from_pretrained is told on one kind of device alone."""
    if not on_gpu:
        # On a CPU the backward of SDPA took a quarter of a training step at our row lengths; eager does not.
        return {"attn_implementation": "eager"}
    # Without this Unsloth keeps the trained weights in bfloat16 and switches autocast off; make_trainable's float32
    # weights would then be trained in pure float32 and meet a bfloat16 cache when asked: docs/gpu-audit.md.
    return {"float32_mixed_precision": True} if full_finetuning else {}


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of torch or Python says that memory ran out, on a GPU or on the machine."""
    import torch

    said = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        words in said for words in ("out of memory", "can't allocate memory")
    )


def set_unsloth_up() -> None:
    """Set the environment variables that Unsloth and CUDA read when they start; what the user set stays."""
    # It writes generated code to the working directory, where processes race.
    if "UNSLOTH_COMPILE_LOCATION" not in os.environ:
        os.environ["UNSLOTH_COMPILE_LOCATION"] = str(Path(tempfile.gettempdir()) / f"unsloth-{os.getpid()}")
    os.environ.setdefault("UNSLOTH_CPU_CHUNKED_CE", "0")  # it would stand in for the loss of lib/train/sft.py
    # On a GPU only: it would prepare rows in forked processes, after CUDA has started, and compile the layers anew in
    # the process of every cell.
    os.environ.setdefault("UNSLOTH_DATASET_NUM_PROC", "0")
    os.environ.setdefault("UNSLOTH_BLOCK_COMPILE", "0")
    os.environ["CUDA_VISIBLE_DEVICES"] = one_gpu()


def one_gpu() -> str:
    """What CUDA_VISIBLE_DEVICES must be for a cell: the first GPU that it may see; empty if it may see none.

    With several, transformers' Trainer would take a batch for each of them, and train another thing.
    """
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]


def make_trainable(model, rank: int, seed: int, max_length: int):
    """The model with LoRA adapters of this rank on every linear layer (alpha = rank, no dropout).

    Of rank 0, the model itself in float32, with every weight to be trained.
    """
    if rank == 0:
        return model.float().requires_grad_(True)
    from unsloth import FastLanguageModel

    return FastLanguageModel.get_peft_model(
        model,
        r=rank,
        lora_alpha=rank,
        lora_dropout=0.0,
        bias="none",
        target_modules=TARGET_MODULES,
        use_gradient_checkpointing=False,
        random_state=seed,
        max_seq_length=max_length,
    )


def resolve(model: str) -> tuple[str, str | None]:
    """Where from_pretrained finds a model, and its revision. The bundled models are made on first use.

    Raises UserError for a name that `check` refuses.
    """
    check(model)
    if model in bundled.MAKERS:
        return str(bundled.folder(model)), None
    if Path(model).expanduser().is_dir():
        return str(Path(model).expanduser().resolve()), None
    name, _, revision = model.partition("@")
    return name, revision or None


def check(model: str) -> None:
    """Raises UserError for what is neither a bundled model, nor a model folder, nor the form of a hub id."""
    folder = Path(model).expanduser()
    if model in bundled.MAKERS or (folder / "config.json").is_file():
        return
    if folder.is_dir():
        raise UserError(f"model {model!r} is a folder without a config.json: give the folder of a saved model")
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise UserError(
            f"no model {model!r}: known are {', '.join(bundled.MAKERS)}, a local folder, or a hub id owner/name"
        )


def check_hub(model: str) -> None:
    """Raises UserError for a hub model that can neither be reached nor found in the cache. Downloads its config."""
    if model in bundled.MAKERS or Path(model).expanduser().is_dir():
        return
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    name, revision = resolve(model)
    try:
        hf_hub_download(name, "config.json", revision=revision)
    except (OSError, HFValidationError) as error:  # the hub's own errors are OSErrors
        reason = str(error).strip().splitlines()[0][:200]
        raise UserError(f"model {model!r} cannot be had from the hub: {reason}") from None


def fingerprint(model: str) -> str:
    """What names the weights of a model: their hash, or the name and revision of a hub model."""
    return sha256(model) or model


def sha256(model: str) -> str | None:
    """Fingerprint of a local model's weights; None for a hub model, whose revision names them."""
    path = Path(resolve(model)[0])
    if not path.is_dir():
        return None
    digest = hashlib.sha256()
    for file in sorted(path.glob("*.safetensors")):
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()
