"""The settings of the blocks of which models are made, free of jax.

References:
  Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762 (sinusoidal positions).
  Su et al., RoFormer, 2021, arXiv:2104.09864 (rope).
  Press et al., Train Short, Test Long, 2021, arXiv:2108.12409 (alibi).
  Raffel et al., Exploring the Limits of Transfer Learning, 2020, arXiv:1910.10683 (t5).
  Hendrycks & Gimpel, Gaussian Error Linear Units (GELUs), 2016, arXiv:1606.08415 (gelu).
  Shazeer, GLU Variants Improve Transformer, 2020, arXiv:2002.05202 (swiglu).
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self, get_args

from attnjax.config import require
from attnjax.mechanisms.base import Takes
from attnjax.models.checks import (
    require_choice,
    require_heads_fit,
    require_mechanism_fits,
    require_positive,
    require_rope_fits,
)

Positions = Literal[
    "sinusoidal", "sinusoidal_halves", "learned", "rope", "rope_interleaved", "alibi", "t5", "none"
]
ABSOLUTE: tuple[Positions, ...] = ("sinusoidal", "sinusoidal_halves", "learned")
"""Positions that are added to the embeddings of tokens."""
Norm = Literal["layer", "rms", "rms_offset"]
NormPlacement = Literal["pre", "post", "inner", "sandwich"]
ResidualKind = Literal["sum", "attention"]
Ungated = Literal["gelu", "gelu_exact", "quick_gelu", "relu", "silu", "tanh"]
Activation = Literal[Ungated, "swiglu", "geglu", "geglu_exact", "reglu", "swiglu_clipped"]
Precision = Literal["float32", "bfloat16", "float16", "float64"]
Implementation = Literal["reference", "blockwise"]
RopeScaling = Literal["linear", "yarn", "llama3"]
OutputGate = Literal["elementwise", "headwise"]
RematKeeps = Literal["nothing", "dots_with_no_batch_dims", "dots", "everything"]
AttentionBias = Literal["all", "qkv", "out", "no_key", "none"]

_CHOICES = {
    "positions": Positions,
    "norm": Norm,
    "norm_placement": NormPlacement,
    "residual": ResidualKind,
    "activation": Activation,
    "dtype": Precision,
    "param_dtype": Precision,
    "remat_keeps": RematKeeps,
}
_CHOICES_OR_NONE = {
    "implementation": Implementation,
    "rope_scaling": RopeScaling,
    "output_gate": OutputGate,
    "attention_bias": AttentionBias,
}


@dataclass(frozen=True)
class BlockConfig:
    """The settings of the blocks of a model."""

    takes: ClassVar[tuple[Takes, ...]] = ("tokens",)
    """The kinds of input that its layers may take."""
    dim: int = 128
    """Width of the vectors that stand for tokens."""
    heads: int = 4
    """Attention heads of a layer; they divide dim unless head_dim is given."""
    head_dim: int | None = None
    """Size of a head; None: dim / heads."""
    value_dim: int | None = None
    """Size of a head's values; None: head_dim."""
    kv_heads: int | None = None
    """Key/value heads; None: one for each head; 1: multi-query; a divisor of heads between: grouped-query."""
    hidden: int | None = None
    """Width of the feed-forward layers; None: 4·dim."""
    mechanism: str = "softmax"
    """Self-attention: gla, "window(size=16)", kda*3+softmax; `attnjax list mechanisms` has them all."""
    positions: Positions = "rope"
    """Positions of tokens, which are added to embeddings, rotate queries and keys, or bias the scores."""
    rope_base: float = 10_000.0
    """Base of the wavelengths of rope, in radians per token."""
    rope_local_base: float | None = None
    """Base of rope in layers that see a window, which have no rope_scaling; None: as the other layers."""
    rope_fraction: float = 1.0
    """Share of each head that rope rotates, in (0, 1]."""
    rope_scaling: RopeScaling | None = None
    """Other wavelengths of rope, for texts rope_factor times as long as max_length; None: the same ones."""
    rope_factor: float = 1.0
    """The ratio of the new length to the original one under rope_scaling."""
    rope_original_length: int | None = None
    """Tokens of the texts before rope_scaling; None: max_length."""
    rope_slow_turns: float = 1.0
    """Turns within the original length up to which yarn and llama3 divide a frequency by rope_factor."""
    rope_fast_turns: float | None = None
    """Turns from which on they leave a frequency; None: 32 for yarn, 4 for llama3."""
    rope_truncate: bool = True
    """True if yarn's ramp between the two begins and ends at whole pairs of entries."""
    rope_amplitude: float | None = None
    """Factor of what yarn rotates; None: 0.1·ln(rope_factor) + 1."""
    norm: Norm = "layer"
    """LayerNorm, RMSNorm or RMSNorm with a gain of 1 + γ."""
    norm_placement: NormPlacement = "pre"
    """Norm before each layer, after its residual sum, after the layer itself, or before and after it."""
    parallel: bool = False
    """True if the feed-forward layer of a block reads what its attention reads, not what it gives."""
    norm_eps: float = 1e-6
    """ε of the norms, in the unit of the square of what is normed."""
    attention_scale: float | None = None
    """Factor of the products of queries and keys; None: 1/√(size of a head)."""
    layer_scale: float | None = None
    """First factor of each channel of what a layer adds, which is learned; None: there is none."""
    residual: ResidualKind = "sum"
    """Layers read the sum of what those below gave, or attend over it (attention residuals)."""
    activation: Activation = "gelu"
    """Activation of the feed-forward layers; gelu is by tanh; the *glu gate one half by the other."""
    experts: int | None = None
    """Feed-forward layers of a block, of which a token goes through the best; None: there is one for all."""
    active_experts: int = 2
    """Experts that a token goes through."""
    qk_norm: bool = False
    """Norm of queries and keys, of each head by itself, with one gain for all."""
    qk_norm_groups: int | None = None
    """Groups of heads that qk_norm takes together, with a gain for each channel; None: each head alone."""
    output_gate: OutputGate | None = None
    """Gate of the heads before the last projection of attention, of each entry or each head; None: none."""
    bias: bool = True
    """True if projections and feed-forward layers have biases."""
    attention_bias: AttentionBias | None = None
    """Biases of attention: of all projections, of some (no_key: all but keys) or none; None: as bias says."""
    output_bias: bool | None = None
    """True if the output projection has a bias; None: as bias says."""
    embedding_scale: float | None = None
    """Factor of the embedding of tokens; None: √dim."""
    embedding_norm: bool = False
    """True if the embedding of tokens and positions is normed."""
    tie_embeddings: bool = False
    """True if the embedding of the predicted tokens is the output projection too."""
    max_length: int = 512
    """Positions that a learned table holds; what rope_scaling prolongs; the horizon of cosFormer."""
    first_position: int = 0
    """Row of position 0 in a learned table; RoBERTa and BART leave two rows before it unused."""
    dtype: Precision = "float32"
    """Precision of the computation; float64 needs jax_enable_x64."""
    param_dtype: Precision = "float32"
    """Precision of the parameters; bfloat16 loses updates that are below half of its last digit."""
    remat: bool = False
    """True if gradients compute the insides of each block again, in the place of keeping them."""
    scan_layers: bool = False
    """True if blocks that are alike are compiled once, as one loop, and their parameters lie stacked."""
    remat_keeps: RematKeeps = "nothing"
    """The part that remat keeps all the same: products of matrices (dots), or those by parameters alone."""
    implementation: Implementation | None = None
    """The engine of softmax attention; None chooses by size."""

    def __post_init__(self) -> None:
        for name in ("dim", "heads", "max_length", "active_experts"):
            require_positive(name, getattr(self, name))
        for name in ("head_dim", "value_dim", "kv_heads", "hidden", "experts"):
            if getattr(self, name) is not None:
                require_positive(name, getattr(self, name))
        for name, choices in _CHOICES.items():
            require_choice(name, getattr(self, name), get_args(choices))
        for name, choices in _CHOICES_OR_NONE.items():
            if getattr(self, name) is not None:
                require_choice(name, getattr(self, name), get_args(choices))
        require(self.norm_eps >= 0, f"model.norm_eps is {self.norm_eps!r}: it must be 0 or more")
        require_heads_fit(self)
        require_rope_fits(self)
        require_mechanism_fits(self)
        require(
            self.residual == "sum" or self.norm_placement == "pre",
            f"model.residual is {self.residual!r}: it needs norm_placement pre, got {self.norm_placement}",
        )
        require(
            not self.parallel or (self.residual == "sum" and self.norm_placement in ("pre", "sandwich")),
            f"model.parallel is True: it needs residual sum and norms before the layers, got {self.residual} "
            f"and norm_placement {self.norm_placement}",
        )
        for name in ("remat", "scan_layers"):
            require(
                not getattr(self, name) or self.residual == "sum",
                f"model.{name} is True: it needs residual sum, got {self.residual}",
            )
        require(
            self.remat or self.remat_keeps == "nothing",
            f"model.remat_keeps is {self.remat_keeps}: it needs remat, which is False",
        )
        require(
            self.residual == "sum" or self.layer_scale is None,
            f"model.layer_scale is {self.layer_scale!r}: it needs residual sum, got {self.residual}",
        )
        require(
            self.attention_scale is None or self.attention_scale > 0,
            f"model.attention_scale is {self.attention_scale!r}: it must be above 0",
        )
        require(
            self.experts is None or self.active_experts <= self.experts,
            f"model.active_experts is {self.active_experts}: it must be no more than model.experts "
            f"({self.experts})",
        )
        require(
            self.first_position >= 0 and (self.first_position == 0 or self.positions == "learned"),
            f"model.first_position is {self.first_position!r}: it must be 0, or more with learned positions",
        )

    @property
    def recomputes(self) -> RematKeeps | None:
        """The name of what blocks keep that compute their insides again for gradients; None: all is kept."""
        return self.remat_keeps if self.remat else None

    @property
    def head_size(self) -> int:
        """The size of one head, with the default filled in."""
        return self.dim // self.heads if self.head_dim is None else self.head_dim

    @property
    def hidden_dim(self) -> int:
        """The width of the feed-forward layer, with the default filled in."""
        return 4 * self.dim if self.hidden is None else self.hidden

    def filled(self) -> Self:
        """Returns the config with what the other settings say in the place of None.

        Example:
          >>> BlockConfig(dim=8, heads=2).filled().head_dim
          4
        """
        bias: AttentionBias = "all" if self.bias else "none"
        turns = {"llama3": 4.0, "yarn": 32.0}.get(self.rope_scaling or "")
        return replace(
            self,
            head_dim=self.head_size,
            value_dim=self.head_size if self.value_dim is None else self.value_dim,
            kv_heads=self.heads if self.kv_heads is None else self.kv_heads,
            hidden=self.hidden_dim,
            attention_bias=bias if self.attention_bias is None else self.attention_bias,
            output_bias=self.bias if self.output_bias is None else self.output_bias,
            embedding_scale=self.dim**0.5 if self.embedding_scale is None else self.embedding_scale,
            rope_original_length=self.rope_original_length or (self.max_length if turns else None),
            rope_fast_turns=turns if self.rope_fast_turns is None else self.rope_fast_turns,
        )
