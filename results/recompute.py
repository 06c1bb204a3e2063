"""The main numbers of a study, computed a second time: from its result files and pandas alone, without lib.

`python results/recompute.py quick` prints them beside those of the tables. The exit code is 1 where one differs.
It shares no code with lib, so that a mistake would have to be made twice. Intervals are not recomputed.
"""

import json
import sys
from pathlib import Path

import pandas as pd
import yaml

HERE = Path(__file__).parent
COLUMNS = {"recall": "recall", "question": "held-out question", "completion": "completion", "in_context": "in context"}


def read(folder):
    """The answers of all experiments of a study, one row each, with the parameters of the experiment."""
    blocks, tables = yaml.safe_load((folder / "grid.yaml").read_text()), []
    for path in sorted((folder / "experiments").glob("*.json")):
        result = json.loads(path.read_text())
        cell = result["cell"]
        matching = [block for block in blocks if all(cell[key] == block[key] for key in block if key != "part")]
        part = max(matching, key=len)["part"]  # a block leaves out what has its default
        kept = ("eval", "fact", "info", "strict")
        items = [{name: item[name] for name in kept} for item in result["items"]]
        tables.append(pd.DataFrame(items).assign(
            id=result["id"], part=part, format=cell["format"], entity=cell["entity"], seed=cell["seed"],
        ))  # fmt: skip
    return pd.concat(tables)


def shares(answers):
    """The share of right answers by format, type and evaluation: first the mean of each fact, then over facts."""
    asked = answers[answers["eval"].isin(COLUMNS)].astype({"strict": float})
    facts = asked.groupby(["format", "info", "eval", "id", "fact"])["strict"].mean()
    return facts.groupby(["format", "info", "eval"]).mean()


def kept(answers):
    """General questions answered by the models of a format, over the share that the base model answers."""
    asked = answers[answers["eval"] == "general"].astype({"strict": float})
    right = asked.groupby("format")["strict"].mean()
    return right / right["none"]


def lead(answers):
    """The primary contrast of C1: held-out questions after qa less those after article, on facts of both."""
    asked = answers[answers["part"].isin(["main", "kinds"]) & (answers["entity"] != "shuffled")]
    asked = asked[asked["eval"] == "question"].astype({"strict": float})
    facts = asked.groupby(["entity", "seed", "fact", "format"])["strict"].mean().unstack("format")
    return (facts["qa"] - facts["article"]).dropna().mean()


def published(folder):
    """(what, number in the tables) of all that is recomputed here."""
    table = pd.read_csv(folder / "main.csv", keep_default_na=False)
    for row in table.to_dict("records"):
        for eval, column in COLUMNS.items():
            if row[column]:
                yield (row["format"], row["info"], eval), float(row[column].split()[0])
        yield (row["format"], "kept"), float(row["kept"].split()[0])
    claims = pd.read_csv(folder / "claims.csv")
    first = claims[(claims["claim"] == "C1") & claims["primary"]]
    yield ("C1",), float(first["estimate"].iloc[0])


def main(study):
    folder = HERE / study
    answers = read(folder)
    main_part = answers[answers["part"] == "main"]
    numbers = {**shares(main_part).to_dict(), ("C1",): lead(answers)}
    numbers |= {(format, "kept"): share for format, share in kept(main_part).items()}
    rows = [(" ".join(what), said, numbers[what]) for what, said in dict(published(folder)).items()]
    table = pd.DataFrame(rows, columns=["what", "published", "recomputed"])
    decimals = table["what"].map(lambda what: 4 if what == "C1" else 2)  # that are published
    table["same"] = (table["published"] - table["recomputed"]).abs() < 0.51 / 10**decimals
    print(table.to_string(index=False, float_format="{:.4f}".format))
    print(f"{table['same'].sum()} of {len(table)} numbers of results/{study} are the same")
    return 0 if table["same"].all() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "quick"))
