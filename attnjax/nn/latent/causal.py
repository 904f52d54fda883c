"""The base of layers that read a sequence in its order."""

from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from attnjax.nn.attention.base import require_kind
from attnjax.nn.attention.cache import KeysValues, KVCache
from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.mask_reading import require_causal
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.taps import Sites


class CausalAttention(SoftmaxAttention):
    """Softmax attention of x over itself under a causal mask, with a cache of a kind of its own."""

    called: ClassVar[str]
    """The name of the mechanism."""
    cache_kind: ClassVar[type[KVCache]] = KVCache

    def _require_fits(self, context: Any, values: Any, mask: Any, cache: Any) -> None:
        for name, given in (("context", context), ("values", values)):
            if given is not None:
                raise ValueError(f"{name} is given: {self.called} takes none, it is of self-attention")
        require_causal(mask, self.called)
        require_kind(cache, self.cache_kind, self.called)


class ScoredAttention(CausalAttention):
    """Causal attention whose scores are computed before the engine is called, as a pair bias."""

    takes_no: ClassVar[tuple[str, ...]] = ("comparison",)

    def _attend(self, query: Array, source: KeysValues, rules: dict[str, Any]) -> Float[Array, "*B T N V"]:
        return super()._attend(*_without_products(query, source), rules)

    def _weights(
        self, capture: Capture | Sites, query: Array, source: KeysValues, rules: dict[str, Any]
    ) -> Float[Array, "*B N T S"]:
        return super()._weights(capture, *_without_products(query, source), rules)


def _without_products(query: Array, source: KeysValues) -> tuple[Array, KeysValues]:
    """Returns queries and keys of size 1 whose products are 0."""
    return jnp.zeros_like(query[..., :1]), KeysValues(jnp.zeros_like(source.keys[..., :1]), source.values)


def finite(x: Array) -> Array:
    """Returns x with 0 for what is not finite: padding may hold anything."""
    return jnp.where(jnp.isfinite(x), x, 0)
