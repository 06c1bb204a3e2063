"""What finetuning costs: general questions and the perplexity of an English text, asked of every model."""

import math

import yaml

from lib import asking, scoring
from lib.paths import DATA


def general() -> dict:
    """The fixed questions, as [question, accepted answers], and the text."""
    return yaml.safe_load((DATA / "general.yaml").read_text())


def ask(model, tokenizer) -> list[asking.Item]:
    """Answer the general questions. Any accepted answer counts, whatever else is said: strict is lenient here."""
    asked = general()["questions"]
    prompts = [asking.encode_turns(tokenizer, [question]) for question, _ in asked]
    items = []
    for (question, accepted), answer in zip(asked, asking.generate(model, tokenizer, prompts), strict=True):
        right = any(scoring.lenient(answer, option, (), given=question) for option in accepted)
        expected = " / ".join(accepted)
        items.append(asking.Item("forgetting", f"general/{question}", question, expected, answer, right, right, None))
    return items


def perplexity(model, tokenizer) -> float:
    """Perplexity of the fixed text: exp of the mean negative log-likelihood of its tokens but the first, in nats."""
    import torch

    ids = torch.tensor([tokenizer(general()["text"], add_special_tokens=False)["input_ids"]], device=model.device)
    with asking.inference():
        logprobs = model(input_ids=ids).logits[0, :-1].float().log_softmax(-1)
    return math.exp(-logprobs.gather(-1, ids[0, 1:].unsqueeze(-1)).mean().item())


def summarize(items: list[asking.Item], perplexity: float) -> dict:
    """The entry of `evals`. There is no closed set, so no choice and no chance."""
    right = sum(item.strict for item in items) / len(items)
    return {
        "n": len(items), "strict": right, "lenient": right, "choice": None, "chance": None, "constant": None,
        "perplexity": perplexity,
    }  # fmt: skip
