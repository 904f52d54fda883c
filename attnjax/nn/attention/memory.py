"""Keys and values that a layer has learned, beside those of the tokens."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from attnjax.nn.axes import named
from attnjax.ops.attention import attention
from attnjax.ops.merge import merge_attention


class Memory(nnx.Module):
    """Learned keys [M, K, H] and values [M, K, V], which every token sees whatever its mask.

    Args:
      size: M.
      heads, head_dim, value_dim: K, H and V.
      param_dtype: of the parameters.
      rngs: for the initial values, of which keys have a standard deviation of 1/√H and values of 1/√M.

    Raises:
      ValueError: M is below 1.

    References:
      Sukhbaatar et al., Augmenting Self-attention with Persistent Memory, 2019, arXiv:1907.01470.

    Example:
      >>> memory = Memory(3, heads=2, head_dim=4, value_dim=4, rngs=nnx.Rngs(0))
      >>> query = jnp.ones((1, 5, 2, 4))
      >>> out, share = memory.attend(query, query, query, mask=jnp.zeros((5, 5), bool))
      >>> out.shape, share.shape, float(share.max())
      ((1, 5, 2, 4), (1, 2, 5), 0.0)
    """

    def __init__(
        self,
        size: int,
        *,
        heads: int,
        head_dim: int,
        value_dim: int,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if size < 1:
            raise ValueError(f"memory {size}: expected 1 or more keys")
        axes = named("slots", "kv_heads", "head_dim")
        keys = nnx.initializers.normal(head_dim**-0.5)(rngs.params(), (size, heads, head_dim), param_dtype)
        values = nnx.initializers.normal(size**-0.5)(rngs.params(), (size, heads, value_dim), param_dtype)
        self.keys, self.values = nnx.Param(keys, **axes), nnx.Param(values, **axes)

    def attend(
        self,
        query: Float[Array, "*B T N H"],
        key: Float[Array, "*B S K H"],
        value: Float[Array, "*B S K V"],
        *,
        dropout_key: Array | None = None,
        **rules: Any,
    ) -> tuple[Float[Array, "*B T N V"], Float[Array, "*B N T"]]:
        """Returns attention over the given keys and the learned ones, and the share of the given ones.

        Args:
          query: as in `attnjax.attention`.
          key: as there, those of the tokens.
          value: as there.
          dropout_key: of the weights.
          rules: the other arguments of `attnjax.attention`; mask, score and normaliser are those of the
            given keys.
        """
        learned = [
            jnp.broadcast_to(x[...].astype(query.dtype), (*query.shape[:-3], *x.shape))
            for x in (self.keys, self.values)
        ]
        common = {name: x for name, x in rules.items() if name not in ("mask", "score", "normalizer")}
        # Parts of one row drop their weights apart.
        other = None if dropout_key is None else jax.random.fold_in(dropout_key, 1)
        given, given_lse = attention(query, key, value, return_lse=True, dropout_key=dropout_key, **rules)
        sink = getattr(rules.get("normalizer"), "sink", None)
        if sink is not None:
            # A row that sees no key has no sink by itself; here it sees the learned ones.
            given_lse = jnp.where(jnp.isneginf(given_lse), sink.astype(given_lse.dtype)[:, None], given_lse)
        own, own_lse = attention(query, *learned, return_lse=True, dropout_key=other, **common)
        out, lse = merge_attention((given, own), (given_lse, own_lse))
        return out.astype(query.dtype), jnp.exp(given_lse - lse)


def own_memory(size: int, layer: Any, param_dtype: DTypeLike, rngs: nnx.Rngs) -> Memory:
    """Returns the memory of a softmax layer.

    Raises:
      ValueError: The layer has another mechanism, or a normaliser that parts of a row cannot be merged by.
    """
    normalizer = layer.normalizer
    if layer.mechanism != "softmax" or (normalizer is not None and normalizer.route != "online"):
        raise ValueError(f"memory {size} with {normalizer or layer.mechanism!r}: expected softmax")
    sizes = {"heads": layer.kv_heads, "head_dim": layer.head_dim, "value_dim": layer.value_dim}
    return Memory(size, **sizes, param_dtype=param_dtype, rngs=rngs)
