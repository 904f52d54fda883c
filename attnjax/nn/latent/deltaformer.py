"""DeltaFormer: values from which is taken what is already written under similar keys."""

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.nn.attention.cache import KeysValues
from attnjax.nn.attention.placing import following
from attnjax.nn.latent.causal import CausalAttention, finite
from attnjax.nn.latent.selective import pairs_seen
from attnjax.nn.projection import into_heads
from attnjax.ops.core.dtypes import accumulation_dtype
from attnjax.ops.core.ranks import of_rank
from attnjax.ops.normalizers import Softmax


class DeltaFormerAttention(CausalAttention):
    """DeltaFormer: o_t = softmax(q_t·k/√H) u, u_t = v_t - β_t Σ_{j<t} softmax_j(k_t·k_j/√H) u_j.

    As the delta rule does with a state, a value is written as what it adds to that which its key reads
    already, here of all earlier tokens by a softmax over their keys. β = x W + b, of each key/value head, has
    no bounds. The cache holds u.

    Args:
      dim, heads: D and N.
      settings: those of `SoftmaxAttention`.

    Raises:
      ValueError: As in `SoftmaxAttention`. When called, the mask is not causal, or a context is given.

    References:
      Zhong et al., Understanding Transformer from the Perspective of Associative Memory, 2025,
      arXiv:2505.19488.

    Example:
      >>> from attnjax.ops import masks
      >>> layer = DeltaFormerAttention(8, 2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 5, 8)), mask=masks.causal()).out.shape
      (1, 5, 8)
    """

    called: ClassVar[str] = "deltaformer"

    def __init__(self, dim: int, heads: int, *, rngs: nnx.Rngs, **settings: Any) -> None:
        super().__init__(dim, heads, rngs=rngs, **settings)
        dtypes = {name: settings[name] for name in ("dtype", "param_dtype") if name in settings}
        self.strength = into_heads(dim, {"kv_heads": self.kv_heads}, rngs=rngs, **dtypes)

    def _remembered(
        self,
        x: Array,
        query: Array,
        new: KeysValues,
        cache: Any,
        count: Int[Array, "*B"] | None,
        rules: dict[str, Any],
    ) -> tuple[KeysValues, Any]:
        start = jnp.zeros(x.shape[:-2], jnp.int32) if cache is None else cache.length
        keys = new.keys if cache is None else cache.append(new, count).keys
        seen = pairs_seen(rules["mask"], query, keys)
        ends = following(start, x.shape[-2])[..., None]
        earlier = of_rank(jnp.arange(keys.shape[-3], dtype=jnp.int32), ends.ndim) < ends
        seen &= of_rank(earlier, seen.ndim)
        held = None if cache is None else cache.values
        values = written(new, finite(self.strength(x)), keys, held, seen, start)
        return super()._remembered(x, query, KeysValues(new.keys, values), cache, count, rules)


def written(
    new: KeysValues,
    strength: Float[Array, "*B T K"],
    keys: Float[Array, "*B S K H"],
    held: Float[Array, "*B S K V"] | None,
    seen: Array,
    start: Int[Array, "*B"],
) -> Float[Array, "*B T K V"]:
    """Returns u of new tokens, which solves (I + β P) u = v - β P' u' with weights P of new, P' of old keys.

    Args:
      new: keys and values v of the tokens.
      strength: β.
      keys: of all slots, those of the tokens from `start` on.
      held: u of the slots before; None where there are none.
      seen: [*B, T, S], the earlier slots that each token sees.
      start: the slot of each row's first token.
    """
    dtype, tokens = accumulation_dtype(new.keys, new.values), new.keys.shape[-3]
    own, others = (finite(x).astype(dtype) for x in (new.keys, keys))
    scores = jnp.einsum("...tkh,...skh->...kts", own, others) / math.sqrt(own.shape[-1])
    scores = jnp.where(seen[..., None, :, :], scores, -jnp.inf)
    weights, _ = Softmax(None).weights(scores, None)
    weights = jnp.swapaxes(strength, -1, -2)[..., None].astype(dtype) * weights
    values = jnp.swapaxes(finite(new.values).astype(dtype), -2, -3)
    if held is not None:
        place = of_rank(jnp.arange(keys.shape[-3], dtype=jnp.int32), start.ndim + 1) < start[..., None]
        older = jnp.where(place[..., None, None], finite(held), 0).astype(dtype)
        values = values - jnp.einsum("...kts,...skv->...ktv", weights, older)
        index = jnp.minimum(following(start, tokens), keys.shape[-3] - 1)[..., None, None, :]
        weights = jnp.take_along_axis(
            weights, jnp.broadcast_to(index, (*weights.shape[:-1], tokens)), axis=-1
        )
    matrix = of_rank(jnp.eye(tokens, dtype=dtype), weights.ndim) + jnp.tril(weights, -1)
    found = jax.scipy.linalg.solve_triangular(matrix, values, lower=True, unit_diagonal=True)
    return jnp.swapaxes(found, -2, -3).astype(new.values.dtype)
