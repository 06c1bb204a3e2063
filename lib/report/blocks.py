"""The project's own pages: written by hand, with blocks that are filled from the published results (`make pages`)."""

import json
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lib.data import general
from lib.paths import RESULTS, ROOT, UserError
from lib.report import advice, claims, pages, scores, tables
from lib.study import store

PAGES = (ROOT / "README.md", ROOT / "docs" / "findings.md")
PUBLISHED = "cpu"  # the study that they tell of
BLOCK = re.compile(r"(<!-- fill (\S+) -->\n)(.*?)(<!-- end -->)", re.S)


def project_pages() -> dict[Path, str]:
    """README.md and docs/findings.md with their blocks filled from the published results."""
    folder = RESULTS / PUBLISHED
    loaded = store.load(PUBLISHED)
    frames = scores.frames(scores.comparable(loaded))
    rows = json.loads((folder / "claims.json").read_text(encoding="utf-8"))
    formats, regime, walk = tables.formats(frames), tables.regime(frames), claims.walk(frames)
    practical = tables.formats(frames, ["main"], ["format"])
    base = practical["format"] == "none"
    practical = practical.assign(format=practical["format"].map(scores.SHORT))
    read = pages.reading(PUBLISHED, frames)
    blocks = {
        "advice": textwrap.fill(f"**{advice.recommend(loaded)[1]}**", 118),
        "practical": pages.markdown(practical[~base].rename(columns={"held-out question, 50%": "half known after"}), [
            "format", "info", "held-out question", "held-out completion", "half known after", "kept", "tokens a fact",
            "runs",
        ]),
        "claims": pages.markdown(tables.claims(rows), ["plain", "says", "here", "verdict"]),
        "walk": pages.markdown(walk.rename(columns={"shown": "share", "facts": "n"}), [
            "station", "share", "step", "n", "runs",
        ]),
        "costs": pages.markdown(formats[formats["info"] == "words"], pages.COSTS),
        "exposures": pages.markdown(formats[formats["format"] != "none"], [
            "format", "replay", "info", *(name for name in formats if name.endswith("%")),
        ]),
        "besides": pages.markdown(practical, ["format", "info", "reverse", "in context"]),
        "read": pages.markdown(read) if read is not None else "Nobody has read the answers of this study yet.",
        "tuned": pages.markdown(tables.tuned(scores.frames(store.load("tune"))), pages.TUNED, ".3g"),
        "unlike": f"Of the {len(general.unlike_replay())} questions that are unlike any of replay, the median model "
                  f"keeps {regime['kept_unlike']:.2f}.",
        "regime": pages.environment().from_string("{% include 'regime.j2' %}").render(regime=regime),
        **{claim: _contrasts([row for row in rows if row["claim"] == claim]) for claim in claims.CLAIMS},
    }  # fmt: skip
    return {path: fill_blocks(path.read_text(encoding="utf-8"), blocks) for path in PAGES}


def _contrasts(rows):
    """The contrasts of a claim that can be tested as a table, and how many cannot."""
    tested = [{"contrast": tables.named_in_full(row), "estimate": tables.estimate(row), "verdict": row["verdict"],
               "n": row["facts"], "runs": row["runs"]} for row in rows if row["verdict"] != "not testable"]  # fmt: skip
    table = pages.markdown(pd.DataFrame(tested)) if tested else ""
    left = len(rows) - len(tested)
    return "\n\n".join(filter(None, (table, f"Not testable: {left} of {len(rows)} contrasts." if left else "")))


def fill_blocks(text: str, blocks: Mapping[str, str]) -> str:
    """A page with what stands between each `<!-- fill NAME -->` and `<!-- end -->` replaced by that block. Raises
    UserError for a name that there is not."""
    if unknown := {name for _, name, _, _ in BLOCK.findall(text)} - set(blocks):
        raise UserError(f"no such block: {', '.join(sorted(unknown))}; there are {', '.join(blocks)}")
    return BLOCK.sub(lambda match: f"{match[1]}{blocks[match[2]].strip()}\n{match[4]}", text)
