"""Splash attention on TPU: jax.experimental.pallas.ops.tpu.splash_attention, built from our masks.

Its kernel takes heads × length × size without a batch (vmap adds it), lengths in blocks of 128 or more and
no scale (the query brings it, rounded to its dtype where it is no power of two). Its masks are static. Bands
are computed inside the kernel; of others the partial blocks are stored, so they may have so many pairs only.
Block-sparse attention after FlashAttention-2 (Dao, 2023).
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from attnjax.ops.core.node import known
from attnjax.ops.core.pairs import block
from attnjax.ops.engines.call import AttentionCall
from attnjax.ops.engines.kernel import Kernel, Pattern

LANES = 128
BLOCKS = (512, 256, 128)
MOST_PAIRS = 2**26  # Of a mask that is no band, over all heads: 64 MiB as booleans on the host.


def attend(pattern: Pattern, query: Array, key: Array, value: Array, *, interpret: bool = False) -> Array:
    """Computes attention for the pattern, as `Kernel.attend` says."""
    sizes, width = pattern.sizes, value.shape[-1]
    # [B, N, T, H] with lengths and sizes filled up by zeros, which add nothing.
    query, key, value = (jnp.swapaxes(_padded(x), 1, 2) for x in (query, key, value))
    kernel, alive, bare = _built(pattern, interpret)
    ids = None
    if bare:
        from jax.experimental.pallas.ops.tpu.splash_attention import SegmentIds

        ids = SegmentIds(
            jnp.zeros(query.shape[2], jnp.int32), (jnp.arange(key.shape[2]) >= sizes.keys).astype(jnp.int32)
        )
    out = jax.vmap(lambda q, k, v: kernel(q, k, v, segment_ids=ids))(query, key, value)
    out = jnp.swapaxes(out, 1, 2)[:, : sizes.queries, :, :width]
    return out if alive is None else jnp.where(alive.T[None, :, :, None], out, 0)


@functools.lru_cache(maxsize=64)
def _built(pattern: Pattern, interpret: bool) -> tuple[Any, Any, bool]:
    """The kernel; which rows attend a key [N|1, T], None = all; whether it sees the keys of the padding."""
    from jax.experimental.pallas.ops.tpu import splash_attention as splash

    sizes = pattern.sizes
    queries, keys = (-(-n // LANES) * LANES for n in (sizes.queries, sizes.keys))
    alive, bare = None, False
    heads: list[Any]
    mask: Any
    if _is_computed(pattern):
        low, high = pattern.band or (None, None)
        bare = keys > sizes.keys and (high is None or sizes.queries - 1 + high >= sizes.keys)
        mask = splash.FullMask((queries, keys))
        if pattern.band and any(x is not None for x in pattern.band):
            mask = splash.LocalMask((queries, keys), (None if low is None else -low, high), 0)
        heads = [mask] * sizes.heads
    else:
        whole = np.zeros((_own_heads(pattern), queries, keys), bool)
        whole[:, : sizes.queries, : sizes.keys] = _pairs(pattern)
        alive = whole[:, : sizes.queries].any(-1)
        whole[..., 0] |= ~whole.any(-1)  # A row without keys attends the first; its output is dropped.
        heads = [splash.NumpyMask(x) for x in whole]
        heads = heads * sizes.heads if len(heads) == 1 else heads
        alive = None if alive.all() else alive
    q, k = (next(b for b in BLOCKS if n % b == 0) for n in (queries, keys))
    blocks = splash.BlockSizes(
        block_q=q,
        block_kv=k,
        block_kv_compute=k,
        block_q_dkv=q,
        block_kv_dkv=k,
        block_kv_dkv_compute=k,
        block_q_dq=q,
        block_kv_dq=k,
    )
    # Splash moves the tables of its blocks to the device here, which is neither traced nor an input.
    with jax.ensure_compile_time_eval(), jax.transfer_guard("allow"):
        kernel = splash.make_splash_mha(
            splash.MultiHeadMask(heads),
            head_shards=1,
            q_seq_shards=1,
            block_sizes=blocks,
            interpret=interpret,
        )
    return kernel, alive, bare


def _is_computed(pattern: Pattern) -> bool:
    """Returns whether the kernel computes the mask: a band that leaves every row, even padding, a key."""
    rows = -(-pattern.sizes.queries // LANES) * LANES
    return pattern.band is not None and pattern.band.rows_have_keys(rows, pattern.sizes.keys)


def _own_heads(pattern: Pattern) -> int:
    return jax.eval_shape(lambda: _pairs_of(pattern)).shape[1]


def _pairs(pattern: Pattern) -> np.ndarray:
    return known(lambda: _pairs_of(pattern))[0]


def _pairs_of(pattern: Pattern) -> Array:
    assert pattern.mask is not None
    sizes = pattern.sizes
    return pattern.mask.thaw().evaluate(block(sizes, jnp.arange(sizes.queries), jnp.arange(sizes.keys)))


def _padded(x: Array) -> Array:
    widths = [(0, -n % LANES if axis in (1, 3) else 0) for axis, n in enumerate(x.shape)]
    return jnp.pad(x, widths)


def _further(call: AttentionCall, pattern: Pattern) -> str | None:
    if _is_computed(pattern):
        return None
    sizes = pattern.sizes
    pairs = sizes.heads * sizes.queries * sizes.keys
    if pairs > MOST_PAIRS:
        return f"the mask is no band and has {pairs} pairs over all heads, it stores up to {MOST_PAIRS}"
    return None


KERNEL = Kernel(
    name="splash",
    platforms=("tpu",),
    dtypes=("bfloat16", "float32"),
    attend=attend,
    prescaled=True,
    further=_further,
)
