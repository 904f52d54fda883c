"""The attention layer against its formula; masks, heads, positions, dropout, dtypes, names of axes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import attnjax as aj
from attnjax import nn
from attnjax.ops import masks
from attnjax.ops.positions import rope

pytestmark = pytest.mark.versions

DIM = 12


def normal(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def layer(heads: int = 4, **options) -> nn.Attention:
    """An attention layer with every parameter off its initial value."""
    module = nn.Attention(DIM, heads, rngs=nnx.Rngs(0), **options)
    leaves, tree = jax.tree.flatten(nnx.state(module, nnx.Param))
    moved = [leaf + 0.3 * normal(*leaf.shape, seed=i) for i, leaf in enumerate(leaves)]
    nnx.update(module, jax.tree.unflatten(tree, moved))
    return module


def rms(x: np.ndarray, norm: nnx.RMSNorm) -> np.ndarray:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * np.asarray(norm.scale[...])


def by_formula(module: nn.Attention, x: jax.Array, context: jax.Array, allowed: np.ndarray) -> np.ndarray:
    """The layer head by head, in NumPy; allowed [T, S]."""

    def projected(part: nnx.LinearGeneral, tokens: jax.Array) -> np.ndarray:
        bias = 0 if part.bias is None else np.asarray(part.bias[...])
        return np.einsum("btd,dnh->btnh", tokens, part.kernel[...]) + bias

    query, key, value = (
        projected(part, tokens)
        for part, tokens in ((module.query, x), (module.key, context), (module.value, context))
    )
    if module.query_norm is not None:
        query, key = rms(query, module.query_norm), rms(key, module.key_norm)
    if module.rope is not None:
        turn = {"interleaved": module.rope.layout == "interleaved"}
        query = np.asarray(rope(query, jnp.arange(x.shape[1]), **turn))
        key = np.asarray(rope(key, jnp.arange(context.shape[1]), **turn))
    out = 0 if module.out.bias is None else np.asarray(module.out.bias[...])
    for n in range(module.heads):
        k = n * module.kv_heads // module.heads
        scores = np.einsum("bth,bsh->bts", query[:, :, n], key[:, :, k]) / np.sqrt(module.head_dim)
        weights = np.exp(scores) * allowed
        weights /= weights.sum(-1, keepdims=True)
        out = out + weights @ value[:, :, k] @ np.asarray(module.out.kernel[...])[n]
    return out


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"kv_heads": 2},
        {"kv_heads": 1},
        {"head_dim": 6, "qk_norm": True, "rope": "halves"},
        {"head_dim": 4, "rope": "interleaved", "kv_heads": 2},
    ],
    ids=str,
)
def test_self_attention_is_its_formula(options: dict) -> None:
    module, x = layer(**options), normal(2, 5, DIM)
    expected = by_formula(module, x, x, np.tril(np.ones((5, 5))))
    out = jax.jit(lambda x: module(x, mask=masks.causal()).out)(x)
    np.testing.assert_allclose(out, expected, atol=2e-5)


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_cross_attention_is_its_formula(kv_heads: int) -> None:
    module, x, context = layer(kv_heads=kv_heads), normal(2, 5, DIM), normal(2, 7, DIM, seed=1)
    expected = by_formula(module, x, context, np.arange(7) < 4)
    np.testing.assert_allclose(module(x, context, mask=masks.lengths(key=4)).out, expected, atol=2e-5)
    projected = module.project(context)
    np.testing.assert_allclose(module(x, projected, mask=masks.lengths(key=4)).out, expected, atol=2e-5)


@pytest.mark.parametrize("rope", ["halves", "interleaved"])
def test_a_context_stands_where_it_is_said_to_and_from_0_otherwise(rope: str) -> None:
    module, x, context = layer(head_dim=4, rope=rope), normal(2, 5, DIM), normal(2, 7, DIM, seed=1)
    placed, at = by_formula(module, x, context, np.ones((5, 7))), jnp.arange(7)
    np.testing.assert_allclose(module(x, context).out, placed, atol=2e-5)
    np.testing.assert_array_equal(module(x, x).out, module(x).out)
    # Only distances count.
    moved = module(x, context, positions=at[:5] + 40, context_positions=at + 40).out
    np.testing.assert_allclose(moved, placed, atol=2e-5)
    later = module(x, module.project(context, at + 40), positions=at[:5] + 40).out
    np.testing.assert_allclose(later, placed, atol=2e-5)
    projected = module.project(context)
    for t in range(5):  # As in decoding.
        token = module(x[:, t : t + 1], projected, positions=jnp.array([t])).out
        np.testing.assert_allclose(token, placed[:, t : t + 1], atol=2e-5)


def test_positions_of_one_side_alone_are_an_error() -> None:
    module, x, at = layer(head_dim=4, rope="halves"), normal(2, 5, DIM), jnp.arange(5)
    with pytest.raises(ValueError, match=r"positions alone: expected positions \(of x\) and context_"):
        module(x, x, positions=at)
    with pytest.raises(ValueError, match="context_positions alone"):
        module(x, x, context_positions=at)
    with pytest.raises(ValueError, match="context_positions are given: expected a context"):
        module(x, context_positions=at)
    with pytest.raises(ValueError, match="positions None: a projected context stands where `project` placed"):
        module(x, module.project(x))


def test_positions_shift_without_effect_on_rope() -> None:
    module, x = layer(head_dim=4, rope="halves"), normal(2, 5, DIM)
    np.testing.assert_allclose(module(x).out, module(x, positions=jnp.arange(5) + 40).out, atol=1e-5)
    spread = module(x, positions=3 * jnp.arange(5)).out
    assert np.abs(module(x).out - spread).max() > 0.01


def test_mask_may_be_an_array_and_scores_are_applied() -> None:
    module, x = layer(), normal(2, 5, DIM)
    array = jnp.tril(jnp.ones((5, 5), bool))
    np.testing.assert_allclose(module(x, mask=array).out, module(x, mask=masks.causal()).out, atol=1e-5)
    far = aj.score_fn(lambda score, b, h, q, k: jnp.where(k == 0, score + 100, score))
    only_first = module(x, x[:, :1]).out
    np.testing.assert_allclose(module(x, score=far).out, jnp.broadcast_to(only_first, x.shape), atol=1e-5)


def test_dropout_acts_on_the_weights_with_a_traced_rate() -> None:
    module, x = layer(), normal(2, 5, DIM)
    graphdef, params = nnx.split(module)

    @jax.jit
    def apply(rate: jax.Array) -> jax.Array:
        return nnx.merge(graphdef, params)(x, dropout=nn.Dropout(rate, jax.random.key(0))).out

    np.testing.assert_allclose(apply(jnp.float32(0)), module(x).out, atol=1e-5)
    assert np.abs(apply(jnp.float32(0.5)) - module(x).out).max() > 0.01


def test_the_implementation_asked_for_is_the_one_that_runs() -> None:
    with pytest.raises(ValueError, match="implementation is 'fastest'"):
        layer(implementation="fastest")(normal(2, 5, DIM))


def test_computes_in_dtype_and_keeps_parameters_in_param_dtype() -> None:
    module = nn.Attention(DIM, 4, qk_norm=True, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    exact = nn.Attention(DIM, 4, qk_norm=True, rngs=nnx.Rngs(0))
    x = normal(2, 5, DIM)
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(module))} == {jnp.dtype(jnp.float32)}
    assert module(x).out.dtype == jnp.bfloat16
    np.testing.assert_allclose(module(x).out.astype(jnp.float32), exact(x).out, atol=0.05)
    half = nn.Attention(DIM, 4, param_dtype=jnp.bfloat16, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(half))} == {jnp.dtype(jnp.bfloat16)}


def test_holds_nothing_but_parameters_and_names_their_axes() -> None:
    module = layer(kv_heads=2, head_dim=4, qk_norm=True)
    _, params = nnx.split(module, nnx.Param)  # raises if any other state is left over
    axes = nn.logical_axes(params)
    assert axes["query"]["kernel"] == ("embed", "heads", "head_dim")
    assert axes["key"]["kernel"] == ("embed", "kv_heads", "head_dim")
    assert axes["value"]["bias"] == ("kv_heads", "head_dim")
    assert axes["out"]["kernel"] == ("heads", "head_dim", "embed")
    assert axes["key_norm"]["scale"] == ("head_dim",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 5}, r"heads 5: expected a divisor of dim \(12\)"),
        ({"kv_heads": 3}, r"kv_heads 3: expected a divisor of heads \(4\)"),
        ({"rope": "both"}, "rope 'both': expected None, 'halves' or 'interleaved'"),
        ({"heads": 0}, "heads 0: expected 1 or more"),
        ({"kv_heads": 0}, "kv_heads 0: expected 1 or more"),
        ({"head_dim": 0}, "head_dim 0: expected 1 or more"),
        ({"rope": "halves"}, "rope 'halves': expected an even head size, got 3"),
    ],
)
def test_bad_sizes_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer(**options)


def test_tokens_of_another_width_are_named() -> None:
    x, wide = normal(2, 5, DIM), normal(2, 7, DIM + 1)
    with pytest.raises(ValueError, match=r"x \[2, 7, 13\]: expected \(\*B, length, 12\)"):
        layer()(wide)
    with pytest.raises(ValueError, match=r"context \[2, 7, 13\]: expected \(\*B, length, 12\)"):
        layer()(x, wide)
