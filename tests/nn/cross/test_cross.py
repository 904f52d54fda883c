"""Layers that read a context of another width or pool a set: by their formulas, with padding."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.mechanisms import find
from attnjax.nn import make_attention
from attnjax.ops import masks
from tests.nn.cross import literal_cross
from tests.nn.moved import moved, value, value_and_slope

DIM, WIDTH, LENGTHS = 8, 6, (5, 3)
DRAW = np.random.default_rng(11)
X, CONTEXT = DRAW.normal(size=(2, 4, DIM)), DRAW.normal(size=(2, 5, WIDTH))
READERS = (
    "cross(context_dim=6)",
    "co_attention(context_dim=6)",
    "gated_cross(context_dim=6, expansion=1)",
    "bilinear_attention(context_dim=6, rank=3)",
)
POOLS = (
    "perceiver_resampler(latents=2, layers=2, expansion=1)",
    "q_former(queries=3, layers=2, context_dim=6, expansion=1)",
    "slot_attention(slots=3, context_dim=6, learned=True)",
    "isab(inducing=2)",
    "pma(seeds=2)",
)


SLOPES = (READERS[2], READERS[3], POOLS[2])


@pytest.mark.parametrize("text", READERS + POOLS)
def test_it_is_its_formula(text: str, x64: None) -> None:
    graphdef, params, plain = moved(
        make_attention(text, DIM, 2, param_dtype=jnp.float64, rngs=nnx.Rngs(0)), 1.5
    )
    source = CONTEXT if "context_dim" in text else np.pad(CONTEXT, ((0, 0), (0, 0), (0, 2)))
    padding = np.where(np.arange(5)[:, None] < np.array(LENGTHS)[:, None, None], 0, 50.0)
    reads = (X,) if text in READERS else ()

    def call(params: Any, source: Any, *x: Any) -> Any:
        found = nnx.merge(graphdef, params)(*x, source + padding, mask=masks.lengths(key=jnp.array(LENGTHS)))
        found = found.x if "co_attention" in text else found
        return jnp.where(padding, 0, found.out) if text.startswith("isab") else found.out

    out, slope, rise = (value_and_slope if text in SLOPES else value)(call, params, source, *reads)
    assert slope == pytest.approx(rise, rel=1e-5)
    for row, length in enumerate(LENGTHS):
        formula = getattr(literal_cross, text.partition("(")[0])
        expected = formula(plain, *(x[row] for x in reads), source[row, :length], lambda t, s: True)
        np.testing.assert_allclose(out[row, : len(expected)], expected, atol=1e-8)


def test_the_context_of_co_attention_reads_x() -> None:
    layer = make_attention("co_attention(context_dim=6)", DIM, 2, rngs=nnx.Rngs(0))
    plain = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(layer, nnx.Param)))["of_context"]
    hidden = masks.lengths(key=3)
    out = layer(jnp.asarray(X[0], jnp.float32), jnp.asarray(CONTEXT[0], jnp.float32), context_mask=hidden)
    np.testing.assert_allclose(
        out.context.out, literal_cross.attention(plain, CONTEXT[0], X[0], lambda t, s: s < 3), atol=1e-5
    )


@pytest.mark.parametrize("text", [READERS[2], READERS[3], POOLS[2]])
def test_what_sees_nothing_is_finite(text: str) -> None:
    layer = make_attention(text, DIM, 2, rngs=nnx.Rngs(0))
    width = WIDTH if "context_dim" in text else DIM
    reads = (jnp.ones((4, DIM)),) if text in READERS else ()
    found = layer(*reads, jnp.full((5, width), jnp.nan), mask=masks.lengths(key=0))
    assert bool(jnp.isfinite(found.out).all())
    assert bool(jnp.isfinite(layer(*reads, jnp.ones((0, width))).out).all())


def test_slots_start_at_random_and_share_each_member() -> None:
    layer = make_attention("slot_attention(slots=3)", DIM, 1, rngs=nnx.Rngs(0))
    call = jax.jit(
        lambda key: layer(jnp.asarray(np.pad(CONTEXT, ((0, 0), (0, 0), (0, 2))), jnp.float32), key=key)
    )
    out, _, weights = call(jax.random.key(0))
    np.testing.assert_allclose(weights.sum(-2), 1, atol=1e-5)
    assert bool((call(jax.random.key(1)).out != out).any())
    with pytest.raises(ValueError, match="key is missing: the slots start at random"):
        layer(jnp.ones((5, DIM)))
    with pytest.raises(ValueError, match="key is given: the slots start at learned vectors"):
        make_attention("slot_attention(learned=True)", DIM, 1, rngs=nnx.Rngs(0))(
            jnp.ones((5, DIM)), key=jax.random.key(0)
        )


def test_what_it_cannot_do_is_refused() -> None:
    assert find("isab").two_sided_only
    layer = make_attention("isab", DIM, 2, rngs=nnx.Rngs(0))
    for mask in (masks.causal(), masks.segments(jnp.zeros(5, int))):
        with pytest.raises(ValueError, match=r"^mask .*: isab reads all of a row at once, expected lengths"):
            layer(jnp.ones((5, DIM)), mask=mask)
    with pytest.raises(ValueError, match=r"context \[5, 8\]: expected \(\*B, length, 6\)"):
        make_attention(READERS[0], DIM, 2, rngs=nnx.Rngs(0))(jnp.ones((4, DIM)), jnp.ones((5, DIM)))
