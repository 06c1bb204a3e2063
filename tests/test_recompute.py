"""The published numbers, computed a second time without lib."""

import shutil
import subprocess
import sys

import pandas as pd
import pytest
from helpers import OF_THIS_CODE

from lib.paths import RESULTS


def recompute(script, study):
    return subprocess.run([sys.executable, script, study], capture_output=True, text=True)


@pytest.mark.parametrize("study", [name for name in OF_THIS_CODE if (RESULTS / name / "main.csv").exists()])
def test_the_tables_have_the_numbers_that_follow_from_the_result_files_alone(study):
    done = recompute(RESULTS / "recompute.py", study)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_number_that_does_not_follow_is_found(tmp_path):
    shutil.copy(RESULTS / "recompute.py", tmp_path)
    shutil.copytree(RESULTS / "quick", tmp_path / "quick", ignore=shutil.ignore_patterns("figures", "notebooks"))
    claims = pd.read_csv(tmp_path / "quick" / "claims.csv")
    claims.assign(estimate=claims["estimate"] + 0.02).to_csv(tmp_path / "quick" / "claims.csv")
    done = recompute(tmp_path / "recompute.py", "quick")
    assert done.returncode == 1 and "C1" in [line.split()[0] for line in done.stdout.splitlines() if "False" in line]
