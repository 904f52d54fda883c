"""The Pallas kernel for GPUs that JAX ships: jax.experimental.pallas.ops.gpu.attention.

It takes as many keys as queries, in blocks of 128, and causal masks or none. FlashAttention (Dao et al.,
2022). Later versions of JAX call it deprecated, and lower it only where they know the GPU.
"""

import warnings

import jax
import jax.numpy as jnp
from jaxtyping import Array

from attnjax.ops.engines.kernel import Band, Kernel, Pattern

BLOCK = 128


def attend(pattern: Pattern, query: Array, key: Array, value: Array, *, interpret: bool = False) -> Array:
    """Computes attention for the pattern, as `Kernel.attend` says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from jax.experimental.pallas.ops.gpu.attention import mha

    length, shared = query.shape[1], query.shape[2] // key.shape[2]
    missing = -length % BLOCK
    query, key, value = (jnp.pad(x, [(0, 0), (0, missing), (0, 0), (0, 0)]) for x in (query, key, value))
    causal = pattern.band == Band(None, 0)
    ids = None
    if missing and not causal:  # Causal rows see no key of the padding, which stands behind them.
        ids = jnp.broadcast_to((jnp.arange(length + missing) >= length).astype(jnp.int32), query.shape[:2])
    out = mha(
        query,
        jnp.repeat(key, shared, axis=2),
        jnp.repeat(value, shared, axis=2),
        ids,
        sm_scale=query.shape[-1] ** -0.5,
        causal=causal,
        interpret=interpret,
    )
    return out[:, :length]


def _unknown_gpu() -> str | None:
    if jax.__version_info__ < (0, 11) or getattr(jax.sharding.get_abstract_mesh(), "abstract_device", None):
        return None
    try:
        jax.devices("gpu")
    except RuntimeError:
        return f"JAX {jax.__version__} lowers it only where there is a GPU or an AbstractDevice"
    return None


KERNEL = Kernel(
    name="pallas_gpu",
    platforms=("cuda",),
    dtypes=("bfloat16", "float16"),
    attend=attend,
    head_sizes=range(16, 129),
    one_head_size=True,
    one_length=True,
    bands=lambda band: band in (Band(None, None), Band(None, 0)),
    bands_named="causal() or no mask",
    unasked=_unknown_gpu,
)
