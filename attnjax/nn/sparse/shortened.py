"""Layers that make few keys of all tokens and so read both ways: Linformer and Nyströmformer."""

from typing import Any, ClassVar, Unpack

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from attnjax.nn.attention.cache import KeysValues, KVCache
from attnjax.nn.attention.mask_reading import read_mask
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.attention.placing import MaskLike
from attnjax.nn.attention.settings import Settings
from attnjax.nn.attention.softmax import SoftmaxAttention
from attnjax.nn.axes import named
from attnjax.nn.mixers.tokens import real_tokens
from attnjax.nn.sparse.base import at_least_one
from attnjax.nn.taps import Sites
from attnjax.ops.attention import attention
from attnjax.ops.sparse.nystrom import nystrom_attention


class ShortenedAttention(SoftmaxAttention):
    """Self-attention both ways, over keys that are made of all tokens of one document.

    It takes masks of lengths(key=…) and ~lengths(key=…), joined by &: padding takes part in no key.

    Args:
      dim, heads: D and N.
      settings: those of `Settings`.

    Raises:
      ValueError: As in `SoftmaxAttention`; a window is given.
    """

    name: ClassVar[str]

    def __init__(self, dim: int, heads: int, *, rngs: nnx.Rngs, **settings: Unpack[Settings]) -> None:
        super().__init__(dim, heads, rngs=rngs, **settings)
        if self.window is not None:
            raise ValueError(f"window is {self.window}: {self.name} takes none, its keys have no places")
        self.has_weights = False

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        context: Float[Array, "*B S D"] | KeysValues | None = None,
        *,
        mask: MaskLike | None = None,
        cache: Any = None,
        **options: Any,
    ) -> AttentionOutput:
        """Attends from every token of x to all; arguments as in `SoftmaxAttention`.

        Raises:
          ValueError: A context, a cache or a capture is given, or the mask has other parts than it may have.
        """
        given = {"context": context, "values": options.get("values"), "cache": cache}
        for what, value in (given | {"capture": options.get("capture")}).items():
            if value is not None and not isinstance(value, Sites):
                raise ValueError(f"{what} is given: {self.name} takes none, it reads one text as a whole")
        reading = read_mask(mask, self.name)
        if reading.causal or reading.segment_ids is not None:
            raise ValueError(
                f"mask {mask!r}: {self.name} reads one text as a whole, expected lengths(key=…) and "
                "~lengths(key=…) alone"
            )
        return super().__call__(x, mask=mask, **options)

    def empty_cache(self, batch: tuple[int, ...], capacity: int, dtype: DTypeLike) -> KVCache:
        """Raises ValueError: what a token reads changes with every later one."""
        raise ValueError(f"{self.name} needs all tokens at once: there is no cache for one after another")

    def _attended(
        self, x: Array, query: Array, source: KeysValues, rules: dict[str, Any], given: MaskLike | None
    ) -> tuple[Float[Array, "*B T N V"], None]:
        source = KeysValues(*(heads.astype(query.dtype) for heads in source))
        rules = rules | {"memory": self.memory}
        for what in ("score", "normalizer", "comparison", "memory"):
            if rules[what] is not None:
                raise ValueError(f"{what} is {rules[what]!r}: {self.name} takes none")
        tokens = real_tokens(read_mask(given, self.name), x.shape[-2])
        tokens = jnp.ones(x.shape[-2], bool) if tokens is None else tokens
        return self._read(query, source, tokens, {"scale": rules["scale"]}), None

    def _read(
        self, query: Array, source: KeysValues, tokens: Bool[Array, "*#B T"], options: dict[str, Any]
    ) -> Float[Array, "*B T N V"]:
        """Returns what the heads read of the tokens."""
        raise NotImplementedError


class Linformer(ShortenedAttention):
    """Attention to `rank` keys and values, each a learned weighted sum of all tokens.

        out = softmax(q (E k)ᵀ/√H) (F v),  E and F of [rank, T], the same for all heads

    Args:
      dim, heads: D and N.
      rank: of E and F.
      length: the most tokens, each of which has a column in E and F.
      settings: those of `Settings`.

    Raises:
      ValueError: As in `SoftmaxAttention`; rank or length is below 1; x is longer (when called).

    References:
      Wang et al., Linformer: Self-Attention with Linear Complexity, 2020, arXiv:2006.04768.

    Example:
      >>> Linformer(8, 2, rank=3, length=9, rngs=nnx.Rngs(0))(jnp.ones((1, 6, 8))).out.shape
      (1, 6, 8)
    """

    name = "linformer"

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        rank: int = 64,
        length: int = 4096,
        rngs: nnx.Rngs,
        **settings: Unpack[Settings],
    ) -> None:
        rank, self.length = at_least_one(rank=rank, length=length)
        super().__init__(dim, heads, rngs=rngs, **settings)
        dtype = settings.get("param_dtype", jnp.float32)

        def drawn() -> nnx.Param[Array]:
            start = nnx.initializers.normal(rank**-0.5)(rngs.params(), (self.length, rank), dtype)
            return nnx.Param(start, **named("position", "rank"))

        self.of_keys, self.of_values = drawn(), drawn()

    def _read(
        self, query: Array, source: KeysValues, tokens: Bool[Array, "*#B T"], options: dict[str, Any]
    ) -> Float[Array, "*B T N V"]:
        count = query.shape[-3]
        if count > self.length:
            raise ValueError(f"x has {count} tokens: linformer was made for at most {self.length} (length)")
        seen = tokens[..., None, None]
        short = [
            jnp.einsum("...tkh,tr->...rkh", jnp.where(seen, heads, 0), table[:count].astype(heads.dtype))
            for heads, table in zip(source, (self.of_keys, self.of_values), strict=True)
        ]
        return attention(query, *short, **options)


class Nystrom(ShortenedAttention):
    """Attention through the means of a few stretches of the text, as `attnjax.ops.sparse.nystrom_attention`.

    The paper's layer adds a depthwise convolution of the values over tokens, which `convolution` asks for.

    Args:
      dim, heads: D and N.
      landmarks: stretches.
      iterations: of the pseudo-inverse.
      convolution: the odd width in tokens of the convolution of each head; 0: none.
      settings: those of `Settings`.

    Raises:
      ValueError: As in `SoftmaxAttention`; landmarks or iterations is below 1, convolution even or below 0.

    References:
      Xiong et al., Nyströmformer: A Nyström-Based Algorithm for Approximating Self-Attention, 2021,
      arXiv:2102.03902.

    Example:
      >>> Nystrom(8, 2, landmarks=3, rngs=nnx.Rngs(0))(jnp.ones((1, 7, 8))).out.shape
      (1, 7, 8)
    """

    name = "nystrom"

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        landmarks: int = 64,
        iterations: int = 6,
        convolution: int = 0,
        rngs: nnx.Rngs,
        **settings: Unpack[Settings],
    ) -> None:
        self.landmarks, self.iterations = at_least_one(landmarks=landmarks, iterations=iterations)
        if convolution < 0 or (convolution and convolution % 2 == 0):
            raise ValueError(f"convolution is {convolution}: expected 0, or an odd number of tokens")
        super().__init__(dim, heads, rngs=rngs, **settings)
        self.filter: nnx.Param[Array] | None = nnx.data(None)
        if convolution:
            dtype, bound = settings.get("param_dtype", jnp.float32), convolution**-0.5
            shape = (convolution, self.heads)
            start = jax.random.uniform(rngs.params(), shape, dtype, -bound, bound)
            self.filter = nnx.Param(start, **named("width", "heads"))

    def _read(
        self, query: Array, source: KeysValues, tokens: Bool[Array, "*#B T"], options: dict[str, Any]
    ) -> Float[Array, "*B T N V"]:
        out = nystrom_attention(
            query, *source, self.landmarks, iterations=self.iterations, tokens=tokens, **options
        )
        if self.filter is None:
            return out
        values = jnp.repeat(source.values, self.heads // self.kv_heads, axis=-2)
        values = jnp.where(tokens[..., None, None], values, 0)
        width, count = self.filter.shape[0], values.shape[-3]
        around = [(0, 0)] * (values.ndim - 3) + [(width // 2, width // 2), (0, 0), (0, 0)]
        values = jnp.pad(values, around)
        taps = self.filter[...].astype(values.dtype)[..., None]
        return out + sum(taps[i] * values[..., i : i + count, :, :] for i in range(width))
