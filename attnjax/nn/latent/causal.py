"""The base of layers that read a sequence in its order."""

from typing import Any, ClassVar

from attnjax.nn.attention.base import require_kind
from attnjax.nn.attention.cache import KVCache
from attnjax.nn.attention.mask_reading import require_causal
from attnjax.nn.attention.softmax import SoftmaxAttention


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
