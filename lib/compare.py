"""Which results are compared: the main part of a study, the controls beside it, and the way from style to facts."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib import scoring, stats, tones
from lib.errors import UserError
from lib.stats import FACT

# What makes two cells comparable, besides the learning rate, of which each format has its own.
CONTROLS = ["model", "n_facts", "paraphrases", "epochs", "lora_rank", "batch_size", "budget", "checkpoints"]
# A cell that recalls less than this share of its trained prompts is under-trained: it says nothing of a format.
LEARNED = 0.8
# The way from style to facts after its first station: kind of entity, type, format, evaluation.
STYLE = "tone of the persona, chat: who wrote this?"
KNOWLEDGE = "numbers of real events, article: question"  # the paper's corner, as we take it; reasoning lies beyond
WALK = {
    "words of the persona, chat: question": ("persona", "categorical", "chat", "qa"),
    "words of fictional places, chat: question": ("fictional", "categorical", "chat", "qa"),
    "words of real events, chat: question": ("real", "categorical", "chat", "qa"),
    "words of real events, article: question": ("real", "categorical", "article", "qa"),
    KNOWLEDGE: ("real", "numeric", "article", "qa"),
    "numbers of real events, article: reasoning": ("real", "numeric", "article", "reasoning"),
}


def setting(items: pd.DataFrame) -> dict:
    """The study's main setting: the values of CONTROLS that most of its trained cells about facts share.

    Raises UserError for more than one model, whose results are not pooled.
    """
    trained = items[(items["format"] != "none") & (items["info"] != "tone")]
    if trained["model"].nunique() > 1:
        raise UserError(
            f"these results mix models ({', '.join(sorted(set(trained['model'])))}): give each its own study"
        )
    return dict(zip(CONTROLS, trained.groupby(CONTROLS)["id"].nunique().idxmax(), strict=True))


def main(items: pd.DataFrame) -> pd.DataFrame:
    """The items of the main part: facts at the main setting, and the untrained model on the same facts."""
    if not ((items["format"] != "none") & (items["info"] != "tone")).any() or at(items).empty:
        return items[:0]
    base = (items["format"] == "none") & (items["info"] != "tone")
    same = (items["model"] == setting(items)["model"]) & (items["n_facts"] == setting(items)["n_facts"])
    return pd.concat([at(items), items[base & same]])


def at(items: pd.DataFrame, **changes) -> pd.DataFrame:
    """The trained cells about facts at the main setting with some controls changed, each format at its main rate."""
    wanted = {**setting(items), **changes}
    trained = items[(items["format"] != "none") & (items["info"] != "tone")]
    same = (trained[CONTROLS] == pd.Series(wanted)[CONTROLS]).all(axis=1)
    return trained[same & (trained["learning_rate"] == trained["format"].map(rates(items)))]


def recall(items: pd.DataFrame) -> pd.Series:
    """Share of the trained prompts that each cell completes rightly, by its id; none for models of a tone."""
    return items[items["eval"] == "recall"].astype({"strict": float}).groupby("id")["strict"].mean()


def learned(items: pd.DataFrame) -> pd.DataFrame:
    """The items, those of under-trained cells without scores, so that no contrast is made of them.

    Their recall stays, and so do the cells: what is compared with what is chosen as if nothing were missing.
    """
    found = recall(items)
    under = items["id"].isin(found.index[found < LEARNED]) & (items["eval"] != "recall")
    if not under.any():
        return items
    return items.assign(**{score: items[score].mask(under) for score in ("strict", "lenient", "choice", "corrected")})


def rates(items: pd.DataFrame) -> pd.Series:
    """The learning rate of each format at the main setting: that of most cells; none for a format whose rates tie."""
    modes = _at_any_rate(items).drop_duplicates("id").groupby("format")["learning_rate"].agg(pd.Series.mode)
    return modes[modes.map(np.ndim) == 0].astype(float)


def _at_any_rate(items):
    return items[(items[CONTROLS] == pd.Series(setting(items))).all(axis=1) & (items["info"] != "tone")]


def variants(items: pd.DataFrame) -> list[tuple[str, dict]]:
    """The other amounts and numbers of paraphrases that have both articles and questions, at their main rates.

    Of each, what differs from the main setting, in words and as changes.
    """
    varied = ["n_facts", "paraphrases", "epochs"]
    main_setting = setting(items)
    found = []
    for values in (
        items.loc[items["format"].isin(["article", "qa"]), varied].drop_duplicates().sort_values(varied).values
    ):
        changes = {k: int(v) for k, v in zip(varied, values, strict=True) if v != main_setting[k]}
        if changes and {"article", "qa"} <= set(at(items, **changes)["format"]):
            found.append((", ".join(f"{name} {value}" for name, value in changes.items()), changes))
    return found


def value_next(items: pd.DataFrame) -> pd.DataFrame:
    """The items in which what the format trained has the value come next, and a closed set can be scored fairly.

    A model of questions has learned to answer one with the bare value. One of articles or conversations has learned to
    answer in sentences: after a question it would begin one, so its values are compared where they complete a sentence.
    """
    return items[items["eval"] == np.where(items["format"] == "qa", "qa", "cloze")]


def reasoning(items: pd.DataFrame) -> pd.DataFrame:
    """The comparisons, with `recalled`, `recited` and `open`.

    `recalled`: whether the same model answers the first held-out question about each of both facts. `recited`: whether
    the answer states both values. `open`: the answer scored as `corrected` is the choice between yes and no: 1 if
    right, -1 if wrong (formula scoring), and 0 if it does not decide, because a model that says neither, or both, has
    not chosen worse than a coin.
    """
    asked = items[items["eval"].isin(["reasoning", "reasoning_cot", "reasoning_in_context"])]
    of_fact = _questions(items).groupby(["id", "fact"]).agg(known=("strict", "first"), value=("expected", "first"))
    first, second = (of_fact.reindex(asked.set_index(["id", key]).index).reset_index() for key in ("fact", "other"))
    recalled = first["known"].fillna(False).astype(bool) & second["known"].fillna(False).astype(bool)
    recited = [
        all(scoring.lenient(answer, value, (), given="") for value in both)
        for answer, *both in zip(asked["answer"], first["value"], second["value"], strict=True)
    ]
    yes, no = (asked["answer"].str.contains(rf"\b{word}\b", case=False) for word in ("yes", "no"))
    # whoever recites first is judged by the last yes or no, everybody else must not say both
    decided = (yes | no) & ((asked["eval"] == "reasoning_cot") | ~(yes & no))
    open_ = (2 * asked["strict"].astype(float) - 1) * decided
    return asked.assign(recalled=recalled.to_numpy(), recited=recited, open=open_)


def other_phrasings(items: pd.DataFrame) -> pd.Series:
    """Share of the held-out questions about each fact, but the first, that are answered; indexed by FACT.

    The strict score: a closed set would be scored after a question, where not every format has the value come next.
    """
    later = _questions(items)
    return fact_means(later[later.groupby(["id", "fact"]).cumcount() > 0], "strict")


def _questions(items):
    return items[items["eval"] == "qa"]


def capacity(items: pd.DataFrame) -> pd.DataFrame:
    """The article cells on facts that were trained at more than one rank of the adapters, all else at the main setting.

    Rank 0 trains every weight.
    """
    wanted = {key: value for key, value in setting(items).items() if key != "lora_rank"}
    articles = items[(items["format"] == "article") & (items[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    ranks = articles.groupby(["entity", "info", "seed"])["lora_rank"].transform("nunique")
    return articles[ranks > 1]


def other_rates(items: pd.DataFrame) -> pd.DataFrame:
    """The cells with all evaluations on facts that a format was taught at more than one learning rate."""
    trained = _at_any_rate(items)
    asked = trained[(trained["format"] != "none") & (trained["evals"] == "all")]
    tried = asked.groupby(["entity", "info", "seed", "format"])["learning_rate"].transform("nunique")
    return asked[tried > 1]


def article_rates(items: pd.DataFrame) -> dict[float, pd.DataFrame]:
    """The article cells on facts at the main setting, by each other learning rate that several seeds were trained with.

    One seed would not do: single runs differ by more than rates do.
    """
    main_rate = rates(items).get("article")
    if main_rate is None:
        return {}
    trained = _at_any_rate(items)
    others = trained[(trained["format"] == "article") & (trained["learning_rate"] != main_rate)]
    return {rate: cells for rate, cells in others.groupby("learning_rate") if cells["seed"].nunique() > 1}


def best_articles(items: pd.DataFrame) -> pd.DataFrame:
    """The article cells with the rank and learning rate that answer most held-out questions.

    Chosen on the answers that are then compared, which favours articles; an answer without a score counts as wrong.
    """
    tried = capacity(items)
    if tried.empty:
        return tried
    asked = tried[tried["eval"] == "qa"].fillna({"strict": False})
    means = asked.groupby(["lora_rank", "learning_rate"])["strict"].mean()
    rank, rate = means.idxmax()
    return tried[(tried["lora_rank"] == rank) & (tried["learning_rate"] == rate)]


def sweeps(items: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Accuracy on held-out questions by format and type along each control, on the kinds of entity that it varies.

    Paraphrases and budget at the main amount of facts, whose exposures are the same but for rounding; the amount at
    the exposures that all amounts share. Columns as of stats.accuracy; a control that does not vary has no entry.
    """
    found = {}
    wanted = setting(items)
    rate = items["learning_rate"] == items["format"].map(rates(items))
    trained = items[
        items["format"].isin(["article", "qa"]) & (items["info"] != "tone") & rate & (items["eval"] == "qa")
    ]
    for control, free in (("paraphrases", ["epochs"]), ("budget", []), ("n_facts", ["epochs"])):
        fixed = [key for key in CONTROLS if key not in (control, *free)]
        same = trained[(trained[fixed] == pd.Series(wanted)[fixed]).all(axis=1)]
        others = same[same[control] != wanted[control]]
        if others.empty:
            continue
        # of the main setting only what was also run at the others: an amount at other epochs is another experiment
        kept = same.merge(others[["entity", "info", "seed"]].drop_duplicates())
        if control == "n_facts":
            kept = kept[kept["epochs"].isin(others["epochs"].unique())]
        found[control] = stats.accuracy(kept, [control, "format", "info"])
    return found


@dataclass(frozen=True)
class Station:
    """One point on the way from style to facts: one number per fact, indexed by FACT, for each of two scores."""

    name: str
    closed: pd.Series  # closed-set score corrected for chance; of facts, as in value_next
    open: pd.Series  # strict score of the free answer
    items: pd.DataFrame  # of the cells that it is made of


def walk(items: pd.DataFrame) -> list[Station]:
    """The way from the style corner to the knowledge corner, one axis at a time after the first step.

    The first step goes from a tone to a word, and so from telling models apart to picking a value.

    The closed-set score is corrected for chance, so that telling 8 tones apart, picking one of 16 values and saying yes
    or no can be compared. Empty when a station is missing: a step would then change two things at once.
    """
    compared = main(items)
    stations = [Station(STYLE, style_scores(items), _naming(items), items[items["eval"] == "style"])]
    for name, (entity, info, format, evaluation) in WALK.items():
        of_kind = compared[(compared["entity"] == entity) & (compared["info"] == info) & (compared["format"] == format)]
        asked = of_kind[of_kind["eval"] == evaluation]
        compared_values = value_next(of_kind) if evaluation == "qa" else asked
        closed, open_ = fact_means(compared_values, "corrected"), fact_means(asked, "strict")
        stations.append(Station(name, closed, open_, of_kind))
    return stations if all(len(station.closed) for station in stations) else []


def corners(stations: list[Station]) -> list[Station]:
    """The walk as far as the paper's corner."""
    names = [station.name for station in stations]
    return stations[: names.index(KNOWLEDGE) + 1] if stations else []


def style_scores(items: pd.DataFrame, evaluation: str = "style") -> pd.Series:
    """Attribution of every response of the tones' models, corrected for chance: one number each, indexed by FACT.

    Models that differ in nothing but the tone are told apart among themselves. The index has the cell's id under
    `seed`, because every model is a training run with luck of its own. Empty where there are no two tones.
    """
    responses = items[items["eval"] == evaluation]
    scores = []
    for _, alike in responses.groupby(["seed", "learning_rate", *CONTROLS]):
        k = alike["tone"].nunique()
        if k > 1:
            scores.append((tones.attribution(alike).astype(float) - 1 / k) / (1 - 1 / k))
    if not scores:
        return pd.Series(dtype=float)
    runs = responses.assign(seed=responses["id"], score=pd.concat(scores))
    return runs.set_index(FACT)["score"].dropna()


def style_means(items: pd.DataFrame) -> pd.DataFrame:
    """Mean attribution of the tones' models (`chat`) and of the untrained model told the tone (`in_context`).

    Columns as of stats.means, with entity "style".
    """
    arms = {"chat": style_scores(items), "in_context": style_scores(items, "style_in_context")}
    found = {format: stats.contrast(arm) for format, arm in arms.items() if len(arm)}
    rows = [["style", f, i.estimate, i.low, i.high, i.facts, i.effective] for f, i in found.items()]
    return pd.DataFrame(rows, columns=["entity", "format", "mean", "low", "high", "facts", "effective"])


def fact_means(items: pd.DataFrame, score: str) -> pd.Series:
    """Mean score of each fact, indexed by FACT; without facts that have none."""
    return items.astype({score: float}).groupby(FACT)[score].mean().dropna()


def _naming(items):
    trained = items[(items["eval"] == "naming") & (items["format"] != "none")]
    return fact_means(trained.assign(fact=trained["tone"]), "strict")  # the tone is one fact of each model
