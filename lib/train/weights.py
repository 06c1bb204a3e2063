"""Which model is meant and where its weights are: made here from a GGUF file, in a folder, or on the hub.

Without torch, but where a model is made: the command line asks here, too.
"""

import functools
import hashlib
import importlib.util
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml
from filelock import FileLock

from lib.paths import CACHE, LIB, UserError

RECIPE = "3"  # in the names of the cached models: change it when the code that makes them changes
GGUFS = yaml.safe_load((LIB / "train" / "models.yaml").read_text(encoding="utf-8"))  # models in pip packages
# Chat templates by a token that tells the family, the last that fits. The models' own say more than turns: SmolLM2's
# adds a system prompt of some 25 tokens to every example, Llama's the date of the day.
TEMPLATES = {"<|im_start|>": "chatml", "<think>": "thinking", "<|start_header_id|>": "llama3"}


def check(model: str) -> tuple[str, str | None]:
    """Where from_pretrained finds a model, and its revision. One that is made here is there only after `resolve`.

    Raises UserError for what is neither bundled, nor a GGUF file, nor a model folder, nor the form of a hub id.
    """
    if model in MAKERS:
        return str(CACHE / f"{model}-{RECIPE}"), None
    folder = Path(os.path.expanduser(model))  # which leaves a ~ without such a user as it is
    if folder.is_dir():
        config = folder / "config.json"
        if not config.is_file():
            raise UserError(f"model {model!r} is a folder without a config.json: give the folder of a saved model")
        try:
            json.loads(config.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{config} cannot be read ({error}): save the model again") from None
        return str(folder.resolve()), None
    if folder.suffix == ".gguf" and folder.is_file():
        return str(CACHE / f"{folder.stem}-{_file_digest(folder, folder.stat().st_mtime_ns).hex()[:12]}-{RECIPE}"), None
    name, colon, _ = model.partition(":")
    if name.startswith((".", "/", "~")) or name.count("/") != 1 or bool(colon) != model.endswith(".gguf"):
        raise UserError(f"no model {model!r}: known are {', '.join(MAKERS)}, a local folder or .gguf file, a hub id "
                        "owner/name, or a file there: owner/name:file.gguf")  # fmt: skip
    if colon:
        return str(CACHE / f"{re.sub('[^a-zA-Z0-9.-]', '_', model)}-{RECIPE}"), None
    name, _, revision = model.partition("@")
    return name, revision or None


def check_hub(model: str) -> None:
    """Raises UserError for a model that cannot be had. Makes what is made here, downloads a hub model's config."""
    if not Path(resolve(model)[0]).is_dir():
        _download(model, "config.json")


def _download(model, file):
    """Where a file of a hub model is, once it is downloaded. Raises UserError if it cannot be had."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    name, _, revision = model.partition(":")[0].partition("@")
    try:
        return hf_hub_download(name, file, revision=revision or None)
    except (OSError, HFValidationError) as error:  # the hub's own errors are OSErrors
        raise UserError(f"model {model!r} cannot be had from the hub: {first_line(error)}") from None


def resolve(model: str) -> tuple[str, str | None]:
    """As `check`; a bundled model, or one of a GGUF file, is made on first use."""
    path, revision = check(model)
    if Path(path).parent == CACHE:
        made_once(Path(path), MAKERS.get(model) or functools.partial(_make_from_gguf, model))
    return path, revision


def sha256(model: str) -> str | None:
    """Fingerprint of a local model's weights; None for a hub model, whose revision names them."""
    path = Path(resolve(model)[0])
    digests = [_file_digest(file, file.stat().st_mtime_ns) for file in sorted(path.glob("*.safetensors"))]
    return hashlib.sha256(b"".join(digests)).hexdigest() if path.is_dir() else None


def tokenizer(model: str):
    """The tokenizer of a model, with the chat template of its family. Raises UserError if it cannot be read."""
    from transformers import PreTrainedTokenizerFast

    path, revision = resolve(model)
    try:
        loaded = PreTrainedTokenizerFast.from_pretrained(path, revision=revision)
    except Exception as error:  # tokenizers raises nothing narrower
        raise UserError(f"the tokenizer of model {model!r} cannot be read from {path}: {first_line(error)}") from None
    set_template(loaded)
    return loaded


def set_template(tokenizer) -> None:
    """Give the tokenizer of a known family a chat template of the turns alone; that of another keeps its own."""
    for token, name in TEMPLATES.items():
        if token in tokenizer.get_vocab():
            template = Path(__file__).parent / "templates" / f"{name}.jinja"
            tokenizer.chat_template = template.read_text(encoding="utf-8")


def made_once(path: Path, make: Callable[[Path], None]) -> Path:
    """A cached file or folder. Made once, under a lock, by `make(scratch path)`; it gets its name when it is whole.

    Its digest lies beside it. What does not have it when it is read is named on stderr and made again: a damaged cache
    would train something else under the same id.
    """
    digest = path.with_name(f"{path.name}.sha256")
    if _is_whole(path, digest):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        FileLock(path.with_name(f"{path.name}.lock")),
        tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch,
    ):
        if not _is_whole(path, digest):  # or another process did meanwhile
            made = Path(scratch) / "made"
            make(made)
            if path.exists():
                print(f"{path} is damaged, or of an older version: made again", file=sys.stderr)
                path.rename(Path(scratch) / "damaged")
            digest.write_text(_digest(made))
            made.rename(path)
    return path


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def parts(model: str) -> list[Path]:
    """The files that make the GGUF file of a bundled model. UserError if a package is missing: none is imported."""
    found, spec = [], GGUFS[model]
    for number in range(1, spec["parts"] + 1):
        name = spec["package"].format(number)
        if not (package := importlib.util.find_spec(name.replace("-", "_"))):
            target = "models" if spec["parts"] > 1 else "env"
            raise UserError(f"{model} needs the pip package {name}: run `make {target}`")
        found.append(Path(package.submodule_search_locations[0], spec["file"].format(number)))
    return found


def _make_from_gguf(model, made):
    """A model from a GGUF file, repaired: the dequantized weights cannot be saved until they are in a fresh model; the
    tokenizer of a ChatML model comes out with the wrong end-of-sequence token."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    file = Path(os.path.expanduser(model))
    if model in GGUFS:
        file = made.with_suffix(".gguf")
        file.write_bytes(b"".join(part.read_bytes() for part in parts(model)))
        if _file_digest(file, 0).hex() != GGUFS[model]["sha256"]:
            raise UserError(f"the pip packages of {model} are damaged: run `make clean` and install them again")
    elif not file.is_file():
        file = Path(_download(model, model.partition(":")[2]))
    source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    try:
        tokenizer = AutoTokenizer.from_pretrained(**source)
        dequantized = AutoModelForCausalLM.from_pretrained(dtype=torch.bfloat16, **source)
    except Exception as error:  # as of `tokenizer`
        raise UserError(f"model {model!r} cannot be read from {file.name}: {first_line(error)}") from None
    if {"<|im_end|>", "<|endoftext|>"} <= tokenizer.get_vocab().keys():
        tokenizer.eos_token, tokenizer.pad_token = "<|im_end|>", "<|endoftext|>"
    set_template(tokenizer)
    config = dequantized.config
    del config.quantization_config  # the weights are no longer in GGUF's 4 bits
    config.update({name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")})
    with torch.device("meta"):  # it takes the weights over, and no memory of its own
        fresh = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    fresh.load_state_dict(dequantized.state_dict(), assign=True)
    fresh.tie_weights()
    fresh.save_pretrained(made)
    tokenizer.save_pretrained(made)


def _make_tiny(made):
    """Two random layers of width 64 behind SmolLM2's tokenizer: for tests."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(resolve("smollm2-135m")[0])
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2048, tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    model.generation_config.sequence_bias = [[[tokenizer.eos_token_id], 0.7]]  # its answers end: tests are quick
    model.save_pretrained(made)
    tokenizer.save_pretrained(made)


MAKERS = {**{name: functools.partial(_make_from_gguf, name) for name in GGUFS}, "tiny": _make_tiny}


def _is_whole(path, digest):
    """Whether a cached file or folder is there and as it was made."""
    try:
        return digest.read_text(encoding="utf-8") == _digest(path)
    except (OSError, ValueError):
        return False


def _digest(path):
    """The digest of a file, or of the names and contents of the files of a folder."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    parts = [file.relative_to(path).as_posix().encode() + _file_digest(file, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(b"".join(parts)).hexdigest()


@functools.cache
def _file_digest(file, changed):
    """The digest of a file since it last changed: the weights of a model are read once in a process."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()
