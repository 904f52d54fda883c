"""The encoder of images."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from attnjax.models.factory import Parts
from attnjax.models.output import Captured, EncoderOutput
from attnjax.models.pooling import pooled as pooled_by
from attnjax.models.stack import through
from attnjax.models.vision_config import VisionConfig
from attnjax.nn import Dropout, folded
from attnjax.nn.activation import ACTIVATIONS
from attnjax.nn.layouts import PatchGrid
from attnjax.nn.patches import resized, with_masked
from attnjax.nn.taps import Asked, Sites, tapped


class VisionTransformer(nnx.Module):
    """A stack of blocks over the patches of an image.

    Its state is `nnx.Param`s only. The tokens are the class token, the registers and the patches row by row.

    Args:
      config: its shape.

    References:
      Dosovitskiy et al., An Image is Worth 16x16 Words, 2020, arXiv:2010.11929.
      Oquab et al., DINOv2, 2023, arXiv:2304.07193.

    Example:
      >>> model = VisionTransformer(VisionConfig(dim=8, image=8, patch=4, labels=3), rngs=nnx.Rngs(0))
      >>> output = model(jnp.ones((2, 8, 12, 3)))
      >>> output.states.shape, output.logits.shape
      ((2, 7, 8), (2, 3))
    """

    def __init__(self, config: VisionConfig, *, rngs: nnx.Rngs) -> None:
        self.config = config
        parts = Parts(config, rngs)
        self.patches = parts.patches()
        learned = parts.learned
        cells = (config.image // config.patch) ** 2 + config.class_token
        rows = ("position",)
        self.class_token = nnx.data(learned() if config.class_token else None)
        self.mask_token = nnx.data(learned() if config.mask_token else None)
        self.registers = nnx.data(learned(config.registers, axes=rows) if config.registers else None)
        self.positions = nnx.data(learned(cells, axes=rows) if config.positions == "learned" else None)
        self.embedding_norm = parts.norm() if config.embedding_norm else None
        self.blocks = parts.stack(lambda i: parts.encoder_block(i, config.layers), config.layers)
        self.norm = parts.read_out()
        width = config.dim * (2 if config.pooling == "both" else 1)
        self.pool = parts.pool(config.pooling)
        self.pooler = None if config.pooler is None else parts.dense(config.dim, width)
        read = width if config.pooler is None else config.dim
        self.head = None if config.labels is None else parts.output(config.labels, read)

    def __call__(
        self,
        images: Float[Array, "B Y X C"],
        *,
        masked: Bool[Array, "B P"] | None = None,
        dropout: Dropout | None = None,
        capture: Asked = None,
    ) -> EncoderOutput:
        """Returns the vectors of the tokens, that of the image, and what the head makes of it.

        Args:
          images: pixels, normalised as the model expects them; its sides are multiples of a patch's.
          masked: True for patches, row by row, in whose place the mask token stands.
          dropout: of embeddings, weights and layers.
          capture: the weights to return, by the path of their layer ("blocks.1.attention"), and the vectors
            ("embedding", "blocks.1", "norm"); or `Taps`.

        Raises:
          ValueError: Shapes do not fit, patches are masked and there is no mask token, or a capture is out of
            range.
        """
        if images.ndim != 4:
            raise ValueError(f"images {list(images.shape)}: expected (B, height, width, channels)")
        captured = Captured(capture, "blocks")
        x = self._embedded(images, masked, captured.sites)
        x = x if dropout is None else dropout.fold("embedding")(x)
        states = through(
            self.blocks,
            self.norm,
            x,
            dropout=dropout,
            captured=captured,
            remat=self.config.recomputes,
            layout=PatchGrid(*(side // self.config.patch for side in images.shape[1:3])),
        )
        pooled = self._pooled(states, captured)
        logits = None
        if self.head is not None:
            dropout = folded(dropout, "head")
            logits = self.head(pooled if dropout is None else dropout(pooled))
            logits = tapped(captured.sites, "logits", logits)
        return EncoderOutput(states, pooled, logits, None, captured.weights, captured.hidden, captured.taps)

    def _embedded(self, images: Array, masked: Array | None, sites: Sites | None) -> Float[Array, "B T D"]:
        grid = self.patches(images)
        batch, height, width, dim = grid.shape
        x = tapped(sites, "embedding.patches", grid.reshape(batch, height * width, dim))
        if masked is not None:
            x = with_masked(x, masked, self.mask_token)
        first = []
        for name in ("class_token", "registers"):
            param = getattr(self, name)
            if param is not None:
                rows = param[...].astype(x.dtype).reshape(-1, dim)
                first.append(jnp.broadcast_to(rows, (batch, *rows.shape)))
        if self.positions is not None:
            table, before = self.positions[...], int(self.config.class_token)
            side = self.config.image // self.config.patch
            patches = resized(table[before:].reshape(side, side, dim), height, width)
            x = x + patches.reshape(-1, dim).astype(x.dtype)
            if before:
                first[0] = first[0] + table[:1].astype(x.dtype)
        x = jnp.concatenate([*first, x], axis=1)
        return x if self.embedding_norm is None else self.embedding_norm(x)

    def _pooled(self, states: Float[Array, "B T D"], captured: Captured) -> Float[Array, "B W"]:
        config = self.config
        patches = states[:, int(config.class_token) + config.registers :]
        read = [states[:, 0]] if config.pooling in ("class", "both") else []
        if self.pool is not None:
            read.append(pooled_by(self.pool, patches, None, captured))
        elif config.pooling != "class":
            read.append(patches.mean(axis=1))
        pooled = jnp.concatenate(read, axis=-1)
        if self.pooler is None or config.pooler is None:
            return pooled
        return ACTIVATIONS[config.pooler](self.pooler(pooled))
