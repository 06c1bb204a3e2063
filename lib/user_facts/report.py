"""What came of a study of a user's own facts: the report, and the model that knows them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from lib.cell import ROOM
from lib.evaluate.match import states
from lib.paths import ROOT, UserError
from lib.report import pages, scores, tables
from lib.study import run, store
from lib.train.weights import first_line
from lib.user_facts.english import TEMPLATES
from lib.user_facts.facts import untold

LIMITS = "The intervals cover facts, not the luck of a training run: each format was trained once."
AGAIN = 64  # questions of a saved model: enough to see that it is the one that was trained


def write(study: str, facts: dict, parameters: dict, left_out: Mapping[str, int]) -> tuple[str | None, str]:
    """Write README.md and report.html of a study, and run 04_your_facts.ipynb with these `parameters`, which writes the
    figure and the CSV files. `facts` is what the study's facts file holds, `left_out` what the table's reader left out.

    Returns the recommended format, None where there is none, and what the terminal shows.
    """
    results, folder = store.load(study), store.study_dir(study)
    executed = folder / "notebooks" / "04_your_facts.ipynb"
    (folder / "figures").mkdir(exist_ok=True)
    run.execute("04_your_facts", executed, {**parameters, "study": study, "save": True, "keep": False})
    frames, shares = scores.frames(results), pd.read_csv(folder / "accuracy.csv", dtype=str, keep_default_na=False)
    (chosen, advised), ids = tables.recommend(frames), results[0]["facts"]["ids"]
    page = pages.environment(TEMPLATES).get_template("report.md.j2").render(
        n=len(ids), source=facts["source"], advised=advised, limits=LIMITS, untold=untold(facts), shares=shares,
        left_out=left_out, uses=tables.by_use(frames), unasked=len(set(ids) - set(tables.scored(frames.items)["fact"])),
    )  # fmt: skip
    store.write_text(folder / "README.md", page)
    head, _, _ = page.partition("\n\nThe share of")  # the notebook has the table
    store.write_text(folder / "report.html", pages.report(f"Facts: {study}", head, [executed]))
    return chosen, f"{shares.to_string(index=False)}\n\n{advised}\n{LIMITS}"


def save(study: str, format: str, merged: bool = False) -> Path:
    """Put the trained adapters of a format, or the merged model, into results/<study>/model, with a model card.

    Raises UserError where the study did not train this format, or its adapters are gone.
    """
    results = [result for result in store.load(study) if result["cell"]["format"] == format and result["training"]]
    if not results:
        raise UserError(f"results/{study} has no model of format {format!r}: train it with --formats")
    folder, id = store.study_dir(study) / "model", results[0]["id"]
    adapters = folder.with_name("adapters") / id
    if not (adapters / "adapter_config.json").is_file():
        raise UserError(f"{adapters} is gone: delete results/{study}/experiments/{id}.json and run again")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(adapters, folder, ignore=shutil.ignore_patterns("adapter_*") if merged else None)
    if merged:
        from peft import AutoPeftModelForCausalLM

        AutoPeftModelForCausalLM.from_pretrained(adapters).merge_and_unload().save_pretrained(folder)
    question = next(item["question"] for item in results[0]["items"] if item["eval"] == "question")
    model = Path(results[0]["cell"]["model"])
    base = model.name if model.exists() else str(model)  # no folder of this machine
    given = results[0] | {"base": base, "merged": merged, "question": repr(question)}
    store.write_text(folder / "README.md", pages.environment(TEMPLATES).get_template("card.md.j2").render(given))
    return folder


def ask_again(study: str, format: str, folder: Path) -> str:
    """Ask the saved model the first held-out question of up to AGAIN facts, in a process of its own, loaded with
    transformers and peft alone; how many it answers as before. Raises UserError where it is fewer than nine in ten."""
    (result,) = [result for result in store.load(study) if result["cell"]["format"] == format]
    first = {item["fact"]: item for item in reversed(result["items"]) if item["eval"] == "question"}
    asked = list(first.values())[:AGAIN]
    done = subprocess.run(
        [sys.executable, "-m", "lib.user_facts.report", folder], text=True, capture_output=True, cwd=ROOT,
        input=json.dumps([item["question"] for item in asked]),
    )  # fmt: skip
    if done.returncode:
        raise UserError(f"the saved model in {folder} cannot be asked: {(done.stderr.strip() or '-').splitlines()[-1]}")
    same = sum(states(now, item["expected"]) == states(item["answer"], item["expected"])
               for now, item in zip(json.loads(done.stdout), asked, strict=True))  # fmt: skip
    said = f"The saved model, loaded from its files and asked about {len(asked)} facts, answers {same} as before."
    if same < 0.9 * len(asked):
        raise UserError(f"{said} That is too few: do not use {folder}, and report it")
    page = store.study_dir(study) / "README.md"
    store.write_text(page, f"{page.read_text(encoding='utf-8')}\n{said}\n")
    return said


def ask(folder: Path, asked: Sequence[str]) -> list[str]:
    """The answers of a saved model. Raises UserError for a folder that holds none."""
    adapters, whole = folder / "adapter_config.json", folder / "config.json"
    if not adapters.is_file() and not whole.is_file():
        raise UserError(f"{folder} holds no model: give the folder that `python -m lib facts` named")
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from lib.data.encode import prompt_ids
    from lib.evaluate.generate import generate

    # transformers would load adapters, too, but round them to the type of the base model
    loader = AutoPeftModelForCausalLM if adapters.is_file() else AutoModelForCausalLM
    try:
        model, tokenizer = loader.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise UserError(f"the model in {folder} cannot be loaded: {first_line(error)}") from None
    prompts = [prompt_ids(tokenizer, [question]) for question in asked]
    return [answer.strip() for answer, _ in generate(model, tokenizer, prompts, ROOM)]


if __name__ == "__main__":  # of ask_again: nothing that Unsloth changes may be loaded here
    print(json.dumps(ask(Path(sys.argv[1]), json.load(sys.stdin))))
