"""HSTU: pointwise attention, normed and gated."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from attnjax.nn.attention.base import normed, require_width
from attnjax.nn.attention.cache import KeysValues
from attnjax.nn.attention.head_norm import make_head_norm
from attnjax.nn.attention.settings import HeadNorm, OutputGate
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.ops import normalizers


class HSTUAttention(SoftmaxAttention):
    """HSTU's spatial aggregation: norm(Σ_j silu(q_i·k_j + b_ij)/length · v_j) ⊙ u_i.

    Queries, keys, values and gates u are silu(x W + c). The norm is a LayerNorm over all heads of a token
    without a gain. Products are not scaled by the size of heads. A model gives relative biases b as the
    score. The paper's block has no feed-forward layer; the blocks of this package have one.

    Args:
      dim, heads: D and N.
      length: by which weights are divided; after the norm it counts through its ε alone.
      settings: those of `SoftmaxAttention`, without a normaliser, sink, memory or output gate.

    Raises:
      ValueError: As in `SoftmaxAttention`.

    References:
      Zhai et al., Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers for Generative
      Recommendations, 2024, arXiv:2402.17152.

    Example:
      >>> from attnjax.ops import masks
      >>> layer = HSTUAttention(8, 2, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 5, 8)), mask=masks.causal()).out.shape
      (1, 5, 8)
    """

    def __init__(
        self, dim: int, heads: int, *, length: float = 512.0, rngs: nnx.Rngs, **settings: Any
    ) -> None:
        settings["scale"] = 1.0 if settings.get("scale") is None else settings["scale"]
        for name, own in (("output_gate", "a gate"), ("normalizer", "a normaliser")):
            if settings.get(name) is not None:
                raise ValueError(f"{name} {settings[name]!r}: hstu has {own} of its own")
        gate = OutputGate("elementwise", activation="silu", bias=True)
        normalizer = normalizers.silu(float(length))
        super().__init__(dim, heads, rngs=rngs, **settings | {"output_gate": gate, "normalizer": normalizer})
        norm = HeadNorm("layer", groups=1, gain="none")
        self.norm = make_head_norm(norm, heads, self.value_dim, rngs=rngs)

    def project(self, context: Array, positions: Any = None, *, values: Any = None) -> KeysValues:
        """Returns the keys and values of tokens, each under a SiLU."""
        require_width("context", context, self.context_dim)
        if positions is None:
            positions = jnp.arange(context.shape[-2], dtype=jnp.int32)
        keys = normed(jax.nn.silu(self.key(context)), self.key_norm)
        read = jax.nn.silu(self.value(context if values is None else values))
        return KeysValues(self._rotated(keys, positions), read)

    def mixed(
        self, weights: Float[Array, "*B N T S"], values: Float[Array, "*B S K V"]
    ) -> Float[Array, "*B T N V"]:
        """Returns what the heads read of values with these weights, normed."""
        return self.norm(super().mixed(weights, values))

    def _queries(self, x: Float[Array, "*B T D"], positions: Any) -> Float[Array, "*B T N H"]:
        return self._rotated(normed(jax.nn.silu(self.query(x)), self.query_norm), positions)

    def _attend(self, query: Array, source: KeysValues, rules: dict[str, Any]) -> Float[Array, "*B T N V"]:
        return self.norm(super()._attend(query, source, rules))
