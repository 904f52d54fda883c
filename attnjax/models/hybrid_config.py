"""The config of decoders whose layers are not alike, free of jax.

References:
  DeepSeek-AI, DeepSeek-V3 Technical Report, 2024, arXiv:2412.19437.
  Yang et al., Gated Delta Networks, 2024, arXiv:2412.06464 (the recurrence of Qwen3-Next).
  Kimi Team, Kimi Linear, 2025, arXiv:2510.26692.
"""

from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

from attnjax.config import require
from attnjax.models.checks import require_choice, require_positive
from attnjax.models.config import LanguageModelConfig

RouterScore = Literal["softmax", "sigmoid"]
GateActivation = Literal["sigmoid", "silu"]


@dataclass(frozen=True)
class HybridConfig(LanguageModelConfig):
    """The settings of a decoder of dense blocks and mixtures, of attention and recurrences with own sizes."""

    dense_layers: int = 0
    """Blocks at the bottom whose feed-forward layer is one for all tokens, of width hidden."""
    expert_hidden: int | None = None
    """Width of an expert; None: hidden."""
    shared_hidden: int | None = None
    """Width of the expert that every token goes through beside its own; None: there is none."""
    shared_gate: bool = False
    """True if what the shared expert gives has a gate of the token."""
    router_score: RouterScore = "softmax"
    """Weight of an expert by its score: the softmax over all, or the sigmoid of each."""
    router_sums_to_one: bool = True
    """True if the weights of a token's experts are divided by their sum."""
    router_scale: float = 1.0
    """Factor of these weights."""
    router_groups: int = 1
    """Groups of neighbouring experts."""
    router_active_groups: int = 1
    """Groups that a token chooses from."""
    router_corrected: bool = False
    """True if a number of each expert, which no gradient reaches, counts where they are chosen."""
    recurrent_heads: int | None = None
    """Heads of the values of recurrences; None: heads."""
    recurrent_key_heads: int | None = None
    """Heads of their queries and keys; None: one for each head of values."""
    recurrent_head_dim: int | None = None
    """Size of their queries and keys; None: head_dim."""
    recurrent_value_dim: int | None = None
    """Size of their values; None: recurrent_head_dim."""
    recurrent_convolution: int = 4
    """Tokens that the short convolutions of recurrences take in."""
    recurrent_strength_bias: bool = True
    """True if the gates of how strongly their tokens are written have biases."""
    recurrent_gate: GateActivation = "silu"
    """Activation of the gate of what their heads read."""
    recurrent_gate_rank: int | None = None
    """Rank of the matrix of that gate; None: it is whole."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("router_groups", "router_active_groups", "recurrent_convolution"):
            require_positive(name, getattr(self, name))
        for name in ("expert_hidden", "shared_hidden", *_RECURRENT, "recurrent_gate_rank"):
            if getattr(self, name) is not None:
                require_positive(name, getattr(self, name))
        require_choice("router_score", self.router_score, get_args(RouterScore))
        require_choice("recurrent_gate", self.recurrent_gate, get_args(GateActivation))
        require(
            0 <= self.dense_layers <= self.layers,
            f"model.dense_layers is {self.dense_layers}: it must be 0 or more, and no more than model.layers "
            f"({self.layers})",
        )
        require(self.router_scale > 0, f"model.router_scale is {self.router_scale!r}: it must be above 0")
        require(
            self.shared_hidden is not None or not self.shared_gate,
            "model.shared_gate is True: it needs model.shared_hidden",
        )

    def filled(self) -> Self:
        """Returns the config with what others say in the place of None, and each layer's mechanism."""
        filled = super().filled()
        heads = self.recurrent_heads or self.heads
        size = self.recurrent_head_dim or filled.head_dim
        return replace(
            filled,
            expert_hidden=self.expert_hidden or filled.hidden,
            recurrent_heads=heads,
            recurrent_key_heads=self.recurrent_key_heads or heads,
            recurrent_head_dim=size,
            recurrent_value_dim=self.recurrent_value_dim or size,
        )


_RECURRENT = ("recurrent_heads", "recurrent_key_heads", "recurrent_head_dim", "recurrent_value_dim")
