"""Transformer blocks: attention and feed-forward layers, each inside a residual connection with a norm."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

from flax import nnx
from jaxtyping import Array, Float

from attnjax.nn.attention.base import Attention, MaskLike, ScoreLike
from attnjax.nn.attention.cache import KeysValues, KVCache, StateCache
from attnjax.nn.attention.depth import Depth
from attnjax.nn.attention.placing import following
from attnjax.nn.attention.tapped import given, noted
from attnjax.nn.dropout import Dropout, folded
from attnjax.nn.feed_forward import FeedForward
from attnjax.nn.latent.attention_residual import AttentionResidual
from attnjax.nn.layouts import Layout
from attnjax.nn.moe import MixtureOfExperts
from attnjax.nn.norm import Norm
from attnjax.nn.placed import placed
from attnjax.nn.residual import Placement, Residual
from attnjax.nn.taps import Request, Sites, tapped, within


class BlockOutput(NamedTuple):
    """The output of a block, whatever it was asked for.

    Attributes:
      out: [*B, T, D].
      cache: of the self-attention, with the tokens of this call; None where no cache was given.
      weights: those that a capture asked for, by the name of the block's attention layer.
    """

    out: Float[Array, "*B T D"]
    cache: KVCache | StateCache | None
    weights: dict[str, Float[Array, "*B N T S"]]


def _residual(
    make_norm: Callable[[], Norm | Residual | AttentionResidual], placement: Placement
) -> Residual | AttentionResidual:
    made = make_norm()
    if isinstance(made, Residual | AttentionResidual):
        return made
    after = make_norm() if placement == "sandwich" else None
    assert not isinstance(after, Residual | AttentionResidual)
    return Residual(made, placement, after=after)


ReadOut = Norm | AttentionResidual | None
"""The reader of the result of a stack."""


def read_out(norm: ReadOut, x: Float[Array, "*B T D"], depth: Depth) -> Float[Array, "*B T D"]:
    """Returns what a stack gives: x under a norm where there is one, or what attention over depth reads."""
    if isinstance(norm, AttentionResidual):
        return norm.enter(x, depth)
    return x if norm is None else norm(x)


class EncoderBlock(nnx.Module):
    """A block of self-attention, then feed-forward.

    Args:
      attention, feed_forward: the layers.
      make_norm: called for the norms of each residual connection; it may make the whole connection.
      placement: of the norms.
      parallel: whether the feed-forward layer reads what attention reads, not what it gives.

    References:
      Wang & Komatsuzaki, GPT-J-6B, 2021; Black et al., GPT-NeoX-20B, 2022, arXiv:2204.06745 (parallel).
    """

    def __init__(
        self,
        attention: Attention,
        feed_forward: FeedForward | MixtureOfExperts,
        make_norm: Callable[[], Norm | Residual | AttentionResidual],
        placement: Placement = "pre",
        *,
        parallel: bool = False,
    ) -> None:
        self.parallel = parallel
        self.attention = attention
        self.attention_residual = _residual(make_norm, placement)
        self.feed_forward = feed_forward
        self.feed_forward_residual = _residual(make_norm, placement)

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        *,
        mask: MaskLike | None = None,
        score: ScoreLike | None = None,
        cache: KVCache | StateCache | None = None,
        dropout: Dropout | None = None,
        capture: Request = None,
        depth: Depth | None = None,
        layout: Layout = None,
    ) -> BlockOutput:
        """Applies the block; the arguments are those of `SoftmaxAttention`.

        Scores, dropout of weights and capture leave out a layer that has no weights. A layer of images or
        graphs is told how its tokens lie.
        """
        x = placed(x)
        own = self.attention(
            self.attention_residual.enter(x, depth),
            mask=mask,
            cache=cache,
            **_of_weights(self.attention, score, folded(dropout, "weights"), within(capture, "attention")),
            **_of_depth(self.attention, depth),
            **_of_layout(self.attention, layout),
        )
        own = noted(own, within(capture, "attention"))
        between = self.attention_residual.leave(x, own.out, folded(dropout, "attention"), depth)
        between = tapped(capture, "middle", between)
        out = _feed(self, between, dropout, depth, read=x if self.parallel else between, capture=capture)
        return BlockOutput(out, own.cache, _asked_for(attention=own.weights))


class DecoderBlock(nnx.Module):
    """A block of self-attention, then cross-attention to a context, then feed-forward.

    Args:
      self_attention, cross_attention, feed_forward: the layers; that of the context has weights, and
        projects the context once.
      make_norm: called once for each residual connection; it may make the whole connection.
      placement: of the norms.
    """

    def __init__(
        self,
        self_attention: Attention,
        cross_attention: Any,
        feed_forward: FeedForward | MixtureOfExperts,
        make_norm: Callable[[], Norm | Residual | AttentionResidual],
        placement: Placement = "pre",
    ) -> None:
        self.self_attention = self_attention
        self.self_residual = _residual(make_norm, placement)
        self.cross_attention = cross_attention
        self.cross_residual = _residual(make_norm, placement)
        self.feed_forward = feed_forward
        self.feed_forward_residual = _residual(make_norm, placement)

    def __call__(
        self,
        x: Float[Array, "*B T D"],
        context: Float[Array, "*B S D"] | KeysValues,
        *,
        mask: MaskLike | None = None,
        context_mask: MaskLike | None = None,
        score: ScoreLike | None = None,
        cache: KVCache | StateCache | None = None,
        dropout: Dropout | None = None,
        capture: Request = None,
        depth: Depth | None = None,
    ) -> BlockOutput:
        """Applies the block; mask, score and cache belong to the self-attention.

        Scores, dropout of weights and capture leave out a layer that has no weights.
        """
        x = placed(x)
        own = self.self_attention(
            self.self_residual.enter(x, depth),
            mask=mask,
            cache=cache,
            **_of_weights(
                self.self_attention,
                score,
                folded(dropout, "self_weights"),
                within(capture, "self_attention"),
            ),
            **_of_depth(self.self_attention, depth),
        )
        own = noted(own, within(capture, "self_attention"))
        x = self.self_residual.leave(x, own.out, folded(dropout, "self_attention"), depth)
        if not isinstance(context, KeysValues):
            context = self.cross_attention.project(context)
        places: dict[str, Any] = {}
        if getattr(self.cross_attention, "rope", None) is not None:
            places["positions"] = following(0 if cache is None else cache.length, x.shape[-2])
        cross = self.cross_attention(
            self.cross_residual.enter(x, depth),
            context,
            mask=context_mask,
            dropout=folded(dropout, "cross_weights"),
            capture=given(self.cross_attention, within(capture, "cross_attention")),
            **places,
        )
        cross = noted(cross, within(capture, "cross_attention"))
        x = self.cross_residual.leave(x, cross.out, folded(dropout, "cross_attention"), depth)
        x = tapped(capture, "middle", x)
        weights = _asked_for(self_attention=own.weights, cross_attention=cross.weights)
        out = _feed(self, x, dropout, depth, read=x, capture=capture)
        return BlockOutput(out, own.cache, weights)


class _OfWeights(TypedDict, total=False):
    score: ScoreLike | None
    dropout: Dropout | None
    capture: Request


def _of_weights(
    attention: Attention, score: ScoreLike | None, dropout: Dropout | None, capture: Request
) -> _OfWeights:
    asked = given(attention, capture)
    if attention.has_weights:
        return {"score": score, "dropout": dropout, "capture": asked}
    return {"capture": asked} if isinstance(asked, Sites) else {}


def _of_depth(attention: Attention, depth: Depth | None) -> dict[str, Any]:
    """Returns the argument for layers that read what those below left; one of one's own need not say so."""
    return {"depth": depth} if getattr(attention, "reads_depth", False) else {}


def _of_layout(attention: Attention, layout: Layout) -> dict[str, Any]:
    """Returns the argument for layers of images and graphs."""
    return {"layout": layout} if getattr(attention, "reads_layout", False) else {}


def _asked_for(**weights: Array | None) -> dict[str, Array]:
    return {name: w for name, w in weights.items() if w is not None}


def _feed(
    block: EncoderBlock | DecoderBlock,
    x: Array,
    dropout: Dropout | None,
    depth: Depth | None,
    *,
    read: Array,
    capture: Request,
) -> Array:
    """Returns x with what the feed-forward layer makes of `read`."""
    change = block.feed_forward(block.feed_forward_residual.enter(read, depth))
    change = tapped(capture, "feed_forward.out", change)
    out = placed(block.feed_forward_residual.leave(x, change, folded(dropout, "feed_forward"), depth))
    return tapped(capture, "residual", out)
