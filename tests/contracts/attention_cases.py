"""Inputs that the attention contract is tested with, and small engines that make many blocks of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

import attnjax as aj
from attnjax.ops.engines import blockwise
from attnjax.ops.engines.blocking import Blocking
from attnjax.ops.engines.choose import ENGINES
from attnjax.ops.engines.schedule import reach
from attnjax.ops.masks.tiles import Tiles

# B, T, S, N, K, H, V: ragged for blocks of 4 × 3, T = 1, S = 1, MHA, GQA and MQA, V ≠ H.
SHAPES = [(2, 7, 10, 4, 2, 8, 5), (1, 1, 5, 3, 3, 4, 4), (1, 9, 1, 2, 1, 3, 7)]


def cut_in(call, block_q, block_k, *, batch=1, groups=1, span=1):
    """Blocks of so many queries, keys, batch elements and key heads."""
    sizes, key_heads = call.rules.sizes, call.key.shape[2]
    return Blocking(Tiles(sizes, block_q, block_k), key_heads, batch, groups, span)


def small_blocks():
    """The engines, with blocks of 4 × 3 so that small inputs have several of them, ragged ones too.

    "one block": the blockwise engine where all that a row visits is one block.
    """

    def run(call):
        return blockwise.run(call, cut_in(call, 4, 3))

    def run_one(call):
        tiles = Tiles(call.rules.sizes, 4, 3)
        return blockwise.run(call, cut_in(call, 4, 3, span=reach(call.rules.mask, tiles)))

    blocks = ENGINES["blockwise"]
    one = dataclasses.replace(blocks, name="one block", run=run_one)
    return {**ENGINES, "blockwise": dataclasses.replace(blocks, run=run), "one block": one}


def inputs(shape, dtype=jnp.float32, seed=0):
    """Query, key and value at 3× unit normal."""
    b, t, s, n, k, h, v = shape
    keys = jax.random.split(jax.random.key(seed), 3)
    sizes = ((b, t, n, h), (b, s, k, h), (b, s, k, v))
    return tuple(3 * jax.random.normal(key, x, dtype) for key, x in zip(keys, sizes, strict=True))


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(100 + seed), shape)


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


class Engine:
    """What the parts of the contract share: a call on the engine that a subclass names."""

    engine: str

    def attend(self, *args, **options):
        return aj.attention(*args, implementation=self.engine, **options)

    def gradients(self, args, **options):
        """Of a loss over out and lse, to all of args = (query, key, value)."""

        def loss(*args):
            out, lse = self.attend(*args, return_lse=True, **options)
            return jnp.sum(jnp.sin(out)) + jnp.sum(jnp.where(jnp.isneginf(lse), 0, jnp.cos(lse)))

        return jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*args)
