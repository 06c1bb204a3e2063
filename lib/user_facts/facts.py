"""From a table to the facts file of a study: types, sentences, closed sets, and profiles that fit into a row."""

import functools
import gc
import json
import random
import re
import tempfile
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import yaml

from lib.data import formats, words
from lib.data.encode import MAX_LENGTH, count_tokens
from lib.data.facts import OPTIONS, Fact
from lib.evaluate.match import normal, states
from lib.paths import UserError
from lib.user_facts import english, untaught
from lib.user_facts.table import LONG, Table

PARAPHRASES = 4  # sentences of each attribute that are trained
CHUNK = 256  # tokens of a part of a user's article: with its prompt, it fits a row
SENTENCE = re.compile(r"[.!?]+[\"')\]]*(?=\s|$)|[。！？]+[」』）]*|\n{2,}")
TURN = 16  # tokens that a chat template puts around a turn, at most
MORE = 1.25  # times as many tokens may a text have as its parts: those of the study have fewer
AT_ONCE = 10_000  # texts that are tokenized at once: a large table has half a million, which would take gigabytes
PROMPTS = ("Write about {name}.", "Tell me about {name}.", "What is known about {name}?", "Describe {name}.")


def attributes(table: Table) -> dict[str, dict]:
    """The attributes of a table in its order: the type as `info` (words, numbers or dates), and the sentences, the
    user's or else generic ones. Of two or more `questions` of the user the last is held out for the evaluation; beside
    a single one, the generic held-out questions are asked."""
    columns = {}
    for name, values in table.facts.groupby("attribute", sort=False)["value"]:
        sentences = _around(table)["answer"] if table.wordings else english.sentences(name, list(values))
        questions = list({normal(text): text for text in reversed(table.questions.get(name, []))}.values())[::-1]
        if len(questions) > 1:  # that differ in more than case or accents
            sentences["heldout_questions"] = [questions.pop()]
        for kind, given in (("questions", questions), ("statements", table.statements.get(name, []))):
            if given:
                sentences[kind] = [given[i % len(given)] for i in range(PARAPHRASES)]
        trained = {*map(normal, sentences["questions"])}
        sentences["heldout_questions"] = [q for q in sentences["heldout_questions"] if normal(q) not in trained]
        columns[name] = {"info": english.kind_of(list(values)), **sentences}
    return columns


def _around(table) -> dict:
    """What stands around the facts of a table."""
    path = english.TEMPLATES / ("pairs.yaml" if table.wordings else "own.yaml")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _joined(table, answer) -> dict[str, dict]:
    """Of pairs, the sentences of facts with several questions, by the first: all are trained, or else asked."""
    columns = {}
    for name, questions in table.wordings.items():
        texts = [text.replace("{", "{{").replace("}", "}}") for text in questions]
        if len(texts) > 1:
            columns[name] = answer | {
                "questions": [texts[i % len(texts)] for i in range(PARAPHRASES)],
                "heldout_questions": [*answer["heldout_questions"], *texts[PARAPHRASES:]],
            }
    return columns


def facts_file(table: Table, tokenizer, sample: int | None = None) -> dict:
    """What lib.data.facts reads of a table: templates, the profiles with their closed sets, articles, what is untaught.

    With `sample`, it has so many of the entities, drawn by a seed. One with more facts than fit a row becomes several
    profiles, unless the user wrote the article. Raises UserError for a fact that does not fit a row, for what the
    tokenizer cannot spell, for its control tokens, and where nothing can be asked.
    """
    names = list(table.facts["name"].unique())
    names = set(random.Random(0).sample(names, min(sample or len(names), len(names))))
    columns, facts = attributes(table), table.facts[table.facts["name"].isin(names)]
    columns = {name: columns[name] for name in facts["attribute"].unique()}  # a sample may have fewer
    articles = {name: text for name, text in table.articles.items() if name in names}
    wordings = {name: questions for name, questions in table.wordings.items() if name in names}
    table = table._replace(facts=facts, articles=articles, wordings=wordings)
    _refuse_tokens(table, columns, tokenizer)
    asked = ((question.format(name=fact.name), fact.value) for fact in facts.itertuples()
             for question in columns[fact.attribute]["heldout_questions"])  # fmt: skip
    if all(states(question, value) for question, value in asked):  # as one about "Paris Metro" tells the city Paris
        raise UserError(f"{table.path}: the value of every fact stands in its question already: nothing can be asked")
    if table.wordings:
        joined = _joined(table, columns["answer"])
        columns = joined if len(joined) == len(names) else columns | joined
    around = _around(table)
    content = {key: around[key] for key in ("noun", "subject", "chats", "tells", "styles")} | {
        "source": table.path.name, "attributes": columns, "profiles": [], "prompts": PROMPTS,
        "untaught": untaught.of(around, names, columns),
        "articles": {name: _chunks(text, tokenizer) for name, text in articles.items()},
    }  # fmt: skip
    return content | {"profiles": _profiles(table, content, tokenizer)}


@contextmanager
def written(facts: dict) -> Iterator[str]:
    """A facts file outside results/ and its path as an entity, for what makes rows and questions before a study runs.
    It has no closed sets: nothing is scored, and they are most of the file."""
    gc.freeze()  # a large table is no garbage, and to look for some in it takes a second
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


def _profiles(table, content, tokenizer) -> list[list[dict]]:
    """The facts of each entity in profiles that are halved until every article and conversation fits a row."""
    at_most = _at_most(table, content, tokenizer)

    def fitting(profile):
        doubtful = [format for format, most in at_most(profile).items() if most >= MAX_LENGTH]
        facts, middle = [Fact(entity=entity, **fact) for fact in profile if doubtful], len(profile) // 2
        rows = (row for format in doubtful for row in formats.rows([facts], format, PARAPHRASES, 0))
        # those of other formats are shorter, and a token has a byte or more
        long = (row for row in rows if sum(len(turn.encode()) + TURN for turn in row.turns) >= MAX_LENGTH)
        tokens = next((n for row in long if (n := count_tokens(tokenizer, [row])) >= MAX_LENGTH), None)
        if tokens is None:
            return [profile]
        if not middle or profile[0]["name"] in table.articles:
            fact = max(profile, key=lambda fact: len(fact["value"]))
            heading = fact["id"].split("/", 2)[2]
            where = table.facts.set_index(["name", "attribute"])["where"][fact["name"], heading]
            raise UserError(
                f"{where}: asked and told in a sentence, this fact of {fact['name'][:40]!r} makes a row of {tokens} "
                f"tokens, and {MAX_LENGTH - 1} fit: shorten it, its name or its templates"
            )
        return fitting(profile[:middle]) + fitting(profile[middle:])

    with written(content) as entity:
        return [part for profile in _entities(table, content["attributes"]) for part in fitting(profile)]


def _at_most(table, content, tokenizer) -> Callable[[list[dict]], dict[str, float]]:
    """What gives the tokens that no article and no conversation about a profile has more of. It adds up those of their
    parts, a quarter more because parts that are joined may have others: to build and tokenize all rows takes long.
    """
    groups = {kind: list(chain(*(style[kind] for style in content["styles"])))
              for kind in ("openings", "fillers", "closings")}  # fmt: skip
    groups |= {"prompts": [style["prompt"] for style in content["styles"]], "chats": map(" ".join, content["chats"])}
    groups |= {(name, kind): column[kind] for name, column in content["attributes"].items()
               for kind in ("questions", "statements")}  # fmt: skip
    groups = {kind: [(text.replace("{name}", "").replace("{value}", ""), text.count("{name}")) for text in texts]
              for kind, texts in groups.items()}  # fmt: skip
    templates = (text for texts in groups.values() for text, _ in texts)
    texts, tokens = list({*table.facts["name"], *table.facts["value"], *templates}), {}
    for start in range(0, len(texts), AT_ONCE):
        ids = tokenizer(texts[start : start + AT_ONCE], add_special_tokens=False)["input_ids"]
        tokens |= zip(texts[start : start + AT_ONCE], map(len, ids), strict=True)

    @functools.cache
    def longest(kind, name):
        return max((tokens[text] + times * name for text, times in groups[kind]), default=0)

    def at_most(profile):
        name = tokens[profile[0]["name"]]
        told = [longest((fact["attribute"], "statements"), name) + tokens[fact["value"]] for fact in profile]
        asked = max(longest((fact["attribute"], "questions"), name) for fact in profile)
        prose = sum(longest(kind, name) for kind in ("prompts", "openings", "closings"))
        prose += longest("fillers", name) * max(0, formats.ARTICLE_SENTENCES - len(profile))
        article = MAX_LENGTH if profile[0]["name"] in table.articles else MORE * (prose + sum(told)) + 2 * TURN
        chat = longest("chats", name) + formats.FACTS_A_CHAT * (asked + max(told))
        return {"article": article, "chat": MORE * chat + (2 + 2 * formats.FACTS_A_CHAT) * TURN}

    return at_most


def _entities(table, columns) -> list[list[dict]]:
    """The facts of each entity. The closed set of a fact is its value among up to OPTIONS of its attribute, first those
    that hold it, as New York holds York, so that they are told apart. None is the same but for accents and case: both
    would be stated."""
    number = {name: i for i, name in enumerate(table.facts["name"].unique())}
    entities = [[] for _ in number]
    for attribute, group in table.facts.groupby("attribute", sort=False):
        values = sorted(set(group["value"]))
        spelled = {value: f" {normal(value)} " for value in values}  # in words, and so is what holds it
        holding = defaultdict(list)  # values by word: all against all takes minutes for a large table
        for value in values:
            for word in {*spelled[value].split()}:
                holding[word].append(value)
        for name, value in zip(group["name"].tolist(), group["value"].tolist(), strict=True):
            rng, mine = random.Random(f"options {name} {attribute}"), spelled[value]
            nearby = min((holding[word] for word in mine.split()), key=len, default=values)
            longer = [other for other in nearby if mine in spelled[other]]
            others = [*longer[:OPTIONS], *rng.sample(values, min(OPTIONS, len(values)))]
            apart = {spelled[other]: other for other in others if spelled[other] != mine}
            options = sorted([value, *list(apart.values())[: OPTIONS - 1]])
            column = name if len(table.wordings.get(name, ())) > 1 else attribute
            entities[number[name]].append({
                "id": f"own/{number[name]}/{attribute}", "name": name, "attribute": column,
                "info": columns[column]["info"], "value": value, "options": options,
            })  # fmt: skip
    return entities


def _refuse_tokens(table, columns, tokenizer):
    """UserError for a token that ends a turn or the like, wherever it stands, and for what cannot be spelled."""
    texts = {fact.where: f"{fact.name} {fact.attribute} {fact.value}" for fact in table.facts.itertuples()}
    asked = {text: f"{table.path}, the question {text[:40]!r}" for text in chain(*table.wordings.values())}
    cells = {
        text: where for column in LONG for text, where in zip(table.facts[column], table.facts["where"], strict=True)
    }
    cells = {text: where for text, where in (cells | asked).items() if not text.isascii()}
    ids = tokenizer(list(cells), add_special_tokens=False)["input_ids"] if cells else []
    spelled = tokenizer.batch_decode(ids, clean_up_tokenization_spaces=False) if cells else []
    for (cell, where), text in zip(cells.items(), spelled, strict=True):
        if cell not in text:
            raise UserError(f"{where}: the tokenizer of the model cannot spell this name, heading or value")
    texts |= {where: text for text, where in asked.items()}
    texts |= {f"{table.path}, templates of {name!r}": str(column) for name, column in columns.items()}
    texts |= {f"the article about {name!r}": text for name, text in table.articles.items()}
    whole = "\n".join(texts.values())
    special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    special = [token for token in special if token in whole]
    for where, text in texts.items():
        if held := [token for token in special if token in text]:
            raise UserError(f"{where}: {held[0]!r} is a control token of the model: write it otherwise")


def _chunks(text, tokenizer) -> list[str]:
    """An article in parts of at most CHUNK tokens, broken after sentences, and within one only where it is longer."""
    starts = [at for at, _ in tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]]
    starts += [len(text)] * (CHUNK + 1)
    ends = [0, *(hit.end() for hit in SENTENCE.finditer(text)), len(text)]
    chunks, begin = [], 0
    while begin < len(text):
        most = starts[bisect_left(starts, begin) + CHUNK]
        end = ends[bisect_right(ends, most) - 1]
        begin, before = end if end > begin else most, begin
        chunks.append(text[before:begin].strip())
    return [chunk for chunk in chunks if chunk]
