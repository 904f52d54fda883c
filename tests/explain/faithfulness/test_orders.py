"""Metrics of orders by their formulas, literally, on a bag of tokens whose best order is known."""

import itertools
import math
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom

from attnjax.config import InputError
from attnjax.explain.faithfulness import METRICS, extreme_ranks, faithfulness, removed_values
from attnjax.explain.faithfulness.metrics import OF_CURVES, sign_test
from attnjax.explain.faithfulness.orders import ranks_of
from tests.explain.faithfulness.bag import Bag, bag, number

TOKENS = [[1, 2, 3, 4, 5, 6], [3, 5, 1, 2, 0, 0]]
LENGTHS = [6, 4]
WEIGHTS = [9.0, 0.5, -1.0, 2.0, 0.25, -0.5, 1.0]
SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)


@pytest.fixture(scope="module")
def linear() -> Bag:
    return bag(TOKENS, LENGTHS, WEIGHTS)


@pytest.fixture(scope="module")
def pairs() -> Bag:
    """Tokens that matter together: no order of single tokens is the best one."""
    rng = np.random.default_rng(3)
    return bag(TOKENS, LENGTHS, rng.normal(size=7), rng.normal(size=(7, 7)))


@pytest.fixture(scope="module")
def scores() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, 6))


def literal(question: Bag, row: int, order: list[int]) -> dict[str, float]:
    """The definitions, of one input and one order of its places."""
    n, every = len(order), set(order)
    f = number(question, row, every)
    without = [number(question, row, every - set(order[:k])) for k in range(n + 1)]
    only = [number(question, row, order[:k]) for k in range(n + 1)]
    first = [math.ceil(share * n) for share in SHARES]
    return {
        "comprehensiveness": sum(f - without[k] for k in first) / 5,
        "sufficiency": sum(f - only[k] for k in first) / 5,
        "deletion_auc": sum((a + b) / 2 for a, b in itertools.pairwise(without)) / n,
        "insertion_auc": sum((a + b) / 2 for a, b in itertools.pairwise(only)) / n,
        "aopc": sum(f - without[k] for k in range(1, n + 1)) / n,
    }


def test_every_metric_is_its_formula(pairs: Bag, scores: np.ndarray) -> None:
    found = faithfulness(pairs, {"mine": lambda asked: of(asked, scores)}, orders=2)
    for row, count in enumerate(LENGTHS):
        order = sorted(range(count), key=lambda i: -scores[row, i])
        expected = literal(pairs, row, order)
        for name, value in expected.items():
            assert found.values["mine"][name][row] == pytest.approx(value, abs=1e-4), name
        # Each formula tells this order from its reverse, and a wrong share from the right one.
        other = literal(pairs, row, order[::-1])
        assert all(abs(other[name] - value) > 1e-2 for name, value in expected.items())


def of(question: Bag, scores: np.ndarray):
    from attnjax.explain import Attribution

    return Attribution(jnp.asarray(scores), question.present, "mine")


def test_naopc_is_between_the_worst_and_best_of_all_orders(pairs: Bag, scores: np.ndarray) -> None:
    """Exact by subsets; a wide beam finds the same, and none is better than the best."""
    counted = np.asarray(pairs.present)
    exact = extreme_ranks(pairs, counted)
    beam = extreme_ranks(pairs, counted, exact=0, beam=24)
    found = faithfulness(pairs, {"mine": lambda asked: of(asked, scores)}, ("aopc", "naopc"), orders=3)
    for row, count in enumerate(LENGTHS):
        every = [literal(pairs, row, list(order))["aopc"] for order in itertools.permutations(range(count))]
        ends = max(every), min(every)
        for ranks in (exact, beam):
            orders = [np.argsort(side[row])[:count].tolist() for side in ranks]
            own = [literal(pairs, row, order)["aopc"] for order in orders]
            assert own == pytest.approx(ends, abs=1e-4)
        mine = found.values["mine"]["aopc"][row]
        expected = (mine - ends[1]) / (ends[0] - ends[1])
        assert found.values["mine"]["naopc"][row] == pytest.approx(expected, abs=1e-4)
    assert np.all(exact[:, 1, 4:] == 6)
    assert found.table["best order"]["naopc"] == 1


def test_a_narrow_beam_is_greedy(pairs: Bag) -> None:
    ranks = extreme_ranks(pairs, np.asarray(pairs.present), exact=0, beam=1)[0]
    for row, count in enumerate(LENGTHS):
        left, order = set(range(count)), []
        while left:
            order.append(min(sorted(left), key=lambda i: number(pairs, row, left - {i})))
            left.remove(order[-1])
        assert np.argsort(ranks[row])[:count].tolist() == order


def test_the_true_order_of_a_linear_bag_is_the_best_and_its_values_have_closed_forms(linear: Bag) -> None:
    weights = jnp.asarray(WEIGHTS)[linear.tokens]
    found = faithfulness(linear, {"true": lambda asked: of(asked, weights)}, orders=40, seed=2)
    table = found.table
    for row, count in enumerate(LENGTHS):
        down = np.sort(np.asarray(weights)[row, :count])[::-1]
        sums = np.cumsum(down)
        assert found.values["true"]["aopc"][row] == pytest.approx(sums.mean(), abs=1e-5)
        first = [math.ceil(share * count) - 1 for share in SHARES]
        comprehensive = sums[first].mean()
        assert found.values["true"]["comprehensiveness"][row] == pytest.approx(comprehensive, abs=1e-5)
    assert found.values["true"]["naopc"].tolist() == [1.0, 1.0]
    # An order and its reverse are as far from the middle, so that random ones are there.
    assert table["random order"]["naopc"] == pytest.approx(0.5, abs=0.1)
    assert found.spread["naopc"] > 0.05
    for name in OF_CURVES:
        higher = METRICS[name].better == "higher"
        assert (table["true"][name] >= table["random order"][name]) == higher, name
        assert table["best order"][name] == pytest.approx(table["true"][name], abs=1e-5)


def test_padding_and_protected_tokens_get_no_credit(linear: Bag, scores: np.ndarray) -> None:
    """Scores there change nothing, though token 0 has the largest weight."""
    protected = np.zeros((2, 6), bool)
    protected[:, 1] = True
    seen = []
    for there in (0.0, 50.0):
        changed = scores.copy()
        changed[1, 4:] = changed[:, 1] = there
        found = faithfulness(linear, {"m": lambda q, x=changed: of(q, x)}, protected=protected, orders=2)
        seen.append(found.values["m"])
    for name in OF_CURVES:
        np.testing.assert_allclose(seen[0][name], seen[1][name], atol=1e-6)
    kept = [i for i in range(6) if i != 1]
    order = sorted(kept, key=lambda i: -scores[0, i])
    f = number(linear, 0, range(6))
    falls = [f - number(linear, 0, {1} | set(order[k:])) for k in range(1, 6)]
    assert seen[0]["aopc"][0] == pytest.approx(np.mean(falls), abs=1e-5)


def test_a_map_of_one_value_is_a_random_order() -> None:
    """Were ties broken by place, the first tokens would win."""
    counted = np.ones((400, 3), bool)
    ranks = ranks_of(np.zeros((400, 3)), counted)
    shares = (ranks == 0).mean(0)
    assert np.abs(shares - 1 / 3).max() < 0.1


def test_a_baseline_token_and_deletion_are_what_they_say(linear: Bag) -> None:
    kept = np.array([[True, False, True, True, True, False], [True, True, False, True, True, True]])
    zero = removed_values(linear, kept[None])
    token = removed_values(linear, kept[None], baseline=jnp.int32(6))
    gone = removed_values(linear, kept[None], "delete")
    plain = [number(linear, 0, [0, 2, 3, 4]), number(linear, 1, [0, 1, 3])]
    np.testing.assert_allclose(zero[0], plain, atol=1e-5)
    np.testing.assert_allclose(gone[0], plain, atol=1e-5)
    np.testing.assert_allclose(token[0], np.add(plain, [2 * WEIGHTS[6], WEIGHTS[6]]), atol=1e-5)


def test_the_sign_test_is_that_of_fair_coins() -> None:
    values = np.array([1.0, 1, 1, 1, 0, 0, -1, 1, 1])
    expected = 2 * binom.cdf(1, 7, 0.5)
    assert sign_test(values, np.zeros(9)) == pytest.approx(expected)
    assert sign_test(np.zeros(3), np.zeros(3)) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"metrics": ("aopcc",)}, "'aopcc': there is none of this name; the nearest are aopc, naopc"),
        ({"metrics": ("auprc",)}, "metrics has 'auprc': expected a rationale"),
        ({"metrics": ("seed_variance",), "attributions": "raw"}, "expected `others`"),
        ({"metrics": ("max_sensitivity",)}, "it asks again, expected a method's name or a function as mine"),
        ({"protected": np.ones((2, 6), bool)}, "of input 0 no token is left"),
        ({"removal": "hide"}, "removal is 'hide': expected 'replace' or 'delete'"),
        ({"removal": "delete"}, "needs the token that the target reads in it, which input 0 lacks"),
        ({"rationale": np.ones((2, 5), bool)}, r"rationale bool\[2, 5\]: expected bool\[2, 6\]"),
        ({"attributions": {"random order": "raw"}}, "a row of this name is there already"),
        ({"attributions": "no_method"}, "there is no such method"),
    ],
)
def test_bad_input_is_one_line(linear: Bag, scores: np.ndarray, given, message: str) -> None:
    given = {"attributions": of(linear, scores)} | given
    with pytest.raises(InputError, match=message):
        faithfulness(linear, given.pop("attributions"), **given)


def test_the_guide_has_a_row_for_each_metric_with_its_direction_and_paper() -> None:
    guide = (Path(__file__).parents[3] / "docs/guides/faithfulness.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*)$", guide, re.MULTILINE))
    assert list(rows) == list(METRICS)
    for name, metric in METRICS.items():
        assert rows[name].startswith(metric.better), name
        assert metric.paper is None or metric.paper in rows[name] or "(the same)" in rows[name], name
