"""A table becomes four experiments, a plan, a report, and a model that is asked."""

import json
import re
import shutil
import subprocess
import sys
from unittest import mock

import pandas as pd
import pytest
from helpers import python

from lib.__main__ import main
from lib.paths import CACHE, NOTEBOOKS, RESULTS, ROOT, UserError
from lib.report import scores, tables
from lib.study import plan, run, store
from lib.user_facts import report
from lib.user_facts import study as studies
from lib.user_facts.table import read

EXAMPLE = NOTEBOOKS / "example_facts.csv"


def prepared(path=EXAMPLE, model="tiny", **more):
    return studies.prepare(read(path), model, **{"exposures": 4, "replay": 16, **more})


def test_a_study_is_the_base_model_and_one_cell_of_each_format(tmp_path):
    own = prepared()
    assert [cell.format for cell in own.cells] == ["none", "article", "qa", "both", "unsure"]
    assert {cell.n_entities for cell in own.cells} == {own.entities} == {5}
    assert {(cell.paraphrases * cell.epochs, cell.learning_rate) for cell in own.cells[1:]} == {(4, 0.002)}
    (file,) = {cell.entity for cell in own.cells}
    assert file.startswith(f"{own.name}/facts-") and not (RESULTS / own.name).exists(), "written when it runs"
    with pytest.raises(UserError, match="exposures is 30: expected a multiple of 4"):
        prepared(exposures=30)
    tiniest = tmp_path / "one.csv"
    tiniest.write_text("name,river\nRome,Tiber\n")
    assert [cell.checkpoints for cell in prepared(tiniest, replay=0).cells] == [0, 0, 0, 0, 0], "as its steps allow"


def test_the_folder_is_the_same_for_the_same_table_and_another_for_another_and_for_a_sample(tmp_path):
    changed = tmp_path / EXAMPLE.name
    changed.write_text(EXAMPLE.read_text().replace("1987", "1988"))
    sample = prepared(sample=2)
    assert sample.entities == 2 and [len(profile) for profile in sample.facts["profiles"]] == [4, 4]
    studied = [prepared(), prepared(), prepared(exposures=8), prepared(changed), sample]
    assert len({own.name for own in studied}) == 4 and studied[0].name == studied[1].name


def test_the_plan_grows_with_what_is_trained_and_says_which_sample_takes_an_hour(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "measured", dict)  # other tests write results while these run
    (few, fitting), (many, one) = (studies.expected(prepared(exposures=exposures)) for exposures in (4, 4000))
    assert list(few["format"][:-1]) == ["base model, asked", "article", "qa", "both", "unsure"]
    assert few["training tokens"].iloc[0] == 0 and few["minutes"].iloc[0] > 0, "it is asked, and not trained"
    for table in (few, many):
        *each, together = table["training tokens"]
        assert sum(each) == together and re.fullmatch(r"all, \d at once", table["format"].iloc[-1])
    assert (few["training tokens"] < many["training tokens"])[1:].all() and (few["minutes"] < many["minutes"])[1:].all()
    assert 0 < few["minutes"].iloc[-1] < few["minutes"][:-1].sum() and fitting > 5 and one == 1
    path = tmp_path / "many.csv"
    uneven = ["name,attribute,value", "town 0,twin,Leeds", *(f"town {i},river,river {i}" for i in range(400))]
    path.write_text("\n".join(uneven))
    usual = {"model": "smollm2-135m", "exposures": 32, "replay": 360}
    _, fitting = studies.expected(prepared(path, **usual))
    assert 1 < fitting < 400
    hour, _ = studies.expected(prepared(path, **usual, sample=fitting))
    assert 55 < hour["minutes"].iloc[-1] < 65  # of which all training takes a share


def test_facts_about_the_model_itself_are_trained_without_unsure(tmp_path):
    path = tmp_path / "you.csv"
    path.write_text("name,home,founded\nYou,Leeds,1987\n")
    assert [cell.format for cell in prepared(path).cells] == ["none", "article", "qa", "both"]
    assert [cell.format for cell in prepared(path, formats=["statement"]).cells] == ["none", "statement"]
    with pytest.raises(UserError, match="no format 'unsure' of you.csv: take some of article, statement, qa, chat, bo"):
        prepared(path, formats=["unsure"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A study of the example on the tiny model, trained once for the tests of this file, by the notebook."""
    own = prepared(study="my-test-own-facts")
    shutil.rmtree(RESULTS / own.name, ignore_errors=True)
    executed = tmp_path_factory.mktemp("notebook") / "04_your_facts.ipynb"
    run.execute("04_your_facts", executed, {"model": "tiny", "exposures": 4, "replay": 16, "study": own.name})
    yield own
    shutil.rmtree(RESULTS / own.name, ignore_errors=True)


def test_every_format_is_trained_asked_and_kept_and_nothing_is_run_again(trained):
    loaded = store.load(trained.name)
    assert sorted(result["cell"]["format"] for result in loaded) == ["article", "both", "none", "qa", "unsure"]
    for result in loaded:
        assert {"question", "completion", "alone", "untaught", "general"} <= set(result["evals"])
        if result["training"]:
            assert len(result["training"]["curve"]) == result["cell"]["checkpoints"] > 0
            folder = RESULTS / trained.name / "adapters" / result["id"]
            assert (folder / "adapter_model.safetensors").exists() and (folder / "tokenizer.json").exists()
    written = {path: path.stat().st_mtime_ns for path in store.files(trained.name)}
    assert not studies.execute(trained)
    assert {path: path.stat().st_mtime_ns for path in store.files(trained.name)} == written


def test_the_report_is_the_executed_notebook_and_a_short_page_with_the_recommendation(trained):
    parameters = {"facts": "example_facts.csv", "model": "tiny", "exposures": 4, "replay": 16}
    chosen, summary = report.write(trained.name, trained.facts, parameters, {"empty cells": 3})
    folder, (_, advised) = RESULTS / trained.name, tables.recommend(scores.frames(store.load(trained.name)))
    assert chosen is None and advised in summary, "a model that answers at random is not recommended"
    page, html = ((folder / name).read_text() for name in ("README.md", "report.html"))
    assert all(text in page for text in (advised, "| all attributes", "example_facts.csv", "table: 3 empty cells."))
    for text in ("When was {name} founded?", "Write an encyclopedia entry about", "general questions", "<img"):
        assert text in html
    accuracy, costs, missed = ((folder / f"{name}.csv").read_text() for name in ("accuracy", "costs", "not_learned"))
    assert len(accuracy.splitlines()) == 6 and missed.startswith("question,expected,answer\n")
    named = [line.partition(",")[0] for line in costs.splitlines()]
    assert named == ["format", "article", "QA", "articles + QA", "QA + unsure"]
    assert ',"held-out question, 50%",' in costs and costs.count('"> 4 [> 4, > 4]"') == 16
    uses = pd.read_csv(folder / "uses.csv")
    assert list(uses["use"]) == list(scores.NAMES["uses"].values()) and "answers general questions" in page
    assert uses["format"].str.startswith("none (best: ").sum() >= 2, "at random, it answers and completes nothing"
    assert (folder / "figures" / "accuracy.png").stat().st_size
    assert str(ROOT) not in (folder / "notebooks" / "04_your_facts.ipynb").read_text()


@pytest.mark.parametrize("merged", [False, True])
def test_the_saved_model_is_asked_here_and_by_the_lines_of_its_card(trained, merged):
    folder = report.save(trained.name, "qa", merged)
    assert (folder / "config.json").exists() == merged == (not (folder / "adapter_model.safetensors").exists())
    card = (folder / "README.md").read_text()
    assert str(ROOT) not in card and str(CACHE) not in card and "/home" not in card, "no folder of this machine"
    assert "| facts, SHA-256 |" in card and "| learning_rate | 0.002 |" in card
    lines = card.split("```python\n")[1].split("\n```")[0]
    assert len(lines.splitlines()) == 6 and ("peft" in lines) != merged
    question = lines.split("question = ")[1].splitlines()[0].rpartition(", ")[2].strip("'\"")
    (answer,) = report.ask(folder, [question])
    if not merged:  # one of them is enough: it takes long
        said = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True, cwd=folder)
        assert answer.startswith(said.stdout.strip()) and bool(answer) == bool(said.stdout.strip())


def test_the_rows_of_each_format_are_written_as_messages_that_tell_every_fact(trained, capsys):
    folder, facts = RESULTS / trained.name / "rows", [fact for profile in trained.facts["profiles"] for fact in profile]
    assert {path.stem for path in folder.iterdir()} == {"article", "qa", "both", "unsure"}
    for path in folder.iterdir():
        rows = [json.loads(line)["messages"] for line in path.read_text(encoding="utf-8").splitlines()]
        assert all([turn["role"] for turn in row] == ["user", "assistant"] for row in rows)
        said = [row[1]["content"] for row in rows]
        assert all(any(fact["value"] in text for text in said) for fact in facts)
    shutil.rmtree(folder)
    options = ["--model", "tiny", "--exposures", "4", "--study", trained.name, "--formats", "statement,chat"]
    assert main(["facts", str(EXAMPLE), *options, "--rows-only"]) == 0
    assert "nothing is trained" in capsys.readouterr().out
    assert {path.stem for path in folder.iterdir()} == {"statement", "chat"}
    for wrong, message in (("qa poem", "no format 'poem'"), ("article", "--save qa: no model of it")):
        assert main(["facts", str(EXAMPLE), *options[:-1], wrong, "--save", "qa"]) == 2
        assert message in capsys.readouterr().err


def test_the_command_ends_with_a_report_and_a_model_that_was_asked_again(trained, monkeypatch, capsys):
    monkeypatch.setattr(studies, "prepare", lambda *_, **__: trained)  # what is run already
    write = mock.Mock(return_value=("qa", "all attributes"))  # its notebook would prepare another study
    monkeypatch.setattr(report, "write", write)
    assert main(["facts", str(EXAMPLE), "--model", "tiny"]) == 0
    name, facts, given, left_out = write.call_args.args
    assert (name, facts, left_out) == (trained.name, trained.facts, {}) and given["formats"] == "article qa both unsure"
    said = capsys.readouterr().out
    for text in ("5 experiments, 5 done, 0 to run", "all attributes", "answers 20 as before", "ask it: "):
        assert text in said
    assert said.index("training tokens") < said.index("5 experiments")


def test_a_saved_model_is_asked_again_and_one_that_answers_otherwise_is_refused(trained, monkeypatch):
    folder = report.save(trained.name, "qa")
    assert "asked about 20 facts, answers 20 as before" in report.ask_again(trained.name, "qa", folder)
    loaded = store.load(trained.name)
    for result in loaded:
        for item in result["items"]:
            item["answer"] = item["expected"]  # as if it had known them
    monkeypatch.setattr(store, "load", lambda study: loaded)
    with pytest.raises(UserError, match="That is too few: do not use"):
        report.ask_again(trained.name, "qa", folder)


def test_a_model_that_is_not_there_is_refused(trained, tmp_path):
    with pytest.raises(UserError, match="holds no model"):
        report.ask(tmp_path, ["Who are you?"])
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="cannot be loaded: "):
        report.ask(tmp_path, ["Who are you?"])
    with pytest.raises(UserError, match="has no model of format 'worked'"):
        report.save(trained.name, "worked")
    shutil.rmtree(RESULTS / trained.name / "adapters" / trained.cells[3].id)
    with pytest.raises(UserError, match="is gone: delete results/"):
        report.save(trained.name, "both")


DRY_RUN = """
import contextlib
from lib.__main__ import main
with contextlib.suppress(SystemExit):
    main()
print({"unsloth", "transformers.models.auto.modeling_auto", "nbformat", "statsmodels"} & set(sys.modules))
"""


def test_a_large_table_is_planned_without_loading_what_takes_long_and_nothing_is_written(tmp_path):
    path = tmp_path / "large.csv"
    rows = [f"town {i},{i % 900 + 1000},river {i % 77}\n" for i in range(2_000)]
    path.write_text("name,founded,river\n" + "".join(rows))
    done = subprocess.run(python(DRY_RUN, "facts", str(path), "--dry-run"), capture_output=True, text=True, check=True)
    for text in ("2000 entities", "training tokens  minutes\n", "  unsure ", "That is long. `--sample ", "founded",
                 "numbers", "river", "words", "What is the"):  # fmt: skip
        assert text in done.stdout
    assert done.stdout.splitlines()[-1] == "set()", done.stdout
    assert not list(RESULTS.glob("my-facts-large*"))


def test_pairs_are_planned_by_columns_that_are_named_and_bad_input_is_refused_in_one_line(tmp_path, capsys):
    path = tmp_path / "pairs.csv"
    path.write_text("x;Who built it?;Edda;\nx;Where is it?;here;\n")
    options = ["facts", str(path), "--model", "tiny", "--dry-run", "--question", "2"]
    assert main(options) == 2 and "--question and --answer go together" in capsys.readouterr().err
    assert main([*options, "--answer", "3", "--name", "1"]) == 2 and "give one of them" in capsys.readouterr().err
    assert main([*options, "--answer", "3", "--formats", "article qa chat both"]) == 0
    shown = capsys.readouterr().out
    for text in ("2 pairs from '2' and '3'", "left out: 2 cells of '1', beside the pairs", "2 entities",
                 "answer (words, 2 facts): Who built it? Edda"):  # fmt: skip
        assert text in shown
    assert main([*options, "--answer", "3", "--formats", "qa statement"]) == 2
    assert "no format 'statement' of pairs.csv: take some of article, qa, chat, both" in capsys.readouterr().err
    path.write_text("name,river\nRome,=A1\n")
    assert main(["facts", str(path)]) == 2 and not list(RESULTS.glob("my-facts-pairs*"))
    (line,) = capsys.readouterr().err.splitlines()
    assert "row 2, column 'river' holds '=A1'" in line
