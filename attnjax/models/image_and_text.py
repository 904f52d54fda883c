"""Texts and images in one space."""

import math
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from attnjax.models.encoder import Encoder
from attnjax.models.factory import Parts
from attnjax.models.output import Hidden, Tapped, Weights, sites_of
from attnjax.models.vision import VisionTransformer
from attnjax.models.vision_config import ContrastiveConfig
from attnjax.nn.joining import Linear
from attnjax.nn.taps import Asked, Taps, tapped, within

_FIRST_TEMPERATURE = 0.07


class ContrastiveOutput(NamedTuple):
    """The output of a contrastive model.

    Attributes:
      logits: of each image with each text [B, C].
      images: their vectors of length 1 [B, W].
      texts: their vectors of length 1 [C, W].
      weights: those that a capture asked for, by their layer ("text.blocks.0.attention", "image.…").
      hidden: the vectors that a capture asked for.
      taps: the arrays of the sites that `Taps` read ("text.blocks.0.residual", "image.…").
    """

    logits: Float[Array, "B C"]
    images: Float[Array, "B W"]
    texts: Float[Array, "C W"]
    weights: Weights
    hidden: Hidden
    taps: Tapped = {}  # noqa: RUF012, the default of a named tuple


class ContrastiveModel(nnx.Module):
    """An encoder of texts and one of images, whose vectors are compared: e^s·cos(image, text).

    Args:
      config: its shape.
      vocab: the number of tokens.

    References:
      Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021,
      arXiv:2103.00020.

    Example:
      >>> config = ContrastiveConfig(width=8)
      >>> model = nnx.eval_shape(lambda: ContrastiveModel(config, vocab=11, rngs=nnx.Rngs(0)))
      >>> model.text_projection.kernel.shape
      (128, 8)
    """

    def __init__(self, config: ContrastiveConfig, *, vocab: int, rngs: nnx.Rngs) -> None:
        self.config = config
        filled = config.filled()
        self.text = Encoder(filled.text, vocab=vocab, rngs=rngs)
        self.image = VisionTransformer(filled.image, rngs=rngs)
        text, image = Parts(filled.text, rngs), Parts(filled.image, rngs)
        self.text_projection = text.into_common(config.width)
        self.image_projection = image.into_common(config.width)
        self.scale = nnx.Param(jnp.full((), -math.log(_FIRST_TEMPERATURE), config.param_dtype), axes=())

    def __call__(
        self,
        images: Float[Array, "B Y X C"],
        tokens: Int[Array, "C T"],
        *,
        lengths: Int[Array, " C"] | None = None,
        mask: Bool[Array, "C T"] | None = None,
        capture: Asked = None,
    ) -> ContrastiveOutput:
        """Returns how well each image fits each text.

        Args:
          images: as in `VisionTransformer`.
          tokens: of texts; the last one of each, its end mark, stands for the text.
          lengths: as in `Encoder`.
          mask: as in `Encoder`.
          capture: what to return of the layers of both.

        Raises:
          TypeError: The tokens are not integers.
          ValueError: Shapes do not fit, or a capture is out of range.
        """
        sites = sites_of(capture)
        of_text, of_image = (capture if sites is None else within(sites, part) for part in ("text", "image"))
        text = self.text(tokens, lengths=lengths, mask=mask, capture=of_text)
        image = self.image(images, capture=of_image)
        texts = _unit(self.text_projection, text.pooled)
        seen = _unit(self.image_projection, image.pooled)
        logits = jnp.exp(self.scale[...].astype(seen.dtype)) * (seen @ texts.T)
        parts = {"text": text, "image": image}
        weights = {f"{part}.{name}": w for part, out in parts.items() for name, w in out.weights.items()}
        hidden = {f"{part}.{name}": x for part, out in parts.items() for name, x in out.hidden.items()}
        logits = tapped(sites, "logits", logits)
        if isinstance(capture, Taps) and sites is not None:
            sites.require_known()
        return ContrastiveOutput(logits, seen, texts, weights, hidden, {} if sites is None else sites.found)


def _unit(project: Linear, x: Float[Array, "B D"]) -> Float[Array, "B W"]:
    vectors = project(x)
    return vectors / jnp.linalg.norm(vectors, axis=-1, keepdims=True)
