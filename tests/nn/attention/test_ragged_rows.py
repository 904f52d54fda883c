"""Rows of different lengths: what a row gives does not depend on its padding or on the rows beside it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax import nn
from attnjax.ops import masks
from tests.daily import daily

T = 6
LENGTHS = jnp.array([6, 2, 4])
RECURRENT: dict[str, Any] = {
    "key_heads": 2,
    "output_gate": nn.OutputGate(activation="silu", rank=3),
    "convolution": nn.Convolution(3, bias=True),
    "norm": nn.HeadNorm("layer", groups=2, gain="each"),
}
LAYERS: dict[str, dict[str, Any]] = {
    "softmax": {"window": 3, "sink": True, "score": "alibi"},
    "gla": {**RECURRENT, "decay": "softplus", "activation": "none"},
    "gated_delta_net": {**RECURRENT, "max_strength": 2.0},
    "mamba2": {**RECURRENT, "output_gate": nn.OutputGate("headwise", before_norm=True)},
}


def layer(mechanism: str) -> nn.Attention:
    settings = dict(LAYERS[mechanism])
    if "score" in settings:
        settings["score"] = nn.PositionScore("alibi", 4, bidirectional=False, rngs=nnx.Rngs(1))
    return nn.Attention(8, 4, head_dim=4, mechanism=mechanism, rope="halves", rngs=nnx.Rngs(0), **settings)


def x() -> jax.Array:
    return jax.random.normal(jax.random.key(0), (3, T, 8))


@pytest.mark.parametrize("mechanism", daily(LAYERS, ["softmax", "gated_delta_net"]))
def test_ragged_prompts_decode_as_each_row_alone(mechanism: str) -> None:
    module, tokens = layer(mechanism), x()

    @jax.jit
    def call(tokens: jax.Array, cache: Any, lengths: Any = T) -> Any:
        mask = masks.causal(cache.length) & masks.lengths(key=lengths)
        return module(tokens, mask=mask, cache=cache)

    alone = jax.jit(lambda x: module(x, mask=masks.causal()).out)(tokens)
    prompt, cache, _ = call(tokens, module.empty_cache((3,), T + 1, tokens.dtype), LENGTHS)
    assert cache.length.tolist() == LENGTHS.tolist()
    for row, length in enumerate(LENGTHS):
        np.testing.assert_allclose(prompt[row, :length], alone[row, :length], atol=1e-5)
    # The next token of each row stands after its own last one, in the place of the padding.
    following = jnp.take_along_axis(tokens, LENGTHS[:, None, None] % T, axis=1)
    step, cache, _ = call(following, cache, T + 1)
    assert cache.length.tolist() == (LENGTHS + 1).tolist()
    for row in (1, 2):
        np.testing.assert_allclose(step[row, 0], alone[row, LENGTHS[row]], atol=1e-5)


@pytest.mark.parametrize("mechanism", daily([name for name in LAYERS if name != "softmax"], ["mamba2"]))
def test_padding_on_the_left_is_as_if_there_were_none(mechanism: str) -> None:
    module, tokens, padding = layer(mechanism), x(), T - LENGTHS

    @jax.jit
    def call(tokens: jax.Array, cache: Any, padding: jax.Array) -> Any:
        return module(tokens, mask=masks.causal(cache.length) & ~masks.lengths(key=padding), cache=cache)

    empty = module.empty_cache((3,), T, tokens.dtype)
    alone = call(tokens, empty, jnp.zeros(3, int)).out
    moved = jnp.stack([jnp.roll(row, by, axis=0) for row, by in zip(tokens, padding, strict=True)])
    out, cache, _ = call(moved, empty, padding)
    assert cache.length.tolist() == LENGTHS.tolist()
    for row, by in enumerate(padding):
        np.testing.assert_allclose(out[row, by:], alone[row, : LENGTHS[row]], atol=1e-5)


def test_a_row_that_is_full_is_named_or_gives_nan_alone() -> None:
    module = nn.Attention(8, 2, rngs=nnx.Rngs(0))
    cache = module(x(), mask=masks.lengths(key=LENGTHS), cache=module.empty_cache((3,), T, jnp.float32)).cache
    token = x()[:, :1]
    with pytest.raises(ValueError, match="cache of 6 slots, 6 used in row 0: no room for 1 more tokens"):
        module(token, mask=masks.causal(cache.length), cache=cache)
    out = jax.jit(lambda cache: module(token, mask=masks.causal(cache.length), cache=cache).out)(cache)
    assert np.isnan(out).all(axis=(1, 2)).tolist() == [True, False, False]
