"""Absolute paths, so that code and notebooks run from any directory, and the one exception that a user sees."""

from pathlib import Path

import platformdirs

LIB = Path(__file__).resolve().parent
ROOT = LIB.parent
GRIDS = LIB / "grids"
TEMPLATES = LIB / "data" / "templates"
NOTEBOOKS = ROOT / "notebooks"
RESULTS = ROOT / "results"
CACHE = Path(platformdirs.user_cache_dir("style-to-facts"))


class UserError(Exception):
    """A mistake the user can mend. Its message names what, where and what to do; it is shown without a traceback."""
