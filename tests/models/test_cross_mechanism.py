"""The mechanism by which a decoder reads its source."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax import nn
from attnjax.models import TransformerConfig
from attnjax.ops import masks
from tests.models.test_encoder_decoder import B, S, T, build


@pytest.mark.parametrize(
    ("cross", "kind"),
    [("additive & entmax(alpha=1.2)", "ComposedAttention"), ("local_p(size=2)", "LocalAttention")],
)
def test_the_source_is_read_by_a_mechanism_of_its_own(cross: str, kind: str) -> None:
    """Step by step as at once, with weights that give its output again, and gradients for all of it."""
    model = build(cross_mechanism=cross)
    rng = np.random.default_rng(0)
    source, target = jnp.array(rng.integers(0, 11, (B, S))), jnp.array(rng.integers(0, 9, (B, T)))
    lengths = jnp.array([7, 5, 1])
    memory = model.encode(source, lengths).memory
    whole = jax.jit(lambda m, t: model.decode(t, m, lengths, capture=nn.Capture())[::2])(memory, target)
    cache = model.init_cache(memory, lengths, T)
    step = jax.jit(lambda t, cache: model.decode(t, None, lengths, cache=cache)[:2])
    for i in range(T):
        logits, cache = step(target[:, i : i + 1], cache)
        np.testing.assert_allclose(logits[:, 0], whole[0][:, i], atol=1e-5)
    weights = whole[1]["decoder.0.cross_attention"]
    assert weights.shape == (B, 4, T, S)
    assert not np.asarray(weights)[1, :, :, 5:].any()
    layer = model.decoder[0].cross_attention
    assert type(layer).__name__ == kind
    found = layer(jnp.ones((B, T, 16)), memory, mask=masks.lengths(key=lengths), capture=nn.Capture())
    again = jnp.einsum("bnts,bsnv->btnv", found.weights, layer.project(memory).values)
    np.testing.assert_allclose(layer.out(again), found.out, atol=1e-5)
    if cross.startswith("local_p"):  # Its windows lie within the rows of the source, whatever names them.
        of_rows = layer(jnp.ones((B, T, 16)), memory, mask=jnp.arange(S) < lengths[:, None]).out
        np.testing.assert_allclose(found.out, of_rows, atol=1e-6)
    graphdef, params = nnx.split(model, nnx.Param)
    slope = jax.jit(jax.grad(lambda p: (nnx.merge(graphdef, p)(source, lengths, target).logits ** 2).sum()))
    own = jax.tree.leaves(slope(params)["decoder"][0]["cross_attention"])
    assert all(np.abs(leaf).max() > 0 for leaf in own)


@pytest.mark.parametrize(
    ("cross", "told"),
    [
        ("monotonic", "monotonic is no layer that reads a source for one target token after another"),
        ("coverage", "coverage is no layer that reads a source"),
        ("softmax+window(size=3)", "window is of self-attention, by the places of tokens in one sequence"),
        ("gla", "gla reads no source, it is of self-attention"),
        ("aditive", "unknown mechanism 'aditive'; did you mean additive"),
    ],
)
def test_what_cannot_read_a_source_is_named(cross: str, told: str) -> None:
    with pytest.raises(ValueError, match=rf"model.cross_mechanism is '.*': {told}"):
        TransformerConfig(cross_mechanism=cross)
