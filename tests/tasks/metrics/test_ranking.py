"""Metrics of rankings against RecBole's definitions on whole rankings, with ties as the mean over orders."""

import itertools
import math

import numpy as np
import pytest

from attnjax.tasks.metrics.ranking import TargetPlaces, places_of, ranking_metrics


def literal(rankings: list[list[int]], targets: list[int], k: int = 10) -> dict[str, float]:
    """RecBole's hit, ndcg and mrr with one positive item (recbole/evaluator/metrics.py), user by user."""
    hits, gains, reciprocals = [], [], []
    for ranking, target in zip(rankings, targets, strict=True):
        positions = [i for i, item in enumerate(ranking) if item == target]
        hits.append(float(any(i < k for i in positions)))
        ideal = 1 / math.log2(2)
        gains.append(sum(1 / math.log2(i + 2) for i in positions if i < k) / ideal)
        reciprocals.append(max((1 / (i + 1) for i in positions), default=0.0))
    return {
        name: float(np.mean(x)) for name, x in (("HR@10", hits), ("NDCG@10", gains), ("MRR", reciprocals))
    }


def test_metrics_are_recboles_where_no_scores_tie() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(40, 30))
    targets = rng.integers(0, 30, 40)
    seen = [rng.choice(30, 5, replace=False) for _ in range(40)]
    rankings = [
        [i for i in np.argsort(-row).tolist() if i not in own] for row, own in zip(scores, seen, strict=True)
    ]
    places = places_of(scores, targets, seen)
    found = ranking_metrics(places, 30)
    for name, value in literal(rankings, targets.tolist()).items():
        assert found[name] == pytest.approx(value, abs=1e-4)
    below = [
        (len(r) - 1 - r.index(t)) / (len(r) - 1) if t in r else 0.0
        for r, t in zip(rankings, targets, strict=True)
    ]
    assert found["AUC"] == pytest.approx(np.mean(below), abs=1e-4)
    shown = {i for ranking in rankings for i in ranking[:10]}
    assert found["coverage@10"] == pytest.approx(len(shown) / 30, abs=1e-4)


def test_a_tie_is_the_mean_over_the_orders_of_those_that_tie() -> None:
    """13 items; the target ties with three others from place 9 on."""
    scores = np.concatenate([np.arange(20, 12, -1.0), [5, 5, 5, 5], [1]])[None]
    found = ranking_metrics(places_of(scores, np.array([10]), [np.array([], int)]), 13)
    orders = [[*range(8), *own, 12] for own in itertools.permutations(range(8, 12))]
    for name, value in literal(orders, [10] * len(orders)).items():
        assert found[name] == pytest.approx(value, abs=1e-4)


def test_equal_scores_are_worth_a_random_order_and_an_excluded_target_nothing() -> None:
    scores = np.zeros((2, 40))
    places = places_of(scores, np.array([3, 4]), [np.array([], int), np.array([4])])
    assert ranking_metrics(TargetPlaces(*(x[:1] for x in places)), 40)["HR@10"] == 0.25
    assert ranking_metrics(TargetPlaces(*(x[1:] for x in places)), 40)["MRR"] == 0
