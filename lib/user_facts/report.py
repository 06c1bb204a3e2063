"""What came of a study of a user's own facts: tables, the report, and the model that knows them."""

import shutil
from pathlib import Path

import pandas as pd

from lib.paths import UserError
from lib.report import advice, intervals, pages, scores, tables
from lib.study import run, store
from lib.user_facts.english import TEMPLATES
from lib.user_facts.facts import untold

ALL = " all attributes"  # no heading begins with a space
MAX_NEW_TOKENS = 64
LIMITS = (
    "The intervals cover facts, not the luck of a training run: each format was trained once. "
    "A lead over conversations is withdrawn until it is measured again: conversations train “Yes, I do.” as an answer "
    "to how some held-out questions begin, see [CHANGELOG.md](../../CHANGELOG.md)."
)


def accuracy(results: list[dict]) -> pd.DataFrame:
    """A row for each attribute, ALL of them together first, and format: the share of held-out questions answered with
    its 95 % interval: attribute, format, mean, low, high, shown."""
    asked = advice.scored(results)
    asked["attribute"] = asked["fact"].str.split("/", n=2).str[2]
    both = [asked.assign(attribute=ALL), asked]
    table = pd.concat([intervals.accuracy(rows, ["attribute", "format"]) for rows in both], ignore_index=True)
    table["shown"] = [intervals.shown(*row) for row in table[["mean", "low", "high"]].to_numpy()]
    formats = [format for format in scores.SHORT if format in set(table["format"])]
    table["attribute"] = pd.Categorical(table["attribute"], [ALL, *asked["attribute"].unique()])
    table["format"] = pd.Categorical(table["format"], formats)
    return table.sort_values(["attribute", "format"], ignore_index=True)


def shown(shares: pd.DataFrame) -> pd.DataFrame:
    """The table of `accuracy` as a reader sees it: a row an attribute, a column a format."""
    wide = shares.pivot(index="attribute", columns="format", values="shown")
    wide.columns = [scores.SHORT[format] for format in wide.columns]
    return wide.reset_index().astype({"attribute": str})


def costs(results: list[dict]) -> pd.DataFrame:
    """Of each format: recall, exposures until half and four fifths are known, what was forgotten, what a fact costs."""
    cells, items, along = scores.cells(results), scores.items(results), scores.curves(results)
    asked = set(advice.scored(results)["fact"])
    rows = []
    for format in [format for format in scores.SHORT if format in set(cells["format"]) - {"none"}]:
        cell = cells[cells["format"] == format].iloc[0]
        recall = items[(items["format"] == format) & (items["eval"] == "recall")]["strict"].astype(float)
        row = {"format": scores.SHORT[format], "recall": recall.mean()}
        curve = along[(along["format"] == format) & along["fact"].isin(asked)] if len(along) else along
        for share in tables.REACHED if len(curve) else ():
            reached = intervals.exposures_to(curve, "question", share)
            row[f"exposures to {share:.0%}"] = tables.reached(reached, curve["exposures"].max())
        row |= {"kept": cell["kept"], "perplexity ratio": cell["ppl_ratio"]}
        row["tokens a fact"] = round((cell["tokens"] - cell["replay_tokens"]) / cell["facts"])
        rows.append(row | {"seconds a fact": cell["training_seconds"] / cell["facts"]})
    return pd.DataFrame(rows)


def not_learned(results: list[dict], format: str) -> pd.DataFrame:
    """The facts whose first held-out question the model of this format does not answer, with what it said."""
    asked = advice.scored([result for result in results if result["cell"]["format"] == format])
    first = asked.drop_duplicates("fact")
    return first[first["strict"] == 0][["question", "expected", "answer"]].reset_index(drop=True)


def best_format(results: list[dict]) -> str:
    """The format that is recommended, and where none is the one that answers most."""
    shares = accuracy(results)
    trained = shares[(shares["attribute"] == ALL) & (shares["format"] != "none")]
    return advice.recommend(results)[0] or trained.set_index("format")["mean"].idxmax()


def write(study: str, facts: dict, parameters: dict) -> tuple[str | None, str]:
    """Write README.md, report.html, the executed notebook, the figure and the CSV files of a study from its results.

    `facts` is what its facts file holds, `parameters` are those of your_facts.ipynb. Returns the recommended format,
    None where there is none, and what the terminal shows.
    """
    results, folder = store.load(study), store.study_dir(study)
    chosen, advised = advice.recommend(results)
    table = shown(accuracy(results))
    missed = not_learned(results, best_format(results))
    for name, frame in {"accuracy": table, "costs": costs(results), "not_learned": missed}.items():
        store.write_text(folder / f"{name}.csv", frame.to_csv(index=False, float_format="%.6g"))
    executed = folder / "notebooks" / "your_facts.ipynb"
    run.execute("your_facts", executed, {**parameters, "study": study, "save": True, "keep": False})
    ids = results[0]["facts"]["ids"]
    notes = [f"**{advised}**", LIMITS]
    if unasked := len(set(ids) - set(advice.scored(results)["fact"])):
        notes.append(f"Not asked: {unasked} facts whose value stands in the name already. An echo would count.")
    if left_out := untold(facts):
        notes.append(f"Your articles leave {left_out} facts out: no value stands there to the letter.")
    head = "\n\n".join([f"# Your facts: {len(ids)} facts from {pages.escape(facts['source'])}", *notes])
    page = "\n\n".join([
        head, "The share of held-out questions that each model answers, with 95 % intervals:", pages.markdown(table),
        "[report.html](report.html) and the [executed notebook](notebooks/your_facts.ipynb) tell the rest: sentences, "
        "answers, costs, and the facts that were not learned. Every answer is in [experiments/](experiments/).",
    ])  # fmt: skip
    store.write_text(folder / "report.html", pages.report(f"Facts: {study}", head, [executed]))
    store.write_text(folder / "README.md", f"{page}\n")
    limits = LIMITS.replace("[CHANGELOG.md](../../CHANGELOG.md)", "CHANGELOG.md")
    return chosen, f"{table.to_string(index=False)}\n\n{advised}\n{limits}"


def save(study: str, format: str, merged: bool = False) -> Path:
    """Put the trained adapters of a format, or the merged model, into results/<study>/model, with a model card.

    Raises UserError where the study did not train this format, or its adapters are gone.
    """
    results = [result for result in store.load(study) if result["cell"]["format"] == format and result["training"]]
    if not results:
        raise UserError(f"results/{study} has no model of format {format!r}: take one of article, qa, chat")
    folder, id = store.study_dir(study) / "model", results[0]["id"]
    adapters = folder.with_name("adapters") / id
    if not (adapters / "adapter_config.json").is_file():
        raise UserError(f"{adapters} is gone: delete results/{study}/experiments/{id}.json and run again")
    shutil.rmtree(folder, ignore_errors=True)
    if merged:
        from peft import AutoPeftModelForCausalLM
        from transformers import AutoTokenizer

        AutoPeftModelForCausalLM.from_pretrained(adapters).merge_and_unload().save_pretrained(folder)
        AutoTokenizer.from_pretrained(adapters).save_pretrained(folder)
    else:
        shutil.copytree(adapters, folder)
    store.write_text(folder / "README.md", card(results[0], merged))
    return folder


def card(result: dict, merged: bool) -> str:
    """The model card: how to load the model, its scores and settings. It tells no folder of this machine."""
    question = next(item["question"] for item in result["items"] if item["eval"] == "question")
    library, loader = ("transformers", "AutoModelForCausalLM") if merged else ("peft", "AutoPeftModelForCausalLM")
    left_out = ("model", "entity", "format")
    settings = {key: value for key, value in result["cell"].items() if (value or key == "seed") and key not in left_out}
    model = Path(result["cell"]["model"])
    return pages.environment(TEMPLATES).get_template("card.md.j2").render(
        base=model.name if model.exists() else str(model), format=result["cell"]["format"], merged=merged,
        n=len(result["facts"]["ids"]), evals=result["evals"], settings=settings, manifest=result["manifest"],
        library=library, loader=loader, question=repr(question),
    )  # fmt: skip


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
