"""The parts of decoders whose layers are not alike, made as their config describes them."""

from typing import Any

from flax import nnx

from attnjax.mechanisms import Choice
from attnjax.models.config import LanguageModelConfig
from attnjax.models.factory import Parts
from attnjax.models.hybrid_config import HybridConfig
from attnjax.nn import (
    Attention,
    Convolution,
    ExpertRouting,
    FeedForward,
    HeadNorm,
    MixtureOfExperts,
    OutputGate,
)


class HybridParts(Parts):
    """A maker of the parts of a decoder of dense blocks and mixtures, of attention and recurrences.

    Args:
      config: of the model.
      rngs: draws the parameters.
    """

    config: HybridConfig

    def feed_forward(self, layer: int) -> FeedForward | MixtureOfExperts:
        """Makes the feed-forward layer of block 0, 1, …: dense at the bottom, then mixtures."""
        config = self.config
        options: dict[str, Any] = {"activation": config.activation, "bias": config.bias, "rngs": self.rngs}
        options |= self.dtypes
        if config.experts is None or layer < config.dense_layers:
            return FeedForward(config.dim, config.hidden_dim, **options)
        routing = ExpertRouting(
            config.router_score,
            config.router_sums_to_one,
            config.router_scale,
            config.router_groups,
            config.router_active_groups,
            config.router_corrected,
        )
        return MixtureOfExperts(
            config.dim,
            config.expert_hidden or config.hidden_dim,
            experts=config.experts,
            active=config.active_experts,
            routing=routing,
            shared=config.shared_hidden,
            shared_gate=config.shared_gate,
            **options,
        )

    def _attention(self, choice: Choice, *, rope: Any = None, field: str = "mechanism") -> Attention:
        if choice.row.kind != "recurrence":
            return super()._attention(choice, rope=rope, field=field)
        config = self.config
        made: Attention = self.made(
            choice,
            field,
            config.recurrent_heads or config.heads,
            key_heads=config.recurrent_key_heads,
            head_dim=config.recurrent_head_dim,
            value_dim=config.recurrent_value_dim,
            convolution=Convolution(config.recurrent_convolution),
            strength_bias=config.recurrent_strength_bias,
            norm=HeadNorm(eps=config.norm_eps),
            output_gate=OutputGate(activation=config.recurrent_gate, rank=config.recurrent_gate_rank),
            bias=False,
            rngs=self.rngs,
            **self.dtypes,
        )
        return made


def parts_of(config: LanguageModelConfig, rngs: nnx.Rngs) -> Parts:
    """Returns the maker of the parts of a decoder.

    Example:
      >>> type(parts_of(HybridConfig(dim=8), nnx.Rngs(0))).__name__
      'HybridParts'
    """
    return (HybridParts if isinstance(config, HybridConfig) else Parts)(config, rngs)
