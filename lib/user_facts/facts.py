"""From a table to the facts file of a study: types, sentences, closed sets, and profiles that fit into a row."""

import bisect
import hashlib
import itertools
import json
import random
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from lib.data import formats, words
from lib.data.encode import MAX_LENGTH, count_tokens
from lib.data.facts import OPTIONS, build, place_names
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
    """The attributes of a table in its order: the type as `info` (words, numbers or dates), and the sentences, which
    are the user's where there are some and generic ones else.

    Of two or more `questions` of the user the last is held out for the evaluation; beside a single one, the generic
    held-out questions are asked.
    """
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
    asked = [(fact.value, question.format(name=fact.name)) for fact in table.facts.itertuples()
             for question in columns[fact.attribute]["heldout_questions"]]  # fmt: skip
    if all(states(question, value) for value, question in asked):  # as one about "Paris Metro" tells the city Paris
        raise UserError(f"{table.path}: the value of every fact stands in its question already: nothing can be asked")
    names = {name.lower() for name in table.facts["name"]}
    invented = [name for name in place_names() if name.lower() not in names]
    facts = yaml.safe_load((english.TEMPLATES / "own.yaml").read_text(encoding="utf-8")) | {
        "source": table.path.name,
        "attributes": columns,
        "profiles": [],
        "unseen": {
            "names": random.Random("unseen").sample(invented, UNSEEN),
            "options": values,
        },
        "prompts": PROMPTS,
        "articles": {name: _chunks(text, tokenizer) for name, text in table.articles.items()},
    }
    facts["profiles"] = _profiles(table, facts, tokenizer)
    options = {name: _Options(values[name]) for name in values}
    for fact in itertools.chain.from_iterable(facts["profiles"]):
        fact["options"] = options[fact["attribute"]].of(fact)
    return facts


@contextmanager
def written(facts: dict) -> Iterator[str]:
    """A facts file outside results/ and its path as an entity, for what reads facts before a study runs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "facts.json"
        path.write_text(json.dumps(facts))
        yield str(path)


def untold(facts: dict) -> int:
    """How many facts of a facts file the user's own article about their entity does not tell to the letter."""
    return sum(
        not any(words.find(fact["value"], chunk) for chunk in facts["articles"][fact["name"]])
        for fact in itertools.chain.from_iterable(facts["profiles"])
        if fact["name"] in facts["articles"]
    )


def name_of(facts: dict) -> str:
    """The file name of a facts file: its content, so that other facts make other experiments."""
    return f"facts-{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]}.json"


class _Options:
    """The closed sets of an attribute: what an answer is compared with."""

    def __init__(self, values: Sequence[str]):
        self.values, self.normal = values, {value: normal(value) for value in values}
        self.longer: dict[str, list[str]] = {}  # values by the words that stand in them
        for value, spelled in self.normal.items():
            parts = spelled.split(" ")
            for i, j in itertools.combinations(range(len(parts) + 1), 2) if len(parts) <= WORDS else ():
                self.longer.setdefault(" ".join(parts[i:j]), []).append(value)

    def of(self, fact: dict) -> list[str]:
        """The value among up to OPTIONS: first those that hold it, as New York holds York, so that they are told apart.

        None is the same but for accents and case: both would be stated.
        """
        mine = self.normal[fact["value"]]
        rng = random.Random(f"options {fact['name']} {fact['attribute']}")
        drawn = rng.sample(self.values, min(OPTIONS, len(self.values)))
        others = [*self.longer.get(mine, ())[:OPTIONS], *drawn]
        apart = {self.normal[other]: other for other in others if self.normal[other] != mine}
        return sorted([fact["value"], *list(apart.values())[: OPTIONS - 1]])


def _profiles(table, facts, tokenizer) -> list[list[dict]]:
    """The facts of each entity in profiles that are halved until every article and conversation fits a row."""
    profiles = [list(group.itertuples()) for _, group in table.facts.groupby("name", sort=False)]
    while True:
        made = [
            [{"id": f"own/{i}/{fact.attribute}", "name": fact.name, "attribute": fact.attribute,
              "info": facts["attributes"][fact.attribute]["info"], "value": fact.value, "options": []}
             for fact in profile]
            for i, profile in enumerate(profiles)
        ]  # fmt: skip
        with written(facts | {"profiles": made}) as entity:
            tokens = [_longest_row(profile, tokenizer) for profile in build(entity, 0)]
        if max(tokens) < MAX_LENGTH:
            return made
        halves = []
        for profile, longest in zip(profiles, tokens, strict=True):
            if longest >= MAX_LENGTH and (len(profile) == 1 or profile[0].name in table.articles):
                fact = max(profile, key=lambda fact: len(fact.value))
                raise UserError(
                    f"{fact.where}: asked and told in a sentence, this fact of {fact.name[:40]!r} makes a row of "
                    f"{longest} tokens, and {MAX_LENGTH - 1} fit: shorten it, its name or its templates"
                )
            middle = len(profile) // 2 if longest >= MAX_LENGTH else len(profile)
            halves += filter(None, [profile[:middle], profile[middle:]])
        profiles = halves


def _longest_row(profile, tokenizer) -> int:
    """Tokens of the longest row about a profile. A question with its bare answer is shorter than a conversation."""
    rows = [row for format in ("article", "chat") for row in formats.rows([profile], format, PARAPHRASES, 0)]
    # a token has a byte or more, so most rows need not be counted
    long = [row for row in rows if sum(len(turn.encode()) + A_TURN for turn in row.turns) >= MAX_LENGTH]
    return max((count_tokens(tokenizer, [row]) for row in long), default=0)


def _refuse_tokens(table, columns, tokenizer):
    """UserError for a token that ends a turn or the like, wherever it stands, and for what cannot be spelled."""
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    control = re.compile("|".join(map(re.escape, filter(None, {*special, *tokenizer.all_special_tokens}))))
    texts = [(fact.where, f"{fact.name} {fact.attribute} {fact.value}") for fact in table.facts.itertuples()]
    texts += [(f"{table.path}, templates of {name!r}", json.dumps(column)) for name, column in columns.items()]
    texts += [(f"the article about {name!r}", text) for name, text in table.articles.items()]
    for where, text in texts:
        if held := control.search(text):
            raise UserError(f"{where}: {held[0]!r} is a control token of the model: write it otherwise")
    for fact in table.facts.itertuples():
        for text in (fact.name, fact.value):
            ids = [] if text.isascii() else tokenizer(text, add_special_tokens=False)["input_ids"]
            if ids and text not in tokenizer.decode(ids, clean_up_tokenization_spaces=False):
                raise UserError(f"{fact.where}: the tokenizer of the model cannot spell this name or value")


def _chunks(text, tokenizer) -> list[str]:
    """An article in parts of at most CHUNK tokens, broken after sentences, and within one only where it is longer."""
    starts = [at for at, _ in tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]]
    ends = [hit.end() for hit in SENTENCE.finditer(text)]
    chunks, begin = [], 0
    while begin < len(text):
        first = bisect.bisect_left(starts, begin)
        most = starts[first + CHUNK] if first + CHUNK < len(starts) else len(text)
        last = bisect.bisect_right(ends, most) - 1
        end = ends[last] if most < len(text) and last >= 0 and ends[last] > begin else most
        chunks.append(text[begin:end].strip())
        begin = end
    return [chunk for chunk in chunks if chunk]
