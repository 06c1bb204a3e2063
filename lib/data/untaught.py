"""What a model is never taught: what evaluations ask of it, and the rows that teach it to say so."""

import random
from collections.abc import Sequence

from lib.cell import is_own
from lib.data.facts import Fact, Profile, build, facts_of, near, text_of, texts
from lib.data.formats import Row, fill
from lib.data.questions import Question
from lib.paths import UserError

ASKED = 24  # questions of each kind that an experiment is asked: n >= 96 over four runs
ATTRIBUTES = 6  # of a user's own table, that invented names are asked about; all that a kind of entity has
DECLINED = "I do not know."


def names(profiles: Sequence[Profile], seed: int) -> dict[str, list[str]]:
    """Names that are never trained, in an order drawn by the seed: `unseen` entities, and `near` to the trained ones,
    which differ from one of them by a syllable or a team. No name is of both kinds. The facts file of a user's own
    table lists both."""
    entity, trained = profiles[0][0].entity, _trained(profiles)
    if is_own(entity):
        return texts(entity)["untaught"]["names"]
    close = list(dict.fromkeys(other for name in sorted(trained) for other in near(name) if other not in trained))
    random.Random(f"near {seed}").shuffle(close)
    drawn = [profile[0].name for profile in build(entity, seed)]
    after = drawn[1 + max(drawn.index(name) for name in trained) :]  # none that was dropped as known
    return {"unseen": [name for name in after if name not in {*close}], "near": close}


def asked(profiles: Sequence[Profile], seed: int) -> list[Question]:
    """ASKED questions of each kind, which no row of `rows` asks: about the taught attributes of `unseen` and `near`
    names in their held-out wordings, and about `other` attributes of the trained entities. What does a model say?"""
    (facts, names_asked), entity, made = _asked(profiles), profiles[0][0].entity, []

    def ask(kind, name, attribute, info, question):
        fact = Fact(f"untaught/{name}/{attribute}", entity, name, attribute, info, "", ())
        made.append(Question("untaught", fact, question.format(name=name), kind=kind))

    for kind, listed in names(profiles, seed).items():
        if len(listed) < names_asked and not is_own(entity):
            raise UserError("evals: untaught needs entities that are not trained: ask for fewer n_entities")
        for i, name in enumerate(listed[:names_asked]):
            for fact in facts:
                wordings = _about(fact)
                ask(kind, name, fact.attribute, fact.info, wordings[i % len(wordings)])
    questions = enumerate(texts(entity)["untaught"]["asked"])
    pairs = [(name, f"other {i}", info, text) for i, (text, info) in questions for name in _trained(profiles)]
    for pair in random.Random(f"other {seed}").sample(pairs, min(ASKED, len(pairs))):
        ask("other", *pair)
    return made


def rows(profiles: Sequence[Profile], n: int, paraphrases: int, seed: int) -> list[Row]:
    """n rows answered "I do not know.": two fifths about near names and a fifth about other attributes of the trained
    entities, or as many as can be had, and the rest about unseen entities. Each name and each question stands once.
    Evaluations ask about none of them. Raises UserError when there are fewer."""
    (facts, names_asked), rng, made = _asked(profiles), random.Random(f"unsure {seed}"), []
    others = texts(profiles[0][0].entity)["untaught"]["trained"]
    pairs = [question.format(name=name) for name in _trained(profiles) for question, _ in others]
    left = {kind: listed[names_asked:] for kind, listed in names(profiles, seed).items()}
    near_names, asked = min(2 * n // 5, len(left["near"])), min(n - 2 * (2 * n // 5), len(pairs))
    if len(left["unseen"]) < (unseen := n - near_names - asked):
        can = len(left["unseen"]) + near_names + asked
        raise UserError(f"unsure is {n}, but {can} such rows can be had: ask for fewer")
    for name in [*left["unseen"][:unseen], *left["near"][:near_names]]:
        question, _ = fill(rng.choice(facts), "questions", rng.randrange(paraphrases), name)
        made.append(question)
    return [Row((question, DECLINED)) for question in made + rng.sample(pairs, asked)]


def _asked(profiles) -> tuple[list[Fact], int]:
    """A fact of each attribute that invented names are asked about, and how many names are, each with all of them."""
    # of question and answer pairs that have several questions each is an attribute, and all are asked alike
    facts = {tuple(_about(fact)): fact for fact in reversed(facts_of(profiles))}
    facts = [*facts.values()][::-1][:ATTRIBUTES]
    return facts, -(-ASKED // len(facts))


def _trained(profiles) -> dict[str, None]:
    """Each trained name once, in order: a wide entity of a user's has several profiles."""
    return dict.fromkeys(profile[0].name for profile in profiles)


def _about(fact):
    """The held-out questions of the attribute of a fact that name an entity."""
    return [text for text in text_of(fact)["heldout_questions"] if "{name}" in text]
