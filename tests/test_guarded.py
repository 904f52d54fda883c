"""Nothing is moved to a device while a step is traced: the trainer forbids it. Each in a fresh process."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.daily import daily

ROOT = Path(__file__).parents[1]


def run(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr


@pytest.mark.parametrize("engines", daily(["blockwise", "blockwise reference"], ["blockwise"]))
def test_every_engine_mask_score_normaliser_and_member_traces_without_transfers(engines):
    run("tests.contracts.under_a_guard", *engines.split())


@pytest.mark.parametrize("arguments", daily(["2", "2 recall", "1 translation"], ["2 recall"]))
def test_every_experiment_trains_on_inputs_long_enough_for_blocks(arguments, tmp_path):
    """On two devices each, every day the smallest; on one the experiment that does most."""
    run("tests.long_inputs", str(tmp_path), *arguments.split())
