"""Swin: an encoder of images in stages, with attention in windows."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from attnjax.models.factory import Parts
from attnjax.models.output import Captured, EncoderOutput
from attnjax.models.swin_config import SwinConfig
from attnjax.nn import Dropout, Residual, folded, make_norm, named
from attnjax.nn.attention.tapped import given, noted
from attnjax.nn.joining import Linear
from attnjax.nn.patches import Patches, resized, with_masked
from attnjax.nn.spatial import WindowAttention
from attnjax.nn.taps import Asked, Request, tapped, within

_EPS = 1e-5
"""The ε of the norms outside of blocks, which no config changes."""


class SwinBlock(nnx.Module):
    """A block of attention in windows, then feed-forward, over a grid of vectors.

    Args:
      parts: makes its parts.
      window: vectors of a side of a window.
      shift: vectors by which the windows are shifted.
    """

    def __init__(self, parts: Parts, window: int, shift: int) -> None:
        config = parts.config
        self.attention = WindowAttention(
            config.dim,
            config.heads,
            size=window,
            shift=shift,
            sees_padding=True,
            bias=True if config.attention_bias == "all" else ("out",),
            rngs=parts.rngs,
            **parts.dtypes,
        )
        self.attention_residual = Residual(parts.norm(), "pre")
        self.feed_forward = parts.feed_forward(0)
        self.feed_forward_residual = Residual(parts.norm(), "pre")

    def __call__(
        self,
        x: Float[Array, "B Y X D"],
        *,
        dropout: Dropout | None = None,
        capture: Request = None,
    ) -> tuple[Float[Array, "B Y X D"], Array | None]:
        """Returns what the block makes of x, and the weights that a capture asks for."""
        # One window that is as large as the image has nothing to be shifted for.
        shift = 0 if min(x.shape[1:3]) <= self.attention.size else None
        asked = within(capture, "attention")
        weights: Any = given(self.attention, asked)  # It has no sites of its own: no more than a Capture.
        own = self.attention(
            self.attention_residual.enter(x),
            shift=shift,
            dropout=folded(dropout, "weights"),
            capture=weights,
        )
        own = noted(own, asked)
        x = self.attention_residual.leave(x, own.out, folded(dropout, "attention"))
        x = tapped(capture, "middle", x)
        change = self.feed_forward(self.feed_forward_residual.enter(x))
        change = tapped(capture, "feed_forward.out", change)
        x = self.feed_forward_residual.leave(x, change, folded(dropout, "feed_forward"))
        return tapped(capture, "residual", x), own.weights


class Merge(nnx.Module):
    """A linear map of the vectors of 2 × 2 neighbours, under a norm, to one of twice the width.

    Args:
      parts: of the stage before.

    Example:
      >>> from attnjax.models.block_config import BlockConfig
      >>> Merge(Parts(BlockConfig(dim=8), nnx.Rngs(0)))(jnp.ones((1, 3, 4, 8))).shape
      (1, 2, 2, 16)
    """

    def __init__(self, parts: Parts) -> None:
        dim = parts.config.dim
        self.norm = make_norm("layer", 4 * dim, eps=_EPS, rngs=parts.rngs, **parts.dtypes)
        self.reduce = Linear(
            4 * dim,
            2 * dim,
            use_bias=False,
            kernel_metadata=named("mlp", "embed"),
            rngs=parts.rngs,
            **parts.dtypes,
        )

    def __call__(self, x: Float[Array, "B Y X D"]) -> Float[Array, "B Y/2 X/2 2D"]:
        """Returns half as many rows and columns; a last odd one has zeros for neighbours."""
        x = jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)))
        batch, height, width, dim = x.shape
        x = x.reshape(batch, height // 2, 2, width // 2, 2, dim).transpose(0, 1, 3, 4, 2, 5)
        return self.reduce(self.norm(x.reshape(batch, height // 2, width // 2, 4 * dim)))


class SwinTransformer(nnx.Module):
    """An encoder of images: stages of blocks with attention in windows, between which neighbours are merged.

    Its state is `nnx.Param`s only.

    Args:
      config: its shape.

    References:
      Liu et al., Swin Transformer, 2021, arXiv:2103.14030.

    Example:
      >>> config = SwinConfig(dim=8, depths=(1, 1), heads=(2, 2), window=2, image=16, labels=3)
      >>> output = SwinTransformer(config, rngs=nnx.Rngs(0))(jnp.ones((2, 16, 24, 3)))
      >>> output.states.shape, output.logits.shape
      ((2, 6, 16), (2, 3))
    """

    def __init__(self, config: SwinConfig, *, rngs: nnx.Rngs) -> None:
        self.config = config
        stages = [Parts(config.stage(i), rngs) for i in range(len(config.depths))]
        dtypes = stages[0].dtypes
        self.patches = Patches(config.patch, config.channels, config.dim, rngs=rngs, **dtypes)
        self.embedding_norm = make_norm("layer", config.dim, eps=_EPS, rngs=rngs, **dtypes)
        learned = stages[0].learned
        cells, rows = (config.image // config.patch) ** 2, ("position",)
        self.mask_token = nnx.data(learned() if config.mask_token else None)
        self.positions = nnx.data(learned(cells, axes=rows) if config.positions == "learned" else None)
        blocks = [
            SwinBlock(parts, config.window, i % 2 * (config.window // 2))
            for parts, depth in zip(stages, config.depths, strict=True)
            for i in range(depth)
        ]
        self.blocks = nnx.List(blocks)
        self.merges = nnx.List([Merge(parts) for parts in stages[:-1]])
        self.norm = stages[-1].norm()
        self.head = None if config.labels is None else stages[-1].output(config.labels)

    def __call__(
        self,
        images: Float[Array, "B Y X C"],
        *,
        masked: Bool[Array, "B P"] | None = None,
        dropout: Dropout | None = None,
        capture: Asked = None,
    ) -> EncoderOutput:
        """Returns the vectors of the last stage, their mean, and what the head makes of it.

        Args:
          images: pixels, normalised as the model expects them; its sides are multiples of a patch's.
          masked: True for patches, row by row, in whose place the mask token stands.
          dropout: of embeddings, weights and layers.
          capture: the weights of windows to return, by the path of their layer ("blocks.1.attention"), and
            the vectors ("embedding", "blocks.1", "norm", and "stages.1", what a stage leaves to the next); or
            `Taps`.

        Raises:
          ValueError: Shapes do not fit, patches are masked and there is no mask token, or a capture is out of
            range.
        """
        if images.ndim != 4:
            raise ValueError(f"images {list(images.shape)}: expected (B, height, width, channels)")
        captured = Captured(capture, "blocks")
        if captured.asked is not None:
            captured.asked.require_within("layers", len(self.blocks))
        x = self._embedded(images, masked)
        x = x if dropout is None else dropout.fold("embedding")(x)
        x = _added(captured, "embedding", x)
        number = 0
        for stage, depth in enumerate(self.config.depths):
            for _ in range(depth):
                x, weights = self.blocks[number](
                    x, dropout=folded(dropout, number), capture=captured.layer(number)
                )
                captured.add_layer(number, _row(x), {} if weights is None else {"attention": weights})
                number += 1
            x = self.merges[stage](x) if stage < len(self.merges) else x
            x = _added(captured, f"stages.{stage}", x)
        states = captured.add("norm", self.norm(_row(x)))
        pooled, logits = states.mean(axis=1), None
        if self.head is not None:
            dropout = folded(dropout, "head")
            logits = self.head(pooled if dropout is None else dropout(pooled))
            logits = tapped(captured.sites, "logits", logits)
        return EncoderOutput(states, pooled, logits, None, captured.weights, captured.hidden, captured.taps)

    def _embedded(self, images: Array, masked: Array | None) -> Float[Array, "B Y X D"]:
        x = self.embedding_norm(self.patches(images))
        _, height, width, dim = x.shape
        if masked is not None:
            x = with_masked(_row(x), masked, self.mask_token).reshape(x.shape)
        if self.positions is None:
            return x
        side = self.config.image // self.config.patch
        table = resized(self.positions[...].reshape(side, side, dim), height, width)
        return x + table.astype(x.dtype)


def _added(captured: Captured, path: str, x: Float[Array, "B Y X D"]) -> Float[Array, "B Y X D"]:
    return captured.add(path, _row(x)).reshape(x.shape)


def _row(x: Float[Array, "B Y X D"]) -> Float[Array, "B T D"]:
    return x.reshape(x.shape[0], -1, x.shape[-1])
