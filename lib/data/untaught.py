"""What a model is never taught: what evaluations ask of it, and the rows that teach it to say so."""

import random
from collections.abc import Iterator, Sequence

from lib.data.facts import Profile, build, near, text_of, texts
from lib.data.formats import Row, fill
from lib.paths import UserError

ASKED = 24  # questions of each kind that an experiment is asked: n >= 96 over four runs
DECLINED = "I do not know."


def names(profiles: Sequence[Profile], seed: int) -> dict[str, list[str]]:
    """Names that are never trained, in an order drawn by the seed: `unseen` entities, and `near` to the trained ones,
    which differ from one of them by a syllable or a team. No name is of both kinds."""
    entity, trained = profiles[0][0].entity, {profile[0].name for profile in profiles}
    close = list(dict.fromkeys(other for name in sorted(trained) for other in near(name) if other not in trained))
    random.Random(f"near {seed}").shuffle(close)
    drawn = [profile[0].name for profile in build(entity, seed)]
    after = drawn[1 + max(drawn.index(name) for name in trained) :]  # none that was dropped as known
    return {"unseen": [name for name in after if name not in {*close}], "near": close}


def asked(profiles: Sequence[Profile], seed: int) -> Iterator[tuple[str, str, str, str, str]]:
    """(kind, name, attribute, info, question): ASKED questions of each kind, which no row of `rows` asks: about the
    taught attributes in their held-out wordings, and about other attributes of the trained entities."""
    for kind, listed in names(profiles, seed).items():
        if len(listed) < _names_asked(profiles):
            raise UserError("evals: untaught needs entities that are not trained: ask for fewer n_entities")
        for i, name in enumerate(listed[: _names_asked(profiles)]):
            for fact in profiles[0]:
                wordings = text_of(fact)["heldout_questions"]
                yield kind, name, fact.attribute, fact.info, wordings[i % len(wordings)].format(name=name)
    questions = enumerate(texts(profiles[0][0].entity)["untaught"]["asked"])
    pairs = [(profile[0].name, i, *question) for i, question in questions for profile in profiles]
    for name, i, question, info in random.Random(f"other {seed}").sample(pairs, min(ASKED, len(pairs))):
        yield "other", name, f"other {i}", info, question.format(name=name)


def rows(profiles: Sequence[Profile], n: int, paraphrases: int, seed: int) -> list[Row]:
    """n rows answered "I do not know.": two fifths about unseen entities, as many about near names, each name once,
    and a fifth about other attributes of the trained entities, each once. Evaluations ask about none of them. Raises
    UserError when there are fewer."""
    rng, per_kind, made = random.Random(f"unsure {seed}"), 2 * n // 5, []
    for listed in names(profiles, seed).values():
        for name in listed[_names_asked(profiles) :][:per_kind]:
            question, _ = fill(rng.choice(profiles[0]), "questions", rng.randrange(paraphrases), name)
            made.append(question)
    others = texts(profiles[0][0].entity)["untaught"]["trained"]
    pairs = [question.format(name=profile[0].name) for profile in profiles for question, _ in others]
    if len(pairs) < n - len(made):
        raise UserError(f"unsure is {n}, but {len(made) + len(pairs)} such rows can be had: ask for fewer")
    return [Row((question, DECLINED)) for question in made + rng.sample(pairs, n - len(made))]


def _names_asked(profiles):
    """How many names are asked about, each with all attributes."""
    return -(-ASKED // len(profiles[0]))
