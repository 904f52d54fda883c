"""Parts of softmax attention that a mechanism's text names, where `ops` has no function for just that."""

import math
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from attnjax.nn.attention.placing import following
from attnjax.nn.axes import named
from attnjax.nn.projection import into_heads
from attnjax.ops import masks, normalizers, scores
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.masks import Mask
from attnjax.ops.positions import alibi_slopes

Offset = int | Int[Array, "*B"]


def window(size: int, *, offset: Offset = 0, causal: bool = True) -> Mask:
    """Returns a mask of the last `size` tokens; where there is no order, of size - 1 on either side too.

    References:
      Beltagy et al., Longformer: The Long-Document Transformer, 2020, arXiv:2004.05150.

    Example:
      >>> print(window(2).draw(3))
      ■ · ·
      ■ ■ ·
      · ■ ■
    """
    return masks.sliding_window(size - 1, 0 if causal else size - 1, offset)


def global_tokens(count: int, *, offset: Offset = 0) -> Mask:
    """Returns a mask of the first `count` tokens, which see all and are seen by all.

    References:
      Beltagy et al., Longformer: The Long-Document Transformer, 2020, arXiv:2004.05150.
    """
    return masks.global_tokens(range(count), offset)


def longformer(size: int, tokens: int, *, offset: Offset = 0, causal: bool = True) -> Mask:
    """Returns a mask of a window and of the first tokens, which see all and are seen by all.

    References:
      Beltagy et al., Longformer: The Long-Document Transformer, 2020, arXiv:2004.05150.
    """
    return window(size, offset=offset, causal=causal) | global_tokens(tokens, offset=offset)


def strided(size: int, *, offset: Offset = 0, causal: bool = True) -> Mask:
    """Returns a mask of the last `size` tokens and of every `size`-th token before.

    References:
      Child et al., Generating Long Sequences with Sparse Transformers, 2019, arXiv:1904.10509.

    Example:
      >>> print((masks.causal() & strided(2)).draw(4))
      ■ · · ·
      ■ ■ · ·
      ■ ■ ■ ·
      · ■ ■ ■
    """
    return window(size, offset=offset, causal=causal) | masks.dilated(size, offset)


def prefix(size: int) -> Mask:
    """Returns a mask of the first `size` tokens, which every token sees.

    References:
      Raffel et al., Exploring the Limits of Transfer Learning, 2020, arXiv:1910.10683.
    """
    return masks.prefix(size)


def random_blocks(
    size: int, count: int, seed: int, *, queries: int, keys: int, offset: Offset = 0, causal: bool = True
) -> Mask:
    """Returns a mask of `count` random blocks for each block of tokens.

    In causal models a block draws from those up to itself, so that its draws do not depend on the length.

    References:
      Zaheer et al., Big Bird: Transformers for Longer Sequences, 2020, arXiv:2007.14062.

    Example:
      >>> print(random_blocks(1, 1, 0, queries=4, keys=4).draw(4))
      ■ · · ·
      ■ · · ·
      · · ■ ·
      · · ■ ·
    """
    table = _random(-(-keys // size), count, seed, causal)
    return _of_blocks(table, size, queries, keys, offset)


def bigbird(
    size: int,
    near: int,
    count: int,
    first: int,
    seed: int,
    *,
    queries: int,
    keys: int,
    offset: Offset = 0,
    causal: bool = True,
) -> Mask:
    """Returns a mask of near, random and global blocks.

    References:
      Zaheer et al., Big Bird: Transformers for Longer Sequences, 2020, arXiv:2007.14062.
    """
    table = _random(-(-keys // size), count, seed, causal)
    at = np.arange(len(table))
    table |= np.abs(at[:, None] - at) <= near
    table[:first], table[:, :first] = True, True
    return _of_blocks(table, size, queries, keys, offset)


def _random(blocks: int, count: int, seed: int, causal: bool) -> np.ndarray:
    """Returns a table [blocks, blocks] that is True for the drawn blocks of each block."""
    table = np.zeros((blocks, blocks), bool)
    for row in range(blocks):
        choices = row + 1 if causal else blocks
        table[row, np.random.default_rng((seed, row)).permutation(choices)[:count]] = True
    return table


def _of_blocks(table: np.ndarray, size: int, queries: int, keys: int, offset: Offset) -> Mask:
    if isinstance(offset, int) and offset == 0 and queries == keys:
        return masks.blocks(cast(Any, table), size)
    rows = following(offset, queries) // size
    return masks.dense(jnp.asarray(table)[rows][..., None, :, np.arange(keys) // size])


def alibi(*, heads: int, offset: Offset = 0) -> scores.Score:
    """Returns a linear penalty on the distance, with the paper's slopes.

    References:
      Press et al., Train Short, Test Long, 2021, arXiv:2108.12409.
    """
    return scores.alibi(alibi_slopes(heads), offset=offset)


def sigmoid(bias: float | None, max_length: int) -> normalizers.Normalizer:
    """Returns the sigmoid with a bias, by default -log(max_length): weights start as small as a softmax's.

    References:
      Ramapuram et al., Theory, Analysis, and Best Practices for Sigmoid Self-Attention, 2024,
      arXiv:2409.04431.
    """
    return normalizers.sigmoid(-math.log(max_length) if bias is None else bias)


class LearnedRelativeBias(nnx.Module):
    """A learned bias by distance, with a table for this layer that starts as N(0, 0.02²).

    Args:
      buckets: the number of rows of the table.
      max_distance: tokens from which on all distances are in the last bucket.
      heads: N.
      param_dtype: of the table.
      rngs: draws the table.

    References:
      Raffel et al., Exploring the Limits of Transfer Learning, 2020, arXiv:1910.10683.
    """

    def __init__(
        self,
        buckets: int,
        max_distance: int,
        *,
        heads: int,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.max_distance = max_distance
        start = nnx.initializers.normal(0.02)(rngs.params(), (buckets, heads), param_dtype)
        self.table = nnx.Param(start, **named("bucket", "heads"))

    def __call__(self, *, offset: Offset = 0, causal: bool = True) -> scores.Score:
        """Returns the score modification."""
        return scores.relative_bias(
            self.table[...], max_distance=self.max_distance, bidirectional=not causal, offset=offset
        )


class LearnedSink(nnx.Module):
    """The softmax with a learned logit of each head, from 0, that takes weight and gives no value.

    Args:
      heads: N.
      param_dtype: of the logits.
      rngs: not used.

    References:
      Xiao et al., Efficient Streaming Language Models with Attention Sinks, 2023, arXiv:2309.17453.
    """

    def __init__(self, *, heads: int, param_dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs) -> None:
        self.logits = nnx.Param(jnp.zeros((heads,), param_dtype), **named("heads"))

    def __call__(self) -> normalizers.Normalizer:
        """Returns the normaliser."""
        return normalizers.softmax(self.logits[...])


class LearnedEntmax(nnx.Module):
    """The α-entmax with a learned α of each head: 1.01 + 0.99·σ(a), a from 0.

    The paper has 1 + σ(a); nearer to 1 than 1.01 float32 has no digits left for α - 1.

    Args:
      heads: N.
      param_dtype: of a.
      rngs: not used.

    References:
      Correia et al., Adaptively Sparse Transformers, 2019, arXiv:1909.00015.
    """

    def __init__(self, *, heads: int, param_dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs) -> None:
        self.raw = nnx.Param(jnp.zeros((heads,), param_dtype), **named("heads"))

    def __call__(self) -> normalizers.Normalizer:
        """Returns the normaliser."""
        raw = self.raw[...]
        return normalizers.entmax(1.01 + 0.99 * jax.nn.sigmoid(raw.astype(accumulation_dtype(raw))))


class LearnedForgetGate(nnx.Module):
    """A gate f = σ(x W + b) of every token and head, whose log lowers the scores of older keys.

    b starts at 3, where a gate of 0.95 forgets slowly.

    Args:
      dim: D.
      heads: N.
      dtype: of the projection; None is what x and parameters promote to.
      param_dtype: of the parameters.
      rngs: draws W.

    References:
      Lin et al., Forgetting Transformer: Softmax Attention with a Forget Gate, 2025, arXiv:2503.02130.
    """

    START = 3.0

    def __init__(
        self,
        *,
        dim: int,
        heads: int,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        start = nnx.initializers.constant(self.START)
        self.gate = into_heads(
            dim, {"heads": heads}, bias_init=start, dtype=dtype, param_dtype=param_dtype, rngs=rngs
        )

    def log_gates(self, x: Float[Array, "*B T D"]) -> Float[Array, "*B T N"]:
        """Returns log f of the tokens, in float32 or better."""
        raw = self.gate(x)
        return jax.nn.log_sigmoid(raw.astype(accumulation_dtype(raw)))

    def __call__(self, *, log_gates: Float[Array, "*B S N"], offset: Offset = 0) -> scores.Score:
        """Returns the score modification for gates of all keys."""
        return scores.forget_gate(log_gates, offset)
