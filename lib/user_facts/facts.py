"""From a table to the facts file of a study: types, sentences, closed sets, and profiles that fit into a row."""

import json
import random
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, cycle
from pathlib import Path

from lib.data import formats, words
from lib.data.facts import OPTIONS, places
from lib.evaluate.match import normal, states
from lib.paths import UserError
from lib.user_facts import english
from lib.user_facts.table import AROUND, Table

PARAPHRASES = 4  # sentences of each attribute that are trained
NAMES = 200  # of each kind that the table does not have, to be asked about or answered with "I do not know."
# Of a row's text. No tokenizer makes more tokens than bytes, so CONTEXT holds it; of English it has a quarter of them.
BYTES = 1_800
CHUNK = 400  # characters of a part of a user's article, of up to four bytes each
END = r"""(?:[.!?]{1,9}["')\]]{0,3}(?=\s|$)|[。！？]{1,9}[」』）]{0,3}|\n\n|\Z)"""  # of a sentence
PART = re.compile(rf"\S(?:.{{0,{CHUNK}}}{END}|.{{1,{CHUNK}}}(?=\s)|.{{{CHUNK}}})", re.DOTALL)


def attributes(table: Table) -> dict[str, dict]:
    """The attributes of a table in its order: the type as `info` (words, numbers or dates), and the sentences, the
    user's or else generic ones. Of two or more `questions` of the user the last is held out for the evaluation; beside
    a single one, the generic held-out questions are asked. What is trained is not held out. A pair with several
    wordings is an attribute of its own: the first wordings are trained, and the rest is asked, too."""
    columns, patterns = {}, table.around.get("sentences", english.ENGLISH)
    for name, values in table.facts.groupby("attribute", sort=False)["value"]:
        pair = table.wordings and dict(english.PAIRS["answer"])
        sentences = pair or english.sentences(name, list(values), patterns)
        questions = list({normal(text): text for text in reversed(table.questions.get(name, []))}.values())[::-1]
        if len(questions) > 1:  # that differ in more than case or accents
            sentences["heldout_questions"] = [questions.pop()]
        sentences["heldout_statements"] = table.heldout_statements.get(name, sentences["heldout_statements"])
        for kind, given in (("questions", questions), ("statements", table.statements.get(name, []))):
            if given:
                sentences[kind] = [given[i % len(given)] for i in range(PARAPHRASES)]
            trained, held_out = {*map(normal, sentences[kind])}, f"heldout_{kind}"
            sentences[held_out] = [text for text in sentences[held_out] if normal(text) not in trained]
        columns[name] = {"info": english.kind_of(list(values)), **sentences}
    for name, texts in table.wordings.items():
        if len(texts) > 1:
            texts, answer = [text.replace("{", "{{").replace("}", "}}") for text in texts], columns["answer"]
            columns[name] = answer | {
                "questions": [texts[i % len(texts)] for i in range(PARAPHRASES)],
                "heldout_questions": [*answer["heldout_questions"], *texts[PARAPHRASES:]],
            }
    return columns


def facts_file(table: Table, tokenizer, sample: int | None = None) -> dict:
    """What lib.data.facts reads of a table: templates, the profiles with their closed sets, articles, what is untaught.

    With `sample`, it has so many of the entities, drawn by a seed. One with more facts than fit a row becomes several
    profiles, unless the user wrote the article. Raises UserError for a fact that may not fit a row, for what the
    tokenizer cannot spell, for its control tokens, and where nothing can be asked.
    """
    names = list(table.facts["name"].unique())
    names = set(random.Random(0).sample(names, min(sample or len(names), len(names))))
    facts = table.facts[table.facts["name"].isin(names)]
    joined = [len(table.wordings.get(name, ())) > 1 for name in facts["name"]]
    facts = facts.assign(column=facts["name"].where(joined, facts["attribute"]))
    columns, used = attributes(table), {*facts["column"]}  # a sample may have fewer
    articles, wordings = ({name: given[name] for name in given if name in names}
                          for given in (table.articles, table.wordings))  # fmt: skip
    columns = {name: columns[name] for name in columns if name in used}
    table = table._replace(facts=facts, articles=articles, wordings=wordings)
    _refuse_tokens(table, columns, tokenizer)
    asked = ((question.format(name=fact.name), fact.value) for fact in facts.itertuples()
             for question in columns[fact.column]["heldout_questions"])  # fmt: skip
    if all(states(question, value) for question, value in asked):  # as one about "Paris Metro" tells the city Paris
        raise UserError(f"{table.path}: the value of every fact stands in its question already: nothing can be asked")
    content = {key: table.around[key] for key in AROUND} | {
        "source": table.path.name, "attributes": columns, "profiles": [],
        "untaught": _untaught(table, names, columns),
        # broken after sentences, and within one only where it is longer
        "articles": {name: [part.strip() for part in PART.findall(text)] for name, text in articles.items()},
    }  # fmt: skip
    return content | {"profiles": _profiles(table, content)}


@contextmanager
def written(facts: dict) -> Iterator[str]:
    """A facts file outside results/ and its path as an entity, for what makes rows and questions before a study runs.
    It has no closed sets: nothing is scored, and they are most of the file."""
    profiles = [[fact | {"options": []} for fact in profile] for profile in facts["profiles"]]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "facts.json"
        path.write_text(json.dumps(facts | {"profiles": profiles}))
        yield str(path)


def untold(facts: dict) -> int:
    """How many facts of a facts file the user's own article about their entity does not tell to the letter."""
    articles = facts["articles"]
    return sum(not any(words.find(fact["value"], chunk) for chunk in articles[fact["name"]])
               for profile in facts["profiles"] for fact in profile if fact["name"] in articles)  # fmt: skip


def _profiles(table, content) -> list[list[dict]]:
    """The facts of each entity in profiles, halved until no row can have more than BYTES."""
    columns, called = content["attributes"], content["noun"]

    def longest(texts, **filled):
        return max((len(text.format(**filled).encode()) for text in texts), default=0)

    def fitting(profile):
        name, fillers = profile[0]["name"], max(0, formats.ARTICLE_SENTENCES - len(profile))
        named = {"name": max(name, called.format(name=name), key=lambda text: len(text.encode()))}
        told, asked = ([longest(columns[fact["attribute"]][kind], value=fact["value"], **named) + 1 for fact in profile]
                       for kind in ("statements", "questions"))  # fmt: skip
        both = sorted(map(sum, zip(told, asked, strict=True)))[-formats.FACTS_A_CHAT :]
        rows = [longest(map(" ".join, content["chats"]), **named) + sum(both)]
        rows.append(longest(content["tells"], **named) + max(told))
        if parts := content["articles"].get(name):
            rows.append(longest(content["prompts"], **named) + max(len(part.encode()) for part in parts))
        for style in content["styles"] if not parts else ():
            around = (longest(style[kind], **named) + 1 for kind in ("openings", "closings"))
            filler = longest(style["fillers"], **named) + 1
            rows.append(longest([style["prompt"]], **named) + sum(around) + fillers * filler + sum(told))
        most = max(rows)
        if most <= BYTES:
            return [profile]
        if (middle := len(profile) // 2) and not parts:
            return fitting(profile[:middle]) + fitting(profile[middle:])
        value = max((fact["value"] for fact in profile), key=len)
        where = table.facts.loc[(table.facts["name"] == name) & (table.facts["value"] == value), "where"].iloc[0]
        raise UserError(f"{where}: asked and told in a sentence, this fact of {name[:40]!r} has up to {most:,} bytes, "
                        f"and {BYTES:,} fit: shorten it, its name or its templates")  # fmt: skip

    return [part for profile in _entities(table, columns) for part in fitting(profile)]


def _entities(table, columns) -> list[list[dict]]:
    """The facts of each entity. The closed set of a fact is its value among up to OPTIONS of its attribute, first those
    that hold it, as New York holds York, so that they are told apart. None is the same but for accents and case: both
    would be stated."""
    number = {name: i for i, name in enumerate(table.facts["name"].unique())}
    entities = [[] for _ in number]
    for attribute, group in table.facts.groupby("attribute", sort=False):
        values = sorted(set(group["value"]))
        drawn = random.Random(f"options {attribute}").sample(values, len(values)) * 2
        after = {value: place for place, value in enumerate(drawn[: len(values)], 1)}  # of each others follow
        spelled = {value: f" {normal(value)} " for value in values}  # in words, and so is what holds it
        holding = defaultdict(list)  # values by word: all against all takes minutes for a large table
        for value in values:
            for word in {*spelled[value].split()}:
                holding[word].append(value)
        for name, value, column in zip(group["name"], group["value"], group["column"], strict=True):
            mine = spelled[value]
            nearby = min((holding[word] for word in mine.split()), key=len, default=values)
            longer = [other for other in nearby if mine in spelled[other]]
            others = [*longer[:OPTIONS], *drawn[after[value] : after[value] + OPTIONS]]
            apart = {spelled[other]: other for other in others if spelled[other] != mine}
            options = sorted([value, *list(apart.values())[: OPTIONS - 1]])
            entities[number[name]].append({
                "id": f"own/{number[name]}/{attribute}", "name": name, "attribute": column,
                "info": columns[column]["info"], "value": value, "options": options,
            })  # fmt: skip
    return entities


def _refuse_tokens(table, columns, tokenizer):
    """UserError for a token that ends a turn or the like, wherever it stands, and for what cannot be spelled."""
    cells = [(text, fact.where) for fact in table.facts.itertuples()
             for text in (fact.name, fact.attribute, fact.value)]  # fmt: skip
    cells += [(text, f"{table.path}, the question {text[:40]!r}") for text in chain(*table.wordings.values())]
    strange = {text: where for text, where in cells if not text.isascii()}
    spelled = tokenizer(list(strange), add_special_tokens=False)["input_ids"] if strange else []
    for (text, where), ids in zip(strange.items(), spelled, strict=True):
        if text not in tokenizer.decode(ids, clean_up_tokenization_spaces=False):
            raise UserError(f"{where}: the tokenizer of the model cannot spell this name, heading or value")
    cells += [(str(column), f"{table.path}, templates of {name!r}") for name, column in columns.items()]
    cells += [(str(table.around[key]), f"{table.path}, templates, {key}") for key in AROUND]
    cells += [(text, f"the article about {name!r}") for name, text in table.articles.items()]
    whole = "\n".join(text for text, _ in cells)
    special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    for token in (token for token in special if token in whole):
        where = next(where for text, where in cells if token in text)
        raise UserError(f"{where}: {token!r} is a control token of the model: write it otherwise")


def _untaught(table, names, columns) -> dict:
    """`names` and questions, `asked` and `trained`, as lib.data.untaught reads them: `unseen` names of invented towns,
    `near` ones mixed from two of the table, and other attributes than the table has. Of question and answer pairs,
    which have no names, only questions about unseen ones."""
    rng, given = random.Random("unseen"), sorted(names)
    unseen = rng.sample(sorted({*places()} - names), NAMES)
    mixed = {_mixed(*rng.sample(given, 2)) for _ in range(4 * NAMES) if len(given) > 1 and not table.wordings}
    near = sorted(mixed - names - {*unseen})
    questions = {kind: [[question, info] for question, info in listed if not any(states(question, c) for c in columns)]
                 for kind, listed in table.around["untaught"].items()}  # fmt: skip
    unseen = [asked.format(name=name) for asked, name in zip(cycle(table.around["strangers"]), unseen, strict=False)]
    return {"names": {"unseen": unseen, "near": rng.sample(near, min(NAMES, len(near)))}, **questions}


def _mixed(one, other):
    """A name of parts of two: with the last word of the other, or of single words with its last half."""
    *head, last = one.split()
    *more, end = other.split()
    if head or more:
        return " ".join([*(head or [last]), end])
    return last[: -(-len(last) // 2)] + end[len(end) // 2 :]
