"""Transformer blocks: attention and feed-forward layers, each inside a residual connection with a norm."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from attnjax.nn.attention.cache import KeysValues, KVCache, StateCache
from attnjax.nn.attention.capture import Capture
from attnjax.nn.attention.layer import Attention, MaskLike
from attnjax.nn.attention.output import AttentionOutput
from attnjax.nn.dropout import Dropout, folded
from attnjax.nn.feed_forward import FeedForward

Placement = Literal["pre", "post"]
Norm = nnx.LayerNorm | nnx.RMSNorm


class Residual(nnx.Module):
    """x + f(norm(x)) for "pre" (Xiong et al. 2020), norm(x + f(x)) for "post" (Vaswani et al. 2017).

    Dropout applies to what f gives.

    Raises:
      ValueError: for another placement.
    """

    def __init__(self, norm: Norm, placement: Placement) -> None:
        if placement not in ("pre", "post"):
            raise ValueError(f"placement {placement!r}: expected 'pre' or 'post'")
        self.norm = norm
        self.placement = placement

    def enter(self, x: Float[Array, "*B T D"]) -> Float[Array, "*B T D"]:
        """What f is applied to."""
        return self.norm(x) if self.placement == "pre" else x

    def leave(
        self, x: Float[Array, "*B T D"], change: Float[Array, "*B T D"], dropout: Dropout | None
    ) -> Float[Array, "*B T D"]:
        """The sum of x and what f gave."""
        total = x + (change if dropout is None else dropout(change))
        return total if self.placement == "pre" else self.norm(total)


class EncoderBlock(nnx.Module):
    """Self-attention, then feed-forward.

    Args:
      attention, feed_forward: the layers.
      make_norm: called once for each residual connection.
      placement: of the norms.
    """

    def __init__(
        self,
        attention: Attention,
        feed_forward: FeedForward,
        make_norm: Callable[[], Norm],
        placement: Placement = "pre",
    ) -> None:
        self.attention = attention
        self.attention_residual = Residual(make_norm(), placement)
        self.feed_forward = feed_forward
        self.feed_forward_residual = Residual(make_norm(), placement)

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        *,
        mask: MaskLike | None = None,
        score: Any = None,
        cache: KVCache | StateCache | None = None,
        dropout: Dropout | None = None,
        capture: Capture | None = None,
    ) -> AttentionOutput:
        """The output, the cache it leaves and the weights asked for, as in `Attention.attend`.

        Dropout of weights and capture leave out a layer that has no weights.
        """
        attended = self.attention.attend(
            self.attention_residual.enter(x),
            mask=mask,
            score=score,
            cache=cache,
            **_of_weights(self.attention, folded(dropout, "weights"), capture),
        )
        x = self.attention_residual.leave(x, attended.out, folded(dropout, "attention"))
        return attended._replace(out=_feed(self, x, dropout))


class DecoderAttended(NamedTuple):
    """What a decoder block gives: its output, the cache it leaves, and weights that were asked for."""

    out: Float[Array, "*B T D"]
    cache: KVCache | StateCache | None
    self_weights: Float[Array, "*B N T T"] | None
    cross_weights: Float[Array, "*B N T S"] | None


class DecoderBlock(nnx.Module):
    """Self-attention, then cross-attention to a context, then feed-forward.

    Args:
      self_attention, cross_attention, feed_forward: the layers.
      make_norm: called once for each residual connection.
      placement: of the norms.
    """

    def __init__(
        self,
        self_attention: Attention,
        cross_attention: Attention,
        feed_forward: FeedForward,
        make_norm: Callable[[], Norm],
        placement: Placement = "pre",
    ) -> None:
        self.self_attention = self_attention
        self.self_residual = Residual(make_norm(), placement)
        self.cross_attention = cross_attention
        self.cross_residual = Residual(make_norm(), placement)
        self.feed_forward = feed_forward
        self.feed_forward_residual = Residual(make_norm(), placement)

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        context: Float[Array, "*B S D"] | KeysValues,
        *,
        mask: MaskLike | None = None,
        context_mask: MaskLike | None = None,
        score: Any = None,
        cache: KVCache | StateCache | None = None,
        dropout: Dropout | None = None,
        capture: Capture | None = None,
    ) -> DecoderAttended:
        """Arguments as in `Attention.attend`; mask, score and cache belong to the self-attention.

        Dropout of weights and capture leave out a layer that has no weights.
        """
        own = self.self_attention.attend(
            self.self_residual.enter(x),
            mask=mask,
            score=score,
            cache=cache,
            **_of_weights(self.self_attention, folded(dropout, "self_weights"), capture),
        )
        x = self.self_residual.leave(x, own.out, folded(dropout, "self_attention"))
        if not isinstance(context, KeysValues):
            context = self.cross_attention.project(context)
        cross = self.cross_attention.attend(
            self.cross_residual.enter(x),
            context,
            mask=context_mask,
            positions=jnp.arange(x.shape[-2]) + (0 if cache is None else cache.length),
            dropout=folded(dropout, "cross_weights"),
            capture=capture,
        )
        x = self.cross_residual.leave(x, cross.out, folded(dropout, "cross_attention"))
        return DecoderAttended(_feed(self, x, dropout), own.cache, own.weights, cross.weights)


def _of_weights(attention: Attention, dropout: Dropout | None, capture: Capture | None) -> dict[str, Any]:
    return {"dropout": dropout, "capture": capture} if attention.has_weights else {}


def _feed(block: EncoderBlock | DecoderBlock, x: Array, dropout: Dropout | None) -> Array:
    change = block.feed_forward(block.feed_forward_residual.enter(x))
    return block.feed_forward_residual.leave(x, change, folded(dropout, "feed_forward"))
