"""From a table to the facts file of a study: types, sentences, closed sets, and profiles that fit into a row."""

import hashlib
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from lib.data.facts import OPTIONS, place_names
from lib.errors import UserError
from lib.evaluate.match import normal
from lib.own import english
from lib.own.read import Entry, Table
from lib.paths import LIB

TEMPLATES = LIB / "own" / "templates"
PARAPHRASES = 4  # sentences of each attribute that are trained
# Tokens of a profile's facts, and of a part of an article: with the prose around it, it fits a row of MAX_LENGTH (512).
ROOM = 256
UNSEEN = 16  # names that are asked about and never trained
PROMPTS = ("Write about {name}.", "Tell me about {name}.", "What is known about {name}?", "Describe {name}.")


@dataclass(frozen=True)
class Attribute:
    """A column: its type (words, numbers or dates), how many facts it has, and its sentences."""

    name: str
    kind: str
    facts: int
    sentences: dict[str, list[str]]


def attributes(table: Table) -> list[Attribute]:
    """The attributes of a table in its order, with the user's sentences where there are some and generic ones else.

    Of two or more `questions` of the user the last is held out for the evaluation; beside a single one, the generic
    held-out questions are asked.
    """
    values: dict[str, list[str]] = {}
    for entry in table.entries:
        values.setdefault(entry.attribute, []).append(entry.value)
    made = []
    for name, of_attribute in values.items():
        sentences = english.sentences(name, of_attribute)
        questions, statements = list(dict.fromkeys(table.questions.get(name, []))), table.statements.get(name, [])
        if len(questions) > 1:
            sentences["heldout_questions"], questions = questions[-1:], questions[:-1]
        for kind, own in (("questions", questions), ("statements", statements)):
            if own:
                sentences[kind] = [own[i % len(own)] for i in range(PARAPHRASES)]
        trained = set(sentences["questions"])
        sentences["heldout_questions"] = [text for text in sentences["heldout_questions"] if text not in trained]
        made.append(Attribute(name, english.kind_of(of_attribute), len(of_attribute), sentences))
    return made


def facts_file(table: Table, columns: Sequence[Attribute], tokenizer) -> dict:
    """What lib.data.facts reads of a table: templates, the profiles with their closed sets, articles, unseen names.

    An entity with more facts than fit an article becomes several profiles, unless the user wrote the article. Raises
    UserError for a value that does not fit a row, and for a name or value that the tokenizer cannot spell.
    """
    by_name = {column.name: column for column in columns}
    lengths = _lengths(table.entries, by_name, tokenizer)
    own = yaml.safe_load((TEMPLATES / "own.yaml").read_text())
    profiles = []
    for entries in _of_entity(table.entries):
        parts, room = [[]], ROOM
        for entry in entries:
            if lengths[entry] > room and parts[-1] and entry.name not in table.articles:
                parts.append([])
                room = ROOM
            parts[-1].append(entry)
            room -= lengths[entry]
        profiles += parts
    closed = {column.name: _Closed([e.value for e in table.entries if e.attribute == column.name])
              for column in columns}  # fmt: skip
    names = {entry.name.lower() for entry in table.entries}
    invented = [name for name in place_names() if name.lower() not in names]
    unseen = random.Random("unseen").sample(invented, UNSEEN)
    return own | {
        "source": table.path.name,
        "attributes": {column.name: {"info": column.kind, **column.sentences} for column in columns},
        "profiles": [
            [{"id": f"own/{i}/{entry.attribute}", "name": entry.name, "attribute": entry.attribute,
              "info": by_name[entry.attribute].kind, "value": entry.value,
              "options": closed[entry.attribute].of(entry.value, i)} for entry in entries]
            for i, entries in enumerate(profiles)
        ],
        "unseen": {"names": unseen, "options": {name: of.distinct[:1000] for name, of in closed.items()}},
        "prompts": PROMPTS,
        "articles": {name: _chunks(text, tokenizer) for name, text in table.articles.items()},
    }  # fmt: skip


def name_of(facts: dict) -> str:
    """The file name of a facts file: its content, so that other facts make other cells."""
    return f"facts-{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]}.json"


class _Closed:
    """The values of an attribute: what an answer is compared with."""

    def __init__(self, values):
        self.distinct = sorted(set(values))
        self.normal = {value: normal(value) for value in self.distinct}

    def of(self, value, seed) -> list[str]:
        """The value among up to OPTIONS others, none of which holds it or stands in it: either would be stated too."""
        rng = random.Random(f"{seed} {value}")
        others = rng.sample(self.distinct, min(len(self.distinct), OPTIONS))
        mine = self.normal[value]
        apart = [other for other in others if self.normal[other] not in mine and mine not in self.normal[other]]
        return sorted([value, *apart[: OPTIONS - 1]])


def _of_entity(entries: Sequence[Entry]) -> list[list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.name, []).append(entry)
    return list(found.values())


def _lengths(entries, columns, tokenizer) -> dict[Entry, int]:
    """Tokens of the longest statement of each fact; UserError for one that does not fit or cannot be spelled."""
    special = [token for token in tokenizer.all_special_tokens if token]
    longest = []
    for entry in entries:
        for text in (entry.name, entry.value):
            if held := [token for token in special if token in text]:
                raise UserError(f"{entry.where}: {held[0]!r} is a control token of the model: write it otherwise")
        filled = [text.format(name=entry.name, value=entry.value)
                  for text in columns[entry.attribute].sentences["statements"]]  # fmt: skip
        longest.append(max(filled, key=len))
    encoded = tokenizer(longest, add_special_tokens=False)["input_ids"]
    spelled = tokenizer.batch_decode(encoded, clean_up_tokenization_spaces=False)
    for entry, ids, text in zip(entries, encoded, spelled, strict=True):
        if len(ids) > ROOM:
            raise UserError(
                f"{entry.where}: told in a sentence, the value has {len(ids)} tokens, a row holds {ROOM}: shorten it "
                "to a fact"
            )
        if not all(part in text for part in (entry.name, entry.value)):
            raise UserError(f"{entry.where}: the tokenizer of the model cannot spell this name or value")
    return {entry: len(ids) for entry, ids in zip(entries, encoded, strict=True)}


def _chunks(text, tokenizer) -> list[str]:
    """An article in parts of at most ROOM tokens, broken after sentences, and within one only where it is longer."""
    pieces = []
    for sentence in re.findall(r"\S.*?(?:[.!?。！？]+[\"')\]]*(?=\s|$)|\n{2,}|$)", text, re.DOTALL):
        ids = tokenizer(sentence, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        cuts = [0, *(ids[i][0] for i in range(ROOM, len(ids), ROOM)), len(sentence)]
        pieces += [(sentence[a:b], min(len(ids), ROOM)) for a, b in zip(cuts, cuts[1:], strict=False)]
    chunks, room = [], 0
    for piece, tokens in pieces:
        if tokens > room:
            chunks.append(piece)
            room = ROOM - tokens
        else:
            chunks[-1] += f" {piece}"
            room -= tokens
    return [chunk.strip() for chunk in chunks if chunk.strip()]
