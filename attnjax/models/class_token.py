"""A stack of blocks whose class token tells the labels: what models of rows and of events share."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from attnjax.models.block_config import BlockConfig
from attnjax.models.factory import Parts
from attnjax.models.output import Captured, EncoderOutput
from attnjax.models.stack import through
from attnjax.nn import Dropout, folded
from attnjax.nn.taps import tapped
from attnjax.ops.masks import Mask


class ClassTokenModel(nnx.Module):
    """A class token, blocks, a norm, and a head that reads the class token's vector through a ReLU."""

    config: BlockConfig

    def _make_stack(self, parts: Parts, layers: int, labels: int) -> None:
        self.class_token = parts.learned()
        self.blocks = parts.stack(lambda i: parts.encoder_block(i, layers), layers)
        self.norm = parts.read_out()
        self.head = parts.output(labels)

    def _told(
        self,
        tokens: Float[Array, "B T D"],
        captured: Captured,
        *,
        mask: Mask | Bool[Array, "B 1 1 S"] | None = None,
        dropout: Dropout | None,
    ) -> EncoderOutput:
        """Returns the vectors of the class token and of the others, and the logits; the mask is of all."""
        first = jnp.broadcast_to(
            self.class_token[...].astype(tokens.dtype), (len(tokens), 1, tokens.shape[-1])
        )
        x = jnp.concatenate([first, tokens], axis=1)
        x = x if dropout is None else dropout.fold("embedding")(x)
        states = through(
            self.blocks,
            self.norm,
            x,
            mask=mask,
            dropout=dropout,
            captured=captured,
            remat=self.config.recomputes,
        )
        pooled = jax.nn.relu(states[:, 0])
        dropout = folded(dropout, "head")
        logits = self.head(pooled if dropout is None else dropout(pooled))
        logits = tapped(captured.sites, "logits", logits)
        return EncoderOutput(states, pooled, logits, None, captured.weights, captured.hidden, captured.taps)
