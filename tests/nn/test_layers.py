"""Norms, feed-forward and embedding against their formulas."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax import nn
from attnjax.nn.activation import ACTIVATIONS, GATED
from attnjax.ops.attention import attention_weights
from attnjax.ops.positions import relative_buckets, sinusoidal

pytestmark = pytest.mark.versions


def normal(*shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(sum(shape)), shape)


def perturb(module: nnx.Module) -> None:
    """Moves every parameter off its initial value, so that zeros and ones hide nothing."""
    state = nnx.state(module, nnx.Param)
    leaves, tree = jax.tree.flatten(state)
    moved = [leaf + 0.3 * jax.random.normal(jax.random.key(i), leaf.shape) for i, leaf in enumerate(leaves)]
    nnx.update(module, jax.tree.unflatten(tree, moved))


def test_layer_norm_is_its_formula() -> None:
    # Far from 0, where E[x²] - E[x]² in float32 has no digit of the variance.
    norm, x = nn.make_norm("layer", 6, rngs=nnx.Rngs(0)), normal(4, 6) + 3000
    perturb(norm)
    exact = np.asarray(x, np.float64)
    centred = exact - exact.mean(-1, keepdims=True)
    expected = centred / np.sqrt(exact.var(-1, keepdims=True) + 1e-6) * norm.scale[...] + norm.bias[...]
    np.testing.assert_allclose(norm(x), expected, atol=1e-3)


@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_norms_of_half_precision_add_up_in_single(kind: str) -> None:
    """A sum of ones in bfloat16 stops at 256."""
    norm = nn.make_norm(kind, 8192, dtype=jnp.bfloat16, param_dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    x = jnp.where(jnp.arange(8192) % 4 == 0, 3, 1).astype(jnp.bfloat16)
    mean, square = (1.5, 0.75) if kind == "layer" else (0, 3)
    np.testing.assert_allclose(norm(x).astype(jnp.float32), (x - mean) / np.sqrt(square), rtol=2**-7)


def test_rms_norm_is_its_formula() -> None:
    norm, x = nn.make_norm("rms", 6, rngs=nnx.Rngs(0)), 3 * normal(4, 6) + 1
    perturb(norm)
    expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * norm.scale[...]
    np.testing.assert_allclose(norm(x), expected, atol=1e-5)


def test_feed_forward_is_its_formula() -> None:
    layer, x = nn.FeedForward(6, 10, rngs=nnx.Rngs(0)), normal(3, 6)
    perturb(layer)
    hidden = jax.nn.gelu(x @ layer.up.kernel[...] + layer.up.bias[...])
    np.testing.assert_allclose(layer(x), hidden @ layer.down.kernel[...] + layer.down.bias[...], atol=1e-5)


def test_swiglu_is_its_formula() -> None:
    layer, x = nn.FeedForward(6, 10, activation="swiglu", bias=False, rngs=nnx.Rngs(0)), normal(3, 6)
    gate, up = x @ layer.gate.kernel[...], x @ layer.up.kernel[...]
    np.testing.assert_allclose(
        layer(x), (gate / (1 + np.exp(-gate)) * up) @ layer.down.kernel[...], atol=1e-5
    )


def test_activations_are_their_formulas() -> None:
    x = np.linspace(-4, 4, 9)
    logistic = 1 / (1 + np.exp(-x))
    normal_cdf = np.array([(1 + math.erf(v / math.sqrt(2))) / 2 for v in x])
    formulas = {
        "gelu": x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        "gelu_exact": x * normal_cdf,
        "quick_gelu": x / (1 + np.exp(-1.702 * x)),
        "relu": np.maximum(x, 0),
        "silu": x * logistic,
        "tanh": np.tanh(x),
    }
    assert set(formulas) == set(ACTIVATIONS)
    for name, expected in formulas.items():
        np.testing.assert_allclose(ACTIVATIONS[name](jnp.array(x)), expected, atol=1e-5, err_msg=name)


def test_gated_layers_apply_the_activation_of_their_name_to_the_gate() -> None:
    x = 5 * normal(3, 6)
    for gated, name in GATED.items():
        layer = nn.FeedForward(6, 10, activation=gated, bias=False, rngs=nnx.Rngs(0))
        gate, up = x @ layer.gate.kernel[...], x @ layer.up.kernel[...]
        if gated == "swiglu_clipped":
            gate, up = jnp.minimum(gate, 7), jnp.clip(up, -7, 7) + 1
        expected = (ACTIVATIONS[name](gate) * up) @ layer.down.kernel[...]
        np.testing.assert_allclose(layer(x), expected, atol=1e-5, err_msg=gated)


@pytest.mark.parametrize("halves", [False, True])
def test_embedding_scales_and_adds_sinusoids(halves: bool) -> None:
    kind = "sinusoidal_halves" if halves else "sinusoidal"
    embedding = nn.Embedding(9, 6, positions=kind, rngs=nnx.Rngs(0))
    tokens = jnp.array([[3, 0, 8]])
    at = sinusoidal(jnp.arange(3), 6)
    at = jnp.concatenate([at[:, ::2], at[:, 1::2]], -1) if halves else at
    expected = embedding.tokens.embedding[...][tokens] * 6**0.5 + at
    np.testing.assert_allclose(embedding(tokens), expected, rtol=1e-5, atol=1e-6)


def test_embedding_norms_the_sum_of_its_tables_and_widens_it() -> None:
    def norm(size: int) -> nnx.Module:
        return nn.make_norm("layer", size, eps=0.1, rngs=nnx.Rngs(0))

    sizes = {"positions": "learned", "max_length": 4, "first_position": 2, "types": 2, "width": 3}
    embedding = nn.Embedding(9, 6, scale=1.0, make_norm=norm, rngs=nnx.Rngs(0), **sizes)
    perturb(embedding)
    tokens, types = jnp.array([[3, 0, 8]]), jnp.array([[0, 1, 1]])
    words, at, kinds = (part.embedding[...] for part in (embedding.tokens, embedding.table, embedding.types))
    assert at.shape == (6, 3)
    for given in (types, None):
        x = words[tokens] + at[2:5] + kinds[0 if given is None else given]
        x = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 0.1)
        x = x * embedding.norm.scale[...] + embedding.norm.bias[...]
        expected = x @ embedding.project.kernel[...] + embedding.project.bias[...]
        np.testing.assert_allclose(embedding(tokens, types=given), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(embedding.attend(jnp.ones(3)), words.sum(-1), rtol=1e-5)
    with pytest.raises(ValueError, match="positions from 2 to 4: the table of positions has 4 rows"):
        embedding(tokens, positions=jnp.array([2, 3, 4]))
    with pytest.raises(ValueError, match="types from 0 to 2: the table of types has 2 rows"):
        embedding(tokens, types=jnp.array([[0, 1, 2]]))
    with pytest.raises(ValueError, match=r"types \[1, 3\]: the embedding has no types"):
        nn.Embedding(9, 6, rngs=nnx.Rngs(0))(tokens, types=types)


@pytest.mark.parametrize("placement", ["pre", "post"])
def test_a_residual_scales_what_is_added(placement: str) -> None:
    norm, x, change = nn.make_norm("rms", 6, rngs=nnx.Rngs(0)), normal(3, 6), normal(2, 3, 6)[0]
    residual = nn.Residual(norm, placement, nn.LayerScale(6, 0.5))
    perturb(residual)
    total = x + change * residual.scale.scale[...]
    expected = total if placement == "pre" else norm(total)
    np.testing.assert_allclose(residual.leave(x, change, None), expected, rtol=1e-5)


def test_embedding_adds_a_learned_table_without_scaling_it() -> None:
    embedding = nn.Embedding(9, 6, positions="learned", max_length=4, rngs=nnx.Rngs(0))
    tokens = jnp.array([[3, 0, 8]])
    expected = embedding.tokens.embedding[...][tokens] * 6**0.5 + embedding.table.embedding[...][:3]
    np.testing.assert_allclose(embedding(tokens), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_embedding_takes_positions_that_do_not_start_at_zero(positions: str) -> None:
    embedding = nn.Embedding(9, 6, positions=positions, max_length=8, rngs=nnx.Rngs(0))
    tokens = jnp.array([[3, 0, 8, 1]])
    np.testing.assert_allclose(
        embedding(tokens)[:, 2:], embedding(tokens[:, 2:], jnp.array([2, 3])), atol=1e-6
    )


def test_embedding_gives_unit_variance_and_unit_logits() -> None:
    embedding = nn.Embedding(500, 64, rngs=nnx.Rngs(0))
    vectors = embedding(jnp.arange(500))
    assert abs(float(vectors.std()) - 1) < 0.03
    assert abs(float(embedding.attend(normal(100, 64)).std()) - 1) < 0.1


def test_logits_are_float32_under_bfloat16() -> None:
    embedding = nn.Embedding(5, 4, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    x = embedding(jnp.arange(3))
    assert x.dtype == jnp.bfloat16
    assert embedding.attend(x).dtype == jnp.float32


@pytest.mark.parametrize("bidirectional", [True, False])
def test_t5_scores_are_its_table_in_32_buckets_up_to_128_tokens(bidirectional: bool) -> None:
    score = nn.PositionScore("t5", 2, bidirectional=bidirectional, rngs=nnx.Rngs(0))
    score.table[...] = normal(32, 2)
    at, flat = jnp.arange(140), jnp.zeros((140, 2, 4))
    buckets = relative_buckets(at[:, None], at, num_buckets=32, max_distance=128, bidirectional=bidirectional)
    expected = jax.nn.softmax(jnp.moveaxis(score.table[...][buckets], -1, 0))
    np.testing.assert_allclose(attention_weights(flat, flat, score=score()), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: nn.make_norm("batch", 4, rngs=nnx.Rngs(0)),
            "norm 'batch': expected 'layer', 'rms' or 'rms_offset'",
        ),
        (lambda: nn.FeedForward(4, 8, activation="gelo", rngs=nnx.Rngs(0)), "activation 'gelo': expected"),
        (lambda: nn.Embedding(4, 8, positions="rope", rngs=nnx.Rngs(0)), "positions 'rope': expected"),
        (lambda: nn.Embedding(4, 8, positions="learned", rngs=nnx.Rngs(0)), "max_length None"),
        (lambda: nn.PositionScore("rope", 4, bidirectional=True, rngs=nnx.Rngs(0)), "kind 'rope': expected"),
    ],
)
def test_bad_choices_are_named(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_embedding_refuses_what_it_cannot_place() -> None:
    embedding = nn.Embedding(9, 6, positions="learned", max_length=4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="5 tokens: the table of positions has 4 rows"):
        embedding(jnp.zeros((1, 5), int))
    for at in ([3, 4], [-1, 0]):
        with pytest.raises(
            ValueError, match=rf"positions from {at[0]} to {at[1]}: the table of positions has 4"
        ):
            embedding(jnp.zeros((1, 2), int), jnp.array(at))
    for ids in ([8, 9], [-1, 3]):
        with pytest.raises(ValueError, match=rf"tokens from {ids[0]} to {ids[1]}: the vocabulary has 9 ids"):
            embedding(jnp.array([ids]))
    known = jnp.array([[1, 2]])
    assert jax.eval_shape(lambda: embedding(known, known)).shape == (1, 2, 6)
    assert jax.eval_shape(embedding, known, known).shape == (1, 2, 6)  # Traced: nothing is known.
    with pytest.raises(TypeError, match="tokens have dtype float32: expected integers"):
        embedding(jnp.zeros((1, 3)))


def test_a_product_over_other_axes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dimension_numbers .*: expected"):
        nn.flat_dot_general(normal(4, 4), normal(4, 4), (((1,), (1,)), ((), ())))
