"""Comparisons: scores by formula, both engines alike with gradients, what they refuse, what they hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from attnjax.ops import comparisons
from tests.daily import daily
from tests.ops import literal_classic

T, S, N, K, H, M = 5, 6, 4, 2, 3, 7


def normal(seed, *shape):
    return 3 * np.random.default_rng(seed).normal(size=shape)


PARAMETERS = {
    "dot": (),
    "scaled_dot": (),
    "general": (normal(0, N, H, H),),
    "bilinear": (normal(1, N, H, H), normal(2, N)),
    "cosine": (abs(normal(3, N)),),
    "linear_combination": (normal(4, N, 3 * H), normal(5, N)),
    "all terms": (normal(6, N, 7 * H),),
    "l2": (),
    "rbf": (abs(normal(7, N)),),
    "additive": (normal(8, N, H),),
    "concat": (normal(9, N, M), normal(10, N, H, M), normal(11, K, H, M)),
}
QUERY, KEY, VALUE = normal(12, T, N, H), normal(13, S, K, H), normal(14, S, K, 2)
MASK = aj.causal(1) & aj.lengths(key=jnp.array(4))


def comparison(name, *parameters):
    if name == "all terms":
        return comparisons.linear_combination(*parameters, combination="y, x-y, y+x, x/y, y/x, x*x, y*y")
    return getattr(comparisons, name)(*parameters)


def attended(name, implementation, key, query, parameters, value):
    own = comparison(name, *parameters)
    return aj.attention(
        query, key, value, comparison=own, mask=MASK, scale=0.7, implementation=implementation
    )


@pytest.mark.usefixtures("x64")
# Those that are a part of others are slow to say on their own.
@pytest.mark.parametrize(
    "name", daily(PARAMETERS, PARAMETERS.keys() - {"dot", "general", "linear_combination"})
)
def test_scores_are_those_of_the_formula_on_both_engines_with_gradients(name):
    # A scale takes the place of the 1/√H that these two have.
    scale = 0.7 * (np.sqrt(H) if name in ("scaled_dot", "l2") else 1)
    expected = scale * literal_classic.scores(name, QUERY, KEY, *PARAMETERS[name])
    own = comparison(name, *PARAMETERS[name])
    got = aj.attention_weights(QUERY, KEY, comparison=own, scale=0.7, normalizer=aj.sigmoid(), rows=[0, 3])
    np.testing.assert_allclose(got, 1 / (1 + np.exp(-expected[:, [0, 3]])), rtol=1e-9, atol=1e-12)
    if name in ("scaled_dot", "l2"):
        unscaled = aj.attention_weights(QUERY, KEY, comparison=own, normalizer=aj.sigmoid())
        np.testing.assert_allclose(unscaled, 1 / (1 + np.exp(-expected / 0.7 / np.sqrt(H))), rtol=1e-9)
    expected = np.where(MASK.materialize(T, S), expected, -np.inf)
    weights = np.exp(expected - expected.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    out = np.einsum("nts,snv->tnv", weights, VALUE.repeat(N // K, axis=1))

    @jax.jit
    def both(*args):
        def loss(args, implementation):
            out = attended(name, implementation, *args)
            return jnp.sum(jnp.sin(out)), out

        return [jax.grad(loss, has_aux=True)(args, engine) for engine in ("reference", "blockwise")]

    reference, blockwise = both(KEY, QUERY, PARAMETERS[name], VALUE)
    np.testing.assert_allclose(reference[1], out, rtol=1e-9, atol=1e-12)
    for x, y in zip(*map(jax.tree.leaves, (reference, blockwise)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", daily(["additive", "cosine"], ["additive"]))
def test_what_is_not_finite_reaches_neither_rows_nor_gradients_that_do_not_attend_it(name):
    query, key, value, *parameters = (
        jnp.asarray(x, jnp.float32) for x in (QUERY, KEY, VALUE, *PARAMETERS[name])
    )
    dirty = key.at[3:].set(jnp.array([jnp.nan, jnp.inf, 0])[:, None, None])

    @jax.jit
    def both(key):
        def of(engine):
            # Row 0 attends keys 0 and 1, row 1 keys up to 2; from row 2 on a row attends key 3.
            args = (key, query[:2], parameters)
            gradients = jax.grad(lambda args: jnp.sum(attended(name, engine, *args, value)))(args)
            return gradients, attended(name, engine, key, query, parameters, value)

        return [of(engine) for engine in ("reference", "blockwise")]

    for (got, out), (expected, clean) in zip(both(dirty), both(dirty.at[3:].set(1.0)), strict=True):
        for x, y in zip(*map(jax.tree.leaves, (got, expected)), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(out[:2], clean[:2], rtol=1e-5)
        np.testing.assert_array_equal(np.isnan(out).all((1, 2)), [False, False, True, True, True])


@pytest.mark.usefixtures("x64")
def test_the_blockwise_engine_differentiates_an_additive_comparison_twice():
    def loss(x, implementation):
        v = PARAMETERS["additive"][0] * x[2]
        return jnp.sum(jnp.sin(attended("additive", implementation, KEY * x[0], QUERY * x[1], (v,), VALUE)))

    def both(x):
        return [jax.jacfwd(jax.grad(loss))(x, engine) for engine in ("reference", "blockwise")]

    reference, blockwise = jax.jit(both)(jnp.array([0.3, 0.2, 0.1]))
    np.testing.assert_allclose(blockwise, reference, rtol=1e-9, atol=1e-10)


@pytest.mark.optimised
def test_gradients_in_blocks_hold_no_array_of_pairs_and_channels():
    length, size = 512, 64
    x = jax.ShapeDtypeStruct((length, 1, size), jnp.float32)

    def out(v, q, k, value):
        return jnp.sum(aj.attention(q, k, value, comparison=comparisons.additive(v)))

    gradients = jax.jit(jax.grad(out, argnums=(0, 1, 2, 3)))
    compiled = gradients.lower(jax.ShapeDtypeStruct((size,), jnp.float32), x, x, x).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < length**2 * size * 4 / 8


def test_long_additive_calls_are_computed_in_blocks_and_products_take_kernels():
    x = jnp.ones((256, 1, 32), jnp.bfloat16)
    plan = aj.plan_attention(x, x, x, comparison=comparisons.additive(jnp.ones(32)))
    assert plan.engine == "blockwise"
    assert "products only" in plan.platforms["cuda"][1]["cudnn"]
    assert aj.plan_attention(x, x, x).engine == "reference"
    x = jnp.ones((2048, 1, 64), jnp.bfloat16)
    assert aj.plan_attention(x, x, x, comparison=comparisons.cosine()).platforms["cuda"][0] != "blockwise"


def test_vector_and_matrix_forms_are_rows_of_each_other_and_weigh_what_the_mask_leaves():
    x, y = (jnp.asarray(normal(seed, 2, 4, H), jnp.float32) for seed in (20, 21))
    own = comparisons.bilinear(jnp.asarray(normal(22, H, H), jnp.float32), jnp.float32(0.5))
    similarity = aj.matrix_attention(x, y, comparison=own)
    weight = np.asarray(own.weight)
    np.testing.assert_allclose(similarity, np.einsum("bti,ij,bsj->bts", x, weight, y) + 0.5, rtol=1e-4)
    mask = jnp.array([[True, True, False, True], [False] * 4])
    weights = aj.vector_attention(x[:, 1], y, comparison=own, mask=mask)
    expected = jnp.where(mask, jax.nn.softmax(jnp.where(mask, similarity[:, 1], -jnp.inf)), 0)
    np.testing.assert_allclose(weights, jnp.nan_to_num(expected), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(aj.matrix_attention(x[0], y[0]), x[0] @ y[0].T, rtol=1e-5)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (3, "comparison is 3: expected one of attnjax.ops.comparisons"),
        (
            comparisons.additive(np.ones((3, H))),
            r"v has shape \[3, 3\]: expected \[4, 3\] \(N, H\), or \[3\]",
        ),
        (
            comparisons.additive(np.ones(2)),
            r"query \[5, 4, 3\], key \[6, 2, 3\], v \[2\]: expected one size H",
        ),
        (
            comparisons.general(np.ones((H, 2))),
            r"weight has shape \[3, 2\]: expected \[4, 3, 3\] \(N, H, R\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(own, said):
    with pytest.raises((TypeError, ValueError), match=said):
        aj.attention(QUERY, KEY, VALUE, comparison=own)


def test_other_bad_input_names_the_argument():
    with pytest.raises(ValueError, match="temperature is 0: expected a number above 0"):
        comparisons.cosine(0)
    with pytest.raises(ValueError, match="combination 'x,z': 'z' is no term; expected x, y, or two by"):
        comparisons.linear_combination(np.ones(3), combination="x,z")
    with pytest.raises(ValueError, match=r"query \[1, 1, 2\].* this comparison needs one head size H"):
        aj.attention(np.ones((1, 1, 2)), np.ones((1, 1, 3)), np.ones((1, 1, 3)), comparison=comparisons.l2())
