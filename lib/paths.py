"""Absolute paths, so that code and notebooks run from any directory (papermill changes it per process)."""

from pathlib import Path

import platformdirs

LIB = Path(__file__).resolve().parent
ROOT = LIB.parent
GRIDS = LIB / "grids"
TEMPLATES = LIB / "data" / "templates"
NOTEBOOKS = ROOT / "notebooks"
RESULTS = ROOT / "results"
CACHE = Path(platformdirs.user_cache_dir("style-to-facts"))
