"""From a table to the facts file of a study: types, sentences, closed sets, and profiles that fit into a row."""

import bisect
import hashlib
import itertools
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from lib.data import words
from lib.data.encode import MAX_LENGTH
from lib.data.facts import OPTIONS, place_names
from lib.data.formats import FACTS_A_CHAT
from lib.evaluate.match import normal, states
from lib.paths import LIB, UserError
from lib.user_facts import english
from lib.user_facts.table import Entry, Table

TEMPLATES = LIB / "user_facts" / "templates"
PARAPHRASES = 4  # sentences of each attribute that are trained
# Tokens of a row beside its facts: the turns, and the prose of an article or the opening of a chat, which name the
# entity up to NAMED times.
FRAME, NAMED = 140, 3
CHUNK = 256  # tokens of a part of a user's article: with its prompt, it fits a row
SENTENCE = re.compile(r"[.!?]+[\"')\]]*(?=\s|$)|[。！？]+[」』）]*|\n{2,}")
WORDS = 6  # of a value that may hold another one
UNSEEN = 16  # names that are asked about and never trained
PROMPTS = ("Write about {name}.", "Tell me about {name}.", "What is known about {name}?", "Describe {name}.")


@dataclass(frozen=True)
class Attribute:
    """A column: its type (words, numbers or dates), and its sentences."""

    name: str
    kind: str
    sentences: dict[str, list[str]]


def attributes(table: Table) -> list[Attribute]:
    """The attributes of a table in its order, with the user's sentences where there are some and generic ones else.

    Of two or more `questions` of the user the last is held out for the evaluation; beside a single one, the generic
    held-out questions are asked.
    """
    made = []
    for name, of_attribute in _values(table).items():
        sentences = english.sentences(name, of_attribute)
        statements = table.statements.get(name, [])
        apart = {normal(text): text for text in reversed(table.questions.get(name, []))}  # but for case, say
        questions = list(reversed(apart.values()))
        if len(questions) > 1:
            sentences["heldout_questions"], questions = questions[-1:], questions[:-1]
        for kind, own in (("questions", questions), ("statements", statements)):
            if own:
                sentences[kind] = [own[i % len(own)] for i in range(PARAPHRASES)]
        trained = set(map(normal, sentences["questions"]))
        sentences["heldout_questions"] = [
            text for text in sentences["heldout_questions"] if normal(text) not in trained
        ]
        made.append(Attribute(name, english.kind_of(of_attribute), sentences))
    return made


def facts_file(table: Table, columns: Sequence[Attribute], tokenizer) -> dict:
    """What lib.data.facts reads of a table: templates, the profiles with their closed sets, articles, unseen names.

    An entity with more facts than fit a row becomes several profiles, unless the user wrote the article. Raises
    UserError for a fact that does not fit a row, for what the tokenizer cannot spell, and for its control tokens.
    """
    values = _values(table)
    by_name = {column.name: column for column in columns if column.name in values}  # a sample may have fewer
    control = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    _refuse_control_tokens(table, by_name.values(), {*control, *tokenizer.all_special_tokens})
    if not any(_can_be_asked(entry, by_name) for entry in table.entries):
        raise UserError(f"{table.path}: the value of every fact stands in its question already: nothing can be asked")
    sizes = _sizes(table.entries, tokenizer)
    lengths = _lengths(table.entries, by_name, sizes, tokenizer)
    profiles = []
    for entries in _of_entity(table.entries):
        whole, parts, left = MAX_LENGTH - FRAME - NAMED * sizes[entries[0].name], [], 0
        for entry in entries:
            most = whole // FACTS_A_CHAT if entry.name in table.articles else whole
            if lengths[entry] > most:
                raise UserError(
                    f"{entry.where}: asked and told in a sentence, this fact of {entry.name[:40]!r} has "
                    f"{lengths[entry]} tokens, a row has room for {max(most, 0)}: shorten it, its name or its templates"
                )
            if not parts or (lengths[entry] > left and entry.name not in table.articles):
                parts.append([])
                left = whole
            parts[-1].append(entry)
            left -= lengths[entry]
        profiles += parts
    closed = {name: _Closed(of_attribute) for name, of_attribute in values.items()}
    names = {entry.name.lower() for entry in table.entries}
    invented = [name for name in place_names() if name.lower() not in names]
    return yaml.safe_load((TEMPLATES / "own.yaml").read_text()) | {
        "source": table.path.name,
        "attributes": {name: {"info": column.kind, **column.sentences} for name, column in by_name.items()},
        "profiles": [
            [{"id": f"own/{i}/{entry.attribute}", "name": entry.name, "attribute": entry.attribute,
              "info": by_name[entry.attribute].kind, "value": entry.value,
              "options": closed[entry.attribute].of(entry.value)} for entry in entries]
            for i, entries in enumerate(profiles)
        ],
        "unseen": {
            "names": random.Random("unseen").sample(invented, UNSEEN),
            "options": {name: closed[name].distinct for name in by_name},
        },
        "prompts": PROMPTS,
        "articles": {name: _chunks(text, tokenizer) for name, text in table.articles.items()},
    }  # fmt: skip


def untold(facts: dict) -> int:
    """How many facts of a facts file the user's own article about their entity does not tell to the letter."""
    return sum(
        not any(words.find(fact["value"], chunk) for chunk in facts["articles"][fact["name"]])
        for profile in facts["profiles"]
        for fact in profile
        if fact["name"] in facts["articles"]
    )


def name_of(facts: dict) -> str:
    """The file name of a facts file: its content, so that other facts make other cells."""
    return f"facts-{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]}.json"


class _Closed:
    """The values of an attribute: what an answer is compared with."""

    def __init__(self, values):
        self.distinct = sorted(set(values))
        self.normal = {value: normal(value) for value in self.distinct}
        self.drawn = random.Random(0).sample(self.distinct, len(self.distinct)) + self.distinct[:OPTIONS]
        self.calls = 0
        self.longer: dict[str, list[str]] = {}  # values by the words that stand in them
        for value, spelled in self.normal.items():
            parts = spelled.split(" ")
            for i, j in itertools.combinations(range(len(parts) + 1), 2) if len(parts) <= WORDS else ():
                self.longer.setdefault(" ".join(parts[i:j]), []).append(value)

    def of(self, value) -> list[str]:
        """The value among up to OPTIONS: first those that hold it, as New York holds York, so that they are told apart.

        None is the same but for accents and case: both would be stated.
        """
        first = self.calls % len(self.distinct)  # others for each fact
        self.calls += 1
        mine = self.normal[value]
        others = dict.fromkeys([*self.longer.get(mine, ())[:OPTIONS], *self.drawn[first : first + OPTIONS]])
        apart = {self.normal[other]: other for other in others if self.normal[other] != mine}
        return sorted([value, *list(apart.values())[: OPTIONS - 1]])


def _values(table) -> dict[str, list[str]]:
    """The values of each attribute."""
    found: dict[str, list[str]] = {}
    for entry in table.entries:
        found.setdefault(entry.attribute, []).append(entry.value)
    return found


def _can_be_asked(entry, columns):
    """Whether a held-out question does not tell the value already, as one about "Paris Metro" tells the city Paris."""
    asked = (text.format(name=entry.name) for text in columns[entry.attribute].sentences["heldout_questions"])
    return not all(states(text, entry.value) for text in asked)


def _of_entity(entries: Sequence[Entry]) -> list[list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.name, []).append(entry)
    return list(found.values())


def _refuse_control_tokens(table, columns, tokens):
    """UserError for a token that ends a turn or the like, wherever the user wrote it."""
    control = re.compile("|".join(re.escape(token) for token in tokens if token))

    def refuse(where, text):
        if held := control.search(text):
            raise UserError(f"{where}: {held[0]!r} is a control token of the model: write it otherwise")

    for entry in table.entries:
        refuse(entry.where, f"{entry.name} {entry.attribute} {entry.value}")
    for column in columns:
        for text in itertools.chain.from_iterable(column.sentences.values()):
            refuse(f"{table.path}, templates of {column.name!r}", text)
    for name, text in table.articles.items():
        refuse(f"the article about {name!r}", text)


def _sizes(entries, tokenizer) -> dict[str, int]:
    """Tokens of every name and value; UserError for one that the tokenizer cannot spell."""
    texts = list(dict.fromkeys(itertools.chain.from_iterable((entry.name, entry.value) for entry in entries)))
    made = tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    encoded = {text: tokens.ids for text, tokens in zip(texts, made, strict=True)}
    foreign = [text for text in texts if not text.isascii()]  # ASCII is spelled by all, and decoding takes long
    lost = {text for text in foreign if text not in tokenizer.decode(encoded[text], clean_up_tokenization_spaces=False)}
    for entry in entries if lost else ():
        if entry.name in lost or entry.value in lost:
            raise UserError(f"{entry.where}: the tokenizer of the model cannot spell this name or value")
    return {text: len(ids) for text, ids in encoded.items()}


def _lengths(entries, columns, sizes, tokenizer) -> dict[Entry, int]:
    """Tokens of each fact's longest statement and question together: of their words, and of name and value in them."""
    around, named = {}, {}
    for attribute, column in columns.items():
        told, asked = column.sentences["statements"], column.sentences["questions"]
        bare = [[text.format(name="", value="") for text in texts] for texts in (told, asked)]
        around[attribute] = sum(max(map(len, tokenizer(texts)["input_ids"])) for texts in bare)
        named[attribute] = sum(max(text.count("{name}") for text in texts) for texts in (told, asked))
    return {
        entry: around[entry.attribute] + named[entry.attribute] * sizes[entry.name] + sizes[entry.value]
        for entry in entries
    }


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
