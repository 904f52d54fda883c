"""cuDNN's fused attention, through `jax.nn.dot_product_attention(implementation="cudnn")`.

It takes 16-bit inputs, head sizes that are multiples of 8 up to 128 (of more, newer GPUs only), causal masks
and windows to the left. Its backward pass adds in any order: the bits of gradients may differ from run to
run unless XLA is told otherwise, so only then it is chosen without being asked for. FlashAttention-2 (Dao,
2023).
"""

import functools
import os
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array

from attnjax.ops.engines.call import AttentionCall
from attnjax.ops.engines.kernel import Band, Kernel, Pattern

DETERMINISTIC = ("--xla_gpu_deterministic_ops", "--xla_gpu_exclude_nondeterministic_ops")


def attend(
    pattern: Pattern,
    query: Array,
    key: Array,
    value: Array,
    *,
    implementation: Literal["cudnn", "xla"] = "cudnn",
) -> Array:
    """Computes attention for the pattern, as `Kernel.attend` says."""
    low, high = pattern.band or (None, None)
    return jax.nn.dot_product_attention(
        query,
        key,
        value,
        is_causal=high is not None,
        local_window_size=None if low is None else (-low, 0),
        implementation=implementation,
    )


@functools.cache
def _missing() -> str | None:
    """Returns the reason why this process has no cuDNN; None when it has. JAX looks for it when it traces."""
    x = jax.ShapeDtypeStruct((1, 8, 1, 8), jnp.bfloat16)
    try:
        jax.eval_shape(lambda x: jax.nn.dot_product_attention(x, x, x, implementation="cudnn"), x)
    except RuntimeError as error:
        return f"JAX says: {error}"
    return None


def _takes(band: Band) -> bool:
    return band == Band(None, None) or (band.high == 0 and (band.low is None or band.low <= 0))


def _further(call: AttentionCall, pattern: Pattern) -> str | None:
    queries, keys = pattern.sizes.queries, pattern.sizes.keys
    if pattern.mask is not None and queries != keys:
        return f"T ≠ S under a mask: {queries}, {keys}"
    return _missing()


def _unasked() -> str | None:
    flags = os.environ.get("XLA_FLAGS", "").split()
    if any(f in (name, f"{name}=true", f"{name}=1") for f in flags for name in DETERMINISTIC):
        return None
    return f"the bits of its gradients vary unless XLA_FLAGS holds {DETERMINISTIC[0]}=true; ask for it"


KERNEL = Kernel(
    name="cudnn",
    platforms=("cuda",),
    dtypes=("bfloat16", "float16"),
    attend=attend,
    head_sizes=range(8, 129, 8),
    one_head_size=True,
    bands=_takes,
    bands_named="causal(), a causal sliding window or no mask",
    further=_further,
    unasked=_unasked,
)
