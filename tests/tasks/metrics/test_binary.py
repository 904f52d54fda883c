"""Scores of probabilities by their definitions over pairs and thresholds."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from attnjax.tasks.metrics.binary import auroc, average_precision, binary_scores, calibration_error


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_their_definitions_with_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shares, right = rng.integers(0, 8, 40) / 8, rng.random(40) < 0.4
    pairs = [(p > n) + 0.5 * (p == n) for p in shares[right] for n in shares[~right]]
    assert auroc(shares, right) == pytest.approx(np.mean(pairs), abs=1e-12)
    statistic = mannwhitneyu(shares[right], shares[~right]).statistic
    assert auroc(shares, right) == pytest.approx(statistic / (right.sum() * (~right).sum()), abs=1e-12)
    area, before = 0.0, 0.0
    for threshold in sorted(set(shares), reverse=True):
        chosen = shares >= threshold
        recall = right[chosen].sum() / right.sum()
        area += (recall - before) * right[chosen].mean()
        before = recall
    assert average_precision(shares, right) == pytest.approx(area, abs=1e-12)
    found = binary_scores(shares, right)
    assert found["Brier"] == pytest.approx(np.mean((shares - right) ** 2))


def test_a_calibrated_forecast_has_no_calibration_error_and_others_their_distance() -> None:
    shares = np.repeat(np.arange(10) / 10, 100)
    right = np.tile(np.arange(100), 10) < 100 * shares
    assert calibration_error(shares, right) == pytest.approx(0, abs=1e-12)
    assert calibration_error(shares + 0.05, right) == pytest.approx(0.05)


def test_the_order_of_a_file_does_not_part_equal_probabilities() -> None:
    right = np.arange(40) < 10
    assert calibration_error(np.full(40, 0.25), right) == pytest.approx(0, abs=1e-12)
    assert calibration_error(np.full(40, 0.25), right[::-1]) == pytest.approx(0, abs=1e-12)


def test_one_label_alone_has_no_area() -> None:
    assert np.isnan(auroc(np.ones(2), np.ones(2, bool)))
    assert np.isnan(average_precision(np.ones(2), np.zeros(2, bool)))
