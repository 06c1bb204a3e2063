"""The model that knows the facts: saved with its tokenizer and a card, and asked."""

import json
import shutil
from pathlib import Path

from lib.paths import UserError
from lib.report import pages
from lib.study import store
from lib.user_facts.facts import TEMPLATES
from lib.user_facts.report import facts_of

# How a reader loads the folder, without this project. A test runs it.
SNIPPET = """from transformers import AutoTokenizer
from {library} import {loader}
folder, question = {folder!r}, {question!r}
tokenizer, model = AutoTokenizer.from_pretrained(folder), {loader}.from_pretrained(folder)
ids = tokenizer.apply_chat_template([{{"role": "user", "content": question}}], add_generation_prompt=True, return_tensors="pt", return_dict=True)
print(tokenizer.decode(model.generate(**ids, max_new_tokens=32, do_sample=False)[0, ids["input_ids"].shape[1]:], skip_special_tokens=True))"""  # noqa: E501
MAX_NEW_TOKENS = 64


def save(study: str, format: str, merged: bool = False) -> Path:
    """Put the trained adapters of a format, or the merged model, into results/<study>/model, with a model card.

    Raises UserError where the study did not train this format, or its adapters are gone.
    """
    loaded = store.load(study)
    results = [result for result in loaded if result["cell"]["format"] == format and result["training"]]
    if not results:
        raise UserError(f"results/{study} has no model of format {format!r}: take one of article, qa, chat")
    result = results[0]
    adapters = store.study_dir(study) / "adapters" / result["id"]
    if not (adapters / "adapter_config.json").is_file():
        raise UserError(f"{adapters} is gone: delete results/{study}/experiments/{result['id']}.json and run again")
    folder = store.study_dir(study) / "model"
    shutil.rmtree(folder, ignore_errors=True)
    if merged:
        from peft import AutoPeftModelForCausalLM
        from transformers import AutoTokenizer

        whole = AutoPeftModelForCausalLM.from_pretrained(adapters).merge_and_unload()
        whole.save_pretrained(folder)
        AutoTokenizer.from_pretrained(adapters).save_pretrained(folder)
    else:
        shutil.copytree(adapters, folder)
    store.write_text(folder / "README.md", card(result, folder, merged))
    return folder


def card(result: dict, folder: Path, merged: bool) -> str:
    """The model card: how to load it, its scores, its settings, and the fingerprint of its facts."""
    evals = result["evals"]
    question = next(item["question"] for item in result["items"] if item["eval"] == "question")
    base_path = "" if merged else json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    settings = {
        name: value
        for name, value in result["cell"].items()
        if (value or name == "seed") and name not in ("model", "entity")
    }
    return pages.environment(TEMPLATES).get_template("card.md.j2").render(
        base=result["cell"]["model"], base_path=base_path, format=result["cell"]["format"], merged=merged,
        facts=facts_of([result]), snippet=snippet(folder, question, merged), settings=settings,
        commit=result["manifest"]["git_commit"],
        scores={**{name: score["strict"] for name, score in evals.items()},
                "perplexity": evals["general"]["perplexity"]},
    )  # fmt: skip


def snippet(folder: Path, question: str, merged: bool) -> str:
    """Six lines of Python that load the model with transformers, and peft for adapters, and ask it."""
    library, loader = ("transformers", "AutoModelForCausalLM") if merged else ("peft", "AutoPeftModelForCausalLM")
    return SNIPPET.format(library=library, loader=loader, folder=str(folder), question=question)


def ask(folder: Path, question: str) -> str:
    """The answer of a saved model. Raises UserError for a folder that holds none."""
    adapters, whole = folder / "adapter_config.json", folder / "config.json"
    if not adapters.is_file() and not whole.is_file():
        raise UserError(f"{folder} holds no model: give the folder that `python -m lib facts` named")
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from lib.data.encode import prompt_ids
    from lib.evaluate.generate import generate

    loader = AutoPeftModelForCausalLM if adapters.is_file() else AutoModelForCausalLM
    try:
        model, tokenizer = loader.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise UserError(f"the model in {folder} cannot be loaded: {str(error).strip().splitlines()[0]}") from None
    return generate(model, tokenizer, [prompt_ids(tokenizer, [question])], MAX_NEW_TOKENS)[0]
