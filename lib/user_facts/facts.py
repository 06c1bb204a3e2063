"""From a table to the facts file of a study: types, sentences, closed sets, and profiles that fit into a row."""

import itertools
import json
import random
import re
import tempfile
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import yaml

from lib.data import formats, words
from lib.data.encode import MAX_LENGTH, count_tokens
from lib.data.facts import OPTIONS, build, places
from lib.evaluate.match import normal, states
from lib.paths import UserError
from lib.user_facts import english
from lib.user_facts.table import Table

PARAPHRASES = 4  # sentences of each attribute that are trained
A_TURN = 16  # tokens that a chat template puts around a turn, at most
CHUNK = 256  # tokens of a part of a user's article: with its prompt, it fits a row
SENTENCE = re.compile(r"[.!?]+[\"')\]]*(?=\s|$)|[。！？]+[」』）]*|\n{2,}")
WORDS = 6  # of a value that may hold another one
UNSEEN = 16  # names that are asked about and never trained
PROMPTS = ("Write about {name}.", "Tell me about {name}.", "What is known about {name}?", "Describe {name}.")


def attributes(table: Table) -> dict[str, dict]:
    """The attributes of a table in its order: the type as `info` (words, numbers or dates), and the sentences, the
    user's or else generic ones. Of two or more `questions` of the user the last is held out for the evaluation; beside
    a single one, the generic held-out questions are asked."""
    columns = {}
    for name, values in table.facts.groupby("attribute", sort=False)["value"]:
        sentences = english.sentences(name, list(values))
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


def facts_file(table: Table, columns: dict[str, dict], tokenizer) -> dict:
    """What lib.data.facts reads of a table: templates, the profiles with their closed sets, articles, unseen names.

    An entity with more facts than fit a row becomes several profiles, unless the user wrote the article. Raises
    UserError for a fact that does not fit a row, for what the tokenizer cannot spell, and for its control tokens.
    """
    values = {name: sorted(set(group)) for name, group in table.facts.groupby("attribute", sort=False)["value"]}
    columns = {name: columns[name] for name in columns if name in values}  # a sample may have fewer
    _refuse_tokens(table, columns, tokenizer)
    asked = [(question.format(name=fact.name), fact.value) for fact in table.facts.itertuples()
             for question in columns[fact.attribute]["heldout_questions"]]  # fmt: skip
    if all(states(question, value) for question, value in asked):  # as one about "Paris Metro" tells the city Paris
        raise UserError(f"{table.path}: the value of every fact stands in its question already: nothing can be asked")
    names = {name.lower() for name in table.facts["name"]}
    invented = random.Random("unseen").sample([name for name in places() if name.lower() not in names], UNSEEN)
    facts = yaml.safe_load((english.TEMPLATES / "own.yaml").read_text(encoding="utf-8")) | {
        "source": table.path.name,
        "attributes": columns,
        "profiles": [],
        "unseen": invented,
        "prompts": PROMPTS,
        "articles": {name: _chunks(text, tokenizer) for name, text in table.articles.items()},
    }
    return facts | {"profiles": _profiles(table, facts, tokenizer)}


@contextmanager
def written(facts: dict) -> Iterator[str]:
    """A facts file outside results/ and its path as an entity, for what reads facts before a study runs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "facts.json"
        path.write_text(json.dumps(facts))
        yield str(path)


def untold(facts: dict) -> int:
    """How many facts of a facts file the user's own article about their entity does not tell to the letter."""
    articles = facts["articles"]
    return sum(not any(words.find(fact["value"], chunk) for chunk in articles[fact["name"]])
               for profile in facts["profiles"] for fact in profile if fact["name"] in articles)  # fmt: skip


def _options(facts: pd.DataFrame) -> dict[str, list[str]]:
    """The closed set of each fact, by where it stands: its value among up to OPTIONS of its attribute, first those that
    hold it, as New York holds York, so that they are told apart. None is the same but for accents and case: both would
    be stated."""
    options = {}
    for _, group in facts.groupby("attribute"):
        values = sorted(set(group["value"]))
        spelled = {value: normal(value) for value in values}
        longer = {}  # values by the words that stand in them
        for value in values:
            parts = spelled[value].split(" ")
            for i, j in itertools.combinations(range(len(parts) + 1), 2) if len(parts) <= WORDS else ():
                longer.setdefault(" ".join(parts[i:j]), []).append(value)
        for fact in group.itertuples():
            rng, mine = random.Random(f"options {fact.name} {fact.attribute}"), spelled[fact.value]
            others = [*longer.get(mine, [])[:OPTIONS], *rng.sample(values, min(OPTIONS, len(values)))]
            apart = {spelled[other]: other for other in others if spelled[other] != mine}
            options[fact.where] = sorted([fact.value, *list(apart.values())[: OPTIONS - 1]])
    return options


def _profiles(table, facts, tokenizer) -> list[list[dict]]:
    """The facts of each entity in profiles that are halved until every article and conversation fits a row."""
    options, info = _options(table.facts), {name: column["info"] for name, column in facts["attributes"].items()}
    profiles = [list(group.itertuples()) for _, group in table.facts.groupby("name", sort=False)]
    while True:
        made = [[{"id": f"own/{i}/{fact.attribute}", "name": fact.name, "attribute": fact.attribute,
                  "info": info[fact.attribute], "value": fact.value, "options": options[fact.where]}
                 for fact in profile] for i, profile in enumerate(profiles)]  # fmt: skip
        with written(facts | {"profiles": made}) as entity:
            tokens = [_longest_row(profile, tokenizer) for profile in build(entity, 0)]
        if max(tokens) < MAX_LENGTH:
            return made
        for i in reversed([i for i, longest in enumerate(tokens) if longest >= MAX_LENGTH]):
            profile, middle = profiles[i], len(profiles[i]) // 2
            if not middle or profile[0].name in table.articles:
                fact = max(profile, key=lambda fact: len(fact.value))
                raise UserError(
                    f"{fact.where}: asked and told in a sentence, this fact of {fact.name[:40]!r} makes a row of "
                    f"{tokens[i]} tokens, and {MAX_LENGTH - 1} fit: shorten it, its name or its templates"
                )
            profiles[i : i + 1] = [profile[:middle], profile[middle:]]


def _longest_row(profile, tokenizer) -> int:
    """Tokens of the longest row about a profile. A question with its bare answer is shorter than a conversation."""
    rows = [row for format in ("article", "chat") for row in formats.rows([profile], format, PARAPHRASES, 0)]
    # a token has a byte or more, so most rows need not be counted
    long = [row for row in rows if sum(len(turn.encode()) + A_TURN for turn in row.turns) >= MAX_LENGTH]
    return max((count_tokens(tokenizer, [row]) for row in long), default=0)


def _refuse_tokens(table, columns, tokenizer):
    """UserError for a token that ends a turn or the like, wherever it stands, and for what cannot be spelled."""
    special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    control = re.compile("|".join(map(re.escape, special)))
    texts = {fact.where: f"{fact.name} {fact.attribute} {fact.value}" for fact in table.facts.itertuples()}
    for where, text in texts.items():
        ids = [] if text.isascii() else tokenizer(text, add_special_tokens=False)["input_ids"]
        if ids and text not in tokenizer.decode(ids, clean_up_tokenization_spaces=False):
            raise UserError(f"{where}: the tokenizer of the model cannot spell this name, heading or value")
    texts |= {f"{table.path}, templates of {name!r}": str(column) for name, column in columns.items()}
    texts |= {f"the article about {name!r}": text for name, text in table.articles.items()}
    for where, text in texts.items():
        if held := control.search(text):
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
