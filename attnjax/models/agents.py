"""The encoder of agents, and their futures."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from attnjax.models.agents_config import AgentsConfig
from attnjax.models.factory import Parts
from attnjax.models.output import Captured, Tapped, Weights
from attnjax.models.padding import key_mask, require_present
from attnjax.models.stack import through
from attnjax.nn import Dropout
from attnjax.nn.taps import Asked


class Futures(NamedTuple):
    """Futures of agents.

    Attributes:
      places: [B, C, M, F, 2], of each mode, relative to what the caller predicts without the model.
      logits: [B, C, M], of the modes.
      weights: those of attention that a capture asked for.
      taps: the arrays of the sites that `Taps` read.
    """

    places: Float[Array, "B C M F 2"]
    logits: Float[Array, "B C M"]
    weights: Weights
    taps: Tapped


class AgentModel(nnx.Module):
    """A stack of blocks in which every agent sees all others, and heads for the futures of each.

    Its state is `nnx.Param`s only. At the start all modes of an agent are near 0.

    Args:
      config: its shape.
      width: numbers that are seen of an agent.
      future: F, times that are predicted.

    References:
      Mercat et al., Multi-Head Attention for Multi-Modal Joint Vehicle Motion Forecasting, 2019,
      arXiv:1910.03650.

    Example:
      >>> model = AgentModel(AgentsConfig(dim=8, modes=3), 5, 4, rngs=nnx.Rngs(0))
      >>> model(jnp.ones((2, 6, 5))).places.shape
      (2, 6, 3, 4, 2)
    """

    def __init__(self, config: AgentsConfig, width: int, future: int, *, rngs: nnx.Rngs) -> None:
        self.config, self.future = config, future
        parts = Parts(config, rngs)
        self.seen = parts.dense(config.dim, width)
        self.inner = parts.dense(config.dim)
        self.blocks = parts.stack(lambda i: parts.encoder_block(i, config.layers), config.layers)
        self.norm = parts.read_out()
        self.places = parts.dense(config.modes * future * 2)
        self.chances = parts.dense(config.modes)

    def __call__(
        self,
        seen: Float[Array, "B C W"],
        *,
        present: Bool[Array, "B C"] | None = None,
        dropout: Dropout | None = None,
        capture: Asked = None,
    ) -> Futures:
        """Returns the futures of all agents.

        Args:
          seen: what is seen of each agent.
          present: True for an agent, False for padding, which no agent sees; None: all are there.
          dropout: of vectors, weights and layers.
          capture: the weights to return, by the path of their layer ("blocks.1.attention"); or `Taps`.

        Raises:
          ValueError: Shapes do not fit, or a capture is out of range.
        """
        width = self.seen.kernel.shape[0]
        if seen.ndim != 3 or seen.shape[-1] != width:
            raise ValueError(f"seen {list(seen.shape)}: expected (B, agents, {width})")
        if present is not None:
            require_present("present", present, seen.shape[:2])
        captured = Captured(capture, "blocks")
        x = self.inner(jax.nn.gelu(self.seen(seen)))
        x = x if dropout is None else dropout.fold("embedding")(x)
        states = through(
            self.blocks,
            self.norm,
            x,
            mask=None if present is None else key_mask(present),
            dropout=dropout,
            captured=captured,
            remat=self.config.recomputes,
        )
        places = self.places(states).astype(jnp.float32)
        places = places.reshape(*seen.shape[:2], self.config.modes, self.future, 2)
        chances = self.chances(states).astype(jnp.float32)
        return Futures(places, chances, captured.weights, captured.taps)
