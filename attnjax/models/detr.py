"""DETR: an encoder-decoder that finds objects in images."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from attnjax.models.detr_config import DetrConfig
from attnjax.models.factory import Parts
from attnjax.models.output import Captured, Hidden, Tapped, Weights
from attnjax.models.resnet import ResNet
from attnjax.nn import Dropout, Residual, SoftmaxAttention, folded, named
from attnjax.nn.attention.tapped import noted
from attnjax.nn.joining import Linear
from attnjax.nn.taps import Asked, Request, tapped, within
from attnjax.ops import masks

_LONGEST_WAVE = 10_000


class Detections(NamedTuple):
    """The output of a detector, whatever it was asked for.

    Attributes:
      logits: of the labels of each object [B, Q, L+1], the last of which says that there is none.
      boxes: of each object [B, Q, 4]: its centre's x and y, its width and height, in shares of the image.
      states: the vectors of the objects [B, Q, D].
      weights: those that a capture asked for; empty where none was given.
      hidden: the vectors that a capture asked for.
      taps: the arrays of the sites that `Taps` read.
    """

    logits: Float[Array, "B Q L+1"]
    boxes: Float[Array, "B Q 4"]
    states: Float[Array, "B Q D"]
    weights: Weights
    hidden: Hidden
    taps: Tapped = {}  # noqa: RUF012, the default of a named tuple


class DetrLayer(nnx.Module):
    """A layer of DETR's encoder or decoder: places are added to what is compared, not to what is read.

    Args:
      parts: makes its parts.
      crosses: whether it attends to the image too, as the decoder's do.
    """

    def __init__(self, parts: Parts, *, crosses: bool) -> None:
        config = parts.config

        def attention() -> SoftmaxAttention:
            return SoftmaxAttention(config.dim, config.heads, rngs=parts.rngs, **parts.dtypes)

        self.attention = attention()
        self.attention_residual = Residual(parts.norm(), "post")
        self.cross_attention = attention() if crosses else None
        self.cross_residual = Residual(parts.norm(), "post") if crosses else None
        self.feed_forward = parts.feed_forward(0)
        self.feed_forward_residual = Residual(parts.norm(), "post")

    def __call__(
        self,
        x: Float[Array, "B T D"],
        places: Float[Array, "B T D"],
        image: tuple[Float[Array, "B S D"], Float[Array, "B S D"]] | None = None,
        *,
        mask: masks.Mask | None = None,
        dropout: Dropout | None = None,
        capture: Request = None,
    ) -> tuple[Float[Array, "B T D"], Weights]:
        """Returns what the layer makes of x, and the weights that a capture asks for.

        Args:
          x: the vectors.
          places: of these.
          image: the vectors of the image and their places, for a layer that crosses.
          mask: of the image's vectors, whichever attention reads them.
          dropout: of weights and layers.
          capture: the heads and rows of the weights to return.
        """
        own = self.attention(
            x + places,
            x + places,
            values=x,
            mask=mask if image is None else None,
            dropout=folded(dropout, "self_weights"),
            capture=within(capture, "attention"),
        )
        own = noted(own, within(capture, "attention"))
        x = self.attention_residual.leave(x, own.out, folded(dropout, "attention"))
        weights = {} if own.weights is None else {"attention": own.weights}
        if self.cross_attention is not None and self.cross_residual is not None and image is not None:
            memory, where = image
            read = self.cross_attention(
                x + places,
                memory + where,
                values=memory,
                mask=mask,
                dropout=folded(dropout, "cross_weights"),
                capture=within(capture, "cross_attention"),
            )
            read = noted(read, within(capture, "cross_attention"))
            x = self.cross_residual.leave(x, read.out, folded(dropout, "cross_attention"))
            weights |= {} if read.weights is None else {"cross_attention": read.weights}
        x = tapped(capture, "middle", x)
        change = tapped(capture, "feed_forward.out", self.feed_forward(x))
        x = self.feed_forward_residual.leave(x, change, folded(dropout, "feed_forward"))
        return tapped(capture, "residual", x), weights


class Detr(nnx.Module):
    """An encoder-decoder of images and the objects in them.

    Its state is `nnx.Param`s only; those of the backbone's norms get no gradient.

    Args:
      config: its shape.

    References:
      Carion et al., End-to-End Object Detection with Transformers, 2020, arXiv:2005.12872.

    Example:
      >>> from attnjax.models.detr_config import ResNetConfig
      >>> small = ResNetConfig(stem=4, widths=(8,), depths=(1,))
      >>> config = DetrConfig(small, dim=8, heads=2, hidden=8, encoder_layers=1, decoder_layers=1, queries=5)
      >>> output = Detr(config, rngs=nnx.Rngs(0))(jnp.ones((2, 16, 24, 3)))
      >>> output.logits.shape, output.boxes.shape
      ((2, 5, 92), (2, 5, 4))
    """

    def __init__(self, config: DetrConfig, *, rngs: nnx.Rngs) -> None:
        self.config = config
        parts = Parts(config.layer(), rngs)
        self.backbone = ResNet(config.backbone, parts.dtypes, rngs=rngs)
        self.project = parts.dense(config.dim, config.backbone.widths[-1])
        start = jax.random.normal(rngs.params(), (config.queries, config.dim))
        self.queries = nnx.Param(start.astype(parts.dtypes["param_dtype"]), **named("position", "embed"))
        self.encoder = nnx.List([DetrLayer(parts, crosses=False) for _ in range(config.encoder_layers)])
        self.decoder = nnx.List([DetrLayer(parts, crosses=True) for _ in range(config.decoder_layers)])
        self.decoder_norm = parts.norm()
        self.head = parts.output(config.labels + 1)
        boxes: list[Linear] = [parts.dense(size) for size in (config.dim, config.dim, 4)]
        self.boxes = nnx.List(boxes)

    def __call__(
        self,
        images: Float[Array, "B Y X C"],
        *,
        mask: Bool[Array, "B Y X"] | None = None,
        dropout: Dropout | None = None,
        capture: Asked = None,
    ) -> Detections:
        """Returns the labels and boxes of the objects.

        Args:
          images: pixels, normalised as the model expects them.
          mask: False for padding, which stands below and to the right of an image; None: there is none.
          dropout: of weights and layers.
          capture: the weights to return, by the path of their layer ("encoder.1.attention",
            "decoder.1.cross_attention"), and the vectors ("backbone", "source_embedding", "encoder.1",
            "decoder.1", "decoder_norm"); or `Taps`.

        Raises:
          ValueError: Shapes do not fit, or a capture is out of range.
        """
        if images.ndim != 4 or (mask is not None and mask.shape != images.shape[:3]):
            raise ValueError(
                f"images {list(images.shape)}, mask {None if mask is None else list(mask.shape)}: expected "
                "(B, height, width, channels), (B, height, width)"
            )
        features = self.backbone(images)
        batch, height, width, channels = features.shape
        real = jnp.ones((batch, height, width), bool) if mask is None else _smaller(mask, height, width)
        places = _places(real, self.config.dim).reshape(batch, -1, self.config.dim).astype(features.dtype)
        keys = None if mask is None else masks.dense(real.reshape(batch, 1, 1, -1))
        captured = Captured(capture, "encoder")
        written = Captured(captured.sites or capture, "decoder")
        rows = captured.add("backbone", features.reshape(batch, -1, channels))
        x = captured.add("source_embedding", self.project(rows))
        for i, layer in enumerate(self.encoder):
            x, weights = layer(x, places, mask=keys, dropout=folded(dropout, i), capture=captured.layer(i))
            captured.add_layer(i, x, weights)
        own = jnp.broadcast_to(self.queries[...].astype(x.dtype), (batch, *self.queries.shape))
        y, below = jnp.zeros_like(own), len(self.encoder)
        for i, layer in enumerate(self.decoder):
            y, weights = layer(
                y,
                own,
                (x, places),
                mask=keys,
                dropout=folded(dropout, below + i),
                capture=written.layer(i),
            )
            written.add_layer(i, y, weights)
        states = written.add("decoder_norm", self.decoder_norm(y))
        logits, boxes = self.answers(states)
        logits = tapped(captured.sites, "logits", logits)
        weights, hidden = captured.weights | written.weights, captured.hidden | written.hidden
        return Detections(logits, boxes, states, weights, hidden, captured.taps)

    def answers(self, states: Float[Array, "B Q D"]) -> tuple[Float[Array, "B Q L+1"], Float[Array, "B Q 4"]]:
        """Returns the logits and boxes of objects whose vectors, after `decoder_norm`, are given."""
        boxes = states
        for i, linear in enumerate(self.boxes):
            boxes = linear(jax.nn.relu(boxes) if i else boxes)
        return self.head(states), jax.nn.sigmoid(boxes)


def _smaller(mask: Bool[Array, "B Y X"], height: int, width: int) -> Bool[Array, "B y x"]:
    """Returns a mask in another size: of the pixel at the upper left of each new one."""
    rows, columns = (
        jnp.asarray(np.arange(new) * old // new)
        for new, old in zip((height, width), mask.shape[1:], strict=True)
    )
    return mask[:, rows][:, :, columns]


def _places(real: Bool[Array, "B Y X"], dim: int) -> Float[Array, "B Y X D"]:
    """Returns sine and cosine vectors of the rows, then of the columns, in shares of the image."""
    size = dim // 2
    waves = _LONGEST_WAVE ** (2 * np.arange(size // 2) / size)
    halves: list[Any] = []
    for axis in (1, 2):
        count = jnp.cumsum(real.astype(jnp.float32), axis)
        last = jax.lax.slice_in_dim(count, count.shape[axis] - 1, None, axis=axis)
        angles = (count / (last + 1e-6) * (2 * math.pi))[..., None] / waves.astype(np.float32)
        both = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1)
        halves.append(both.reshape(*real.shape, size))
    return jnp.concatenate(halves, axis=-1)
