"""Normalisers and scores beside softmax against loops in NumPy: weights, output, derivatives."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj

N, T, S, H, OFFSET = 2, 4, 6, 3, 2
Weights = Callable[[np.ndarray, np.ndarray, tuple[np.ndarray, ...]], np.ndarray]

pytestmark = pytest.mark.usefixtures("x64")


def softmax_row(scores: list[float]) -> np.ndarray:
    powers = np.exp(np.array(scores) - max(scores))
    return powers / powers.sum()


def by_row(row: Callable[[list[float], list[int], int, int, Any], Any]) -> Weights:
    """Weights [N, T, S] row by row: `row` gets the attended scores and keys, the head, and the query."""

    def weights(scores: np.ndarray, seen: np.ndarray, parameters: tuple[np.ndarray, ...]) -> np.ndarray:
        found = np.zeros_like(scores)
        for n in range(N):
            for i in range(T):
                keys = [j for j in range(S) if seen[i, j]]
                if keys:
                    found[n, i, keys] = row([scores[n, i, j] for j in keys], keys, n, i, parameters)
        return found

    return weights


def cog(scores: list[float], *_: Any) -> Any:
    return np.sign(scores) * softmax_row([abs(s) for s in scores])


def squared_relu(scores: list[float], *_: Any) -> Any:
    return [max(s, 0) ** 2 / 5 for s in scores]


def silu(scores: list[float], *_: Any) -> Any:
    return [s / (1 + np.exp(-s)) / 5 for s in scores]


def stick_breaking(scores: list[float], keys: list[int], n: int, i: int, _: Any, own: bool = False) -> Any:
    left, weights = 1.0, [0.0] * len(keys)
    for place in reversed(range(len(keys))):
        if keys[place] == i + OFFSET and not own:
            continue
        share = 1 / (1 + np.exp(-scores[place]))
        weights[place], left = left * share, left * (1 - share)
    return weights


def adaptive_span(scores: list[float], keys: list[int], n: int, i: int, parameters: Any) -> Any:
    share = [np.clip((2.5 + parameters[0][n] - abs(i + OFFSET - j)) / 2.5, 0, 1) for j in keys]
    powers = share * np.exp(np.array(scores) - max(scores))
    return powers / powers.sum() if powers.sum() else powers


def talking_heads(scores: np.ndarray, seen: np.ndarray, parameters: tuple[np.ndarray, ...]) -> np.ndarray:
    before, after = parameters
    found = np.zeros_like(scores)
    for i in range(T):
        keys = [j for j in range(S) if seen[i, j]]
        if not keys:
            continue
        mixed = [[sum(scores[m, i, j] * before[m, n] for m in range(N)) for j in keys] for n in range(N)]
        own = [softmax_row(row) for row in mixed]
        for n in range(N):
            found[n, i, keys] = sum(own[m] * after[m, n] for m in range(N))
    return found


# Rules of a call made of parameters, the loop, the parameters, and whether blocks can compute it.
CASES: dict[str, tuple[Callable[..., dict[str, Any]], Weights, tuple[Any, ...], bool]] = {
    "cog": (lambda: {"normalizer": aj.cog()}, by_row(cog), (), False),
    "squared_relu": (lambda: {"normalizer": aj.squared_relu(5.0)}, by_row(squared_relu), (), True),
    "silu": (lambda: {"normalizer": aj.silu(5.0)}, by_row(silu), (), True),
    "stick_breaking": (
        lambda: {"normalizer": aj.stick_breaking(OFFSET)},
        by_row(stick_breaking),
        (),
        False,
    ),
    "stick_breaking, own": (
        lambda: {"normalizer": aj.stick_breaking(OFFSET, own=True)},
        by_row(lambda *row: stick_breaking(*row, own=True)),
        (),
        False,
    ),
    "adaptive_span": (
        lambda span: {"score": aj.adaptive_span(span, 2.5, OFFSET)},
        by_row(adaptive_span),
        (np.array([0.3, 1.9]),),
        True,
    ),
    "talking_heads": (
        lambda *matrices: {"normalizer": aj.talking_heads(*matrices)},
        talking_heads,
        (np.array([[0.5, -1.0], [2.0, 0.3]]), np.array([[1.5, 0.2], [-0.7, 1.0]])),
        False,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_is_its_formula_and_so_are_its_derivatives(name: str) -> None:
    rules, literal, parameters, blocked = CASES[name]
    rng = np.random.default_rng(0)
    query, key, value = (3 * rng.normal(size=(length, N, H)) for length in (T, S, S))
    seen = np.tril(np.ones((T, S), bool), OFFSET) & (rng.random((T, S)) < 0.8)
    seen[1] = False
    mask, weigh = aj.dense(jnp.asarray(seen)), rng.normal(size=(T, N, H))
    expected = literal(np.einsum("tnh,snh->nts", query, key) / np.sqrt(H), seen, parameters)

    def loss(operands: Any) -> Any:
        query, key, value, *own = operands
        out = aj.attention(query, key, value, mask=mask, **rules(*own))
        return (out * weigh).sum(), out

    operands = (query, key, value, *parameters)
    (_, out), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(operands)
    np.testing.assert_allclose(out, np.einsum("nts,snh->tnh", expected, value), atol=1e-12)
    weights = aj.attention_weights(query, key, mask=mask, **rules(*parameters))
    np.testing.assert_allclose(weights, expected, atol=1e-12)
    assert not weights[:, ~seen].any()

    def literal_loss(*operands: Any) -> float:
        query, key, value, *own = operands
        weights = literal(np.einsum("tnh,snh->nts", query, key) / np.sqrt(H), seen, tuple(own))
        return float((np.einsum("nts,snh->tnh", weights, value) * weigh).sum())

    for i, got in enumerate(gradient):
        direction = rng.normal(size=got.shape)
        both = [
            literal_loss(*(x + step * direction if i == k else x for k, x in enumerate(operands)))
            for step in (1e-6, -1e-6)
        ]
        np.testing.assert_allclose((got * direction).sum(), (both[0] - both[1]) / 2e-6, rtol=1e-5, atol=1e-6)
    if blocked:
        blocks = aj.attention(query, key, value, mask=mask, implementation="blockwise", **rules(*parameters))
        np.testing.assert_allclose(blocks, out, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["cog", "stick_breaking", "talking_heads", "squared_relu", "silu", "adaptive_span"]
)
def test_masked_nan_reaches_nothing(name: str) -> None:
    rules, _, parameters, _ = CASES[name]
    x = np.random.default_rng(1).normal(size=(S, N, H))
    mask, rule = aj.causal(OFFSET) & aj.lengths(key=4), rules(*map(jnp.asarray, parameters))

    def out(query: Any, key: Any) -> Any:
        return aj.attention(query, key, key, mask=mask, **rule)

    @jax.jit
    def run(query: Any, key: Any) -> Any:
        found, pull = jax.vjp(out, query, key)
        return found, pull(jnp.ones_like(found))

    dirty = jnp.asarray(x).at[4:].set(jnp.nan)
    found, gradient = run(x[:T], dirty)
    np.testing.assert_array_equal(found, run(x[:T], jnp.nan_to_num(dirty))[0])
    assert np.isfinite(gradient[0]).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: aj.squared_relu(0.0), "length is 0.0: expected a number above 0"),
        (lambda: aj.adaptive_span(jnp.ones(2), ramp=-1.0), "ramp is -1.0: expected a number above 0"),
        (lambda: aj.adaptive_span(jnp.ones(3)), r"span has shape \[3\]: expected \[2\] \(N\)"),
        (
            lambda: aj.talking_heads(jnp.eye(2), jnp.eye(3)),
            r"after has shape \[3, 3\]: expected \[2, 2\] \(N, N",
        ),
    ],
)
def test_bad_input_is_named(make: Callable[[], Any], message: str) -> None:
    x = jnp.ones((3, 2, 4))

    def call(made: Any) -> Any:
        return aj.attention(x, x, x, **{"score" if isinstance(made, aj.Score) else "normalizer": made})

    with pytest.raises(ValueError, match=message):
        call(make())
