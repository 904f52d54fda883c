"""One number for a whole tree of arrays, to say that two runs ended in the same bits."""

import hashlib
from typing import Any

import jax
import numpy as np

from attnjax.train.sharding import gather


def params_hash(params: Any) -> str:
    """SHA-256 over the path, dtype, shape and bytes of every leaf, in the tree's order, as 64 hex digits.

    Where arrays are split over hosts, all of them call it together, and get the same.

    >>> import jax.numpy as jnp
    >>> params_hash({"w": jnp.zeros(2)}) == params_hash({"w": jnp.zeros(2)})
    True
    >>> params_hash({"w": jnp.zeros(2)}) == params_hash({"w": -jnp.zeros(2)})  # other bits
    False
    """
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        array = np.asarray(jax.device_get(gather(leaf) if _is_apart(leaf) else leaf))
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _is_apart(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated)
