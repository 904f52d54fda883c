"""The metrics file: no row twice, none missing, no torn line."""

import json
from pathlib import Path

import numpy as np

from attnjax.train.metrics import MetricsFile, train_row


def _written(path: Path, steps: list[int]) -> MetricsFile:
    file = MetricsFile(path)
    for step in steps:
        file.append({"step": step, "loss": step / 3})
    return file


def _steps(path: Path) -> list[int]:
    """Of the finished rows."""
    with path.open("rb") as lines:
        return [json.loads(line)["step"] for line in lines if line.endswith(b"\n")]


def test_rows_after_the_step_are_cut_and_those_at_it_stay(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    _written(path, [1, 2, 2, 3]).cut_back(2)
    assert _steps(path) == [1, 2, 2]


def test_a_torn_last_line_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    file = _written(path, [1, 2])
    whole = path.read_bytes()
    for length in range(len(whole) - 1, len(whole) // 2, -1):
        path.write_bytes(whole[:length])
        assert _steps(path) == [1]
        file.cut_back(2)
        file.append({"step": 2, "loss": 2 / 3})
        assert path.read_bytes() == whole


def test_cutting_before_the_first_row_or_without_a_file_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    MetricsFile(path).cut_back(0)
    assert not path.exists()
    _written(path, [1]).cut_back(0)
    assert path.read_bytes() == b""


def test_a_row_averages_by_weight_and_sums_the_tokens() -> None:
    metrics = {
        "loss": np.array([1.0, 4.0], np.float32),
        "weight": np.array([30.0, 10.0], np.float32),
        "grad_norm": np.array([5.0, 6.0], np.float32),
        "learning_rate": np.array([0.1, 0.5], np.float32),
    }
    row = train_row(8, metrics)
    assert row == {
        "step": 8,
        "split": "train",
        "loss": 1.75,
        "grad_norm": 6.0,
        "learning_rate": 0.5,
        "weight": 40.0,
    }
    assert json.loads(json.dumps(row)) == row


def test_reading_metrics_passes_over_a_line_that_is_being_written(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1}\n{"st')
    assert MetricsFile(file).rows() == [{"step": 1}]
