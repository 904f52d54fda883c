"""Coverage, local-p, monotonic attention, pointers and pooling against their formulas, in loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from attnjax.ops import classic
from tests.daily import daily
from tests.ops import literal_classic

B, T, S, N, K, H = 2, 4, 6, 4, 2, 3
LENGTHS = np.array([6, 4])
ATTENDED = np.arange(S) < LENGTHS[:, None]
MASK = aj.lengths(key=LENGTHS)


def normal(seed, *shape):
    return 3 * np.random.default_rng(seed).normal(size=shape)


QUERY, KEY, VALUE = normal(0, B, T, N, H), normal(1, B, S, K, H), normal(2, B, S, K, 2)
V, WEIGHT = normal(3, N, H), normal(4, N, H)
POSITION = 5 * np.random.default_rng(5).random((B, T, N))
DIRTY = KEY.copy()
DIRTY[1, 4:] = [[np.nan], [np.inf]]

pytestmark = pytest.mark.usefixtures("x64")


def by_head(weigh):
    """Returns the weights [B, N, T, S] of a function of (b, n, query, key, attended), and the output."""
    weights = np.array(
        [
            [
                weigh(b, n, QUERY[b, :, n], KEY[b, :, n * K // N], np.tile(ATTENDED[b], (T, 1)))
                for n in range(N)
            ]
            for b in range(B)
        ]
    )
    return weights, np.einsum("bnts,bsnv->btnv", weights, VALUE.repeat(N // K, axis=2))


def value_and_directions(fn, *args):
    """Returns fn(*args), its gradient's sums, and those by central differences."""
    value, gradients = jax.jit(jax.value_and_grad(lambda *a: fn(*a)[0], argnums=range(len(args))))(*args)
    moved = jax.jit(
        lambda step: fn(*(a + step * jnp.cos(jnp.arange(a.size)).reshape(a.shape) for a in args))[0]
    )
    got = sum(np.sum(g * np.cos(np.arange(g.size)).reshape(g.shape)) for g in gradients)
    return value, got, (moved(1e-5) - moved(-1e-5)) / 2e-5


def test_coverage_is_its_loop_and_padding_that_is_not_finite_reaches_nothing():
    expected, out = by_head(lambda b, n, q, k, seen: literal_classic.coverage(q, k, V[n], WEIGHT[n], seen)[0])
    found = classic.coverage_attention(QUERY, DIRTY, VALUE, V, WEIGHT, mask=MASK)
    np.testing.assert_allclose(found.weights, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.out, out, rtol=1e-9)
    np.testing.assert_allclose(found.coverage, expected.sum(-2), rtol=1e-9, atol=1e-12)
    losses, _ = by_head(
        lambda b, n, q, k, seen: np.tile(
            literal_classic.coverage(q, k, V[n], WEIGHT[n], seen)[1][:, None], (1, S)
        )
    )
    counted = np.arange(T) < np.array([[4], [2]])
    loss = classic.coverage_loss(found.weights, mask=counted)
    np.testing.assert_allclose(loss, losses[..., 0].mean(1)[counted].mean(), rtol=1e-9)
    # In two parts, the second of which knows what the first one covered.
    first = classic.coverage_attention(QUERY[:, :3], KEY, VALUE, V, WEIGHT, mask=MASK)
    rest = classic.coverage_attention(QUERY[:, 3:], KEY, VALUE, V, WEIGHT, mask=MASK, coverage=first.coverage)
    np.testing.assert_allclose(rest.out, out[:, 3:], rtol=1e-9)
    np.testing.assert_allclose(
        classic.coverage_loss(rest.weights, coverage=first.coverage), losses[..., 3, 0].mean(), rtol=1e-9
    )

    def loss_of(query, key, v, weight):
        found = classic.coverage_attention(query, key, VALUE, v, weight, mask=MASK)
        return jnp.sum(jnp.sin(found.out)) + classic.coverage_loss(found.weights), found

    _, got, slope = value_and_directions(loss_of, QUERY, KEY, V, WEIGHT)
    np.testing.assert_allclose(got, slope, rtol=1e-6)


@pytest.mark.parametrize("implementation", daily(["reference", "blockwise"], ["blockwise"]))
def test_local_attention_is_its_loop_on_both_engines(implementation):
    expected, out = by_head(
        lambda b, n, q, k, seen: literal_classic.local_p(q, k, POSITION[b, :, n], 2.5, seen)
    )
    assert 0.1 < expected.sum(-1).mean() < 0.9

    def loss(position, query, key, value):
        options = {"size": 2.5, "mask": MASK, "implementation": implementation}
        out = classic.local_attention(query, key, value, position, **options)
        return jnp.sum(jnp.sin(out)), out

    np.testing.assert_allclose(loss(POSITION, QUERY, DIRTY, VALUE)[1], out, rtol=1e-8, atol=1e-10)
    _, got, slope = value_and_directions(loss, POSITION, QUERY, KEY, VALUE)
    np.testing.assert_allclose(got, slope, rtol=1e-6)
    weights = aj.attention_weights(QUERY, KEY, score=classic.around(jnp.asarray(POSITION), 2.5), mask=MASK)
    total = expected.sum(-1, keepdims=True)
    np.testing.assert_allclose(weights, expected / np.where(total == 0, 1, total), rtol=1e-9, atol=1e-12)


def test_monotonic_attention_is_the_sum_over_all_ways_and_hard_it_stops_at_the_first():
    choose = lambda q, k, seen: np.where(seen, 1 / (1 + np.exp(-(q @ k.T / np.sqrt(H) - 0.5))), 0)  # noqa: E731
    expected, out = by_head(lambda b, n, q, k, seen: literal_classic.monotonic(choose(q, k, seen)))

    def loss(query, key, value):
        out, weights = classic.monotonic_attention(query, key, value, offset=-0.5, mask=MASK)
        return jnp.sum(jnp.sin(out)), (out, weights)

    found, weights = loss(QUERY, DIRTY, VALUE)[1]
    np.testing.assert_allclose(weights, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found, out, rtol=1e-9, atol=1e-12)
    _, got, slope = value_and_directions(loss, QUERY, KEY, VALUE)
    np.testing.assert_allclose(got, slope, rtol=1e-6)

    def stops(b, n, q, k, seen):
        found = literal_classic.hard_monotonic(choose(q, k, seen))
        return np.array([np.arange(S) == stop for stop in found], float)

    hard, _ = by_head(stops)
    assert 0 < hard.sum() < B * N * T
    _, weights = classic.monotonic_attention(QUERY, KEY, VALUE, offset=-0.5, mask=MASK, hard=True)
    np.testing.assert_array_equal(weights, hard)
    # In two parts, the second of which goes on where the first one stopped.
    choose = jnp.asarray(np.random.default_rng(12).uniform(size=(B, N, T, S)))
    whole = classic.monotonic_alignment(choose)
    begun = classic.monotonic_alignment(choose[..., :2, :])
    rest = classic.monotonic_alignment(choose[..., 2:, :], before=begun[..., -1, :])
    np.testing.assert_allclose(jnp.concatenate([begun, rest], axis=-2), whole, rtol=1e-12)
    with pytest.raises(ValueError, match=r"before has shape \[2\]: expected"):
        classic.monotonic_alignment(choose, before=jnp.ones(2))


def test_a_pointer_adds_copies_to_the_vocabulary_and_its_loss_is_the_log_of_that():
    words, size = 5, 8
    logits, gate = normal(6, B, T, words), normal(7, B, T)
    weights = np.random.default_rng(8).dirichlet(np.ones(S), (B, T)) * ATTENDED[:, None]
    source = np.array([[1, 5, 1, 6, 7, 0], [2, 5, 5, 4, 0, -1]])
    expected = [
        literal_classic.pointer(*parts, size)
        for parts in zip(logits, weights, gate, np.where(source < 0, 0, source), strict=True)
    ]
    got = classic.pointer_distribution(logits, weights, gate, source, size=size)
    np.testing.assert_allclose(got, expected, rtol=1e-9)
    shared = classic.pointer_log_probs(logits, weights, gate, source)
    np.testing.assert_allclose(np.exp(shared), np.array(expected)[..., :words], rtol=1e-9)
    # Where P itself is 0 in any precision, its logarithm has a slope.
    rare = jax.grad(lambda x: classic.pointer_log_probs(x, weights, gate, source)[0, 0, 3])(
        jnp.asarray(logits).at[0, 0, 3].set(-2000.0)
    )
    np.testing.assert_allclose(rare[0, 0, 3], 1, rtol=1e-9)
    target, counted = (
        np.array([[0, 5, 1, 7], [3, 5, 6, 4]]),
        np.array([[True] * 4, [True, True, False, False]]),
    )
    at = np.take_along_axis(np.array(expected), target[..., None], -1)[..., 0]

    def loss(logits, weights, gate, target=target):
        return classic.pointer_loss(logits, weights, gate, source, target, mask=counted), None

    value, slope, differences = value_and_directions(loss, logits, weights, gate)
    np.testing.assert_allclose(value, -np.log(at[counted]).mean(), rtol=1e-9)
    np.testing.assert_allclose(slope, differences, rtol=1e-6)
    # A word that nothing can give: the least of probabilities, and no NaN.
    nothing = np.full_like(target, 99)
    np.testing.assert_allclose(loss(logits, weights, gate, nothing)[0], -np.log(1e-20), rtol=1e-9)
    assert np.isfinite(jax.grad(lambda w: loss(logits, w, gate, nothing)[0])(jnp.asarray(weights))).all()


def test_pooling_weighs_what_the_mask_leaves_and_its_penalty_sees_hops_that_read_the_same():
    x, features, queries = normal(9, B, S, 5), normal(10, B, S, H), normal(11, 2, H)
    out, weights = classic.attentive_pooling(x, features, queries, mask=ATTENDED)
    scores = np.where(ATTENDED[:, None], np.einsum("ra,bsa->brs", queries, features), -np.inf)
    expected = np.exp(scores - scores.max(-1, keepdims=True))
    expected /= expected.sum(-1, keepdims=True)
    np.testing.assert_allclose(weights, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(out, expected @ x, rtol=1e-9)
    penalty = [np.linalg.norm(a @ a.T - np.eye(2), "fro") ** 2 for a in expected]
    np.testing.assert_allclose(classic.redundancy(weights), penalty, rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: classic.coverage_attention(QUERY, KEY, VALUE, V, WEIGHT, coverage=np.ones((N, S))),
            r"coverage has shape \[4, 6\]: expected \[2, 4, 6\] \(\*B, N, S\)",
        ),
        (lambda: classic.coverage_attention(QUERY, KEY, VALUE, V[:3], WEIGHT), r"v has shape \[3, 3\]"),
        (
            lambda: classic.local_attention(QUERY, KEY, VALUE, POSITION, size=0),
            "size is 0: expected a number",
        ),
        (
            lambda: classic.local_attention(QUERY, KEY, VALUE, POSITION[..., 0], size=2),
            r"position has shape \[2, 4\]: expected \[2, 4, 4\] \(\*B, T, N\)",
        ),
        (
            lambda: classic.local_attention(QUERY, KEY, VALUE, POSITION, size=2, normalizer=aj.sigmoid()),
            "normalizer is given: local attention is of softmax",
        ),
        (
            lambda: classic.pointer_distribution(
                np.ones((3, 5)), np.ones((3, 4)), np.ones(3), np.arange(4), size=4
            ),
            r"size is 4: expected at least the 5 words of logits \(V\)",
        ),
        (
            lambda: classic.pointer_loss(
                np.ones((3, 5)), np.ones((3, 4)), np.ones(3), np.arange(5), np.ones(3, int)
            ),
            r"logits \[3, 5\] .*source \[5\] \(\*B, S\): sizes differ",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(call, said):
    with pytest.raises(ValueError, match=said):
        call()
