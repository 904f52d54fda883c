"""One vector of a set, by a mechanism that pools sets or reads a context."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from attnjax.nn.attention.calling import taken
from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.axes import named
from attnjax.nn.classic.pooling import AttentivePooling, HierarchicalPooling, TextPooling
from attnjax.nn.taps import Request, Sites, tapped
from attnjax.ops import masks


class Pool(nnx.Module):
    """The mean of the vectors that a layer makes of a set.

    A layer that reads a context gets one learned vector, and the set as its context.

    Args:
      layer: pools a set, such as `PMA` or `AttentivePooling`, or reads a context, such as `SoftmaxAttention`.
      dim: D.
      reads: whether it reads a context.
      param_dtype: of the learned vector.
      rngs: draws it.

    Example:
      >>> pool = Pool(AttentivePooling(8, 3, rngs=nnx.Rngs(0)), 8, rngs=nnx.Rngs(0))
      >>> pool(jnp.ones((2, 5, 8)), capture=Capture()).weights.shape
      (2, 3, 1, 5)
    """

    def __init__(
        self,
        layer: Any,
        dim: int,
        *,
        reads: bool = False,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.layer = layer
        self.query: nnx.Param[Array] | None = nnx.data(None)
        if reads:
            start = dim**-0.5 * jax.random.normal(rngs.params(), (1, dim), param_dtype)
            self.query = nnx.Param(start, **named("slots", "embed"))

    def __call__(
        self,
        x: Float[Array, "B S D"],
        *,
        present: Bool[Array, "B S"] | None = None,
        sentences: Int[Array, "B S"] | None = None,
        capture: Request = None,
    ) -> AttentionOutput:
        """Returns the vectors [B, D] of sets and the weights [B, N, K, S] of the K vectors that they are of.

        Args:
          x: the sets.
          present: False for padding; None: there is none.
          sentences: the number of each word's sentence; for `HierarchicalPooling`, which alone needs it.
          capture: the heads and rows of the weights to return; of `AttentivePooling` its hops are the heads.
            There are none where the layer gives none.

        Raises:
          ValueError: Sentences are missing, or given to another layer.
        """
        is_hierarchical = isinstance(self.layer, HierarchicalPooling)
        if is_hierarchical != (sentences is not None):
            given = "missing" if sentences is None else "given"
            raise ValueError(f"sentences are {given}: the pool is of {type(self.layer).__name__}")
        if sentences is not None:
            text: TextPooling = self.layer.of_text(x, sentences, mask=present)
            parts = {"words": text.of_words[:, None], "sentences": text.of_sentences}
            return self._finished(text.out, text.weights[..., None, :], capture, parts)
        mask: Any = present
        if present is not None and not isinstance(self.layer, AttentivePooling):
            mask = masks.dense(present[:, None, None, :])
        more = taken(
            self.layer.__call__, {"mask": mask} | ({} if capture is None else {"capture": Capture()})
        )
        if self.query is None:
            own = self.layer(x, **more)
        else:
            query = jnp.broadcast_to(self.query[...].astype(x.dtype), (len(x), *self.query.shape))
            own = self.layer(query, x, **more)
        weights = own.weights
        if isinstance(self.layer, AttentivePooling):
            weights = weights[..., None, :]
        return self._finished(own.out, weights, capture, {})

    def _finished(
        self,
        vectors: Float[Array, "B K D"],
        weights: Float[Array, "B N K S"] | None,
        capture: Request,
        parts: Mapping[str, Array],
    ) -> AttentionOutput:
        """Returns the mean of the vectors, and of the weights, and the parts of these, what is asked for."""
        if isinstance(capture, Sites) and weights is not None:
            capture.offer("weights", *parts, writable=False)
        out = tapped(capture, "out", vectors.mean(-2))
        if capture is None or weights is None:
            return AttentionOutput(out)
        if not isinstance(capture, Sites):
            return AttentionOutput(out, None, _of(weights, capture))
        if capture.reads("weights"):
            capture.note("weights", _of(weights, Capture(rows=capture.rows)))
        for name, part in parts.items():
            if capture.reads(name):
                capture.note(name, part)
        return AttentionOutput(out)


def _of(weights: Float[Array, "B N K S"], asked: Capture) -> Float[Array, "B n k S"]:
    """Returns the heads and rows that are asked for; rows beyond those of a pool are of other layers."""
    asked.require_within("heads", weights.shape[1])
    asked = asked.within("rows", weights.shape[2])
    return asked.of_weights(weights)
